//! Certificates: from files to what the client takes.
//!
//! The files are read at each connection, so that a holder uses those that were renewed meanwhile. What is wrong with them is
//! the same for every member, and is said here: the client's own words for it do not name the file, and an authority's file
//! without a certificate it takes in silence.

use std::fmt;
use std::path::{Path, PathBuf};

use etcd_client::{Certificate, Identity, TlsOptions};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::trouble::Refusal;

/// For members with https:// alone.
#[derive(Default)]
pub(crate) struct Tls {
    /// `None`: this machine's authorities.
    pub(crate) cacert: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    /// `None`: in the same file.
    pub(crate) key: Option<PathBuf>,
    pub(crate) server_name: Option<String>,
}

impl Tls {
    /// Whether anything is set.
    pub(crate) fn is_set(&self) -> bool {
        self.cacert.is_some() || self.cert.is_some() || self.server_name.is_some()
    }

    /// What the client takes.
    pub(crate) fn options(&self) -> Result<TlsOptions, Refusal> {
        let mut options = match &self.cacert {
            Some(path) => TlsOptions::new().ca_certificate(Certificate::from_pem(certificates(path)?)),
            None => TlsOptions::new().with_native_roots(),
        };
        if let Some(cert) = &self.cert {
            let key = self.key.as_ref().unwrap_or(cert);
            let found = read(key)?;
            PrivateKeyDer::from_pem_slice(&found)
                .map_err(|error| bad(format!("no key in {}: {error}", key.display())))?;
            options = options.identity(Identity::from_pem(certificates(cert)?, found));
        }
        Ok(match &self.server_name {
            Some(name) => options.domain_name(name),
            None => options,
        })
    }

    /// Whose signature a member's certificate needs, in words.
    pub(crate) fn authority(&self) -> impl fmt::Display {
        match &self.cacert {
            Some(path) => format!("the authority in {}", path.display()),
            None => "any authority of this machine (no --cacert)".to_owned(),
        }
    }

    /// Our certificate, in words.
    pub(crate) fn ours(&self) -> String {
        match &self.cert {
            Some(path) => format!("our certificate in {}", path.display()),
            None => "our having none (no --cert)".to_owned(),
        }
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
    std::fs::read(path).map_err(|error| bad(format!("cannot read {}: {error}", path.display())))
}

fn bad(cause: String) -> Refusal {
    Refusal::for_all(
        cause,
        "it must be PEM that this user may read; see --cacert, --cert, --key, ETCDCTL_* and the file",
    )
}
