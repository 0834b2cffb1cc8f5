//! The storage verbs on a lease and a key of etcd.
//!
//! A request without an answer may still be applied (FACTS B5). Since the number of the lease is ours, what may have come of
//! a try is undone by revoking it; a request that is still on its way then is waited for, and what came of it revoked too.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mutex_core::backend::{Acquired, Backend, Failure, HolderReport, HolderState, Identity, Renewed, Trouble};
use serde_json::Map;
use tokio::time::timeout;

use crate::ask::Members;
use crate::lock_key::{self, OurKey};
use crate::member::{Access, Member, Put, Renewal, Unanswered};
use crate::settings::Settings;
use crate::trouble;

/// How long `--health` waits for a member. Less than the core allows with the shortest lease.
const HEALTH_LIMIT: Duration = Duration::from_millis(400);

/// The cluster lock on a lease.
pub(crate) struct EtcdLock {
    name: String,
    prefix: String,
    members: Members,
    unanswered: Unanswered,
    /// What may be in etcd: from before its lease is asked for, until that is revoked.
    ours: Option<OurKey>,
    /// The revision that made our key, since we have the lock.
    made_at: Option<i64>,
}

impl EtcdLock {
    /// Touches nothing.
    pub(crate) fn new(name: &str, lease: Duration, settings: Settings) -> Self {
        let prefix = lock_key::prefix(name);
        let Settings { urls, tls, credentials, .. } = settings;
        let access = Rc::new(Access { tls, credentials, prefix: prefix.clone(), lease });
        let unanswered = Unanswered::default();
        let member = |url| Member::new(url, Rc::clone(&access), Rc::clone(&unanswered));
        let members = Members::new(urls.into_iter().map(member).collect(), lease);
        Self { name: name.to_owned(), prefix, members, unanswered, ours: None, made_at: None }
    }
}

impl Backend for EtcdLock {
    async fn acquire(&mut self, holder: &Identity) -> Result<Acquired, Failure> {
        // A lock that is held costs etcd a read.
        if self.members.ask("look at", Member::holder).await?.count() > 0 {
            return Ok(Acquired::Contended);
        }
        let ours = OurKey::new(&self.prefix);
        let ours =
            ours.map_err(|error| Failure::permanent("draw a number for", error, "see the system's getrandom"))?;
        let ours = &*self.ours.insert(ours);
        let granted = self.members.ask("get a lease for", |member| member.grant(ours.lease)).await?;
        let value = lock_key::value(holder);
        match self.members.ask("lock", |member| member.put(ours, value.clone())).await? {
            Put::Ours(revision) => {
                self.made_at = Some(revision);
                tracing::info!("lease {:x} of {granted:?}, key made at revision {revision}", ours.lease);
                Ok(Acquired::Held(Some(granted)))
            }
            Put::Refused => {
                self.members.ask("revoke the lease for", |member| member.revoke(ours.lease)).await?;
                self.ours = None;
                Ok(Acquired::Contended)
            }
        }
    }

    /// The key says it.
    async fn announce(&mut self, _holder: &Identity) -> Result<(), Failure> {
        Ok(())
    }

    async fn renew(&mut self) -> Result<Renewed, Failure> {
        let (Some(ours), Some(made_at)) = (&self.ours, self.made_at) else {
            return Ok(Renewed::Lost("it was not ours".into()));
        };
        match self.members.ask("renew", |member| member.renew(ours, made_at)).await? {
            Renewal::Kept(lease) => Ok(Renewed::Kept(Some(lease))),
            Renewal::Lost(why) => Ok(Renewed::Lost(why)),
        }
    }

    async fn release(&mut self) -> Result<(), Failure> {
        let Some(OurKey { lease, .. }) = self.ours else { return Ok(()) };
        self.members.ask("release", |member| member.revoke(lease)).await?;
        let unanswered = &self.unanswered;
        while unanswered.borrow_mut().try_join_next().is_some() {}
        if !unanswered.borrow().is_empty() {
            // Kept where they survive this future: whoever waits may be stopped.
            while poll_fn(|context| unanswered.borrow_mut().poll_join_next(context)).await.is_some() {}
            self.members.ask("release", |member| member.revoke(lease)).await?;
        }
        (self.ours, self.made_at) = (None, None);
        Ok(())
    }

    async fn holder(&mut self) -> Result<HolderReport, Failure> {
        let found = self.members.ask("ask for the holder of", Member::holder).await?;
        let mut store = Map::new();
        if let Some(header) = found.header() {
            store.insert("cluster_id".into(), format!("{:x}", header.cluster_id()).into());
        }
        store.insert("key".into(), self.name.clone().into());
        let Some(key) = found.kvs().first() else {
            return Ok(HolderReport { state: HolderState::Free, holder: Map::new(), store });
        };
        let mut holder = lock_key::facts(key.value());
        holder.insert("key".into(), String::from_utf8_lossy(key.key()).into());
        if key.lease() == 0 {
            // Somebody's `etcdctl put`: it stays until it is deleted.
            holder.insert("lease".into(), "none".into());
        } else {
            let left = self.members.ask("ask for the lease of", |member| member.time_left(key.lease())).await?;
            holder.insert("lease".into(), format!("{:x}", key.lease()).into());
            holder.insert("lease_left_seconds".into(), left.into());
        }
        holder.insert("create_revision".into(), key.create_revision().into());
        holder.insert("waiting".into(), (found.count() - 1).into());
        Ok(HolderReport { state: HolderState::Held, holder, store })
    }

    async fn health(&mut self) -> Result<String, Failure> {
        let looks = self.members.iter().map(look);
        let looks: Vec<Option<String>> = join_all(looks).await;
        let healthy = looks.iter().flatten().count();
        if healthy == 0 {
            return Err(trouble::failure("ask the members for", self.members.iter()));
        }
        let each = self.members.iter().zip(&looks).map(|(member, look)| match (look, member.said()) {
            (Some(look), _) => format!("{} {look}", member.url()),
            (None, Some(refusal)) => format!("{} {refusal}", member.url()),
            (None, None) => format!("{} no answer in {HEALTH_LIMIT:?}", member.url()),
        });
        let each: Vec<_> = each.collect();
        Ok(format!("a quorum, and {healthy} of {} members named: {}", looks.len(), each.join(", ")))
    }

    fn silence(&self) -> Trouble {
        self.members.silence()
    }
}

/// One member's health: it answers for a quorum. `None`: no; what it said is kept there.
async fn look(member: &Member) -> Option<String> {
    member.begin();
    let start = Instant::now();
    let look = async {
        if let Err(refusal) = member.holder().await {
            member.refused(refusal);
            return None;
        }
        let took = start.elapsed().as_secs_f64() * 1e3;
        let (is_leader, alarms) = member.state().await.unwrap_or_default();
        let leader = if is_leader { " (leader)" } else { "" };
        let alarms: String = alarms.iter().map(|alarm| format!(", alarm {alarm}")).collect();
        Some(format!("{took:.1} ms{leader}{alarms}"))
    };
    timeout(HEALTH_LIMIT, look).await.ok().flatten()
}
