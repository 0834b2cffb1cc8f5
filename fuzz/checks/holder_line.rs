//! The holder's line, which anybody who may write to the lock file can have written.

use crate::holder_line::{KEYS, LINE_MAX, parse};

/// Only the first line counts, and only facts that we know, of the kinds that we write.
///
/// # Panics
/// Where more is passed on.
pub fn check(data: &[u8]) {
    let data = &data[..data.len().min(LINE_MAX)];
    let facts = parse(data);
    assert!(facts.keys().all(|key| KEYS.contains(&key.as_str())));
    assert!(facts.values().all(|value| value.is_string() || value.is_u64()));
    let length: usize = facts.values().filter_map(|value| value.as_str()).map(str::len).sum();
    assert!(length <= data.len(), "the facts are longer than the line");
    let line = data.split(|&byte| byte == b'\n').next().unwrap_or_default();
    assert_eq!(parse(line), facts);
    if !facts.is_empty() {
        // What has been read is written and read again as the same.
        let again = serde_json::Value::Object(facts.clone()).to_string();
        assert_eq!(parse(again.as_bytes()), facts);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_seed_and_its_neighbours() {
        super::super::seeds::replay("facts", super::check);
    }
}
