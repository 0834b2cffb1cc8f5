//! The storage verbs on a lease and a key of etcd.
//!
//! A request without an answer may still be applied (FACTS B5). Since the number of the lease is ours, what may have come of
//! a try is undone by revoking it; a request that is still on its way then is waited for, and what came of it revoked too.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::{Duration, Instant};

use etcd_client::{KeyValue, ResponseHeader};
use mutex_core::backend::{Acquired, Backend, Broken, Failure, HolderReport, HolderState, Identity, Renewed, Trouble};
use mutex_core::token;
use serde_json::Map;
use tokio::time::timeout;

use crate::ask::Members;
use crate::connection::{Access, Connection};
use crate::lock_key::{self, Held, Lease, OurKey};
use crate::member::{Kept, Member, Put, Renewal, Unanswered};
use crate::one_cluster;
use crate::settings::Settings;
use crate::tls::Tls;
use crate::trouble::{self, Refusal};

/// How long `--health` waits for a member. Less than the core allows with the shortest lease.
const HEALTH_LIMIT: Duration = Duration::from_millis(400);

/// How many members' patience a renewal may take. The core gives it at least five.
const MOST_OF_A_CALL: u32 = 4;

/// The cluster lock on a lease.
pub(crate) struct EtcdLock {
    name: String,
    prefix: String,
    members: Members,
    unanswered: Unanswered,
    /// What may be in etcd: from before a lease is asked for, until it is revoked.
    leases: Vec<i64>,
    release: Release,
    held: Option<Held>,
    /// How many requests to break a lock were sent and not answered.
    breaks: Cell<usize>,
}

/// How far the release has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Release {
    Due,
    /// The leases are revoked, and a request that had no answer by then may have made one anew.
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
        Self {
            name: name.to_owned(),
            prefix,
            members,
            unanswered,
            leases: Vec::new(),
            release: Release::Due,
            held: None,
            breaks: Cell::new(0),
        }
    }

    /// Another has the lock. But when its lease is about to run out, it is dead or will have let go before: to wait for that
    /// costs a second or so, while CTDB, once refused, comes back after five. Looking alone does not show it, as etcd ends a
    /// lease up to half a second late.
    async fn contended(&self, key: &KeyValue) -> Result<Acquired, Failure> {
        let question = self.members.ask("ask for the lease of", |member| member.time_left(key.lease()));
        // A holder that lives has most of its lease left, by far more than a second where it is not the shortest that any etcd
        // grants. No answer is none to wait for.
        match timeout(self.members.patience(), question).await {
            Ok(Ok(None | Some((0, 2..)))) if key.lease() != 0 => {
                let remedy = "see its holder (--status)";
                Err(Failure::transient("lock", "another has it, with a lease that is running out", remedy))
            }
            _ => Ok(Acquired::Contended),
        }
    }

    async fn revoke(&self) -> Result<(), Failure> {
        // The key goes with the newest, unless it is just moving there.
        for lease in self.leases.iter().rev() {
            self.members.ask("release", |member| member.revoke(*lease)).await?;
        }
        Ok(())
    }

    /// Moves the key to a lease that was made in this term of etcd's leader, where its own is older. An etcd before 3.4.31
    /// and 3.5.13 whose leader was frozen for longer than the lease revokes it when it goes on, though its successor has kept
    /// it (etcd issue 15247): it knows of no lease that is newer than itself. How long the new one lasts.
    async fn follow_the_leader(&mut self, term: u64) -> Result<Duration, Failure> {
        while self.unanswered.borrow_mut().try_join_next().is_some() {}
        let Some(held) = self.held.as_mut().filter(|held| held.lease.term != term) else { return Ok(Duration::MAX) };
        let mut length = Duration::MAX;
        let next = match held.next {
            Some(next) => next,
            None => {
                // One that was asked for before, and was not answered, is asked for again.
                let number = match self.leases.last() {
                    Some(&latest) if latest != held.lease.number => latest,
                    _ => lock_key::new_lease().map_err(no_number)?,
                };
                self.leases = vec![held.lease.number, number];
                let granted = self.members.ask("get a new lease for", |member| member.grant(number)).await?;
                let next = *held.next.insert(Lease { number, term: granted.term });
                // Granted by an earlier request, who knows when: the next renewal is to keep it alive first.
                if granted.term == 0 {
                    return Ok(Duration::MAX);
                }
                length = granted.length;
                next
            }
        };
        let ours = &*held;
        if self.members.ask("move", |member| member.move_to(ours, next)).await? {
            (held.lease, held.next) = (next, None);
            tracing::info!("moved to the lease {:x}, made in the term {} of the leader", next.number, next.term);
        }
        Ok(length)
    }
}

