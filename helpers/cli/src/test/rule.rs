//! A rule of the contract, and what comes of trying it.

use std::time::Duration;

use nix::sys::signal::Signal;

use super::bench::Bench;

/// One rule.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    /// Short and stable, for --rule and for scripts.
    pub(super) id: &'static str,
    /// What is promised.
    pub(super) sentence: &'static str,
    /// What it takes to try it.
    pub(super) needs: Needs,
    /// Whether CTDB gets by where it does not hold: then it is advice, and no failure.
    pub(super) advice: bool,
    /// The trial: the time that the sentence speaks of.
    pub(super) run: fn(&Bench) -> Result<Duration, Stop>,
}

/// What a rule needs beside the helper.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    Nothing,
    /// --freeze and --thaw.
    Freeze,
    /// --break.
    Break,
    /// --with.
    With,
}

impl Needs {
    /// In words.
    pub(super) fn options(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Freeze => "--freeze and --thaw",
            Self::Break => "--break",
            Self::With => "--with",
        }
    }
}

impl Rule {
    pub(super) const fn new(
        id: &'static str,
        sentence: &'static str,
        run: fn(&Bench) -> Result<Duration, Stop>,
    ) -> Self {
        Self { id, sentence, needs: Needs::Nothing, advice: false, run }
    }

    /// One that CTDB does not depend on.
    pub(super) const fn advice(
        id: &'static str,
        sentence: &'static str,
        run: fn(&Bench) -> Result<Duration, Stop>,
    ) -> Self {
        Self { id, sentence, needs: Needs::Nothing, advice: true, run }
    }

    /// One about the helper of --with too.
    pub(super) const fn with(
        id: &'static str,
        sentence: &'static str,
        run: fn(&Bench) -> Result<Duration, Stop>,
    ) -> Self {
        Self { id, sentence, needs: Needs::With, advice: false, run }
    }

    /// One that freezes the store.
    pub(super) const fn frozen(
        id: &'static str,
        sentence: &'static str,
        run: fn(&Bench) -> Result<Duration, Stop>,
    ) -> Self {
        Self { id, sentence, needs: Needs::Freeze, advice: false, run }
    }

    /// One that takes the lock away.
    pub(super) const fn lost(
        id: &'static str,
        sentence: &'static str,
        run: fn(&Bench) -> Result<Duration, Stop>,
    ) -> Self {
        Self { id, sentence, needs: Needs::Break, advice: false, run }
    }
}

/// Why a trial ended without a time.
#[derive(Debug)]
pub(super) enum Stop {
    /// The rule is broken, and how.
    Broken(String),
    /// It says nothing about this helper, and why.
    Skip(String),
    /// This program was told to end.
    Told(Signal),
    /// It cannot be tried.
    Cannot(anyhow::Error),
}

impl From<anyhow::Error> for Stop {
    fn from(error: anyhow::Error) -> Self {
        Self::Cannot(error)
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        Self::Cannot(error.into())
    }
}

/// What is said about a rule.
pub(super) enum Verdict {
    Ok,
    NotOk(String),
    /// It does not hold, and CTDB gets by.
    Advice(String),
    Skipped(String),
}

impl Verdict {
    /// Stable, for scripts.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NotOk(_) => "not ok",
            Self::Advice(_) => "advice",
            Self::Skipped(_) => "skipped",
        }
    }

    /// Why, where it is not ok.
    pub(super) fn why(&self) -> Option<&str> {
        match self {
            Self::Ok => None,
            Self::NotOk(why) | Self::Advice(why) | Self::Skipped(why) => Some(why),
        }
    }
}
