//! The storage verbs on a RADOS object.
//!
//! No call of librados is trusted to return (FACTS A8, A9). What may block runs [`aside`], and class calls are
//! asynchronous; a verb waits for either, and the core ends the wait. A connection that takes longer than one verb may
//! is waited for by the next.
//!
//! A request without an answer may still be applied (FACTS A5): it is undone by an `unlock`, which the OSD applies after
//! it.

use std::ffi::CString;
use std::time::Duration;

use mutex_core::backend::{Acquired, Backend, Broken, Failure, HolderReport, HolderState, Identity, Renewed, Trouble};
use nix::errno::Errno;
use serde_json::Map;
use tokio::sync::oneshot::Receiver;

use crate::aside::aside;
use crate::class_lock::{self, Holder, Request};
use crate::holding::{CLIENT, broken, facts_of, named_by, token_of};
use crate::librados::{Answer, Call};
use crate::place::{Place, Session};
use crate::{service_map, trouble};

/// The lease of a try for a lock without expiry, so that an orphaned try ends by itself (DESIGN 4).
pub(crate) const TRY_LEASE: Duration = Duration::from_secs(9);

/// The cluster lock on an object.
pub(crate) struct RadosLock {
    place: Place,
    object: CString,
    /// `None`: no expiry.
    lease: Option<Duration>,
    /// Whether the holder is entered into the service map.
    register: bool,
    connection: Connection,
    /// Why there was no connection so far.
    connect_trouble: Option<Trouble>,
    /// A lock request was sent, and no unlock was answered since.
    may_be_ours: bool,
    /// The newest lock request, until it is answered.
    locking: Option<Call>,
    /// An unlock request, until it is answered.
    unlocking: Option<Call>,
    /// A request to break another's lock, until it is answered.
    breaking: Option<Breaking>,
    /// One was answered with an error, and may still be applied.
    may_have_broken: bool,
    registration: Registration,
}

enum Connection {
    Closed,
    Opening(Receiver<Result<Session, Failure>>),
    Open(Session),
}

/// A request to break a lock, and the address of whose it was.
struct Breaking {
    call: Call,
    address: Option<String>,
}

/// In the service map.
enum Registration {
    None,
    /// A thread is at it.
    Started(Receiver<Result<(), Errno>>),
    Done,
}

impl RadosLock {
    pub(crate) fn new(place: Place, object: CString, lease: Option<Duration>, register: bool) -> Self {
        Self {
            place,
            object,
            lease,
            register,
            connection: Connection::Closed,
            connect_trouble: None,
            may_be_ours: false,
            locking: None,
            unlocking: None,
            breaking: None,
            may_have_broken: false,
            registration: Registration::None,
        }
    }

    async fn session(&mut self) -> Result<Session, Failure> {
        loop {
            match &mut self.connection {
                Connection::Open(session) => return Ok(*session),
                Connection::Opening(answer) => {
                    let answer = answer.await.unwrap_or_else(|_| Err(no_thread(THREAD_ENDED)));
                    self.connection = answer.as_ref().map_or(Connection::Closed, |session| Connection::Open(*session));
                    self.connect_trouble = answer.as_ref().err().map(|failure| failure.trouble().clone());
                    return answer;
                }
                Connection::Closed => {
                    let place = self.place.clone();
                    self.connection = Connection::Opening(aside(move || place.connect()).map_err(no_thread)?);
                }
            }
        }
    }

    async fn lock(&mut self, session: Session, request: Request, lease: Option<Duration>) -> Answer {
        self.may_be_ours = true;
        let call = match self.locking.take() {
            // What never ends does not have to be asked for anew.
            Some(call) if request == Request::Renew && lease.is_none() => call,
            _ => session.pool.change(&self.object, class_lock::CLASS, c"lock", &class_lock::lock(request, lease)),
        };
        // Kept where it survives this future: whoever waits may be stopped.
        let answer = self.locking.insert(call).await;
        self.locking = None;
        answer
    }

    async fn unlock(&mut self, session: Session) -> Result<(), Failure> {
        let send = || session.pool.change(&self.object, class_lock::CLASS, c"unlock", &class_lock::unlock());
        let answer = self.unlocking.get_or_insert_with(send).await;
        self.unlocking = None;
        match answer {
            // Nothing of ours is there; or we are shut out, and only the lease or an admin ends it.
            Ok(_) | Err(Errno::ENOENT | Errno::ESHUTDOWN) => Ok(()),
            Err(error) => Err(trouble::call("release", error, &self.place)),
        }
    }

