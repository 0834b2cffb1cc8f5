//! One member, and what it is asked.
//!
//! Every request may stay without an answer for ever, and is then dropped from outside. Two requests are not, since etcd may
//! act on them all the same: `grant` and `put` go on in a task of their own, so that the release can wait for their end.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use etcd_client::{
    Compare, CompareOp, Error as EtcdError, GetOptions, GetResponse, KeyValue, LeaseGrantOptions, LeaseKeepAliveStream,
    LeaseKeeper, PutOptions, ResponseHeader, SortOrder, SortTarget, Txn, TxnOp, TxnOpResponse,
};
use futures_util::future::try_join;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::connection::Connection;
use crate::lock_key::{Held, Lease, OurKey};
use crate::trouble::Refusal;

/// Requests that go on when nobody waits for their answers any more.
pub(crate) type Unanswered = Rc<RefCell<JoinSet<()>>>;

pub(crate) struct Member {
    pub(crate) connection: Connection,
    unanswered: Unanswered,
    /// On which keepalives are sent. Taken while one is on its way, and gone with it if that is dropped: a late answer
    /// must never pass as the answer to a later keepalive.
    keepalives: RefCell<Vec<(LeaseKeeper, LeaseKeepAliveStream)>>,
}

/// A lease as it was granted.
pub(crate) struct Granted {
    /// How long it lasts, which may be longer than asked for (FACTS B1).
    pub(crate) length: Duration,
    /// The raft term in which; 0 where that is not known.
    pub(crate) term: u64,
}

/// What became of a try to put our key.
pub(crate) enum Put {
    /// It stands there, the only one, since this revision.
    Ours(i64),
    Refused,
}

/// What a member says of a key of ours.
pub(crate) enum Renewal {
    Kept(Kept),
    Lost(String),
}

pub(crate) struct Kept {
    /// What its lease has left at least, from before the question on.
    pub(crate) left: Duration,
    /// The raft term in which.
    pub(crate) term: u64,
    /// With which lease the key goes.
    pub(crate) lease: i64,
    /// There is no lease to which it moves, or no longer.
    pub(crate) next_is_gone: bool,
}

/// What a member says that it is, whatever it was named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) cluster: u64,
    /// Its number within the cluster.
    pub(crate) member: u64,
}

/// The answer to a keepalive.
struct Ack {
    /// Zero: no such lease.
    left: Duration,
    term: u64,
}

impl Member {
    pub(crate) fn new(connection: Connection, unanswered: Unanswered) -> Self {
        Self { connection, unanswered, keepalives: RefCell::default() }
    }

    /// What comes next goes over a new connection.
    pub(crate) fn disconnect(&self) {
        self.connection.disconnect();
        self.keepalives.borrow_mut().clear();
    }

    /// The keys of the lock, the holder's alone, with the number of all; from a quorum.
    pub(crate) async fn holder(&self) -> Result<GetResponse, Refusal> {
        self.get(&self.connection.access.prefix, first_key()).await
    }

    /// Which member this is, and of which cluster. It is not asked for a quorum.
    pub(crate) async fn identity(&self) -> Result<Identity, Refusal> {
        let one = GetOptions::new().with_prefix().with_limit(1).with_keys_only().with_serializable();
        let mut client = self.connection.client().await?;
        let found = self.connection.checked(client.get(self.connection.access.prefix.as_str(), Some(one)).await)?;
        let header = found.header().ok_or_else(|| Refusal::passing("it sent an answer without a header"))?;
        Ok(Identity { cluster: header.cluster_id(), member: header.member_id() })
    }

    /// Makes the lease.
    pub(crate) async fn grant(&self, lease: i64) -> Result<Granted, Refusal> {
        let mut client = self.connection.client().await?;
        let seconds = i64::try_from(self.connection.access.lease.as_secs()).unwrap_or(i64::MAX);
        let options = LeaseGrantOptions::new().with_id(lease);
        let mut again = client.clone();
        let granted = self.to_its_end(async move {
            match client.lease_grant(seconds, Some(options)).await {
                // Made already: by this request at another member. Nobody else has its number.
                Err(EtcdError::GRpcStatus(status)) if status.message().ends_with("lease already exists") => {
                    let mut found = again.lease_time_to_live(lease, None).await?;
                    // In which term, this answer does not say.
                    Ok((found.take_header(), 0, found.granted_ttl()))
                }
                answer => answer.map(|mut granted| {
                    let header = granted.take_header();
                    let term = header.as_ref().map_or(0, ResponseHeader::raft_term);
                    (header, term, granted.ttl())
                }),
            }
        });
        let (header, term, seconds) = granted.await?;
        self.connection.of_our_cluster(header.as_ref())?;
        match u64::try_from(seconds) {
            // Of the answer, never of the request.
            Ok(seconds) if seconds > 0 => Ok(Granted { length: Duration::from_secs(seconds), term }),
            _ => Err(Refusal::passing("the lease is gone as soon as it was made")),
        }
    }

