//! What is known of file systems by name: which of them keep a lock on one machine, and what else an admin should know
//! of. Of one that is not named here nothing is said.
//!
//! Sources: nfs(5), mount.lustre(8), gfs2(5), the kernel's fs/ocfs2 (file.c, super.c), BeeGFS's beegfs-client.conf, and what
//! was measured on FUSE (docs/cluster-file-systems.md).

use std::fs;
use std::path::Path;

use crate::lock::LockType;
use crate::mount::Mount;

/// Nobody else can mount these at the same time.
const LOCAL: [&str; 17] = [
    "ext2", "ext3", "ext4", "xfs", "btrfs", "bcachefs", "f2fs", "jfs", "zfs", "tmpfs", "ramfs", "overlay", "vfat",
    "exfat", "ntfs3", "fuseblk", "nilfs2",
];
/// On FUSE: their servers drop the lock with the open file, so that an ofd lock needs no unlock from the kernel (measured).
const DROPS_OFD: [&str; 3] = ["fuse.ceph-fuse", "fuse.glusterfs", "fuse.mfs"];

/// Whether the lock of a holder that was killed is free at once.
pub(crate) fn frees_the_dead(mount: &Mount, lock_type: LockType) -> bool {
    lock_type != LockType::Ofd || !mount.is_fuse() || DROPS_OFD.contains(&mount.kind.as_str())
}

/// Whether a flock there may have a witness (see `lock`).
pub(crate) fn has_witness(mount: &Mount) -> bool {
    mount.is_fuse() || mount.kind == "ceph"
}

/// What speaks against a lock of this type on this mount, for people; `None`: nothing known.
///
/// May read a file of the client's configuration, or one that the mount's own client answers for.
pub(crate) fn caution(mount: &Mount, lock_type: LockType) -> Option<String> {
    if let Some(why) = local_because(mount, lock_type) {
        let type_name = lock_type.name();
        return Some(format!("{why}: {type_name} locks are this machine's alone, no other node sees this one"));
    }
    if mount.kind == "fuse.glusterfs" && lax_locks(mount) {
        return Some(
            "client.strict-locks is not on: bricks that restart can drop the lock in silence \
             (gluster volume set VOLUME client.strict-locks on)"
                .to_owned(),
        );
    }
    if mount.is_moosefs() && lock_type == LockType::Flock && is_defined(mount, "mfsnoposixlocks") {
        return Some("MooseFS with mfsnoposixlocks: a flock that the master drops is not noticed".to_owned());
    }
    if mount.kind == "ocfs2" && lock_type == LockType::Flock {
        return Some("a flock that ocfs2 drops is noticed by its errors and its silence alone".to_owned());
    }
    None
}

/// Why locks of this type stay on this machine.
fn local_because(mount: &Mount, lock_type: LockType) -> Option<String> {
    let flock = lock_type == LockType::Flock;
    let kind = mount.kind.as_str();
    let option = |name: &str| mount.has(name).then(|| format!("{kind} with {name}"));
    match kind {
        _ if LOCAL.contains(&kind) => Some(format!("{kind} is a file system of one machine")),
        "nfs" | "nfs4" => match mount.value("local_lock") {
            Some(of @ "all") => Some(format!("{kind} with local_lock={of}")),
            Some(of @ "flock") if flock => Some(format!("{kind} with local_lock={of}")),
            Some(of @ "posix") if !flock => Some(format!("{kind} with local_lock={of}")),
            _ => option("nolock"),
        },
        "lustre" => option("localflock"),
        "gfs2" => option("localflocks"),
        // Its own cluster stack has none for POSIX locks; one in user space (pcmk) has.
        "ocfs2" => option("localflocks").or_else(|| {
            let own_stack = matches!(mount.value("cluster_stack"), None | Some("o2cb"));
            (own_stack && !flock).then(|| format!("{kind} with the cluster stack o2cb"))
        }),
        "beegfs" => (!global_locks(mount)).then(|| format!("{kind} without tuneUseGlobalFileLocks = true")),
        "fuse.mfs" => {
            let word = if flock { "mfsnobsdlocks" } else { "mfsnoposixlocks" };
            is_defined(mount, word).then(|| format!("MooseFS with {word}"))
        }
        _ => None,
    }
}