impl Backend for EtcdLock {
    async fn acquire(&mut self, holder: &Identity) -> Result<Acquired, Failure> {
        // A lock that is held costs etcd a read or two.
        if let Some(key) = self.members.ask("look at", Member::holder).await?.kvs().first() {
            return self.contended(key).await;
        }
        one_cluster::agree(&self.members, "lock").await?;
        let ours = OurKey::new(&self.prefix).map_err(no_number)?;
        (self.leases, self.release) = (vec![ours.lease], Release::Due);
        let granted = self.members.ask("get a lease for", |member| member.grant(ours.lease)).await?;
        let value = lock_key::value(holder);
        match self.members.ask("lock", |member| member.put(&ours, value.clone())).await? {
            Put::Ours(made_at) => {
                let OurKey { key, lease: number } = ours;
                tracing::info!("{key} of {:?}, made at revision {made_at}", granted.length);
                let lease = Lease { number, term: granted.term };
                self.held = Some(Held { key, value, made_at, lease, next: None, seen_term: granted.term });
                Ok(Acquired::Held(Some(granted.length)))
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
        let begun = Instant::now();
        let Some(held) = &self.held else { return Ok(Renewed::Lost("it was not ours".into())) };
        let Kept { left, term, lease, next_is_gone } =
            match self.members.ask("renew", |member| member.renew(held)).await? {
                Renewal::Kept(kept) => kept,
                Renewal::Lost(why) => return Ok(Renewed::Lost(why)),
            };
        let Some(held) = &mut self.held else { return Ok(Renewed::Kept(Some(left))) };
        match held.next {
            Some(next) if next.number == lease => (held.lease, held.next) = (next, None),
            _ if next_is_gone => held.next = None,
            _ => {}
        }
        // What is answered already must not be spoilt by what is not: well before the core gives this call up, and not with
        // the first answer of a new leader, which may come late.
        let is_new = std::mem::replace(&mut held.seen_term, term) != term;
        let time = (MOST_OF_A_CALL * self.members.patience()).saturating_sub(begun.elapsed());
        if is_new || time.is_zero() {
            return Ok(Renewed::Kept(Some(left)));
        }
        match timeout(time, self.follow_the_leader(term)).await {
            Ok(Ok(length)) => return Ok(Renewed::Kept(Some(left.min(length)))),
            Ok(Err(failure)) => tracing::info!("{}", failure.trouble().line(&self.name)),
            Err(_) => tracing::info!("cannot move {}: no answer so far", self.name),
        }
        Ok(Renewed::Kept(Some(left)))
    }

    async fn release(&mut self) -> Result<(), Failure> {
        if self.leases.is_empty() {
            return Ok(());
        }
        if self.release == Release::Due {
            while self.unanswered.borrow_mut().try_join_next().is_some() {}
            // Looked at before: what is answered during the revoke may have been done after it.
            let may_follow = !self.unanswered.borrow().is_empty();
            self.revoke().await?;
            self.release = if may_follow { Release::Revoked } else { Release::Done };
        }
        if self.release == Release::Revoked {
            // Once, for as long as one call may take: what etcd does later still is gone after one lease. The requests are kept
            // where they survive this future, which may be dropped.
            self.release = Release::WaitedFor;
            let unanswered = &self.unanswered;
            while poll_fn(|context| unanswered.borrow_mut().poll_join_next(context)).await.is_some() {}
        }
        if self.release == Release::WaitedFor {
            self.revoke().await?;
            self.unanswered.borrow_mut().abort_all();
        }
        self.leases.clear();
        self.held = None;
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
            return Ok(HolderReport { state: HolderState::Free, holder: Map::new(), token: None, store });
        };
        let mut holder = lock_key::facts(key.value());
        holder.insert("key".into(), String::from_utf8_lossy(key.key()).into());
        if key.lease() == 0 {
            // Somebody's `etcdctl put`: it stays until it is deleted.
            holder.insert("lease".into(), "none".into());
        } else {
            let left = self.members.ask("ask for the lease of", |member| member.time_left(key.lease())).await?;
            let left = left.map(|(left, _)| left);
            holder.insert("lease".into(), format!("{:x}", key.lease()).into());
            holder.insert("lease_left_seconds".into(), left.into());
        }
        holder.insert("create_revision".into(), key.create_revision().into());
        holder.insert("waiting".into(), (found.count() - 1).into());
        let token = token::join(&[key.key(), key.create_revision().to_string().as_bytes()]);
        Ok(HolderReport { state: HolderState::Held, holder, token, store })
    }

    /// That of one key by the revision that made it. Several members may be asked, or one again after it was silent: then
    /// that the key is gone does not tell by whom.
    async fn break_lock(&mut self, token: &str) -> Result<Broken, Failure> {
        const OPERATION: &str = "break the lock on";
        let Some((key, made_at)) = lock_key::named_by(token, &self.prefix) else {
            let cause = format!("this is no token of a lock under {}", self.prefix);
            let remedy = "take that of --status --json; where a key is too long for one, see `etcdctl del`";
            return Err(Failure::permanent(OPERATION, cause, remedy));
        };
        // As for a try: of another cluster's key nothing may be said, and none may be deleted there.
        one_cluster::agree(&self.members, OPERATION).await?;
        let (key, unanswered) = (key.as_slice(), &self.breaks);
        // For a holding that was over before, no request is sent that could count as one without an answer.
        let is_there = self.members.ask("look at", |member| member.has(key, made_at)).await?;
        let deleted = is_there && self.members.ask(OPERATION, |member| member.delete(key, made_at, unanswered)).await?;
        let name = String::from_utf8_lossy(key);
        Ok(match (deleted, self.breaks.get()) {
            (true, _) => Broken::Done(format!("its key {name} was deleted")),
            (false, 0) => Broken::NotHeld,
            (false, _) => Broken::Done(format!(
                "its key {name} is gone; a request without an answer may have deleted it, or its holder has let go"
            )),
        })
    }

    async fn health(&mut self) -> Result<String, Failure> {
        let looks = self.members.ask_all(HEALTH_LIMIT, look).await;
        let healthy: Vec<_> = looks.iter().flatten().collect();
        if healthy.windows(2).any(|pair| matches!(pair, [one, other] if one.cluster != other.cluster)) {
            for (member, look) in self.members.iter().zip(&looks) {
                if let Some(Look { cluster, .. }) = look {
                    member.connection.refused(Refusal::of_cluster(*cluster));
                }
            }
            return Err(trouble::different_clusters("ask the members for", self.members.iter()));
        }
        if healthy.is_empty() {
            return Err(trouble::failure("ask the members for", self.members.iter()));
        }
        let each = self.members.iter().zip(&looks).map(|(Member { connection, .. }, look)| {
            let url = connection.url();
            match (look, connection.said()) {
                (Some(look), _) => format!("{url} {}", look.words),
                (None, Some(refusal)) => format!("{url} {refusal}"),
                (None, None) => format!("{url} no answer in {HEALTH_LIMIT:?}"),
            }
        });
        let each: Vec<_> = each.collect();
        Ok(format!("a quorum, and {} of {} members named: {}", healthy.len(), looks.len(), each.join(", ")))
    }

    fn silence(&self) -> Trouble {
        self.members.silence()
    }
}

/// One member's health.
struct Look {
    cluster: u64,
    words: String,
}

/// How soon a member answers for a quorum, and what it says of itself.
async fn look(member: &Member) -> Result<Look, Refusal> {
    let start = Instant::now();
    let found = member.holder().await?;
    let took = start.elapsed().as_secs_f64() * 1e3;
    let (is_leader, alarms) = member.state().await.unwrap_or_default();
    let leader = if is_leader { " (leader)" } else { "" };
    let alarms: String = alarms.iter().map(|alarm| format!(", alarm {alarm}")).collect();
    let cluster = found.header().map_or(0, ResponseHeader::cluster_id);
    Ok(Look { cluster, words: format!("{took:.1} ms{leader}{alarms}") })
}

fn no_number(error: std::io::Error) -> Failure {
    Failure::permanent("draw a number for", error, "see the system's getrandom")
}
