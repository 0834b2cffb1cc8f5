//! What the tool says: words on a terminal, stable lines in a pipe, JSON where asked.
//!
//! A stable line is `EVENT name=value name=value`, a value with blanks in quotes as in JSON, a part of an object as
//! `object.part=value`; with `--json` the same is an object with the key `event`. Words may change with every version, the
//! others do not.

use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};

use mutex_core::escape;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Map, Value};

/// How long a reader is waited for that takes nothing, a terminal stopped with Ctrl-S say: who waits for it for ever cannot
/// be ended meanwhile.
const PATIENCE_MILLIS: u16 = 250;

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

    /// Says that something happened. Nobody has to listen: a reader that is gone, or takes nothing, changes nothing.
    pub(crate) fn event(self, event: &str, facts: &[(&str, Value)], words: &str) {
        let text = match self {
            // Nothing to say in words: said elsewhere.
            Self::Words if words.is_empty() => return,
            Self::Words => words.lines().map(escape).collect::<Vec<_>>().join("\n"),
            Self::Lines => facts.iter().fold(event.to_owned(), |line, (name, value)| line + &plain(name, value)),
            Self::Json => {
                let mut object = Map::from_iter([("event".to_owned(), Value::from(event))]);
                object.extend(facts.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
                Value::Object(object).to_string()
            }
        };
        if takes_more(io::stdout().as_fd()) {
            print(&format!("{text}\n"));
        }
    }
}

/// Text that is finished, on standard output.
pub(crate) fn print(text: &str) {
    let mut stdout = io::stdout();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// A line on standard error.
pub(crate) fn complain(text: &str) {
    pass_on(&format!("ctdb-mutex: {text}"));
}

/// A line of a helper, as CTDB would have it in its log, on standard error.
pub(crate) fn pass_on(line: &str) {
    let mut stderr = io::stderr();
    if takes_more(stderr.as_fd()) {
        // At once: single pieces would mix with what others write there.
        let _ = stderr.write_all(format!("{}\n", escape(line)).as_bytes());
    }
}

/// An error on standard error: what, then why.
pub(crate) fn error(error: &anyhow::Error) {
    complain(&format!("{error:#}"));
}

/// Whether a line can be written without waiting; also where nobody reads any more.
fn takes_more(descriptor: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(descriptor, PollFlags::POLLOUT)];
    poll(&mut fds, PollTimeout::from(PATIENCE_MILLIS)).is_ok_and(|ready| ready > 0)
}

/// A fact in a line: quoted where a blank would split it.
fn plain(name: &str, value: &Value) -> String {
    match value {
        Value::Object(parts) => parts.iter().map(|(part, value)| plain(&format!("{name}.{part}"), value)).collect(),
        Value::String(text) if !text.is_empty() && !text.contains([' ', '\t', '"', '=', '\n']) => {
            format!(" {name}={}", escape(text))
        }
        other => format!(" {name}={}", escape(&other.to_string())),
    }
}
