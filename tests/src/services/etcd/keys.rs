//! Who is in line for a lock: its keys, as `etcdctl get` tells.

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// One taker's key, `KEY/` and the number of its lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: String,
    /// The revision that made it: whose is the lowest has the lock.
    pub create_revision: i64,
    /// The lease with which it goes; 0 for none.
    pub lease: i64,
    /// What is in it; `etcdctl lock` leaves it empty.
    pub value: String,
}

/// What our helper writes into its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The name of its machine.
    pub host: String,
    /// The number of its process.
    pub pid: u32,
    /// When it took the lock.
    pub since: String,
}

impl Key {
    /// Reads the JSON of `etcdctl get`; in its order.
    pub(super) fn parse_all(text: &str) -> anyhow::Result<Vec<Self>> {
        let about: Value = serde_json::from_str(text).with_context(|| format!("etcdctl get printed {text:?}"))?;
        // None is left out.
        let keys = about.get("kvs").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let keys: anyhow::Result<_> = keys.iter().map(Self::parse).collect();
        keys.with_context(|| format!("etcdctl get printed {text:?}"))
    }

    fn parse(key: &Value) -> anyhow::Result<Self> {
        // A number of 0 and an empty text are left out.
        let number = |name: &str| key.get(name).and_then(Value::as_i64).unwrap_or_default();
        let text = |name: &str| {
            let bytes = STANDARD.decode(key.get(name).and_then(Value::as_str).unwrap_or_default())?;
            String::from_utf8(bytes).with_context(|| format!("the {name} is no text"))
        };
        Ok(Self {
            name: text("key")?,
            create_revision: number("create_revision"),
            lease: number("lease"),
            value: text("value")?,
        })
    }

    /// What our helper has written into it; `None` where the value is another's.
    #[must_use]
    pub fn about(&self) -> Option<About> {
        let value: Value = serde_json::from_str(&self.value).ok()?;
        let text = |name: &str| Some(value.get(name)?.as_str()?.to_owned());
        let pid = value.get("pid")?.as_u64()?.try_into().ok()?;
        Some(About { host: text("host")?, pid, since: text("since")? })
    }
}

#[cfg(test)]
mod tests {
    use super::{About, Key};

    #[test]
    fn keys_are_read_in_order() {
        let text = r#"{"header":{"revision":7},"kvs":[
            {"key":"Zm9vL2Jhci8x","create_revision":5,"mod_revision":5,"version":1,"lease":7587,
             "value":"eyJob3N0IjoiYSIsInBpZCI6Nywic2luY2UiOiJzIn0="},
            {"key":"Zm9vL2Jhci8y","create_revision":6,"mod_revision":6,"version":1}],"count":2}"#;
        let keys = Key::parse_all(text).unwrap_or_default();
        assert_eq!(keys.len(), 2);
        let about = About { host: "a".to_owned(), pid: 7, since: "s".to_owned() };
        assert_eq!((keys[0].name.as_str(), keys[0].create_revision, keys[0].lease), ("foo/bar/1", 5, 7587));
        assert_eq!(keys[0].about(), Some(about));
        let second = Key { name: "foo/bar/2".to_owned(), create_revision: 6, lease: 0, value: String::new() };
        assert_eq!(keys[1], second);
        assert_eq!(keys[1].about(), None);
    }

    #[test]
    fn no_key_is_nobody_and_nonsense_an_error() {
        assert!(Key::parse_all(r#"{"header":{"revision":1}}"#).is_ok_and(|keys| keys.is_empty()));
        assert!(Key::parse_all("").is_err());
        assert!(Key::parse_all(r#"{"kvs":[{"key":"!"}]}"#).is_err());
    }
}
