//! Certificates that the bench's cluster does not have: by an authority that comes later, or expired.

use std::fs;
use std::path::Path;

use anyhow::Context;
use mutex_tests::services::etcd::{Etcd, MEMBERS};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// An authority of the case's own.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "an authority that comes later");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// From now on trusted too by whoever reads the file of authorities.
    pub(crate) fn add_to(&self, path: &Path) -> anyhow::Result<()> {
        let text = fs::read_to_string(path)? + &self.0.pem();
        replace(path, &text)
    }

    /// Gives all members of this cluster another certificate, by this authority, which they show at the next connection.
    pub(crate) fn certify(&self, etcd: &Etcd, is_expired: bool) -> anyhow::Result<()> {
        let host = |member| {
            let host = etcd.endpoint(member).strip_prefix("https://")?.split(':').next()?;
            Some(host.to_owned())
        };
        let hosts: Option<Vec<String>> = (0..MEMBERS).map(host).collect();
        let mut params = CertificateParams::new(hosts.context("no members with TLS")?)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        if is_expired {
            params.not_after = date_time_ymd(2001, 1, 1);
        }
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.0)?;
        let place = etcd.tls()?.server();
        replace(&place.key, &key.serialize_pem())?;
        replace(&place.cert, &cert.pem())
    }
}

/// As those who renew certificates do it: never half a file.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(&new, path).with_context(|| format!("replace {}", path.display()))
}
