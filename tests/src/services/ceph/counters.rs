//! What the OSDs have counted.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use super::{Ceph, admin_socket, files};

const LIMIT: Duration = Duration::from_secs(5);

impl Ceph {
    /// How many operations of clients all OSDs together have had so far. One that a replica is told of by the primary is
    /// counted once.
    pub fn operations_done(&self) -> anyhow::Result<u64> {
        self.osds.iter().try_fold(0, |sum, osd| {
            let socket = files::admin_socket_of(self.dir.path(), &format!("osd.{}", osd.id()));
            let question = json!({ "prefix": "perf dump", "logger": "osd", "counter": "op" });
            let answer = admin_socket::ask(&socket, &question, LIMIT)?;
            let counters: Value = serde_json::from_str(&answer).with_context(|| format!("it answered {answer:?}"))?;
            let operations = counters.pointer("/osd/op").and_then(Value::as_u64);
            Ok(sum + operations.with_context(|| format!("it counts no operations: {answer:?}"))?)
        })
    }
}
