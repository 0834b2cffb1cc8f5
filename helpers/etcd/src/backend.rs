//! The storage verbs on a lease and a key of etcd.
//!
//! A request without an answer may still be applied (FACTS B5). Since the number of the lease is ours, what may have come of
//! a try is undone by revoking it; a request that is still on its way then is waited for, and what came of it revoked too.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::{Duration, Instant};

use etcd_client::KeyValue;
use mutex_core::backend::{Acquired, Backend, Failure, HolderReport, HolderState, Identity, Renewed, Trouble};
use serde_json::Map;
use tokio::time::timeout;

use crate::ask::Members;
use crate::connection::{Access, Connection};
use crate::lock_key::{self, OurKey};
use crate::member::{Member, Put, Renewal, Unanswered};
use crate::settings::Settings;
use crate::tls::Tls;
use crate::trouble::{self, Refusal};

/// How long `--health` waits for a member. Less than the core allows with the shortest lease.
const HEALTH_LIMIT: Duration = Duration::from_millis(400);

/// The cluster lock on a lease.
pub(crate) struct EtcdLock {
    name: String,
    prefix: String,
    members: Members,
    unanswered: Unanswered,
    /// What may be in etcd: from before its lease is asked for, until that is revoked.
    latest: Option<Try>,
    /// The revision that made our key, since we have the lock.
    made_at: Option<i64>,
}

struct Try {
    ours: OurKey,
    release: Release,
}

/// How far the release of a try has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Release {
    Due,
    /// Its lease is revoked, and a request that had no answer by then may have made it anew.
    Revoked,
    /// And its requests that had no answer were waited for.
    WaitedFor,
    /// There were none.
    Done,
}

impl EtcdLock {
    /// Touches nothing.
    pub(crate) fn new(name: &str, lease: Duration, settings: Settings) -> Self {
        let prefix = lock_key::prefix(name);
        let Settings { urls, tls, credentials, .. } = settings;
        let (tls, cluster) = (Tls::new(tls), Cell::default());
        let access = Rc::new(Access { tls, credentials, prefix: prefix.clone(), lease, cluster });
        let unanswered = Unanswered::default();
        let member = |url| Member::new(Connection::new(url, Rc::clone(&access)), Rc::clone(&unanswered));
        let members = Members::new(urls.into_iter().map(member).collect(), lease);
        Self { name: name.to_owned(), prefix, members, unanswered, latest: None, made_at: None }
    }

    /// Another has the lock. But when its lease is about to run out, it is dead or will have let go before: to wait for that
    /// costs a second or so, while CTDB, once refused, comes back after five. Looking alone does not show it, as etcd ends a
    /// lease up to half a second late.
    async fn contended(&self, key: &KeyValue) -> Result<Acquired, Failure> {
        let question = self.members.ask("ask for the lease of", |member| member.time_left(key.lease()));
        // A holder that lives has most of its lease left. No answer is none to wait for.
        match timeout(self.members.patience(), question).await {
            Ok(Ok(None | Some(0))) if key.lease() != 0 => {
                let remedy = "see its holder (--status)";
                Err(Failure::transient("lock", "another has it, with a lease that is running out", remedy))
            }
            _ => Ok(Acquired::Contended),
        }
    }

    /// Before the lock is taken: a member that was set up anew, with an empty cluster of its own, would give it to us beside
    /// the holder in the real one. Whoever is silent for a moment is left out.
    async fn agree_on_a_cluster(&self) -> Result<(), Failure> {
        self.members.ask_all(self.members.patience(), Member::show_cluster).await;
        self.refuse_foreigners("lock")
    }

    fn refuse_foreigners(&self, operation: &str) -> Result<(), Failure> {
        match self.members.iter().find_map(|member| member.connection.foreigner()) {
            Some((url, refusal)) => Err(refusal.of(operation, url)),
            None => Ok(()),
        }
    }
}

