//! One member: its connection, and what it is asked.
//!
//! Every request may stay without an answer for ever, and is then dropped from outside. Two requests are not, since etcd may
//! act on them all the same: `grant` and `put` go on in a task of their own, so that the release can wait for their end.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use etcd_client::{
    Client, Compare, CompareOp, ConnectOptions, GetOptions, GetResponse, KeyValue, LeaseGrantOptions,
    LeaseKeepAliveStream, LeaseKeeper, PutOptions, SortOrder, SortTarget, Txn, TxnOp, TxnOpResponse,
};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::lock_key::OurKey;
use crate::settings::Credentials;
use crate::tls::Tls;
use crate::trouble::{About, Refusal};

/// How long TCP may take to connect, and a connection that was found silent to answer a ping.
const CONNECTION_LIMIT: Duration = Duration::from_secs(1);

/// How all members are reached, and what all are asked about.
pub(crate) struct Access {
    pub(crate) tls: Tls,
    pub(crate) credentials: Option<Credentials>,
    /// What the lock's keys begin with.
    pub(crate) prefix: String,
    pub(crate) lease: Duration,
}

/// Requests that go on when nobody waits for their answers any more.
pub(crate) type Unanswered = Rc<RefCell<JoinSet<()>>>;

pub(crate) struct Member {
    url: String,
    access: Rc<Access>,
    unanswered: Unanswered,
    client: RefCell<Option<Client>>,
    /// On which keepalives are sent. Taken while one is on its way, and gone with it if that is dropped: a late answer
    /// must never pass as the answer to a later keepalive.
    keepalives: RefCell<Option<(LeaseKeeper, LeaseKeepAliveStream)>>,
    said: RefCell<Option<Refusal>>,
    /// It has refused our certificate, and nothing was answered since. With TLS 1.3 it says so after the handshake, and
    /// more often than not the connection is gone before that is read: what is said then is no news.
    alert: RefCell<Option<Refusal>>,
    has_answered: Cell<bool>,
    is_asked: Cell<bool>,
}

/// What became of a try to put our key.
pub(crate) enum Put {
    /// It stands there, the only one, since this revision.
    Ours(i64),
    Refused,
}

/// What a member says of a key of ours.
pub(crate) enum Renewal {
    Kept(Duration),
    Lost(String),
}

impl Member {
    pub(crate) fn new(url: String, access: Rc<Access>, unanswered: Unanswered) -> Self {
        let (client, keepalives, said, alert, has_answered, is_asked) = Default::default();
        Self { url, access, unanswered, client, keepalives, said, alert, has_answered, is_asked }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A new question begins: nothing is asked and nothing said yet.
    pub(crate) fn begin(&self) {
        self.said.replace(None);
        self.is_asked.set(false);
    }

    /// The question is put to this member.
    pub(crate) fn ask(&self) {
        self.is_asked.set(true);
    }

    /// It has been asked and has said nothing yet.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.is_asked.get() && self.said.borrow().is_none()
    }

    /// What comes next goes over a new connection.
    pub(crate) fn disconnect(&self) {
        self.client.replace(None);
        self.keepalives.replace(None);
    }

    pub(crate) fn refused(&self, refusal: Refusal) {
        if refusal.is_alert() {
            self.alert.replace(Some(refusal.clone()));
        }
        let alert = self.alert.borrow().clone().filter(|_| refusal.is_of_connection());
        self.said.replace(Some(alert.unwrap_or(refusal)));
    }

    pub(crate) fn answered(&self) {
        self.alert.replace(None);
        self.has_answered.set(true);
    }

    pub(crate) fn said(&self) -> Option<Refusal> {
        self.said.borrow().clone()
    }

    /// The keys of the lock, the holder's alone, with the number of all; from a quorum.
    pub(crate) async fn holder(&self) -> Result<GetResponse, Refusal> {
        let mut client = self.client().await?;
        self.checked(client.get(self.access.prefix.as_str(), Some(first_key())).await)
    }

