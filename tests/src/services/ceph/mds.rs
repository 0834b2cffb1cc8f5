//! The daemons of a file system: which one serves, whom it serves, and how it sends a client away.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Value, json};

use super::{Ceph, Daemon, admin_socket, files};
use crate::wait::wait_for;

/// What they are called.
pub(super) const NAMES: [&str; 2] = ["a", "b"];

/// What the file system is called.
pub(super) const FILE_SYSTEM: &str = "cephfs";

/// One takes over or comes back within half a second of its chance; on a busy machine later.
const ACTIVE_LIMIT: Duration = Duration::from_secs(30);

/// A daemon that runs answers a question at once; to send a client away it waits for the monitor and the OSD.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
const EVICTION_LIMIT: Duration = Duration::from_secs(10);

/// A client of the file system, as its MDS knows it.
struct Session {
    id: u64,
    /// The process number of `ceph-fuse`.
    pid: String,
    /// `open`, or `stale` once it has been silent for the session's timeout.
    state: String,
}

impl Ceph {
    /// What the file system is called.
    pub(in crate::services) fn file_system(&self) -> &'static str {
        FILE_SYSTEM
    }

    /// The index of the MDS that serves, if one of them says so.
    pub(in crate::services) fn active_mds(&self) -> Option<usize> {
        let serves = |mds: &Daemon| {
            let status = self.ask_mds(mds, &json!({ "prefix": "status" }), ANSWER_LIMIT).ok()?;
            (status.get("state")?.as_str()? == "up:active").then_some(())
        };
        self.mds.iter().position(|mds| mds.is_well() && serves(mds).is_some())
    }

    /// Waits until one serves.
    pub(in crate::services) fn wait_mds_active(&self) -> anyhow::Result<()> {
        wait_for("an MDS to serve", ACTIVE_LIMIT, || self.active_mds()).map(drop)
    }

    /// All its clients.
    fn sessions(&self) -> anyhow::Result<Vec<Session>> {
        let all = self.ask_mds(self.serving()?, &json!({ "prefix": "session ls" }), ANSWER_LIMIT)?;
        let session = |about: &Value| {
            let word = |path: &str| about.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
            let id = about.get("id").and_then(Value::as_u64).context("a session without a number")?;
            Ok(Session { id, pid: word("/client_metadata/pid"), state: word("/state") })
        };
        all.as_array().context("session ls shows no list")?.iter().map(session).collect()
    }

    /// What it says of this process's client: `open`, `stale`; `None` where it has none.
    pub(in crate::services) fn session_state(&self, pid: i32) -> anyhow::Result<Option<String>> {
        let pid = pid.to_string();
        Ok(self.sessions()?.into_iter().find(|session| session.pid == pid).map(|session| session.state))
    }

    /// What `ceph tell mds.N client evict` does to this process's client. Whether there was one.
    pub(in crate::services) fn evict(&self, pid: i32) -> anyhow::Result<bool> {
        let pid = pid.to_string();
        let Some(session) = self.sessions()?.into_iter().find(|session| session.pid == pid) else { return Ok(false) };
        let question = json!({ "prefix": "client evict", "filters": [format!("id={}", session.id)] });
        self.ask_mds(self.serving()?, &question, EVICTION_LIMIT)?;
        let left = self.sessions()?;
        ensure!(left.iter().all(|other| other.id != session.id), "client {} has been evicted and stays", session.id);
        Ok(true)
    }

    fn serving(&self) -> anyhow::Result<&Daemon> {
        Ok(&self.mds[self.active_mds().context("no MDS serves")?])
    }

    fn ask_mds(&self, mds: &Daemon, question: &Value, limit: Duration) -> anyhow::Result<Value> {
        let socket = files::admin_socket_of(self.dir.path(), &format!("mds.{}", mds.id()));
        let answer = admin_socket::ask(&socket, question, limit)?;
        // Nothing at all is an answer too.
        if answer.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&answer).with_context(|| format!("{}: answered {answer:?}", socket.display()))
    }
}
