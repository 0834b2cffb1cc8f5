//! What the cluster says of itself. Only members that are well are asked, so that no answer is waited for in vain.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::accounts::{self, Account};
use super::keys::Key;
use super::{COMMAND_LIMIT, ETCDCTL, Etcd, MEMBERS, Outcome, PLACE_VARIABLE, REQUEST_LIMIT, member, start};
use crate::wait::wait_for;

/// An election takes one to two seconds; on a busy machine longer, and it may end without a leader and start again.
const LEADER_LIMIT: Duration = Duration::from_secs(15);

/// What a member says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    /// Its index here.
    pub member: usize,
    /// Whose it is, by the number that the cluster gave.
    pub id: u64,
    /// The same of the leader that it knows; 0 for none.
    pub leader: u64,
    /// The term of that leader.
    pub raft_term: u64,
    /// What it has in its log: grows with every write, and with nothing else.
    pub raft_index: u64,
    /// The revision of its keys: grows with every change of one.
    pub revision: i64,
}

impl Etcd {
    /// The index of the leader that all members who are well follow; waits until there is one.
    pub fn leader(&self) -> anyhow::Result<usize> {
        let leader = || {
            let all = self.statuses().ok()?;
            let leader = all.iter().find(|status| status.id == status.leader)?;
            let follows = |status: &Status| (status.leader, status.raft_term) == (leader.id, leader.raft_term);
            (all.len() * 2 > MEMBERS && all.iter().all(follows)).then_some(leader.member)
        };
        let (leader, _) = wait_for("the members of etcd to have a leader", LEADER_LIMIT, leader)?;
        Ok(leader)
    }

    /// The two others.
    pub fn followers(&self) -> anyhow::Result<[usize; 2]> {
        let leader = self.leader()?;
        Ok([(leader + 1) % MEMBERS, (leader + 2) % MEMBERS])
    }

    /// Waits until all members who are well have a leader, and a request has been answered.
    pub fn wait_healthy(&self) -> anyhow::Result<()> {
        self.leader()?;
        let answered = || self.etcdctl(&["get", "healthy"]).ok();
        wait_for("etcd to answer", LEADER_LIMIT, answered).map(drop)
    }

    /// What the members say who are well.
    pub fn statuses(&self) -> anyhow::Result<Vec<Status>> {
        let well = self.well();
        let text = self.outcome(&well, &["endpoint", "status", "--write-out", "json"])?.succeeded()?;
        let all: Value = serde_json::from_str(&text).with_context(|| format!("etcdctl printed {text:?}"))?;
        let all = all.as_array().context("etcdctl endpoint status prints no list")?;
        ensure!(all.len() == well.len(), "etcdctl endpoint status shows {} members of {}", all.len(), well.len());
        let status = |(&member, about): (&usize, &Value)| {
            let number = |path: &str| about.pointer(path).and_then(Value::as_u64).unwrap_or_default();
            Status {
                member,
                id: number("/Status/header/member_id"),
                leader: number("/Status/leader"),
                raft_term: number("/Status/raftTerm"),
                raft_index: number("/Status/raftIndex"),
                revision: about.pointer("/Status/header/revision").and_then(Value::as_i64).unwrap_or_default(),
            }
        };
        // They come in the order in which they were named.
        Ok(well.iter().zip(all).map(status).collect())
    }

    /// What one says.
    pub fn status(&self, member: usize) -> anyhow::Result<Status> {
        let status = self.statuses()?.into_iter().find(|status| status.member == member);
        status.with_context(|| format!("member {member} is not well"))
    }

    /// The highest index of a log: what the cluster has been made to write.
    pub fn raft_index(&self) -> anyhow::Result<u64> {
        self.statuses()?.iter().map(|status| status.raft_index).max().context("no member is well")
    }

    /// The highest revision: how often keys have been changed.
    pub fn revision(&self) -> anyhow::Result<i64> {
        self.statuses()?.iter().map(|status| status.revision).max().context("no member is well")
    }

    /// The keys of all who are in line for a lock, the holder's first. Where too few members are well to agree, what
    /// one of them knows.
    pub fn holders(&self, lock: &str) -> anyhow::Result<Vec<Key>> {
        let prefix = format!("{lock}/");
        let consistency = if self.well().len() * 2 > MEMBERS { "l" } else { "s" };
        let how = ["--prefix", "--sort-by", "CREATE", "--order", "ASCEND", "--write-out", "json", "--consistency"];
        Key::parse_all(&self.etcdctl(&[&["get", &prefix], &how[..], &[consistency]].concat())?)
    }

    /// The leases that there are.
    pub fn leases(&self) -> anyhow::Result<Vec<i64>> {
        let text = self.etcdctl(&["lease", "list", "--write-out", "json"])?;
        let about: Value = serde_json::from_str(&text).with_context(|| format!("etcdctl printed {text:?}"))?;
        // None is left out.
        let all = about.get("leases").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let number = |lease: &Value| lease.get("id").and_then(Value::as_i64);
        all.iter().map(|lease| number(lease).context("etcdctl lease list shows no id")).collect()
    }

    /// What a client has in its environment that names itself so, or not at all.
    #[must_use]
    pub fn environment_as(&self, account: Option<Account>) -> Vec<(&'static str, OsString)> {
        let mut all: Vec<(&str, OsString)> =
            vec![("ETCDCTL_API", "3".into()), ("ETCDCTL_ENDPOINTS", self.endpoints().into())];
        if let Some(tls) = &self.tls {
            let client = tls.client();
            all.push(("ETCDCTL_CACERT", tls.ca().into()));
            all.push(("ETCDCTL_CERT", client.cert.clone().into()));
            all.push(("ETCDCTL_KEY", client.key.clone().into()));
        }
        if let Some(Account { user, password }) = account {
            all.push(("ETCDCTL_USER", user.into()));
            all.push(("ETCDCTL_PASSWORD", password.into()));
        }
        // What somebody has for a cluster of theirs: an empty one counts as none.
        for name in ["ETCDCTL_CACERT", "ETCDCTL_CERT", "ETCDCTL_KEY", "ETCDCTL_USER", "ETCDCTL_PASSWORD"] {
            if std::env::var_os(name).is_some() && all.iter().all(|&(own, _)| own != name) {
                all.push((name, OsString::new()));
            }
        }
        all.push((PLACE_VARIABLE, self.dir.path().join("client").into()));
        all
    }

    /// Runs `etcdctl` with the rights of this user, and returns what it printed.
    pub fn etcdctl_as(&self, account: Option<Account>, arguments: &[&str]) -> anyhow::Result<String> {
        self.outcome_as(account, &self.well(), arguments)?.succeeded()
    }

    pub(super) fn outcome(&self, members: &[usize], arguments: &[&str]) -> anyhow::Result<Outcome> {
        self.outcome_as(self.setup.auth.map(|_| accounts::ROOT), members, arguments)
    }

    fn outcome_as(&self, account: Option<Account>, members: &[usize], arguments: &[&str]) -> anyhow::Result<Outcome> {
        if members.is_empty() {
            bail!("no member of etcd is well");
        }
        let endpoints: Vec<&str> = members.iter().map(|&member| self.endpoint(member)).collect();
        let mut command = member::command(ETCDCTL);
        command.envs(self.environment_as(account)).env("ETCDCTL_ENDPOINTS", endpoints.join(","));
        command.args(["--command-timeout", REQUEST_LIMIT]).args(arguments);
        let _inside = self.network.as_ref().map(|network| network.admin().enter()).transpose()?;
        start(&mut command, COMMAND_LIMIT)?.outcome()
    }
}
