//! The connection to one member, and what came of the last question there.

use std::cell::{Cell, RefCell};
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error as EtcdError, ResponseHeader};

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
    /// The etcd cluster that answered first. A member of another one is none of ours: a host that was set up anew, with an
    /// empty cluster of its own, would give the lock to a second holder.
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

    /// It is of another cluster than ours.
    pub(crate) fn foreigner(&self) -> Option<(&str, Refusal)> {
        let refusal = self.said().filter(Refusal::is_foreign)?;
        Some((&self.url, refusal))
    }

    /// What comes next goes over a new connection.
    pub(crate) fn disconnect(&self) {
        self.client.replace(None);
    }

    pub(crate) async fn client(&self) -> Result<Client, Refusal> {
        if let Some(client) = self.client.borrow().as_ref() {
            return Ok(client.clone());
        }
        let options = self.options().await?;
        // With a user it is asked for a token; else nothing is sent yet.
        let client = self.checked(Client::connect([self.url.as_str()], Some(options)).await)?;
        self.client.replace(Some(client.clone()));
        Ok(client)
    }

    async fn options(&self) -> Result<ConnectOptions, Refusal> {
        let Access { tls, credentials, lease, .. } = self.access.as_ref();
        let mut options = ConnectOptions::new()
            .with_connect_timeout(CONNECTION_LIMIT)
            .with_keep_alive((*lease / 2).min(PING_MAX), CONNECTION_LIMIT)
            .with_keep_alive_while_idle(false)
            // A member that knows of no leader says so at once.
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        if let Some(Credentials { user, password }) = credentials {
            options = options.with_user(user, password);
        }
        if self.url.starts_with("https:") {
            options = options.with_tls(tls.options().await?);
        }
        Ok(options)
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
            let (is_https, has_answered) = (self.url.starts_with("https:"), self.has_answered.get());
            Refusal::new(&error, &About { user, prefix, tls, is_https, has_answered })
        })
    }

    /// Whether an answer is our cluster's.
    pub(crate) fn of_our_cluster(&self, header: Option<&ResponseHeader>) -> Result<(), Refusal> {
        let found = header.ok_or_else(|| Refusal::passing("it sent an answer without a header"))?.cluster_id();
        match self.access.cluster.get() {
            Some(known) if known != found => Err(Refusal::foreign(found, known)),
            _ => {
                self.access.cluster.set(Some(found));
                self.answered();
                Ok(())
            }
        }
    }
}
