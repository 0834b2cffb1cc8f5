//! Tokens: one spelling for any words, and no other reading.

use crate::token::{join, split};

/// The bytes as a token, and as words that make one: the first says how long the first word is.
///
/// # Panics
/// Where a token reads in two ways, or words do not come back.
pub fn check(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        read(text);
    }
    let Some((&length, words)) = data.split_first() else { return };
    let (first, second) = words.split_at(usize::from(length).min(words.len()));
    if let Some(token) = join(&[first, second]) {
        assert!(token.bytes().all(|byte| byte.is_ascii_graphic()), "{token}");
        assert_eq!(split::<2>(&token), Some([first.to_vec(), second.to_vec()]));
        assert_eq!(split::<1>(&token), None);
    }
}

fn read(text: &str) {
    if let Some([first, second]) = split::<2>(text) {
        assert_eq!(join(&[&first, &second]).as_deref(), Some(text));
        assert_eq!(split::<1>(text), None);
        assert_eq!(split::<3>(text), None);
    }
    if let Some([word]) = split::<1>(text) {
        assert_eq!(join(&[&word]).as_deref(), Some(text));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_seed_and_its_neighbours() {
        super::super::seeds::replay("token", super::check);
    }

    #[test]
    fn any_words_come_back_from_their_token_and_no_other_text_is_one() {
        use proptest::prelude::*;
        let config = ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() };
        let mut runner = proptest::test_runner::TestRunner::new(config);
        let words = prop::collection::vec(any::<u8>(), 0..64);
        let text = "[a-z:%0-9A-F]{0,24}".prop_map(String::into_bytes);
        runner.run(&prop_oneof![words, text], |data| Ok(super::check(&data))).unwrap();
    }
}