    /// Makes the lease; how long it lasts, which may be longer than asked for (FACTS B1).
    pub(crate) async fn grant(&self, lease: i64) -> Result<Duration, Refusal> {
        let mut client = self.client().await?;
        let seconds = i64::try_from(self.access.lease.as_secs()).unwrap_or(i64::MAX);
        let options = LeaseGrantOptions::new().with_id(lease);
        let granted = self.to_its_end(async move { client.lease_grant(seconds, Some(options)).await }).await?;
        // Of the answer, never of the request.
        u64::try_from(granted.ttl()).map(Duration::from_secs).map_err(|_| nonsense("a negative lease"))
    }

    /// Puts our key, if there is no key of the lock.
    pub(crate) async fn put(&self, ours: &OurKey, value: String) -> Result<Put, Refusal> {
        let mut client = self.client().await?;
        let prefix = self.access.prefix.as_str();
        let put = TxnOp::put(ours.key.as_str(), value, Some(PutOptions::new().with_lease(ours.lease)));
        let txn = Txn::new()
            .when([Compare::create_revision(prefix, CompareOp::Equal, 0).with_prefix()])
            .and_then([put])
            .or_else([TxnOp::get(prefix, Some(first_key()))]);
        let done = self.to_its_end(async move { client.txn(txn).await }).await?;
        if done.succeeded() {
            let header = done.header().ok_or_else(|| nonsense("an answer without a header"))?;
            return Ok(Put::Ours(header.revision()));
        }
        // Put already: by this request at another member.
        let found = done.op_responses().into_iter().find_map(|answer| match answer {
            TxnOpResponse::Get(found) => found.kvs().first().filter(|key| is(key, ours)).map(KeyValue::create_revision),
            _ => None,
        });
        Ok(found.map_or(Put::Refused, Put::Ours))
    }

    /// Prolongs the lease and proves that the key is still ours (FACTS B3). A leader that was frozen may answer keepalives
    /// for a lease that its successor has let expire. So an answer counts only when a quorum, asked after it, shows our key
    /// in the raft term of the answer: then there was no newer leader.
    pub(crate) async fn renew(&self, ours: &OurKey, made_at: i64) -> Result<Renewal, Refusal> {
        let mut client = self.client().await?;
        let kept = self.keepalives.take();
        let (mut keeper, mut answers) = match kept {
            Some(kept) => kept,
            None => match client.lease_keep_alive(ours.lease).await {
                Ok(opened) => opened,
                // Not found: whether the key is gone too, the quorum says.
                Err(etcd_client::Error::LeaseKeepAliveError(_)) => {
                    return self.after_no_lease(client, ours, made_at).await;
                }
                Err(error) => return Err(self.refusal(&error)),
            },
        };
        self.checked(keeper.keep_alive().await)?;
        let answer = self.checked(answers.message().await)?;
        let answer = answer.ok_or_else(|| Refusal::passing("it ended the stream of keepalives"))?;
        self.keepalives.replace(Some((keeper, answers)));
        let term = answer.header().map(etcd_client::ResponseHeader::raft_term);
        let lease = u64::try_from(answer.ttl()).unwrap_or(0);

        let found = self.checked(client.get(ours.key.as_str(), None).await)?;
        if let Some(why) = lost(&found, ours, made_at) {
            return Ok(Renewal::Lost(why));
        }
        if lease == 0 {
            return Err(Refusal::passing("it does not know the lease, but its key is there"));
        }
        if term.is_none() || term != found.header().map(etcd_client::ResponseHeader::raft_term) {
            return Err(Refusal::passing("the leader changed during a keepalive"));
        }
        Ok(Renewal::Kept(Duration::from_secs(lease)))
    }

    async fn after_no_lease(&self, mut client: Client, ours: &OurKey, made_at: i64) -> Result<Renewal, Refusal> {
        let found = self.checked(client.get(ours.key.as_str(), None).await)?;
        match lost(&found, ours, made_at) {
            Some(why) => Ok(Renewal::Lost(why)),
            // A leader that is new may not have caught up yet.
            None => Err(Refusal::passing("it does not know the lease, but its key is there")),
        }
    }

    /// Ends the lease, and with it the key. That it is not there is no error.
    pub(crate) async fn revoke(&self, lease: i64) -> Result<(), Refusal> {
        let mut client = self.client().await?;
        match client.lease_revoke(lease).await {
            Err(etcd_client::Error::GRpcStatus(status)) if status.message().ends_with("requested lease not found") => {
                Ok(())
            }
            answer => self.checked(answer).map(drop),
        }
    }

