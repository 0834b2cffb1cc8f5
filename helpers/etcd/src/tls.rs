//! Certificates: from files to what the client takes.
//!
//! The files are read at each connection, so that a holder uses those that were renewed meanwhile. What is wrong with them is
//! the same for every member, and is said here: the client's own words for it do not name the file, and an authority's file
//! without a certificate it takes in silence.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcd_client::{Certificate, Identity, TlsOptions};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::connection::CONNECTION_LIMIT;
use crate::file;
use crate::trouble::Refusal;

/// How long reading them may take. Less than a call of the core with the shortest lease.
const FILES_LIMIT: Duration = Duration::from_millis(300);

/// For members with https:// alone.
pub(crate) struct Tls {
    files: Files,
    last: RefCell<Option<TlsOptions>>,
}

/// Where the certificates are.
#[derive(Clone, Default)]
pub(crate) struct Files {
    /// `None`: this machine's authorities.
    pub(crate) cacert: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    /// `None`: in the same file.
    pub(crate) key: Option<PathBuf>,
    pub(crate) server_name: Option<String>,
}

impl Tls {
    pub(crate) fn new(files: Files) -> Self {
        Self { files, last: RefCell::new(None) }
    }

    /// What the client takes. While the files cannot be read, what worked last: who holds the lock may need a new connection
    /// just when certificates are written anew.
    pub(crate) async fn options(&self) -> Result<TlsOptions, Refusal> {
        let files = self.files.clone();
        // A file system may hang, and then the members that are connected are to be asked all the same.
        let found = match timeout(FILES_LIMIT, spawn_blocking(move || files.options())).await {
            Ok(read) => read.unwrap_or_else(|error| Err(bad(error.to_string()))),
            Err(_) => Err(Refusal::passing("the files of its certificates cannot be read: no answer")),
        };
        match (found, self.last()) {
            (Err(refusal), Some(last)) => {
                tracing::info!("going on with the certificates of before: {refusal}");
                Ok(last)
            }
            (found, _) => found,
        }
    }

    /// What worked last.
    pub(crate) fn last(&self) -> Option<TlsOptions> {
        self.last.borrow().clone()
    }

    /// The client takes these.
    pub(crate) fn worked(&self, options: TlsOptions) {
        self.last.replace(Some(options));
    }

    /// Whose signature a member's certificate needs, in words.
    pub(crate) fn authority(&self) -> String {
        match &self.files.cacert {
            Some(path) => format!("the authority in {}", path.display()),
            None => "any authority of this machine (no --cacert)".to_owned(),
        }
    }

    /// Our certificate, in words.
    pub(crate) fn ours(&self) -> String {
        match &self.files.cert {
            Some(path) => format!("our certificate in {}", path.display()),
            None => "our having none (no --cert)".to_owned(),
        }
    }
}

impl Files {
    /// Whether anything is set.
    pub(crate) fn is_set(&self) -> bool {
        self.cacert.is_some() || self.cert.is_some() || self.server_name.is_some()
    }

    fn options(&self) -> Result<TlsOptions, Refusal> {
        let mut options = TlsOptions::new().timeout(CONNECTION_LIMIT);
        options = match &self.cacert {
            Some(path) => options.ca_certificate(Certificate::from_pem(certificates(path)?)),
            None => options.with_native_roots(),
        };
        if let Some(cert) = &self.cert {
            let key = self.key.as_ref().unwrap_or(cert);
            let found = read(key)?;
            if found.windows(9).any(|part| part == b"ENCRYPTED") {
                return Err(bad(format!(
                    "the key in {} is encrypted, and nobody here knows its password",
                    key.display()
                )));
            }
            PrivateKeyDer::from_pem_slice(&found)
                .map_err(|error| bad(format!("no key in {}: {error}", key.display())))?;
            options = options.identity(Identity::from_pem(certificates(cert)?, found));
        }
        Ok(match &self.server_name {
            Some(name) => options.domain_name(name),
            None => options,
        })
    }
}

fn certificates(path: &Path) -> Result<Vec<u8>, Refusal> {
    let found = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&found).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(found),
        Ok(_) => Err(bad(format!("no certificate in {}", path.display()))),
        Err(error) => Err(bad(format!("no certificate in {}: {error}", path.display()))),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Refusal> {
    file::read(path).map(|(content, _)| content).map_err(|error| bad(format!("{error:#}")))
}

fn bad(cause: String) -> Refusal {
    Refusal::for_all(
        cause,
        "it must be PEM that this user may read; see --cacert, --cert, --key, ETCDCTL_* and the file",
    )
}
