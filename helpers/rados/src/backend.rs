//! The storage verbs on a RADOS object.
//!
//! No call of librados is trusted to return (FACTS A8, A9). What may block runs [`aside`], and class calls are
//! asynchronous; a verb waits for either, and the core ends the wait. A connection that takes longer than one verb may
//! is waited for by the next.
//!
//! A request without an answer may still be applied (FACTS A5): it is undone by an `unlock`, which the OSD applies after
//! it.

use std::ffi::CString;
use std::time::{Duration, UNIX_EPOCH};

use mutex_core::backend::{Acquired, Backend, Failure, HolderReport, HolderState, Identity, Renewed};
use nix::errno::Errno;
use serde_json::{Map, Value};
use tokio::sync::oneshot::Receiver;

use crate::aside::aside;
use crate::class_lock::{self, Ask, Locker};
use crate::librados::{Answer, Call};
use crate::place::{Place, Session};
use crate::{service_map, trouble};

/// The lease of a try for a lock without expiry, so that an orphaned try ends by itself (DESIGN 4).
pub(crate) const TRY_LEASE: Duration = Duration::from_secs(9);
/// Room for what `get_info` answers: one holder, or somebody else's hundreds with a shared lock.
const INFO_ROOM_BYTES: usize = 64 * 1024;

/// The cluster lock on an object.
pub(crate) struct RadosLock {
    place: Place,
    object: CString,
    /// `None`: no expiry.
    lease: Option<Duration>,
    /// Whether the holder is entered into the service map.
    register: bool,
    connection: Connection,
    /// A lock request was sent, and no unlock was answered since.
    may_be_ours: bool,
    /// The newest lock request, until it is answered.
    asked: Option<Call>,
    registered: bool,
}

enum Connection {
    Closed,
    Opening(Receiver<Result<Session, Failure>>),
    Open(Session),
}

impl RadosLock {
    pub(crate) fn new(place: Place, object: CString, lease: Option<Duration>, register: bool) -> Self {
        Self {
            place,
            object,
            lease,
            register,
            connection: Connection::Closed,
            may_be_ours: false,
            asked: None,
            registered: false,
        }
    }

    async fn session(&mut self) -> Result<Session, Failure> {
        loop {
            match &mut self.connection {
                Connection::Open(session) => return Ok(*session),
                Connection::Opening(answer) => {
                    let answer = answer.await.unwrap_or_else(|_| Err(no_thread("it ended")));
                    self.connection = answer.as_ref().map_or(Connection::Closed, |session| Connection::Open(*session));
                    return answer;
                }
                Connection::Closed => {
                    let place = self.place.clone();
                    self.connection = Connection::Opening(aside(move || place.connect()).map_err(no_thread)?);
                }
            }
        }
    }

    async fn lock(&mut self, session: Session, ask: Ask, lease: Option<Duration>) -> Answer {
        self.may_be_ours = true;
        let input = class_lock::lock(ask, lease);
        // Kept where it survives this future: whoever waits may be stopped.
        let answer = self.asked.insert(session.pool.call(&self.object, class_lock::CLASS, c"lock", &input, 0)).await;
        self.asked = None;
        answer
    }

    async fn unlock(&self, session: Session) -> Result<(), Failure> {
        let call = session.pool.call(&self.object, class_lock::CLASS, c"unlock", &class_lock::unlock(), 0);
        match call.await {
            // Nothing of ours is there; or we are shut out, and only the lease or an admin ends it.
            Ok(_) | Err(Errno::ENOENT | Errno::ESHUTDOWN) => Ok(()),
            Err(error) => Err(trouble::call("release", error, &self.place)),
        }
    }

    /// Who holds the lock: one, or none.
    async fn locker(&self, session: Session) -> Result<Option<Locker>, Failure> {
        let input = class_lock::get_info();
        let call = session.pool.call(&self.object, class_lock::CLASS, c"get_info", &input, INFO_ROOM_BYTES);
        match call.await {
            Ok(output) => match class_lock::lockers(&output) {
                Some(lockers) => Ok(lockers.into_iter().next()),
                None => Err(trouble::call("ask for the holder of", Errno::EBADMSG, &self.place)),
            },
            // No such object.
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(trouble::call("ask for the holder of", error, &self.place)),
        }
    }
}