    /// What is left of a lease; `None`: nothing.
    pub(crate) async fn time_left(&self, lease: i64) -> Result<Option<i64>, Refusal> {
        let mut client = self.client().await?;
        let left = self.checked(client.lease_time_to_live(lease, None).await)?.ttl();
        Ok(Some(left).filter(|left| *left >= 0))
    }

    /// Whether it is the leader, and the alarms that it knows of.
    pub(crate) async fn state(&self) -> Result<(bool, Vec<String>), Refusal> {
        let mut client = self.client().await?;
        let state = self.checked(client.status().await)?;
        let is_leader = state.header().is_some_and(|header| header.member_id() == state.leader());
        // As in "memberID:4767084409824413170 alarm:NOSPACE ".
        let alarm = |text: &String| text.rsplit("alarm:").next().unwrap_or_default().trim().to_owned();
        Ok((is_leader, state.errors().iter().map(alarm).collect()))
    }

    async fn client(&self) -> Result<Client, Refusal> {
        if let Some(client) = self.client.borrow().as_ref() {
            return Ok(client.clone());
        }
        let options = self.options()?;
        // With a user it is asked for a token; else nothing is sent yet.
        let client = self.checked(Client::connect([self.url.as_str()], Some(options)).await)?;
        self.client.replace(Some(client.clone()));
        Ok(client)
    }

    fn options(&self) -> Result<ConnectOptions, Refusal> {
        let Access { tls, credentials, lease, .. } = self.access.as_ref();
        let mut options = ConnectOptions::new()
            .with_connect_timeout(CONNECTION_LIMIT)
            // A connection that leads nowhere any more ends. Less often than renewals: etcd breaks with those who ping more.
            .with_keep_alive(*lease / 2, CONNECTION_LIMIT)
            .with_keep_alive_while_idle(false)
            // A member that knows of no leader says so at once.
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        if let Some(Credentials { user, password }) = credentials {
            options = options.with_user(user, password);
        }
        if self.url.starts_with("https:") {
            options = options.with_tls(tls.options()?);
        }
        Ok(options)
    }

    /// A refusal forgets the connection, unless it is etcd's own: the next one reads the certificates anew.
    fn checked<T>(&self, answer: Result<T, etcd_client::Error>) -> Result<T, Refusal> {
        answer.map_err(|error| self.refusal(&error))
    }

    fn refusal(&self, error: &etcd_client::Error) -> Refusal {
        let is_etcds =
            matches!(error, etcd_client::Error::GRpcStatus(status) if std::error::Error::source(status).is_none());
        if !is_etcds {
            self.disconnect();
        }
        let Access { tls, credentials, prefix, .. } = self.access.as_ref();
        let user = credentials.as_ref().map(|credentials| credentials.user.as_str());
        let (is_https, has_answered) = (self.url.starts_with("https:"), self.has_answered.get());
        Refusal::new(error, &About { user, prefix, tls, is_https, has_answered })
    }

    /// Waits for a request that goes on when the wait is dropped.
    async fn to_its_end<T: Send + 'static>(
        &self,
        request: impl Future<Output = Result<T, etcd_client::Error>> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.unanswered.borrow_mut().spawn(async move {
            // Nobody waits any more: what came of it does not matter, only that it has.
            let _ = answer.send(request.await);
        });
        match answered.await {
            Ok(answer) => self.checked(answer),
            Err(_) => Err(nonsense("a request without an end")),
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

/// Why the lock is lost, by what a quorum says of our key; `None`: it is not.
fn lost(found: &GetResponse, ours: &OurKey, made_at: i64) -> Option<String> {
    match found.kvs().first() {
        None => Some("its key is gone from etcd: deleted, or its lease revoked or run out".into()),
        Some(key) if !is(key, ours) || key.create_revision() != made_at => {
            Some("its key in etcd is no longer ours: deleted, and written anew".into())
        }
        Some(_) => None,
    }
}

fn nonsense(what: &str) -> Refusal {
    Refusal::passing(format!("it sent {what}"))
}
