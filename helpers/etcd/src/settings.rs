//! How to reach etcd: command line over environment over file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::builder::NonEmptyStringValueParser;
use mutex_core::seconds;

use crate::layer::Layer;
use crate::tls::Files;
use crate::{config_file, endpoint};

/// Where etcdctl looks too.
const DEFAULT_ENDPOINT: &str = "127.0.0.1:2379";

/// The flags of etcdctl that help here, and the server's name. None takes a password, which would be public.
#[derive(clap::Args)]
pub(crate) struct Flags {
    /// The cluster's members, all of them [default: http://127.0.0.1:2379] [env: ETCDCTL_ENDPOINTS]
    #[arg(long, value_name = "URL,URL", value_parser = NonEmptyStringValueParser::new())]
    endpoints: Option<String>,

    /// Whose certificates the members have; left out with https://, this machine's authorities [env: ETCDCTL_CACERT]
    #[arg(long, value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    cacert: Option<String>,

    /// Our certificate, where the members ask for one [env: ETCDCTL_CERT]
    #[arg(long, value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    cert: Option<String>,

    /// Its key, where it is not in the same file [env: ETCDCTL_KEY]
    #[arg(long = "key", value_name = "FILE", value_parser = NonEmptyStringValueParser::new())]
    key_file: Option<String>,

    /// The name in the members' certificates, where it is not that of their URL
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    server_name: Option<String>,

    /// The user; the password comes from ETCDCTL_PASSWORD or the file [env: ETCDCTL_USER]
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    user: Option<String>,
}

/// What all places come to.
pub(crate) struct Settings {
    /// The members' URLs, at least one.
    pub(crate) urls: Vec<String>,
    pub(crate) tls: Files,
    pub(crate) credentials: Option<Credentials>,
    /// The file's.
    pub(crate) lease: Option<Duration>,
}

/// For `--user`; without, a certificate may be the user.
pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: String,
}

impl Settings {
    /// From all places. `config`: the file, where it is named.
    pub(crate) fn find(flags: Flags, config: Option<&Path>) -> anyhow::Result<Self> {
        let path = config.map(Path::to_path_buf).or_else(config_file::default_path);
        let file = path.map(|path| config_file::read(&path)).transpose()?.unwrap_or_default();
        Self::merge(&[Layer::from_flags(flags), Layer::from_environment()?, file])
    }

    /// The first layer that says a thing is right.
    fn merge(layers: &[Layer]) -> anyhow::Result<Self> {
        let first = |part: fn(&Layer) -> &Option<String>| layers.iter().find_map(|layer| part(layer).clone());
        let tls = Files {
            cacert: first(|layer| &layer.cacert).map(PathBuf::from),
            cert: first(|layer| &layer.cert).map(PathBuf::from),
            key: first(|layer| &layer.key).map(PathBuf::from),
            server_name: first(|layer| &layer.server_name),
        };
        ensure!(tls.key.is_none() || tls.cert.is_some(), "a key without a certificate: name that too (--cert)");
        let endpoints = first(|layer| &layer.endpoints).unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        let urls = endpoint::urls(&endpoints, tls.is_set())?;
        let lease = first(|layer| &layer.lease_seconds)
            .map(|text| seconds(&text).map_err(anyhow::Error::msg).context("lock_ttl in the file"));
        Ok(Self { urls, tls, credentials: Credentials::merge(layers)?, lease: lease.transpose()? })
    }
}

impl Credentials {
    /// The first user, with the first password that was not given for another one.
    fn merge(layers: &[Layer]) -> anyhow::Result<Option<Self>> {
        let Some(user) = layers.iter().find_map(|layer| layer.user.clone()) else {
            let password = layers.iter().any(|layer| layer.password.is_some());
            ensure!(!password, "a password without a user: name it (--user, ETCDCTL_USER, username in the file)");
            return Ok(None);
        };
        // Said without the text.
        ensure!(!user.contains(':'), "a user is a name alone: put the password into ETCDCTL_PASSWORD or the file");
        let of_user = |layer: &&Layer| layer.user.as_ref().is_none_or(|other| *other == user);
        let password = layers.iter().filter(of_user).find_map(|layer| layer.password.clone());
        let password = password.with_context(|| {
            format!("no password for the user {user}: set ETCDCTL_PASSWORD, or password in a file for --config")
        })?;
        Ok(Some(Self { user, password }))
    }
}

impl Layer {
    fn from_flags(flags: Flags) -> Self {
        let Flags { endpoints, cacert, cert, key_file: key, server_name, user } = flags;
        Self { endpoints, cacert, cert, key, server_name, user, ..Self::default() }
    }

    fn from_environment() -> anyhow::Result<Self> {
        let mut user = variable("ETCDCTL_USER")?;
        let mut password = variable("ETCDCTL_PASSWORD")?;
        if let (Some(both), None) = (&user, &password) {
            if let Some((name, secret)) = both.split_once(':') {
                ensure!(!name.is_empty() && !secret.is_empty(), "ETCDCTL_USER is neither NAME nor NAME:PASSWORD");
                (password, user) = (Some(secret.to_owned()), Some(name.to_owned()));
            }
        }
        Ok(Self {
            endpoints: variable("ETCDCTL_ENDPOINTS")?,
            cacert: variable("ETCDCTL_CACERT")?,
            cert: variable("ETCDCTL_CERT")?,
            key: variable("ETCDCTL_KEY")?,
            user,
            password,
            ..Self::default()
        })
    }
}

/// An empty one is none.
fn variable(name: &str) -> anyhow::Result<Option<String>> {
    let Some(value) = std::env::var_os(name).filter(|value| !value.is_empty()) else { return Ok(None) };
    let text = value.into_string().map_err(|_| anyhow::anyhow!("{name} is no text (UTF-8)"))?;
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(user: Option<&str>, password: Option<&str>) -> Layer {
        Layer { user: user.map(str::to_owned), password: password.map(str::to_owned), ..Layer::default() }
    }

    fn password(layers: &[Layer]) -> Option<String> {
        Credentials::merge(layers).unwrap().map(|found| found.password)
    }

    #[test]
    fn a_password_is_never_taken_for_another_user() {
        assert_eq!(password(&[layer(Some("a"), None), layer(Some("a"), Some("p"))]).as_deref(), Some("p"));
        assert_eq!(password(&[layer(Some("a"), None), layer(None, Some("p"))]).as_deref(), Some("p"));
        assert!(Credentials::merge(&[layer(Some("a"), None), layer(Some("b"), Some("p"))]).is_err());
        assert!(Credentials::merge(&[layer(None, Some("p"))]).is_err());
        assert_eq!(password(&[]), None);
    }

    #[test]
    fn the_first_place_that_says_a_thing_is_right() {
        let say = |endpoints: &str| Layer { endpoints: Some(endpoints.to_owned()), ..Layer::default() };
        assert_eq!(Settings::merge(&[Layer::default(), say("a"), say("b")]).unwrap().urls, ["http://a:2379"]);
        assert_eq!(Settings::merge(&[]).unwrap().urls, ["http://127.0.0.1:2379"]);
    }
}
