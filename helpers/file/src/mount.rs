//! Which file system a file or directory is on, as `/proc/mounts` names it.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// `ext4`, `ceph`, `fuse.glusterfs`.
    pub(crate) kind: String,
    /// Where it is mounted.
    pub(crate) point: String,
}

impl Mount {
    /// Whether a process serves it.
    pub(crate) fn is_fuse(&self) -> bool {
        matches!(self.kind.split('.').next(), Some("fuse" | "fuseblk" | "virtiofs"))
    }
}

/// The mount that an open file or directory is on.
///
/// By the mount's number, not the device's: a btrfs subvolume has a device number that no mount shows.
pub(crate) fn of(place: impl AsFd) -> io::Result<Mount> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", place.as_fd().as_raw_fd()))?;
    let number = info.lines().find_map(|line| line.strip_prefix("mnt_id:")).map(str::trim);
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    number
        .and_then(|number| find(&mounts, number))
        .ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "its mount is not in /proc/self/mountinfo"))
}

/// `36 35 98:0 /root /mount/point rw,noatime shared:1 - ext4 /dev/sda1 rw` (proc(5)); the optional fields before the
/// dash vary in number.
fn find(mounts: &str, number: &str) -> Option<Mount> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        if fields.next()? != number {
            return None;
        }
        let point = fields.nth(3)?.to_owned();
        let kind = fields.skip_while(|&field| field != "-").nth(1)?.to_owned();
        Some(Mount { kind, point })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_by_its_number_whatever_optional_fields_it_has() {
        let mounts = "21 1 254:0 / / rw,relatime - ext4 /dev/root rw\n\
                      36 21 0:40 / /clusterfs rw shared:1 master:2 - fuse.glusterfs host:/vol rw,user_id=0\n";
        let mount = |kind: &str, point: &str| Some(Mount { kind: kind.into(), point: point.into() });
        assert_eq!(find(mounts, "36"), mount("fuse.glusterfs", "/clusterfs"));
        assert_eq!(find(mounts, "21"), mount("ext4", "/"));
        assert_eq!(find(mounts, "2"), None);
    }
}
