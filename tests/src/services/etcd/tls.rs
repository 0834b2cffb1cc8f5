//! Certificates for a cluster whose clients speak https: its own authority's, and another's that it does not know.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType,
};

use super::accounts::CTDB;

/// The name in the servers' certificate, beside their addresses.
pub const SERVER_NAME: &str = "etcd.test";

/// A certificate and its key, in PEM.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The file with the certificate.
    pub cert: PathBuf,
    /// The file with the key.
    pub key: PathBuf,
}

/// All of them.
pub struct Tls {
    ca: PathBuf,
    server: Identity,
    client: Identity,
    other_ca: PathBuf,
    other_client: Identity,
}

/// An authority, while it signs.
type Authority = CertifiedIssuer<'static, KeyPair>;

impl Tls {
    /// Makes them, for servers with these addresses.
    pub(super) fn write(dir: &Path, addresses: &[Ipv4Addr]) -> anyhow::Result<Self> {
        let authority = authority("the tests' authority")?;
        let other = self::authority("another authority")?;
        let mut server = leaf("etcd")?;
        // It is a client of itself too.
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        server.subject_alt_names = vec![SanType::DnsName(SERVER_NAME.try_into()?)];
        server.subject_alt_names.extend(addresses.iter().map(|&address| SanType::IpAddress(IpAddr::V4(address))));
        Ok(Self {
            ca: write(dir, "ca.crt", &authority.pem())?,
            server: signed(dir, "server", &server, &authority)?,
            client: signed(dir, "client", &leaf(CTDB.user)?, &authority)?,
            other_ca: write(dir, "other-ca.crt", &other.pem())?,
            other_client: signed(dir, "other-client", &leaf(CTDB.user)?, &other)?,
        })
    }

    /// The certificate of the authority.
    #[must_use]
    pub fn ca(&self) -> &Path {
        &self.ca
    }

    /// The clients' certificate, in the name of the user [`CTDB`].
    #[must_use]
    pub fn client(&self) -> &Identity {
        &self.client
    }

    /// The servers'.
    #[must_use]
    pub fn server(&self) -> &Identity {
        &self.server
    }

    /// The certificate of an authority that has signed nothing of this cluster's.
    #[must_use]
    pub fn other_ca(&self) -> &Path {
        &self.other_ca
    }

    /// A client's certificate by that one, which the cluster refuses.
    #[must_use]
    pub fn other_client(&self) -> &Identity {
        &self.other_client
    }
}

fn authority(name: &str) -> anyhow::Result<Authority> {
    let mut params = named(name)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?).context("make a certificate authority")
}

fn leaf(name: &str) -> anyhow::Result<CertificateParams> {
    let mut params = named(name)?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

fn named(name: &str) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

fn signed(dir: &Path, name: &str, params: &CertificateParams, by: &Authority) -> anyhow::Result<Identity> {
    let key = KeyPair::generate()?;
    let cert = params.clone().signed_by(&key, by).with_context(|| format!("make the {name}'s certificate"))?;
    let (cert, key) = (cert.pem(), key.serialize_pem());
    Ok(Identity { cert: write(dir, &format!("{name}.crt"), &cert)?, key: write(dir, &format!("{name}.key"), &key)? })
}

fn write(dir: &Path, name: &str, text: &str) -> anyhow::Result<PathBuf> {
    let path = dir.join(name);
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}
