//! The holder in ceph-mgr's service map (`ceph service dump`): words for people, on which nothing depends.

use std::ffi::CStr;

use mutex_core::backend::Identity;
use nix::errno::Errno;
use serde_json::{Map, Value};

use crate::librados::Cluster;
use crate::place::Place;
use crate::service_dump;

/// The service; each holder is a daemon of it, called by its number in the cluster.
const SERVICE: &CStr = c"ctdb";

/// Enters the holder. The entry ends with the client.
pub(crate) fn register(cluster: Cluster, place: &Place, holder: &Identity) -> Result<(), Errno> {
    let facts = [
        ("host", holder.host.clone()),
        ("pid", holder.pid.to_string()),
        ("worker_pid", holder.worker_pid.to_string()),
        ("since", holder.since_rfc3339()),
        ("pool", place.pool.clone()),
        ("namespace", place.namespace.clone().unwrap_or_default()),
        ("object", place.object.clone()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
    ];
    cluster.register_service(SERVICE, &cluster.instance_id().to_string(), &facts)
}

/// What stands there about this client.
pub(crate) fn find(cluster: Cluster, client: u64) -> Result<Map<String, Value>, Errno> {
    let dump = cluster.ask_monitors(r#"{"prefix": "service dump", "format": "json"}"#)?;
    Ok(service_dump::facts_of(&dump, client))
}
