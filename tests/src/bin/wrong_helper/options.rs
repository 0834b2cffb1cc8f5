//! The command line.

use std::path::PathBuf;
use std::time::Duration;

/// What the command line asks for.
pub(crate) struct Options {
    pub(crate) file: PathBuf,
    pub(crate) recheck: Duration,
    pub(crate) ping_timeout: Duration,
    pub(crate) acquire_timeout: Duration,
    pub(crate) lock_type: String,
    bug: String,
}

impl Options {
    /// The options, or the bug's name (a refusal can be wrong too) and what is wrong with them.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Self, (String, String)> {
        let mut positional = Vec::new();
        let (mut lock_type, mut timeout) = ("posix".to_owned(), "60".to_owned());
        // Where a helper is started without arguments it is wrong by this.
        let mut bug = std::env::var("WRONG_HELPER_BUG").unwrap_or_default();
        let mut arguments = arguments.peekable();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--lock-type" => lock_type = arguments.next().unwrap_or_default(),
                "--acquire-timeout-seconds" => timeout = arguments.next().unwrap_or_default(),
                "--bug" => bug = arguments.next().unwrap_or_default(),
                _ => positional.push(argument),
            }
        }
        let seconds = |place: usize, default: u64| match positional.get(place) {
            None => Ok(Duration::from_secs(default)),
            Some(text) => text.parse().map(Duration::from_secs).map_err(|_| format!("{text}: not a number")),
        };
        let parsed = (|| {
            let file = positional.first().ok_or("FILE: missing")?;
            Ok::<_, String>((PathBuf::from(file), seconds(1, 5)?, seconds(2, 10)?, timeout.parse()))
        })();
        match parsed {
            Ok((file, recheck, ping_timeout, Ok(timeout))) => {
                Ok(Self { file, recheck, ping_timeout, acquire_timeout: Duration::from_secs(timeout), lock_type, bug })
            }
            Ok(_) => Err((bug, format!("{timeout}: not a number"))),
            Err(message) => Err((bug, message)),
        }
    }

    /// Whether this bug is switched on.
    pub(crate) fn has(&self, bug: &str) -> bool {
        self.bug == bug
    }
}