impl Backend for RadosLock {
    async fn acquire(&mut self, _holder: &Identity) -> Result<Acquired, Failure> {
        let session = self.session().await?;
        let taken = match self.lock(session, Ask::New, Some(self.lease.unwrap_or(TRY_LEASE))).await {
            // Ours for certain and with an answer: now it may be for ever.
            Ok(_) if self.lease.is_none() => self.lock(session, Ask::Renewed, None).await,
            // Ours already: librados asked twice, as it does when another OSD takes over. From when, nobody says.
            Err(Errno::EEXIST) => self.lock(session, Ask::Renewed, self.lease).await,
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
        let registered = aside(move || service_map::register(cluster, &place, &holder)).map_err(no_thread)?;
        match registered.await {
            Ok(Ok(())) => {
                self.registered = true;
                Ok(())
            }
            Ok(Err(error)) => Err(Failure::transient("register the holder of", error, "the lock is held all the same")),
            Err(_) => Err(no_thread("it ended")),
        }
    }

    /// With MUST_RENEW alone: nothing else can tell "still ours" from "lapsed, and taken again in silence" (FACTS A1).
    async fn renew(&mut self) -> Result<Renewed, Failure> {
        let session = self.session().await?;
        match self.lock(session, Ask::Renewed, self.lease).await {
            Ok(_) => Ok(Renewed::Kept(None)),
            // EBUSY: under another tag than ours.
            Err(Errno::ENOENT | Errno::EBUSY) => Ok(Renewed::Lost(
                "the store says that it is not ours any more: broken, expired, or its object removed".into(),
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
            if let Some(asked) = &mut self.asked {
                let _ = asked.await;
                self.asked = None;
                self.unlock(session).await?;
            }
            self.may_be_ours = false;
        }
        if let (true, Connection::Open(Session { cluster, .. })) = (self.registered, &self.connection) {
            let cluster = *cluster;
            self.connection = Connection::Closed;
            self.registered = false;
            // Without a good-bye ceph-mgr would show us for another minute.
            let done = aside(move || cluster.shut_down()).map_err(no_thread)?;
            let _ = done.await;
        }
        Ok(())
    }

    async fn holder(&mut self) -> Result<HolderReport, Failure> {
        let session = self.session().await?;
        let locker = self.locker(session).await?;
        let client = locker.as_ref().map(|locker| locker.client);
        let asked = aside(move || {
            let Session { cluster, pool } = session;
            (cluster.fsid(), pool.id(), client.map(|client| service_map::find(cluster, client)))
        });
        let (fsid, pool_id, found) = asked.map_err(no_thread)?.await.map_err(|_| no_thread("it ended"))?;
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
        let Some(locker) = locker else {
            return Ok(HolderReport { state: HolderState::Free, holder: Map::new(), store });
        };
        let mut holder = facts_of(&locker);
        match found {
            Some(Ok(facts)) => holder.extend(facts),
            Some(Err(error)) => tracing::info!("cannot read the service map: {error}"),
            None => {}
        }
        Ok(HolderReport { state: HolderState::Held, holder, store })
    }

    async fn health(&mut self) -> Result<String, Failure> {
        let session = self.session().await?;
        self.locker(session).await?;
        Ok(format!("connected as {}, and the OSD answered a class call", self.place.user))
    }
}

fn facts_of(locker: &Locker) -> Map<String, Value> {
    let expires = match locker.expires.and_then(|time| UNIX_EPOCH.checked_add(time)) {
        Some(time) => humantime::format_rfc3339_millis(time).to_string(),
        None => "never".to_owned(),
    };
    let mut facts = Map::new();
    facts.insert("client".into(), format!("client.{}", locker.client).into());
    facts.extend(locker.address.clone().map(|address| ("address".to_owned(), address.into())));
    facts.insert("cookie".into(), locker.cookie.clone().into());
    facts.insert("expires".into(), expires.into());
    facts
}

fn no_thread(error: impl ToString) -> Failure {
    Failure::transient("start a thread for", error, "see the limit of tasks")
}
