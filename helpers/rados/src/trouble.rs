//! What went wrong, in words that an admin can act on, and whether waiting can cure it.

use std::fs::File;
use std::io::ErrorKind;

use mutex_core::backend::{Failure, Trouble};
use nix::errno::Errno;

use crate::librados::Cluster;
use crate::place::Place;

pub(crate) fn read_conf(error: Errno, place: &Place) -> Failure {
    let (operation, cluster) = ("read the Ceph configuration for", &place.cluster);
    let (file, source) = match (&place.conf, std::env::var("CEPH_CONF")) {
        (Some(conf), _) => (conf.display().to_string(), ""),
        (None, Ok(conf)) => (conf, " (CEPH_CONF)"),
        (None, Err(_)) => (format!("/etc/ceph/{cluster}.conf"), ""),
    };
    // librados says of what it may not read that it is not there.
    if let Some(cause) = unreadable(&file) {
        return Failure::permanent(operation, cause, "see its mode, and SELinux");
    }
    if error == Errno::ENOENT {
        let cause = format!("no such cluster configuration: {file}{source}");
        return Failure::permanent(operation, cause, "copy it from another node, or name it with --conf");
    }
    Failure::permanent(operation, format!("{file}{source}: {error}"), "see its syntax (`ceph-conf`)")
}

/// Why the first of these files that is there cannot be read; `None` where there is none, or no reason.
fn unreadable(files: &str) -> Option<String> {
    files.split([',', ';', ' ']).filter(|file| !file.is_empty()).find_map(|file| {
        let why = match File::open(file).and_then(|file| file.metadata()) {
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => error.to_string(),
            Ok(about) if about.is_dir() => "it is a directory".to_owned(),
            Ok(_) => return None,
        };
        Some(format!("{file}: {why}"))
    })
}

pub(crate) fn connect(error: Errno, place: &Place, cluster: Cluster) -> Failure {
    const OPERATION: &str = "connect to the cluster of";
    let user = &place.user;
    let monitors = cluster.option(c"mon_host");
    let keyring = cluster.option(c"keyring");
    // A name server that is down looks like a wrong name.
    if monitors.is_empty() && matches!(error, Errno::ENOENT | Errno::EINVAL) {
        let cause = "the configuration names no monitors, and neither does the name service (DNS SRV)";
        return Failure::transient(OPERATION, cause, "set mon_host in [global] of the Ceph configuration");
    }
    // Only where it is the keyring that librados may mean: one that it does not need may well be unreadable.
    let of_the_keyring = matches!(error, Errno::ENOENT | Errno::EACCES | Errno::EPERM | Errno::EIO | Errno::EISDIR);
    if of_the_keyring {
        if let Some(cause) = unreadable(&keyring) {
            return Failure::permanent(OPERATION, format!("the keyring {cause}"), "see its mode, and SELinux");
        }
    }
    match error {
        Errno::ENOENT => Failure::permanent(
            OPERATION,
            format!("no key for {user} in {keyring}"),
            &format!("get one there with `ceph auth get {user}`"),
        ),
        Errno::EACCES | Errno::EPERM => Failure::permanent(
            OPERATION,
            format!("{user} is refused: no key or a wrong one in {keyring}, or no caps for the monitors"),
            &format!("compare with `ceph auth get {user}`, which needs at least {}", caps(place)),
        ),
        Errno::EIO | Errno::EBADMSG => Failure::permanent(
            OPERATION,
            format!("the key of {user} in {keyring} cannot be understood ({error})"),
            &format!("compare with `ceph auth get {user}`"),
        ),
        Errno::EOPNOTSUPP => Failure::permanent(
            OPERATION,
            "client and monitors have no authentication method in common",
            &format!("see auth_client_required, and whether {keyring} has a key for {user}"),
        ),
        Errno::ETIMEDOUT => Failure::transient(
            OPERATION,
            format!("its monitors do not answer ({monitors})"),
            "see whether they have a quorum (`ceph -s`), and the network to them",
        ),
        _ => Failure::transient(
            OPERATION,
            format!("{error}; its monitors are {monitors}"),
            "see whether their names can be resolved, and the monitors (`ceph -s`)",
        ),
    }
}

/// While there is no connection, and nothing was said about it yet.
pub(crate) fn no_connection() -> Trouble {
    Trouble::new(
        "connect to the cluster of",
        "no answer so far",
        "see whether its monitors have a quorum (`ceph -s`), and the network to them",
    )
}

/// The monitors have answered; the object is with an OSD that does not.
pub(crate) fn no_answer() -> Trouble {
    Trouble::new(
        "reach",
        "the OSD of its object does not answer",
        "see the OSDs of its pool (`ceph osd map`, `ceph -s`)",
    )
}

pub(crate) fn open_pool(error: Errno, place: &Place) -> Failure {
    match error {
        Errno::ENOENT => no_pool(place),
        _ => Failure::transient("open the pool of", error, "see the monitors (`ceph -s`)"),
    }
}

fn no_pool(place: &Place) -> Failure {
    let pool = &place.pool;
    Failure::permanent("lock", format!("there is no pool {pool}"), &format!("make it (`ceph osd pool create {pool}`)"))
}

/// A class call that brought no answer to what was asked. `operation`: as it reads after "cannot".
pub(crate) fn call(operation: &str, error: Errno, place: &Place) -> Failure {
    let user = &place.user;
    match error {
        // A missing object is made by a try, and no error to anything else.
        Errno::ENOENT => no_pool(place),
        Errno::EACCES | Errno::EPERM => {
            let remedy = format!("it needs at least {} (`ceph auth caps` replaces all that it has)", caps(place));
            Failure::permanent(operation, format!("the caps of {user} are too small"), &remedy)
        }
        Errno::ESHUTDOWN => Failure::permanent(operation, BLOCKLISTED, "see `ceph osd blocklist ls`"),
        Errno::ENOSPC | Errno::EDQUOT => Failure::transient(
            operation,
            format!("the cluster or the pool {} is full ({error})", place.pool),
            "see `ceph df` and `ceph health detail`, and make room",
        ),
        Errno::EOPNOTSUPP => Failure::permanent(
            operation,
            "the OSDs refuse the object class lock",
            "see their options osd_class_load_list and osd_class_default_list",
        ),
        Errno::EINVAL | Errno::ENAMETOOLONG => {
            Failure::permanent(operation, error, "see the names of object and namespace")
        }
        _ => Failure::transient(operation, error, "see the OSDs of its pool (`ceph -s`)"),
    }
}

/// This client was shut out, by an admin or by a program that fences.
pub(crate) const BLOCKLISTED: &str = "this client's address is blocklisted";

/// The caps that are enough, and not more (FACTS A12).
fn caps(place: &Place) -> String {
    let Place { pool, namespace, object, .. } = place;
    let namespace = namespace.as_ref().map(|name| format!(" namespace=\"{name}\"")).unwrap_or_default();
    format!("mon 'allow r' osd 'allow x pool=\"{pool}\"{namespace} object_prefix \"{object}\"'")
}
