//! What must be true of everything that is said about somebody else's words, in the terms of Unicode and not of our own
//! `escape`, which would agree with itself.

#![allow(dead_code)] // Not every crate that is looked at says something in words.

/// Characters that may neither reach a terminal nor a log: they forge lines, drive terminals or reorder what is shown.
///
/// Unicode 15: categories Cc and Zl, Zp, and the property Bidi_Control (UAX #9).
pub(crate) fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}')
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Panics unless `text` is one line that no reader is harmed by.
pub(crate) fn assert_one_line(text: &str) {
    assert!(!text.chars().any(is_harmful), "{text:?} is not one harmless line");
}