/// BeeGFS: off unless the client's configuration says otherwise.
fn global_locks(mount: &Mount) -> bool {
    const NAME: &str = "tuneUseGlobalFileLocks";
    let is_on = |value: &str| matches!(value, "true" | "yes" | "on" | "1");
    let path = mount.value("cfgFile").unwrap_or("/etc/beegfs/beegfs-client.conf");
    let text = fs::read_to_string(path).unwrap_or_default();
    value_in(&text, NAME).is_some_and(is_on)
}

/// GlusterFS: whether the client says of one of its bricks that it is off. It says nothing where only a directory of the
/// volume is mounted.
fn lax_locks(mount: &Mount) -> bool {
    let graph = Path::new(&mount.point).join(".meta/graphs/active");
    let translators = fs::read_dir(&graph).into_iter().flatten().flatten();
    let mut told = translators.filter_map(|one| fs::read_to_string(one.path().join("options/strict-locks")).ok());
    told.any(|value| !matches!(value.trim(), "on" | "yes" | "true" | "enable" | "1"))
}

/// MooseFS: whether this mount has the option.
fn is_defined(mount: &Mount, word: &str) -> bool {
    let parameters = fs::read_to_string(Path::new(&mount.point).join(".params")).unwrap_or_default();
    parameters.lines().any(|line| line == format!("{word}: (defined)"))
}

/// The value of `name = value` in a file of settings with `#` comments.
fn value_in<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        line.split('#').next()?.trim().strip_prefix(name)?.trim_start().strip_prefix('=').map(str::trim)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mount::example;
    use LockType::{Flock, Ofd, Posix};

    /// The lock types that are local on such a mount.
    fn local(kind: &str, options: &str) -> Vec<LockType> {
        let mount = example(kind, "source", options);
        let is_local =
            |lock_type: &LockType| mount.as_ref().is_some_and(|mount| local_because(mount, *lock_type).is_some());
        [Posix, Ofd, Flock].into_iter().filter(is_local).collect()
    }

    #[test]
    fn the_lock_types_that_stay_on_one_machine_are_known() {
        let (all, fcntl) = (vec![Posix, Ofd, Flock], vec![Posix, Ofd]);
        for (kind, options, expected) in [
            ("ext4", "rw", all.clone()),
            ("tmpfs", "rw", all.clone()),
            ("nfs4", "rw,vers=4.2,local_lock=none,addr=10.0.0.1", vec![]),
            ("nfs", "rw,vers=3,local_lock=all", all.clone()),
            ("nfs", "rw,vers=3,local_lock=flock", vec![Flock]),
            ("nfs", "rw,vers=3,local_lock=posix", fcntl.clone()),
            ("nfs", "rw,vers=3,nolock", all.clone()),
            ("lustre", "rw,flock,lazystatfs", vec![]),
            ("lustre", "rw,localflock,lazystatfs", all.clone()),
            ("gfs2", "rw", vec![]),
            ("gfs2", "rw,localflocks", all.clone()),
            ("ocfs2", "rw,_netdev,heartbeat=local", fcntl.clone()),
            ("ocfs2", "rw,cluster_stack=o2cb", fcntl),
            ("ocfs2", "rw,cluster_stack=pcmk", vec![]),
            ("ocfs2", "rw,localflocks,cluster_stack=pcmk", all.clone()),
            ("beegfs", "rw,cfgFile=/nonexistent", all),
            ("ceph", "rw", vec![]),
            ("fuse.ceph-fuse", "rw,user_id=0", vec![]),
            ("gpfs", "rw", vec![]),
        ] {
            assert_eq!(local(kind, options), expected, "{kind} {options}");
        }
    }

    #[test]
    fn a_setting_is_read_without_its_comments() {
        const NAME: &str = "tuneUseGlobalFileLocks";
        assert_eq!(value_in("# tuneUseGlobalFileLocks = true\ntuneUseGlobalFileLocks = false\n", NAME), Some("false"));
        assert_eq!(value_in("tuneUseGlobalFileLocks=true # all", NAME), Some("true"));
        assert_eq!(value_in("tuneUseGlobalAppendLocks = true", NAME), None);
    }

    #[test]
    fn an_ofd_lock_is_for_servers_that_drop_it_with_the_file() {
        let frees =
            |kind: &str, lock_type| example(kind, "x", "rw").is_some_and(|mount| frees_the_dead(&mount, lock_type));
        assert!(frees("fuse.glusterfs", Ofd) && frees("nfs4", Ofd) && frees("fuse.other", Posix));
        assert!(!frees("fuse.other", Ofd));
    }
}
