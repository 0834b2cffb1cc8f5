//! What can become of a lock in a fault, and what the helper owes then.

use std::time::Duration;

use anyhow::{Context, ensure};

use crate::scenario::{Measured, Timing};
use crate::{NOISE, party::Party};

/// What can become of the lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// It stays its holder's, who need not notice anything (P3).
    Kept,
    /// The file system drops it while it still answers: another has it, and the pipe ends within a proof interval and a
    /// second of that (P2b, P2c).
    Given,
    /// The file system drops it and the holder's mount is not told: its questions are not answered any more. Another has it,
    /// and the pipe ends within RECHECK + PING-TIMEOUT of that (P2c).
    GivenInSilence,
    /// As `Given`, and the other may lose it again in the same way, and is told too.
    PassedOn,
    /// The holder's mount has failed, and says so: the pipe ends within a proof interval and a second. Another has the
    /// lock as soon as the file system lets it.
    Reported,
    /// The same, and the file system keeps the lock of a mount that is no more for longer than the trial lasts.
    LeftBehind,
    /// Nothing is answered: the pipe ends within RECHECK + PING-TIMEOUT, and not before PING-TIMEOUT - 1 s (P2c, P3).
    /// Nobody has the lock before the end of the fault, and then another has it.
    Hangs,
    /// The same for the holder's mount alone; another may have the lock when the file system has given up that mount.
    HangsAlone,
}

impl Outcome {
    /// In the name of a trial and in the table.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Given => "given to another",
            Self::GivenInSilence => "given to another in silence",
            Self::PassedOn => "given to another, who may lose it again",
            Self::Reported => "lost with an error",
            Self::LeftBehind => "left behind",
            Self::Hangs => "nobody's until the end",
            Self::HangsAlone => "given up by its holder",
        }
    }

    /// Whether another has it at the end of the trial.
    pub(crate) fn is_free(self) -> bool {
        !matches!(self, Self::Kept | Self::LeftBehind)
    }

    /// Whether nothing more is to come, seen from the end of the fault.
    pub(crate) fn is_settled(self, holder: &Party, taker: &Party, since_end: Duration, timing: Timing) -> bool {
        match self {
            // Nothing comes for as long as the last possible proof may take.
            Self::Kept => since_end >= timing.hung() + NOISE,
            Self::LeftBehind => holder.end.is_some(),
            _ => holder.end.is_some() && taker.byte.is_some(),
        }
    }

    /// Whether that is what has happened, and in time.
    pub(crate) fn check(self, measured: &Measured, timing: Timing) -> anyhow::Result<()> {
        let Measured { ended, taken, healed } = *measured;
        if self == Self::Kept {
            ensure!(ended.is_none(), "the lock was kept, and the pipe ended after {ended:?}");
            ensure!(taken.is_none(), "the holder has the lock, and another got it after {taken:?}");
            return Ok(());
        }
        let ended = ended.context("the pipe has not ended")?;
        let limit = match self {
            Self::Hangs | Self::HangsAlone => timing.hung(),
            Self::Reported | Self::LeftBehind => timing.reported(),
            // From the moment at which another has it.
            Self::Kept | Self::Given | Self::PassedOn => taken.unwrap_or(ended) + timing.reported(),
            Self::GivenInSilence => taken.unwrap_or(ended) + timing.hung(),
        };
        ensure!(ended <= limit + NOISE, "the pipe ended after {ended:?}, not within {limit:?}");
        if let Some(overlap) = measured.overlap() {
            let bearable = if self == Self::GivenInSilence { timing.hung() } else { timing.reported() };
            ensure!(overlap <= bearable + NOISE, "two had the lock for {overlap:?}");
        }
        match self {
            Self::Hangs => {
                ensure!(ended >= timing.stall(), "the pipe ended after a stall of only {ended:?}");
                let taken = taken.context("nobody got the lock")?;
                ensure!(taken >= healed, "another got the lock after {taken:?}, with the fault until {healed:?}");
            }
            Self::LeftBehind => ensure!(taken.is_none(), "another got the lock after {taken:?}"),
            _ => {
                taken.context("nobody got the lock")?;
            }
        }
        Ok(())
    }
}
