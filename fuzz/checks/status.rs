//! `--status` of a store that anybody could have written into: facts as a backend hands them over.

use serde_json::{Map, Value};

use super::harmless::{assert_one_line, is_harmful};
use crate::backend::{Broken, HolderReport, HolderState};
use crate::report;

/// Facts of a holder that a backend passes on; each is at most as long as a line.
const FACTS_MAX: usize = 16;

/// The bytes as a JSON object of facts, or as one fact and the name of the lock.
///
/// # Panics
/// Where the answer is more than its lines, or says something that harms who reads it.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    let facts = match serde_json::from_slice(data) {
        Ok(Value::Object(facts)) => facts.into_iter().take(FACTS_MAX).collect(),
        _ => Map::from_iter([("host".to_owned(), Value::from(text.clone()))]),
    };
    let facts: Map<String, Value> =
        facts.into_iter().filter(|(_, value)| value.is_string() || value.is_number()).collect();
    let count = facts.len();
    for state in [HolderState::Free, HolderState::Held, HolderState::Unknown] {
        let report = HolderReport { state, holder: facts.clone(), token: Some("t".to_owned()), store: facts.clone() };
        let words = report::status(&text, &report, false);
        for line in words.strip_suffix('\n').expect("it ends its line").split('\n') {
            assert_one_line(line);
        }
        assert_eq!(words.lines().count(), if count == 0 { 2 } else { 4 });
        let json = report::status(&text, &report, true);
        let json = json.strip_suffix('\n').expect("it ends its line");
        // All but the lock's name, which the admin wrote: JSON escapes what forges a line, and no reader shows it raw.
        assert!(!json.contains('\n'), "{json}");
        let read: Value = serde_json::from_str(json).expect("it is JSON");
        assert_eq!(read["object"], text.as_str());
        harmless(&read["holder"]);
        harmless(&read["store"]);
        // A fact of 255 characters, each of which may be shown as \u{10ffff} of ten, behind such a name.
        assert!(words.len() <= 11 * text.len() + 64 + 2 * count * 2 * 255 * 10, "{} bytes", words.len());
    }
    for json in [false, true] {
        let said = report::broken("o", &Broken::Done(text.clone()), json);
        assert_one_line(said.strip_suffix('\n').expect("it ends its line"));
    }
    assert_one_line(report::health(&text, &text, std::time::Duration::MAX).trim_end_matches('\n'));
}

fn harmless(facts: &Value) {
    for (key, value) in facts.as_object().into_iter().flatten() {
        assert!(!key.chars().any(is_harmful), "{key:?}");
        assert!(!value.as_str().unwrap_or_default().chars().any(is_harmful), "{value}");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_seed_and_its_neighbours() {
        super::super::seeds::replay("status", super::check);
    }
}
