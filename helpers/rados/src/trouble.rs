//! What went wrong, in words that an admin can act on, and whether waiting can cure it.

use mutex_core::backend::Failure;
use nix::errno::Errno;

use crate::librados::Cluster;
use crate::place::Place;

pub(crate) fn read_conf(error: Errno, place: &Place) -> Failure {
    let (operation, cluster) = ("read the Ceph configuration for", &place.cluster);
    let file = match &place.conf {
        Some(conf) => conf.display().to_string(),
        None => match std::env::var("CEPH_CONF") {
            Ok(conf) => format!("{conf} (CEPH_CONF)"),
            Err(_) => format!("/etc/ceph/{cluster}.conf"),
        },
    };
    match error {
        Errno::ENOENT => {
            let cause = format!("no such cluster configuration: {file}");
            Failure::permanent(operation, cause, "copy it from another node, or name it with --conf")
        }
        Errno::EACCES | Errno::EPERM => {
            let cause = format!("{file}: {error}");
            Failure::permanent(operation, cause, "ctdbd runs as root: see its mode and SELinux")
        }
        _ => Failure::permanent(operation, format!("{file}: {error}"), "see its syntax (`ceph-conf`)"),
    }
}

pub(crate) fn connect(error: Errno, place: &Place, cluster: Cluster) -> Failure {
    let (operation, user) = ("connect to the cluster of", &place.user);
    let monitors = cluster.option(c"mon_host");
    let keyring = cluster.option(c"keyring");
    match error {
        Errno::ENOENT | Errno::EINVAL if monitors.is_empty() => Failure::permanent(
            operation,
            "the configuration names no monitors",
            "set mon_host in the [global] section of the Ceph configuration",
        ),
        Errno::ENOENT => Failure::permanent(
            operation,
            format!("no key for {user} in {keyring}"),
            &format!("get one there with `ceph auth get {user}`"),
        ),
        Errno::EACCES | Errno::EPERM => Failure::permanent(
            operation,
            format!("{user} is refused: no key or a wrong one in {keyring}, or no caps for the monitors"),
            &format!("compare with `ceph auth get {user}`, which needs at least {}", caps(place)),
        ),
        Errno::EOPNOTSUPP => Failure::permanent(
            operation,
            "client and monitors have no authentication method in common",
            &format!("see auth_client_required, and whether {keyring} has a key for {user}"),
        ),
        Errno::EINVAL => {
            let cause = format!("{error} (mon_host {monitors}, keyring {keyring})");
            Failure::permanent(operation, cause, "see the Ceph configuration and the keyring")
        }
        Errno::ETIMEDOUT => Failure::transient(
            operation,
            format!("its monitors do not answer ({monitors})"),
            "see whether they have a quorum (`ceph -s`) and the network to them",
        ),
        _ => Failure::transient(operation, format!("{error} ({monitors})"), "see the monitors (`ceph -s`)"),
    }
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
        Errno::EINVAL | Errno::ENAMETOOLONG => Failure::permanent(operation, error, "see the name of the object"),
        _ => Failure::transient(operation, error, "see the OSDs of its pool (`ceph -s`)"),
    }
}

/// This client was shut out, by an admin or by a program that fences.
pub(crate) const BLOCKLISTED: &str = "this client's address is blocklisted";

/// The caps that are enough, and not more (FACTS A12).
fn caps(place: &Place) -> String {
    let Place { pool, namespace, object, .. } = place;
    let namespace = namespace.as_ref().map(|namespace| format!(" namespace={namespace}")).unwrap_or_default();
    format!("mon 'allow r' osd 'allow x pool={pool}{namespace} object_prefix {object}'")
}