    /// Puts our key, if there is no key of the lock.
    pub(crate) async fn put(&self, ours: &OurKey, value: String) -> Result<Put, Refusal> {
        let mut client = self.connection.client().await?;
        let prefix = self.connection.access.prefix.as_str();
        let put = TxnOp::put(ours.key.as_str(), value, Some(PutOptions::new().with_lease(ours.lease)));
        let txn = Txn::new()
            .when([Compare::create_revision(prefix, CompareOp::Equal, 0).with_prefix()])
            .and_then([put])
            .or_else([TxnOp::get(prefix, Some(first_key()))]);
        let done = self.to_its_end(async move { client.txn(txn).await }).await?;
        self.connection.of_our_cluster(done.header())?;
        if done.succeeded() {
            return Ok(Put::Ours(done.header().map_or(0, ResponseHeader::revision)));
        }
        // Put already: by this request at another member.
        let found = done.op_responses().into_iter().find_map(|answer| match answer {
            TxnOpResponse::Get(found) => found.kvs().first().filter(|key| is(key, ours)).map(KeyValue::create_revision),
            _ => None,
        });
        Ok(found.map_or(Put::Refused, Put::Ours))
    }

    /// Lets our key go with another lease. Whether it does then, the next renewal shows.
    pub(crate) async fn move_to(&self, held: &Held, next: Lease) -> Result<bool, Refusal> {
        let mut client = self.connection.client().await?;
        let key = held.key.as_str();
        let put = TxnOp::put(key, held.value.as_str(), Some(PutOptions::new().with_lease(next.number)));
        // And from where it is: a move that had no answer must not take it back later.
        let still_there = [
            Compare::create_revision(key, CompareOp::Equal, held.made_at),
            Compare::lease(key, CompareOp::Equal, held.lease.number),
        ];
        let done = self.connection.checked(client.txn(Txn::new().when(still_there).and_then([put])).await)?;
        self.connection.of_our_cluster(done.header())?;
        Ok(done.succeeded())
    }

    /// Prolongs the lease and proves that the key is still ours (FACTS B3). A leader that was frozen may answer keepalives
    /// for a lease that its successor has let expire. So an answer counts only when a quorum, asked after it, shows our key
    /// in the raft term of the answer: then there was no newer leader.
    pub(crate) async fn renew(&self, held: &Held) -> Result<Renewal, Refusal> {
        let is_needed =
            |number: i64| number == held.lease.number || held.next.is_some_and(|next| number == next.number);
        self.keepalives.borrow_mut().retain(|(keeper, _)| is_needed(keeper.id()));
        let ours = self.keep_alive(held.lease.number);
        let (ours, next) = match held.next {
            Some(next) => try_join(ours, self.keep_alive(next.number)).await.map(|(ours, next)| (ours, Some(next)))?,
            None => (ours.await?, None),
        };

        let found = self.get(&held.key, GetOptions::new()).await?;
        let Some(key) = found.kvs().first() else {
            return Ok(Renewal::Lost("its key is gone from etcd: deleted, or its lease revoked or run out".into()));
        };
        if key.create_revision() != held.made_at || !is_needed(key.lease()) {
            return Ok(Renewal::Lost("its key in etcd is no longer ours: written anew".into()));
        }
        let has_moved = key.lease() != held.lease.number;
        // While it has not, it still may, by a request that had no answer: then the shorter of both counts.
        let next = next.filter(|next| has_moved || !next.left.is_zero());
        let acks = [Some(ours).filter(|_| !has_moved), next];
        let next_is_gone = acks.iter().flatten().count() < 2;
        let term = found.header().map_or(0, ResponseHeader::raft_term);
        if acks.iter().flatten().any(|ack| ack.term != term) {
            return Err(Refusal::passing("the leader changed during a keepalive"));
        }
        match acks.iter().flatten().map(|ack| ack.left).min() {
            Some(left) if !left.is_zero() => Ok(Renewal::Kept(Kept { left, term, lease: key.lease(), next_is_gone })),
            // A leader that is new may not have caught up yet.
            _ => Err(Refusal::passing("it does not know the lease, but its key is there")),
        }
    }

    /// One keepalive. The client hides the answer to the one that opens a stream, so that it is followed by another.
    async fn keep_alive(&self, lease: i64) -> Result<Ack, Refusal> {
        let mut client = self.connection.client().await?;
        let place = self.keepalives.borrow().iter().position(|(keeper, _)| keeper.id() == lease);
        let kept = place.map(|place| self.keepalives.borrow_mut().swap_remove(place));
        let (mut keeper, mut answers) = match kept {
            Some(kept) => kept,
            None => match client.lease_keep_alive(lease).await {
                Ok(opened) => opened,
                Err(EtcdError::LeaseKeepAliveError(_)) => return self.no_lease().await,
                Err(error) => return self.connection.checked(Err(error)),
            },
        };
        self.connection.checked(keeper.keep_alive().await)?;
        let answer = self.connection.checked(answers.message().await)?;
        let answer = answer.ok_or_else(|| Refusal::passing("it ended the stream of keepalives"))?;
        self.connection.of_our_cluster(answer.header())?;
        self.keepalives.borrow_mut().push((keeper, answers));
        let left = Duration::from_secs(u64::try_from(answer.ttl()).unwrap_or(0));
        Ok(Ack { left, term: answer.header().map_or(0, ResponseHeader::raft_term) })
    }

