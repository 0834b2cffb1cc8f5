//! ctdb.conf: any file names one LOCK, or says in one line why it names none.

use std::path::Path;

use mutex_core::escape;

use super::harmless::assert_one_line;
use crate::conf::{as_value, configured};

/// Any bytes are such a file.
///
/// # Panics
/// Where what is found is not a value as CTDB has it.
pub fn check(data: &[u8]) {
    match configured(data, Path::new("/etc/ctdb/ctdb.conf")) {
        Ok(found) => {
            let lock = found.lock;
            assert!(!lock.is_empty() && !lock.contains('\n'), "{lock:?}");
            assert_eq!(as_value(&lock), lock, "a value has no blanks to lose");
            assert!(lock.len() <= data.len());
            assert!(["cluster lock", "recovery lock"].iter().any(|name| found.place.starts_with(name)));
        }
        Err(error) => {
            let said = format!("{error:#}");
            assert_one_line(&escape(&said));
            assert!(said.contains("ctdb.conf"), "{said}");
            // What is shown of the file is one of its lines at most, as Debug shows it.
            assert!(said.len() <= 10 * data.len() + 256, "{} bytes", said.len());
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_seed_and_its_neighbours() {
        super::super::seeds::replay("ctdb_conf", super::check);
    }
}
