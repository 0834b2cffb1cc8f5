//! The connection to one member, and what came of the last question there.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error as EtcdError, ResponseHeader, TlsOptions};

use crate::settings::Credentials;
use crate::tls::Tls;
use crate::trouble::{About, Refusal};

/// How long TCP may take to connect, TLS to shake hands, and a connection that was found silent to answer a ping.
pub(crate) const CONNECTION_LIMIT: Duration = Duration::from_secs(1);
/// A connection on which something is waited for is pinged after so much silence, with a long lease; with a short one after
/// half of it. Not sooner than etcd likes (--grpc-keepalive-min-time: 5 s), unless renewals come in between.
const PING_MAX: Duration = Duration::from_secs(6);

/// How all members are reached, and what all are asked about.
pub(crate) struct Access {
    pub(crate) tls: Tls,
    pub(crate) credentials: Option<Credentials>,
    /// What the lock's keys begin with.
    pub(crate) prefix: String,
    pub(crate) lease: Duration,
    /// The etcd cluster in which we take the lock, once that is known. A member of another one is none of ours.
    pub(crate) cluster: Cell<Option<u64>>,
}

pub(crate) struct Connection {
    url: String,
    pub(crate) access: Rc<Access>,
    client: RefCell<Option<Client>>,
    is_asked: Cell<bool>,
    said: RefCell<Option<Refusal>>,
    /// It has refused our certificate, and nothing was answered since. With TLS 1.3 it says so after the handshake, and
    /// more often than not the connection is gone before that is read: what is said then is no news.
    alert: RefCell<Option<Refusal>>,
    /// As a member of our cluster.
    has_answered: Cell<bool>,
}

impl Connection {
    pub(crate) fn new(url: String, access: Rc<Access>) -> Self {
        let (client, is_asked, said, alert, has_answered) = Default::default();
        Self { url, access, client, is_asked, said, alert, has_answered }
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

    pub(crate) fn is_asked(&self) -> bool {
        self.is_asked.get()
    }

    pub(crate) fn refused(&self, refusal: Refusal) {
        if refusal.is_alert() {
            self.alert.replace(Some(refusal.clone()));
        }
        let alert = self.alert.borrow().clone().filter(|_| refusal.has_hung_up());
        self.said.replace(Some(alert.unwrap_or(refusal)));
    }

    pub(crate) fn answered(&self) {
        self.alert.replace(None);
        self.has_answered.set(true);
    }

    pub(crate) fn has_answered(&self) -> bool {
        self.has_answered.get()
    }

    pub(crate) fn said(&self) -> Option<Refusal> {
        self.said.borrow().clone()
    }

    /// What comes next goes over a new connection.
    pub(crate) fn disconnect(&self) {
        self.client.replace(None);
    }

    pub(crate) async fn client(&self) -> Result<Client, Refusal> {
        if let Some(client) = self.client.borrow().as_ref() {
            return Ok(client.clone());
        }
        let mut tls = if self.is_https() { Some(self.access.tls.options().await?) } else { None };
        let connected = match self.connect(tls.clone(), true).await {
            // As etcd's own clients: without a token then. It may have been switched off while we hold the lock.
            Err(EtcdError::GRpcStatus(status)) if status.message().ends_with("authentication is not enabled") => {
                self.connect(tls.clone(), false).await
            }
            // Before anything is sent: a certificate that was renewed may be there before its key.
            Err(EtcdError::TransportError(error)) => match self.access.tls.last() {
                Some(last) => {
                    tls = Some(last);
                    self.connect(tls.clone(), true).await
                }
                None => Err(EtcdError::TransportError(error)),
            },
            answer => answer,
        };
        let client = self.checked(connected)?;
        if let Some(tls) = tls {
            self.access.tls.worked(tls);
        }
        self.client.replace(Some(client.clone()));
        Ok(client)
    }

    /// With a user it is asked for a token; else nothing is sent yet.
    async fn connect(&self, tls: Option<TlsOptions>, as_user: bool) -> Result<Client, EtcdError> {
        let Access { credentials, lease, .. } = self.access.as_ref();
        let mut options = ConnectOptions::new()
            .with_connect_timeout(CONNECTION_LIMIT)
            .with_keep_alive((*lease / 2).min(PING_MAX), CONNECTION_LIMIT)
            .with_keep_alive_while_idle(false)
            // A member that knows of no leader says so at once.
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        if let (Some(Credentials { user, password }), true) = (credentials, as_user) {
            options = options.with_user(user, password);
        }
        if let Some(tls) = tls {
            options = options.with_tls(tls);
        }
        Client::connect([self.url.as_str()], Some(options)).await
    }

    fn is_https(&self) -> bool {
        self.url.starts_with("https:")
    }

    /// The answer, or why there is none. What is not in etcd's own words ends the connection, and the next one reads the
    /// certificates anew; so does what only a new token cures, on words that the client does not know: with JWTs any change
    /// of a user makes all tokens old.
    pub(crate) fn checked<T>(&self, answer: Result<T, EtcdError>) -> Result<T, Refusal> {
        answer.map_err(|error| {
            let is_kept = matches!(&error, EtcdError::GRpcStatus(status)
                if status.source().is_none() && !status.message().ends_with("revision of auth store is old"));
            if !is_kept {
                self.disconnect();
            }
            let Access { tls, credentials, prefix, .. } = self.access.as_ref();
            let user = credentials.as_ref().map(|credentials| credentials.user.as_str());
            let (is_https, has_answered) = (self.is_https(), self.has_answered.get());
            Refusal::new(&error, &About { user, prefix, tls, is_https, has_answered })
        })
    }

    /// Whether an answer is our cluster's.
    pub(crate) fn of_our_cluster(&self, header: Option<&ResponseHeader>) -> Result<(), Refusal> {
        let found = header.ok_or_else(|| Refusal::passing("it sent an answer without a header"))?.cluster_id();
        match self.access.cluster.get() {
            Some(ours) if ours != found => Err(Refusal::foreign(found, ours)),
            _ => {
                self.answered();
                Ok(())
            }
        }
    }
}
