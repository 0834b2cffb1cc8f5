//! What stands in the lock's keys, and tokens that name one: others may have written both.

use crate::lock_key::{facts, named_by};

/// Only facts that we know are passed on, and a token names a key of this lock alone.
///
/// # Panics
/// Where more is.
pub fn check(data: &[u8]) {
    let found = facts(data);
    assert!(found.keys().all(|key| matches!(key.as_str(), "host" | "since" | "pid")));
    assert!(found.values().all(|value| value.is_string() || value.is_number()));
    let Ok(text) = std::str::from_utf8(data) else { return };
    for prefix in ["", "a/", "ctdb/lock/"] {
        if let Some((key, made_at)) = named_by(text, prefix) {
            assert!(key.starts_with(prefix.as_bytes()) && made_at > 0);
            let token = mutex_core::token::join(&[&key, made_at.to_string().as_bytes()]);
            assert_eq!(token.as_deref(), Some(text));
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_seed_and_its_neighbours() {
        super::super::seeds::replay("facts", super::check);
    }
}
