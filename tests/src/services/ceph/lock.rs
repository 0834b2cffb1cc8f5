//! Who has a lock in an object, as `rados lock info` tells.

use std::time::SystemTime;

use anyhow::{Context, bail};
use serde_json::Value;

/// The name of the cluster lock in its object: Samba's helper has made it so.
pub const NAME: &str = "ctdb_reclock_mutex";

/// The holder of an exclusive lock.
#[derive(Debug, PartialEq, Eq)]
pub struct LockInfo {
    /// The client, `client.` and its number.
    pub client: String,
    /// What tells two locks of one client from each other.
    pub cookie: String,
    /// The client's address and nonce, which is what a blocklist names.
    pub address: String,
    /// When the store frees it, by the OSD's clock; `None` for never.
    pub expires: Option<SystemTime>,
}

impl LockInfo {
    /// Reads the JSON of `rados lock info`.
    pub(super) fn parse(text: &str) -> anyhow::Result<Option<Self>> {
        let about: Value = serde_json::from_str(text).with_context(|| format!("rados lock info printed {text:?}"))?;
        let lockers = about.get("lockers").and_then(Value::as_array);
        let locker = match lockers.map(Vec::as_slice) {
            Some([]) => return Ok(None),
            Some([locker]) => locker,
            _ => bail!("rados lock info should show one locker or none, but printed {text:?}"),
        };
        let word = |key: &str| {
            let word = locker.get(key).and_then(Value::as_str).map(str::to_owned);
            word.with_context(|| format!("rados lock info shows no {key}"))
        };
        let expires = match word("expiration")?.as_str() {
            "0.000000" => None,
            time => Some(utc(time).with_context(|| format!("rados lock info shows an expiration of {time:?}"))?),
        };
        Ok(Some(Self { client: word("name")?, cookie: word("cookie")?, address: word("addr")?, expires }))
    }
}

/// `2026-11-21T15:43:54.232857+0000`; the command is run in that time zone.
fn utc(time: &str) -> anyhow::Result<SystemTime> {
    let time = time.strip_suffix("+0000").context("not in UTC")?;
    Ok(humantime::parse_rfc3339(&format!("{time}Z"))?)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LockInfo, SystemTime};

    #[test]
    fn a_holder_is_read() {
        let text = r#"{"name":"ctdb_reclock_mutex","type":"exclusive","tag":"","lockers":[{"name":"client.4111",
            "cookie":"c","description":"","expiration":"0.000000","addr":"127.0.0.1:0/517099005"}]}"#;
        let (client, cookie) = ("client.4111".to_owned(), "c".to_owned());
        let mut wanted = LockInfo { client, cookie, address: "127.0.0.1:0/517099005".to_owned(), expires: None };
        assert!(LockInfo::parse(text).is_ok_and(|info| info.as_ref() == Some(&wanted)));
        let text = text.replace("0.000000", "1970-01-01T00:00:05.500000+0000");
        wanted.expires = Some(SystemTime::UNIX_EPOCH + Duration::from_millis(5500));
        assert!(LockInfo::parse(&text).is_ok_and(|info| info == Some(wanted)));
    }

    #[test]
    fn no_locker_is_nobody_and_nonsense_an_error() {
        assert!(
            LockInfo::parse(r#"{"name":"l","type":"none","tag":"","lockers":[]}"#).is_ok_and(|info| info.is_none())
        );
        assert!(LockInfo::parse("{}").is_err());
        assert!(LockInfo::parse("").is_err());
    }
}