    async fn holders(&self, session: Session) -> Result<Vec<Holder>, Failure> {
        const OPERATION: &str = "ask for the holder of";
        match session.pool.ask(&self.object, class_lock::CLASS, c"get_info", &class_lock::get_info()).await {
            Ok(output) => {
                class_lock::holders(&output).ok_or_else(|| trouble::call(OPERATION, Errno::EBADMSG, &self.place))
            }
            // No such object.
            Err(Errno::ENOENT) => Ok(Vec::new()),
            Err(error) => Err(trouble::call(OPERATION, error, &self.place)),
        }
    }

    /// What is said of a holding that is not there.
    fn gone(&self, client: u64) -> Broken {
        if !self.may_have_broken {
            return Broken::NotHeld;
        }
        Broken::Done(format!(
            "the lock of {CLIENT}{client} is gone; a request without an answer may have taken it away, \
             or its holder has let go"
        ))
    }

    /// Waits for the thread that registers, if there is one.
    async fn registered(&mut self) -> Result<(), Errno> {
        let Registration::Started(answer) = &mut self.registration else { return Ok(()) };
        let answer = answer.await.unwrap_or(Err(Errno::EIO));
        self.registration = if answer.is_ok() { Registration::Done } else { Registration::None };
        answer
    }

    /// Ends the connection of a holder that is registered: else ceph-mgr would show it for another minute.
    async fn leave(&mut self) -> Result<(), Failure> {
        // Not while a thread uses the connection; what became of it is in the state.
        let _ = self.registered().await;
        if let (Registration::Done, Connection::Open(Session { cluster, .. })) = (&self.registration, &self.connection)
        {
            let cluster = *cluster;
            self.registration = Registration::None;
            self.connection = Connection::Closed;
            let _ = aside(move || cluster.shut_down()).map_err(no_thread)?.await;
        }
        Ok(())
    }
}

impl Backend for RadosLock {
    async fn acquire(&mut self, _holder: &Identity) -> Result<Acquired, Failure> {
        let session = self.session().await?;
        // Without expiry too: an orphaned try ends by itself, and the first renewal takes the lease away.
        let lease = Some(self.lease.unwrap_or(TRY_LEASE));
        let taken = match self.lock(session, Request::Take, lease).await {
            // Ours already: librados sends a request again when another OSD takes over. From when, nobody says.
            Err(Errno::EEXIST) => match self.lock(session, Request::Renew, lease).await {
                Err(Errno::ENOENT) => {
                    let remedy = "see who breaks locks or removes its object";
                    return Err(Failure::transient("lock", "it was taken away as soon as it was ours", remedy));
                }
                answer => answer,
            },
            answer => answer,
        };
        match taken {
            Ok(_) => Ok(Acquired::Held(None)),
            Err(Errno::EBUSY) => {
                self.may_be_ours = false;
                Ok(Acquired::Contended)
            }
            Err(error) => Err(trouble::call("lock", error, &self.place)),
        }
    }

    async fn announce(&mut self, holder: &Identity) -> Result<(), Failure> {
        let Connection::Open(Session { cluster, .. }) = self.connection else { return Ok(()) };
        if !self.register {
            return Ok(());
        }
        let (place, holder) = (self.place.clone(), holder.clone());
        let started = aside(move || service_map::register(cluster, &place, &holder)).map_err(no_thread)?;
        self.registration = Registration::Started(started);
        self.registered()
            .await
            .map_err(|error| Failure::transient("register the holder of", error, "the lock is held all the same"))
    }

    /// With MUST_RENEW alone: nothing else can tell "still ours" from "lapsed, and taken again in silence" (FACTS A1).
    async fn renew(&mut self) -> Result<Renewed, Failure> {
        let session = self.session().await?;
        match self.lock(session, Request::Renew, self.lease).await {
            Ok(_) => Ok(Renewed::Kept(None)),
            // EBUSY: under another tag than ours.
            Err(Errno::ENOENT | Errno::EBUSY) => Ok(Renewed::Lost(
                "the store says that it is not ours any more: broken, expired, or its object or pool removed".into(),
            )),
            Err(Errno::ESHUTDOWN) => Ok(Renewed::Lost(trouble::BLOCKLISTED.into())),
            Err(error) => Err(trouble::call("renew", error, &self.place)),
        }
    }

