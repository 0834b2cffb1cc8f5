//! What `ceph service dump` says of a holder: read as what anybody with a key could have written there.

use serde_json::{Map, Value};

/// What `--status` shows of what stands there.
pub(crate) const SHOWN: [&str; 4] = ["host", "pid", "worker_pid", "since"];

/// The facts of this client; none where it is not there, or anything else stands there.
pub(crate) fn facts_of(dump: &[u8], client: u64) -> Map<String, Value> {
    let dump: Value = serde_json::from_slice(dump).unwrap_or_default();
    let daemons = dump.pointer("/services/ctdb/daemons").and_then(Value::as_object);
    let ours = daemons.into_iter().flatten().map(|(_, daemon)| daemon).find(|daemon| daemon["gid"] == client);
    let Some(Value::Object(metadata)) = ours.map(|daemon| &daemon["metadata"]) else { return Map::new() };
    let shown = metadata.iter().filter(|(key, value)| SHOWN.contains(&key.as_str()) && value.is_string());
    shown
        .map(|(key, value)| {
            // All values are text there; a number is one here, as in the other helpers.
            let number = value.as_str().filter(|_| key.ends_with("pid")).and_then(|text| text.parse::<u32>().ok());
            (key.clone(), number.map_or_else(|| value.clone(), Value::from))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::facts_of;

    #[test]
    fn the_client_is_found_by_its_number_and_only_known_facts_are_passed_on() {
        let dump = json!({ "services": { "ctdb": { "daemons": {
            "summary": "",
            "1": { "gid": 1, "metadata": { "host": "other" } },
            "x": { "gid": 2, "metadata": { "host": "a", "pid": "7", "since": ["x"], "arch": "x86_64" } },
        } } } });
        let dump = dump.to_string();
        assert_eq!(json!(facts_of(dump.as_bytes(), 2)), json!({ "host": "a", "pid": 7 }));
        assert!(facts_of(dump.as_bytes(), 3).is_empty());
        for hostile in [&b""[..], b"[]", b"{", br#"{"services":{"ctdb":{"daemons":[{"gid":2}]}}}"#] {
            assert!(facts_of(hostile, 2).is_empty());
        }
    }
}
