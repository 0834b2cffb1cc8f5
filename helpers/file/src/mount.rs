//! Which file system a file or directory is on, as `/proc/self/mountinfo` names it: the kernel's own word for what
//! statfs shows as a number, and more than that (all of FUSE has one number). It is read from the kernel's memory, where
//! statfs would ask the cluster.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// `ext4`, `ceph`, `fuse.glusterfs`; `fuse.mfs` for MooseFS, which before version 4 calls itself only `fuse`.
    pub(crate) kind: String,
    /// Where it is mounted.
    pub(crate) point: String,
    /// The options of the mount and of its file system, `name` or `name=value`.
    pub(crate) options: Vec<String>,
}

impl Mount {
    /// Whether a process serves it.
    pub(crate) fn is_fuse(&self) -> bool {
        matches!(self.kind.split('.').next(), Some("fuse" | "fuseblk" | "virtiofs"))
    }

    /// Whether it is what `--require-fs` calls so.
    pub(crate) fn is_called(&self, name: &str) -> bool {
        // As it stands in /proc/mounts, too. LizardFS and its kin look the same.
        self.kind == name || (self.is_moosefs() && name == "fuse")
    }

    pub(crate) fn is_moosefs(&self) -> bool {
        self.kind == "fuse.mfs"
    }

    /// Whether it has this option, a bare word.
    pub(crate) fn has(&self, option: &str) -> bool {
        self.options.iter().any(|own| own == option)
    }

    /// The value of an option.
    pub(crate) fn value(&self, option: &str) -> Option<&str> {
        self.options.iter().find_map(|own| own.strip_prefix(option)?.strip_prefix('='))
    }
}

/// The mount that an open file or directory is on.
///
/// By the mount's number, not the device's: a btrfs subvolume has a device number that no mount shows.
pub(crate) fn of(place: impl AsFd) -> io::Result<Mount> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", place.as_fd().as_raw_fd()))?;
    let number = info.lines().find_map(|line| line.strip_prefix("mnt_id:")).map(str::trim);
    // Whoever mounts something chooses its name, which need not be UTF-8.
    let mounts = String::from_utf8_lossy(&fs::read("/proc/self/mountinfo")?).into_owned();
    number
        .and_then(|number| find(&mounts, number))
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "its mount is not in /proc/self/mountinfo"))
}

/// `36 35 98:0 /root /mount/point rw,noatime shared:1 - ext4 /dev/sda1 rw` (proc(5)); the optional fields before the
/// dash vary in number.
pub(crate) fn find(mounts: &str, number: &str) -> Option<Mount> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        if fields.next()? != number {
            return None;
        }
        let point = unescaped(fields.nth(3)?);
        let own_options = fields.next()?;
        let mut fields = fields.skip_while(|&field| field != "-").skip(1);
        let kind = match (fields.next()?, fields.next()?) {
            ("fuse", source) if unescaped(source).starts_with("mfs#") => "fuse.mfs",
            (kind, _) => kind,
        };
        let options = own_options.split(',').chain(fields.next()?.split(','));
        Some(Mount { kind: kind.to_owned(), point, options: options.map(str::to_owned).collect() })
    })
}

/// Blanks, backslashes and # stand there as `\040`, in octal.
fn unescaped(field: &str) -> String {
    let mut pieces = field.split('\\');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let code = piece.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => text.extend(std::iter::once(char::from(code)).chain(piece.chars().skip(3))),
            None => text.extend(std::iter::once('\\').chain(piece.chars())),
        }
    }
    text
}

/// A line of mountinfo, for tests.
#[cfg(test)]
pub(crate) fn example(kind: &str, source: &str, options: &str) -> Option<Mount> {
    find(&format!("36 21 0:40 / /clusterfs rw,relatime shared:1 - {kind} {source} {options}"), "36")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_by_its_number_whatever_optional_fields_it_has() {
        let mounts = "21 1 254:0 / / rw,relatime - ext4 /dev/root rw\n\
                      36 21 0:40 / /clusterfs rw shared:1 master:2 - fuse.glusterfs host:/vol rw,user_id=0\n";
        let mount = |kind: &str, point: &str, options: &[&str]| {
            let options = options.iter().map(|&option| option.to_owned()).collect();
            Some(Mount { kind: kind.into(), point: point.into(), options })
        };
        assert_eq!(find(mounts, "36"), mount("fuse.glusterfs", "/clusterfs", &["rw", "rw", "user_id=0"]));
        assert_eq!(find(mounts, "21"), mount("ext4", "/", &["rw", "relatime", "rw"]));
        assert_eq!(find(mounts, "2"), None);
    }

    #[test]
    fn moosefs_is_known_by_its_source() {
        let old = example("fuse", "mfs\\04310.0.0.1:9421", "rw");
        let new = example("fuse.mfs", "10.0.0.1:9421", "rw");
        assert!([old, new].iter().flatten().all(|mount| mount.is_called("fuse.mfs") && mount.is_called("fuse")));
        assert!(example("fuse", "other#1", "rw").is_some_and(|mount| !mount.is_moosefs()));
    }

    #[test]
    fn what_is_escaped_is_read() {
        assert_eq!(unescaped(r"/mnt/with\040blank"), "/mnt/with blank");
        assert_eq!(unescaped(r"\134\9\04"), r"\\9\04");
    }

    #[test]
    fn options_are_words_or_have_values() {
        let mount = example("nfs", "host:/x", "rw,local_lock=none,nolock");
        assert!(mount.is_some_and(|mount| mount.has("nolock") && mount.value("local_lock") == Some("none")));
    }
}
