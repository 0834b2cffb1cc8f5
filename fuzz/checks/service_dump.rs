//! ceph-mgr's service map, into which anybody with a key can write.

use serde_json::Value;

use crate::service_dump::{SHOWN, facts_of};

/// Only facts that we know are passed on, and only those of the daemon with this number.
///
/// # Panics
/// Where more is.
pub fn check(data: &[u8]) {
    for client in [0, 2, 4123, u64::MAX] {
        let facts = facts_of(data, client);
        assert!(facts.keys().all(|key| SHOWN.contains(&key.as_str())));
        assert!(facts.values().all(|value| value.is_string() || value.is_u64()));
        if facts.is_empty() {
            continue;
        }
        let whole: Value = serde_json::from_slice(data).expect("facts come from JSON");
        let daemons = whole["services"]["ctdb"]["daemons"].as_object().expect("of daemons");
        assert!(daemons.values().any(|daemon| daemon["gid"].as_u64() == Some(client)));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_seed_and_its_neighbours() {
        super::super::seeds::replay("facts", super::check);
    }
}
