//! The answer of `--status --json`, in words.

use std::time::{Duration, SystemTime};

use mutex_core::escape;
use serde_json::{Map, Value};

/// The key under which etcd's helper says what is left of the lease, and this tool for every store that tells when it ends.
const LEFT: &str = "lease_left_seconds";

/// Adds to the holder in the report what is left of the lease where the store says when it ends, by this machine's clock.
pub(crate) fn add_lease_left(report: &mut Map<String, Value>, now: SystemTime) {
    let Some(Value::Object(holder)) = report.get_mut("holder") else { return };
    let expires = holder.get("expires").and_then(Value::as_str).and_then(|time| humantime::parse_rfc3339(time).ok());
    if let (Some(expires), None) = (expires, holder.get(LEFT)) {
        let left = expires.duration_since(now).unwrap_or_default();
        holder.insert(LEFT.to_owned(), tenths(left).into());
    }
}

/// Tenths of a second: more would only look exact.
fn tenths(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}

/// Who holds the lock: the process, since when, and the lease. `None` where the store knows nothing of the holder.
pub(crate) fn in_words(holder: &Map<String, Value>, now: SystemTime) -> Option<String> {
    let text = |key: &str| holder.get(key).map(shown);
    let mut parts = Vec::new();
    match (text("pid"), text("host")) {
        (Some(pid), Some(host)) => parts.push(format!("process {pid} on {host}")),
        (None, Some(host)) => parts.push(format!("a process on {host}")),
        (Some(pid), None) => parts.push(format!("process {pid} on a host that is not told")),
        (None, None) => {}
    }
    for (key, word) in [("client", ""), ("address", "at "), ("key", "key "), ("lease", "lease ")] {
        parts.extend(text(key).map(|value| format!("{word}{value}")));
    }
    if let Some(since) = text("since") {
        let ago = humantime::parse_rfc3339(&since).ok().and_then(|since| now.duration_since(since).ok());
        // Whole seconds: the time that is told has no more.
        let ago = ago.map(|ago| format!(" ({} ago)", humantime::format_duration(Duration::from_secs(ago.as_secs()))));
        parts.push(format!("since {since}{}", ago.unwrap_or_default()));
    }
    match (holder.get(LEFT), text("expires").as_deref()) {
        (Some(left), _) => parts.push(format!("lease left {} s", shown(left))),
        (None, Some("never")) => parts.push("no lease: a dead host keeps the lock until it is broken".to_owned()),
        (None, _) => {}
    }
    if let Some(waiting) = holder.get("waiting").and_then(Value::as_i64).filter(|&waiting| waiting > 0) {
        parts.push(format!("{waiting} waiting in line"));
    }
    if let Some(others) = holder.get("shared_by") {
        parts.push(format!("shared by {} clients", shown(others)));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// The whole report: its state, who holds the lock, and which store it is in; a line each.
pub(crate) fn report_in_words(report: &Map<String, Value>, now: SystemTime) -> String {
    let none = Map::new();
    let part = |key: &str| report.get(key).and_then(Value::as_object).unwrap_or(&none);
    let state = report.get("state").and_then(Value::as_str).unwrap_or("unknown");
    let holder = match (state, in_words(part("holder"), now)) {
        ("free", _) => "nobody".to_owned(),
        ("unknown", _) => "not known: this store does not tell".to_owned(),
        (_, Some(by)) => by,
        (_, None) => "somebody of whom the store tells nothing".to_owned(),
    };
    format!("state:   {state}\nholder:  {holder}\nstore:   {}", store_in_words(part("store")))
}

/// The parts of the report that have these names, as facts of an event.
pub(crate) fn facts<'a>(report: &Map<String, Value>, names: &[&'a str]) -> Vec<(&'a str, Value)> {
    names.iter().filter_map(|&name| Some((name, report.get(name)?.clone()))).collect()
}

/// Which store it is, so that two nodes that ask different ones are seen.
fn store_in_words(store: &Map<String, Value>) -> String {
    const WORDS: [(&str, &str); 10] = [
        ("fsid", "Ceph cluster "),
        ("cluster_id", "etcd cluster "),
        ("pool", "pool "),
        ("namespace", "namespace "),
        ("object", "object "),
        ("key", "key "),
        ("file_system", ""),
        ("mount_point", "mounted at "),
        ("device", "device "),
        ("inode", "inode "),
    ];
    let known = WORDS.iter().filter_map(|(key, word)| store.get(*key).map(|value| format!("{word}{}", shown(value))));
    let others = store.iter().filter(|(key, _)| WORDS.iter().all(|(known, _)| known != key));
    known.chain(others.map(|(key, value)| format!("{} {}", escape(key), shown(value)))).collect::<Vec<_>>().join(", ")
}

/// A value that others may have written.
fn shown(value: &Value) -> String {
    escape(&value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn a_lease_is_counted_from_now_and_never_below_nothing() {
        let now = humantime::parse_rfc3339("2026-01-01T00:00:00Z").unwrap();
        let left = |expires: &str| {
            let mut report = map(json!({ "holder": { "expires": expires } }));
            add_lease_left(&mut report, now);
            report["holder"].get(LEFT).cloned()
        };
        assert_eq!(left("2026-01-01T00:00:03.250Z"), Some(json!(3.3)));
        assert_eq!(left("2025-12-31T23:59:59Z"), Some(json!(0.0)));
        assert_eq!(left("never"), None);
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let now = humantime::parse_rfc3339("2026-01-01T01:00:01Z").unwrap();
        let holder = map(json!({ "host": "a", "pid": 7, "since": "2026-01-01T00:00:00Z" }));
        assert_eq!(in_words(&holder, now).as_deref(), Some("process 7 on a, since 2026-01-01T00:00:00Z (1h 1s ago)"));
        assert_eq!(in_words(&Map::new(), now), None);
        // Another clock than ours, and what is no time at all.
        for since in ["2026-01-02T00:00:00Z", "x\u{1b}"] {
            let words = in_words(&map(json!({ "since": since })), now).unwrap();
            assert!(!words.contains("ago") && !words.contains('\u{1b}'), "{words}");
        }
    }
}
