//! What can become of a lock in a fault, and what the helper owes then.

use std::time::Duration;

use anyhow::{Context, ensure};

use crate::scenario::{Measured, Timing};
use crate::{NOISE, party::Party};

const SECOND: Duration = Duration::from_secs(1);

/// What can become of the lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outcome {
    /// It stays its holder's, who need not notice anything (P3).
    Kept,
    /// The file system drops it, and its servers go on: the pipe ends within a proof interval and a second of another's
    /// having it (P2b, P2c), or before anybody has.
    Dropped,
    /// The same, and the holder's mount is not told: its questions are not answered any more. The pipe ends within
    /// RECHECK + PING-TIMEOUT of another's having it (P2c).
    DroppedInSilence,
    /// As `Dropped`, and the other may lose it again in the same way, and is told too.
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
            Self::Dropped => "dropped",
            Self::DroppedInSilence => "dropped in silence",
            Self::PassedOn => "dropped, and perhaps the next one's too",
            Self::Reported => "lost with an error",
            Self::LeftBehind => "left behind",
            Self::Hangs => "nobody's until the end",
            Self::HangsAlone => "given up by its holder",
        }
    }

    /// Whether the holder's mount says that it has failed.
    pub(crate) fn is_told(self) -> bool {
        matches!(self, Self::Reported | Self::LeftBehind)
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
            // The end of the fault may free it.
            Self::LeftBehind => holder.end.is_some() && (taker.byte.is_some() || since_end >= SECOND),
            _ => holder.end.is_some() && taker.byte.is_some(),
        }
    }

    /// Whether that is what has happened, and in time.
    pub(crate) fn check(self, measured: &Measured, timing: Timing) -> anyhow::Result<()> {
        let Measured { ended, taken, injected, until, .. } = *measured;
        if self == Self::Kept {
            ensure!(ended.is_none(), "the lock was kept, and the pipe ended after {ended:?}");
            ensure!(taken.is_none(), "the holder has the lock, and another got it after {taken:?}");
            return Ok(());
        }
        let ended = ended.context("the pipe has not ended")?;
        let overlap = measured.overlap();
        let limit = match self {
            Self::Hangs | Self::HangsAlone => timing.hung(),
            Self::Reported | Self::LeftBehind => timing.reported(),
            // Another has it already: from then on. Else as late as if nothing had been answered since the fault was there.
            Self::Kept | Self::Dropped | Self::PassedOn => match taken.filter(|_| overlap.is_some()) {
                Some(taken) => taken + timing.reported(),
                None => injected + timing.hung(),
            },
            Self::DroppedInSilence => taken.unwrap_or(injected) + timing.hung(),
        };
        ensure!(ended <= limit + NOISE, "the pipe ended after {ended:?}, not within {limit:?}");
        if let Some(overlap) = overlap {
            let bearable = if self == Self::DroppedInSilence { timing.hung() } else { timing.reported() };
            ensure!(overlap <= bearable + NOISE, "two had the lock for {overlap:?}");
        }
        if matches!(self, Self::Hangs | Self::HangsAlone | Self::DroppedInSilence) {
            ensure!(ended >= timing.stall(), "the pipe ended after a stall of only {ended:?}");
        }
        if self.is_free() {
            taken.context("nobody got the lock")?;
        }
        if matches!(self, Self::Hangs | Self::LeftBehind) {
            let early = taken.filter(|&taken| taken < until);
            ensure!(early.is_none(), "another got the lock after {early:?}, with the fault until {until:?}");
        }
        Ok(())
    }
}
