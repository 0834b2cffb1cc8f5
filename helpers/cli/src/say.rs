//! What the tool says: words on a terminal, stable lines in a pipe, JSON where asked.
//!
//! A stable line is `EVENT name=value name=value`; with `--json` the same is an object with the key `event`. Words may
//! change with every version, the others do not.

use std::io::{self, IsTerminal, Write};

use mutex_core::escape;
use serde_json::{Map, Value};

/// Where a command's events go.
#[derive(Clone, Copy)]
pub(crate) enum Voice {
    /// For a person.
    Words,
    /// For a script or a log.
    Lines,
    /// For a program.
    Json,
}

impl Voice {
    /// By `--json`, and by what standard output is.
    pub(crate) fn new(json: bool) -> Self {
        match (json, io::stdout().is_terminal()) {
            (true, _) => Self::Json,
            (false, true) => Self::Words,
            (false, false) => Self::Lines,
        }
    }

    /// Says that something happened. Nobody has to listen: a reader that is gone changes nothing.
    pub(crate) fn event(self, event: &str, facts: &[(&str, Value)], words: &str) {
        let line = match self {
            Self::Words => escape(words),
            Self::Lines => {
                facts.iter().fold(event.to_owned(), |line, (name, value)| format!("{line} {name}={}", plain(value)))
            }
            Self::Json => {
                let mut object = Map::from_iter([("event".to_owned(), Value::from(event))]);
                object.extend(facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
                Value::Object(object).to_string()
            }
        };
        print(&format!("{line}\n"));
    }
}

/// Text that is finished, on standard output.
pub(crate) fn print(text: &str) {
    let mut stdout = io::stdout();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// A line on standard error.
pub(crate) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "ctdb-mutex: {}", escape(text));
}

/// An error on standard error: what, then why.
pub(crate) fn error(error: &anyhow::Error) {
    complain(&format!("{error:#}"));
}

/// A value in a line: quoted where a blank would split it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) if !text.is_empty() && !text.contains([' ', '\t', '"', '=', '\n']) => escape(text),
        other => other.to_string(),
    }
}
