//! clap's error in one line, as a log wants it.
//!
//! What clap puts behind the error is taken out of it before it is written, not cut out of the text: the text shows words of
//! the command line, and those may look like anything that could be looked for. Only the last paragraph cannot be taken out;
//! nothing comes after it.

use clap::error::ContextKind::{Suggested, SuggestedArg, SuggestedSubcommand, SuggestedValue, Usage};

/// What is wrong with a command line, in one line without `error: `; of clap's hints only what it may have meant, and that
/// `with_tips`. Of no use where help or the version was asked for.
#[must_use]
pub fn refusal(mut error: clap::Error, with_tips: bool) -> String {
    error.remove(Usage);
    if !with_tips {
        for kind in [SuggestedSubcommand, SuggestedArg, SuggestedValue, Suggested] {
            error.remove(kind);
        }
    }
    let text = error.render().to_string();
    let end = text.rfind("\n\nFor more information").unwrap_or(text.len());
    let line = text[..end].split_whitespace().collect::<Vec<_>>().join(" ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

#[cfg(test)]
mod tests {
    use clap::{Arg, Command};

    use super::*;

    fn refused(words: &[&str], with_tips: bool) -> String {
        let number = |name| Arg::new(name).value_parser(clap::value_parser!(u8));
        let command = Command::new("helper").arg(number("N")).arg(number("long").long("long"));
        let words = std::iter::once("helper").chain(words.iter().copied());
        refusal(command.try_get_matches_from(words).unwrap_err(), with_tips)
    }

    #[test]
    fn a_word_that_looks_like_what_follows_cuts_nothing() {
        for end in ["\n\nUsage: b", "\n\n  tip: b", "\n\nFor more information, try '--help'.\n", "\n\n"] {
            let line = refused(&[&format!("a{end}")], false);
            assert!(line.starts_with("invalid value 'a") && line.ends_with("for '[N]': invalid digit found in string"));
            assert!(!line.contains('\n'), "{line}");
            let line = refused(&[&format!("--a{end}")], false);
            assert!(line.starts_with("unexpected argument '--a") && line.ends_with("' found"), "{line}");
        }
    }

    #[test]
    fn tips_are_kept_where_they_are_wanted() {
        assert_eq!(refused(&["--lon", "1"], false), "unexpected argument '--lon' found");
        // Which tip depends on clap's feature `suggestions`, which the tests bring in for all that is built with them.
        assert!(refused(&["--lon", "1"], true).contains("' found tip: "));
    }
}
