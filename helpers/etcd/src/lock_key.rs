//! The lock in etcd's key space, as `etcdctl lock` and Go's `concurrency.Mutex` have it (FACTS B5): the holder has the
//! first-made key under `KEY/`, named by its lease, with which it goes.
//!
//! They put a key of their own first and look then who came first. A try of ours is one transaction, which puts only where
//! there is no key under `KEY/`, so that a contender leaves nothing behind and never keeps a lock from others.

use mutex_core::backend::Identity;
use mutex_core::token;
use serde_json::{Map, Value, json};

/// A key of ours under the lock's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OurKey {
    pub(crate) key: String,
    /// The lease with which it goes, by the number that we have chosen.
    pub(crate) lease: i64,
}

impl OurKey {
    /// One that no process has had.
    pub(crate) fn new(prefix: &str) -> std::io::Result<Self> {
        let lease = new_lease()?;
        Ok(Self { lease, key: format!("{prefix}{lease:x}") })
    }
}

/// A number for a lease that no other has.
pub(crate) fn new_lease() -> std::io::Result<i64> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    // Positive and never 0, which stands for "choose one for me".
    Ok((i64::from_ne_bytes(bytes) & i64::MAX).max(1))
}

/// A lease, and the raft term in which etcd made it, or 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) number: i64,
    pub(crate) term: u64,
}

/// The key that gives us the lock.
pub(crate) struct Held {
    pub(crate) key: String,
    pub(crate) value: String,
    /// The revision that made it, which no other key has.
    pub(crate) made_at: i64,
    /// With which it goes.
    pub(crate) lease: Lease,
    /// To which it moves, until it is known that it has.
    pub(crate) next: Option<Lease>,
    /// The raft term of the last renewal.
    pub(crate) seen_term: u64,
}

/// What all keys of the lock begin with.
pub(crate) fn prefix(name: &str) -> String {
    format!("{name}/")
}

/// The key and the revision that made it in a token; `None` where that is no key of this lock.
pub(crate) fn named_by(token: &str, prefix: &str) -> Option<(Vec<u8>, i64)> {
    let [key, revision] = token::split(token)?;
    let digits = std::str::from_utf8(&revision).ok()?;
    // 0 would be a key that is not there.
    let made_at = digits.parse().ok().filter(|made_at: &i64| *made_at > 0 && made_at.to_string() == digits)?;
    Some((key, made_at)).filter(|(key, _)| key.starts_with(prefix.as_bytes()))
}

/// What stands in a key of ours; the others leave it empty.
pub(crate) fn value(holder: &Identity) -> String {
    json!({ "host": holder.host, "pid": holder.pid, "since": holder.since_rfc3339() }).to_string()
}

/// What a value says of the holder. Others may have written it.
pub(crate) fn facts(value: &[u8]) -> Map<String, Value> {
    let written: Map<String, Value> = serde_json::from_slice(value).unwrap_or_default();
    let known = |(key, value): &(String, Value)| {
        matches!((key.as_str(), value), ("host" | "since", Value::String(_)) | ("pid", Value::Number(_)))
    };
    written.into_iter().filter(known).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_ends_in_its_lease_as_etcdctl_writes_it() {
        let key = OurKey::new("a/b/").unwrap();
        assert!(key.lease > 0);
        assert_eq!(key.key, format!("a/b/{:x}", key.lease));
        assert_ne!(key, OurKey::new("a/b/").unwrap());
    }

    #[test]
    fn a_token_names_a_key_of_this_lock_alone() {
        assert_eq!(named_by("a/b/6c:17", "a/b/"), Some((b"a/b/6c".to_vec(), 17)));
        assert_eq!(named_by("a/b/%ff:17", "a/b/"), Some((b"a/b/\xff".to_vec(), 17)));
        for text in ["", "a/b/6c", "a/b/6c:", "a/b/6c:0", "a/b/6c:-1", "a/b/6c:+1", "a/b/6c:01", "a/c/6c:17", "a/b:17"]
        {
            assert_eq!(named_by(text, "a/b/"), None, "{text}");
        }
    }

    #[test]
    fn of_a_foreign_value_only_what_we_know_is_taken() {
        assert!(facts(b"").is_empty());
        assert!(facts(b"\xff").is_empty());
        assert!(facts(br#"["host"]"#).is_empty());
        let facts = facts(br#"{"host":"a","pid":"b","since":[1],"more":"c"}"#);
        assert_eq!(Value::Object(facts), json!({ "host": "a" }));
    }
}