    /// The client says so without a header: the term is that of a question of its own, which is as good, since nothing is
    /// held by such an answer.
    async fn no_lease(&self) -> Result<Ack, Refusal> {
        let found = self.get(&self.connection.access.prefix, first_key()).await?;
        Ok(Ack { left: Duration::ZERO, term: found.header().map_or(0, ResponseHeader::raft_term) })
    }

    /// Ends the lease, and with it the key. That it is not there is no error.
    pub(crate) async fn revoke(&self, lease: i64) -> Result<(), Refusal> {
        let mut client = self.connection.client().await?;
        match client.lease_revoke(lease).await {
            Err(EtcdError::GRpcStatus(status)) if status.message().ends_with("requested lease not found") => {
                // An answer without a header: whose?
                if self.connection.has_answered() { Ok(()) } else { self.holder().await.map(drop) }
            }
            answer => self.connection.checked(answer).and_then(|done| self.connection.of_our_cluster(done.header())),
        }
    }

    /// Whether the key is there that this revision made.
    pub(crate) async fn has(&self, key: &[u8], made_at: i64) -> Result<bool, Refusal> {
        let found = self.get(key, GetOptions::new()).await?;
        Ok(found.kvs().first().is_some_and(|found| found.create_revision() == made_at))
    }

    /// Deletes a key if this revision made it; `false`: it is gone. `unanswered` counts what may have done it all the same.
    pub(crate) async fn delete(&self, key: &[u8], made_at: i64, unanswered: &Cell<usize>) -> Result<bool, Refusal> {
        let mut client = self.connection.client().await?;
        let same = [Compare::create_revision(key, CompareOp::Equal, made_at)];
        unanswered.set(unanswered.get() + 1);
        let done = client.txn(Txn::new().when(same).and_then([TxnOp::delete(key, None)])).await;
        let done = self.connection.checked(done)?;
        self.connection.of_our_cluster(done.header())?;
        unanswered.set(unanswered.get() - 1);
        Ok(done.succeeded())
    }

    /// What is left of a lease, and its whole length, in whole seconds; `None`: there is no such lease.
    pub(crate) async fn time_left(&self, lease: i64) -> Result<Option<(i64, i64)>, Refusal> {
        let mut client = self.connection.client().await?;
        let found = self.connection.checked(client.lease_time_to_live(lease, None).await)?;
        self.connection.of_our_cluster(found.header())?;
        Ok(Some((found.ttl(), found.granted_ttl())).filter(|(left, _)| *left >= 0))
    }

    /// Whether it is the leader, and the alarms that it knows of.
    pub(crate) async fn state(&self) -> Result<(bool, Vec<String>), Refusal> {
        let mut client = self.connection.client().await?;
        let state = self.connection.checked(client.status().await)?;
        let is_leader = state.header().is_some_and(|header| header.member_id() == state.leader());
        // As in "memberID:4767084409824413170 alarm:NOSPACE ".
        let alarm = |text: &String| text.rsplit("alarm:").next().unwrap_or_default().trim().to_owned();
        Ok((is_leader, state.errors().iter().map(alarm).collect()))
    }

    async fn get(&self, key: impl AsRef<[u8]>, options: GetOptions) -> Result<GetResponse, Refusal> {
        let mut client = self.connection.client().await?;
        let found = self.connection.checked(client.get(key.as_ref(), Some(options)).await)?;
        self.connection.of_our_cluster(found.header())?;
        Ok(found)
    }

    /// Waits for a request that goes on when the wait is dropped.
    async fn to_its_end<T: Send + 'static>(
        &self,
        request: impl Future<Output = Result<T, EtcdError>> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.unanswered.borrow_mut().spawn(async move {
            // Nobody waits any more: what came of it does not matter, only that it has.
            let _ = answer.send(request.await);
        });
        match answered.await {
            Ok(answer) => self.connection.checked(answer),
            Err(_) => Err(Refusal::passing("the request was given up")),
        }
    }
}

/// The holder's key, among all of the lock.
fn first_key() -> GetOptions {
    GetOptions::new().with_prefix().with_sort(SortTarget::Create, SortOrder::Ascend).with_limit(1)
}

fn is(key: &KeyValue, ours: &OurKey) -> bool {
    key.key() == ours.key.as_bytes() && key.lease() == ours.lease
}
