//! What the program says while it works, and in the end.

use std::fmt::Arguments;
use std::io::Write as _;

/// A line of progress.
pub(super) fn say(text: Arguments<'_>) {
    // Whoever does not read it does not miss it.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// A table, which is for standard output.
pub(super) fn show(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}