impl Backend for EtcdLock {
    async fn acquire(&mut self, holder: &Identity) -> Result<Acquired, Failure> {
        // A lock that is held costs etcd a read or two.
        if let Some(key) = self.members.ask("look at", Member::holder).await?.kvs().first() {
            return self.contended(key).await;
        }
        self.agree_on_a_cluster().await?;
        let ours = OurKey::new(&self.prefix);
        let ours =
            ours.map_err(|error| Failure::permanent("draw a number for", error, "see the system's getrandom"))?;
        let Try { ours, .. } = &*self.latest.insert(Try { ours, release: Release::Due });
        let granted = self.members.ask("get a lease for", |member| member.grant(ours.lease)).await?;
        let value = lock_key::value(holder);
        match self.members.ask("lock", |member| member.put(ours, value.clone())).await? {
            Put::Ours(revision) => {
                self.made_at = Some(revision);
                tracing::info!("lease {:x} of {granted:?}, key made at revision {revision}", ours.lease);
                Ok(Acquired::Held(Some(granted)))
            }
            Put::Refused => {
                self.release().await?;
                Ok(Acquired::Contended)
            }
        }
    }

    /// The key says it.
    async fn announce(&mut self, _holder: &Identity) -> Result<(), Failure> {
        Ok(())
    }

    async fn renew(&mut self) -> Result<Renewed, Failure> {
        let (Some(Try { ours, .. }), Some(made_at)) = (&self.latest, self.made_at) else {
            return Ok(Renewed::Lost("it was not ours".into()));
        };
        match self.members.ask("renew", |member| member.renew(ours, made_at)).await? {
            Renewal::Kept(lease) => Ok(Renewed::Kept(Some(lease))),
            Renewal::Lost(why) => Ok(Renewed::Lost(why)),
        }
    }

    async fn release(&mut self) -> Result<(), Failure> {
        let Some(Try { ours: OurKey { lease, .. }, release }) = &mut self.latest else { return Ok(()) };
        let (lease, unanswered) = (*lease, &self.unanswered);
        if *release == Release::Due {
            while unanswered.borrow_mut().try_join_next().is_some() {}
            // Looked at before: what is answered during the revoke may have been done after it.
            let may_follow = !unanswered.borrow().is_empty();
            self.members.ask("release", |member| member.revoke(lease)).await?;
            *release = if may_follow { Release::Revoked } else { Release::Done };
        }
        if *release == Release::Revoked {
            // Once, for as long as one call may take: what etcd does later still leaves a lease without a key, which ends by
            // itself, since a key is not put without its lease. Kept where they survive this future, which may be dropped.
            *release = Release::WaitedFor;
            while poll_fn(|context| unanswered.borrow_mut().poll_join_next(context)).await.is_some() {}
        }
        if *release == Release::WaitedFor {
            self.members.ask("release", |member| member.revoke(lease)).await?;
            unanswered.borrow_mut().abort_all();
        }
        (self.latest, self.made_at) = (None, None);
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
        let looks = self.members.ask_all(HEALTH_LIMIT, look).await;
        self.refuse_foreigners("ask the members for")?;
        let healthy = looks.iter().flatten().count();
        if healthy == 0 {
            return Err(trouble::failure("ask the members for", self.members.iter()));
        }
        let each = self.members.iter().zip(&looks).map(|(Member { connection, .. }, look)| {
            let url = connection.url();
            match (look, connection.said()) {
                (Some(look), _) => format!("{url} {look}"),
                (None, Some(refusal)) => format!("{url} {refusal}"),
                (None, None) => format!("{url} no answer in {HEALTH_LIMIT:?}"),
            }
        });
        let each: Vec<_> = each.collect();
        Ok(format!("a quorum, and {healthy} of {} members named: {}", looks.len(), each.join(", ")))
    }

    fn silence(&self) -> Trouble {
        self.members.silence()
    }
}

/// One member's health: how soon it answers for a quorum, and what it says of itself.
async fn look(member: &Member) -> Result<String, Refusal> {
    let start = Instant::now();
    member.holder().await?;
    let took = start.elapsed().as_secs_f64() * 1e3;
    let (is_leader, alarms) = member.state().await.unwrap_or_default();
    let leader = if is_leader { " (leader)" } else { "" };
    let alarms: String = alarms.iter().map(|alarm| format!(", alarm {alarm}")).collect();
    Ok(format!("{took:.1} ms{leader}{alarms}"))
}