    async fn release(&mut self) -> Result<(), Failure> {
        if let (true, Connection::Open(session)) = (self.may_be_ours, &self.connection) {
            let session = *session;
            self.unlock(session).await?;
            // The order is not relied on.
            if let Some(locking) = &mut self.locking {
                let _ = locking.await;
                self.locking = None;
                self.unlock(session).await?;
            }
            self.may_be_ours = false;
        }
        self.leave().await
    }

    async fn holder(&mut self) -> Result<HolderReport, Failure> {
        let session = self.session().await?;
        let holders = self.holders(session).await?;
        let client = holders.first().map(|holder| holder.client);
        let asked = aside(move || {
            let Session { cluster, pool } = session;
            (cluster.fsid(), pool.id(), client.map(|client| service_map::find(cluster, client)))
        });
        let (fsid, pool_id, found) = asked.map_err(no_thread)?.await.map_err(|_| no_thread(THREAD_ENDED))?;
        let mut store = Map::new();
        if let Ok(fsid) = fsid {
            store.insert("fsid".into(), fsid.into());
        }
        store.insert("pool".into(), self.place.pool.clone().into());
        store.insert("pool_id".into(), pool_id.into());
        if let Some(namespace) = &self.place.namespace {
            store.insert("namespace".into(), namespace.clone().into());
        }
        store.insert("object".into(), self.place.object.clone().into());
        let Some(holder) = holders.first() else {
            return Ok(HolderReport { state: HolderState::Free, holder: Map::new(), token: None, store });
        };
        let token = token_of(holder);
        let mut holder = facts_of(holder);
        if holders.len() > 1 {
            holder.insert("shared_by".into(), holders.len().into());
        }
        match found {
            Some(Ok(facts)) => holder.extend(facts),
            Some(Err(error)) => tracing::info!("cannot read the service map: {error}"),
            None => {}
        }
        Ok(HolderReport { state: HolderState::Held, holder, token, store })
    }

    /// That of one client, and of none that comes after it: its number is given once, and a client of ours ends with its
    /// lock. The request is sent once and waited for: a second one could not tell whether the first had done it.
    async fn break_lock(&mut self, token: &str) -> Result<Broken, Failure> {
        const OPERATION: &str = "break the lock on";
        let Some((client, cookie)) = named_by(token) else {
            let remedy = "take that of --status --json; where a cookie is too long for one, see `rados lock break`";
            return Err(Failure::permanent(OPERATION, "this is no token of a RADOS lock", remedy));
        };
        let session = self.session().await?;
        let breaking = match &mut self.breaking {
            Some(breaking) => breaking,
            None => {
                let holders = self.holders(session).await?;
                let Some(holder) =
                    holders.into_iter().find(|holder| holder.client == client && holder.cookie == cookie)
                else {
                    return Ok(self.gone(client));
                };
                let input = class_lock::break_lock(client, &cookie);
                let call = session.pool.change(&self.object, class_lock::CLASS, c"break_lock", &input);
                self.breaking.insert(Breaking { call, address: holder.address })
            }
        };
        let (answer, address) = ((&mut breaking.call).await, breaking.address.take());
        self.breaking = None;
        match answer {
            Ok(_) => Ok(Broken::Done(broken(client, address))),
            Err(Errno::ENOENT) => Ok(self.gone(client)),
            Err(error) => {
                // librados' own time limit, where one is configured, is such an error.
                self.may_have_broken = true;
                Err(trouble::call(OPERATION, error, &self.place))
            }
        }
    }

    async fn health(&mut self) -> Result<String, Failure> {
        let session = self.session().await?;
        self.holders(session).await?;
        Ok(format!("connected as {}, and the OSD answered a class call", self.place.user))
    }

    fn silence(&self) -> Trouble {
        match (&self.connection, &self.connect_trouble) {
            (Connection::Open(_), _) => trouble::no_answer(),
            (_, Some(trouble)) => trouble.clone(),
            (_, None) => trouble::no_connection(),
        }
    }
}

const THREAD_ENDED: &str = "it ended without an answer";

fn no_thread(error: impl ToString) -> Failure {
    Failure::transient("use a thread for", error, "see the limit of tasks")
}
