//! What a switch loses: everything of a host, or what one host sends to another. Every partition is made of these.
//!
//! Each loss is counted. Two faults that overlap may share some, and whichever is healed first takes back its own alone.
//!
//! One call of `nft` a fault, which takes 2 ms and does all of it at once: rules of the bridge family look at the ports by
//! which a frame comes and goes, so it does not matter how many addresses a host has. A neighbour entry at each sender
//! needs no further program, but one call of `ip` a host, between which halves are not halves yet.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, ensure};

use super::{LIMIT, Namespace};
use crate::process::programs;
use crate::services::command::run;

pub(super) const NFT: &str = "/usr/sbin/nft";
pub(super) const PACKAGE: &str = "nftables";

/// Two sets, and who is in them is lost without a word.
const RULES: &str = "add table bridge net
add set bridge net off { type ifname; }
add set bridge net paths { type ifname . ifname; }
add chain bridge net forward { type filter hook forward priority 0; }
add rule bridge net forward iifname @off drop
add rule bridge net forward oifname @off drop
add rule bridge net forward iifname . oifname @paths drop
";

/// Something that a switch loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::services) enum Loss {
    /// All that comes from this host or goes to it.
    Of(usize),
    /// What the first sends to the second.
    Path(usize, usize),
}

/// How often each is lost at the moment.
#[derive(Default)]
pub(super) struct Losses(Mutex<BTreeMap<Loss, u32>>);

impl Losses {
    /// None yet; `switch` gets the rules.
    pub(super) fn new(switch: &Namespace) -> anyhow::Result<Self> {
        programs::packaged(NFT, PACKAGE)?;
        nft(switch, RULES)?;
        Ok(Self::default())
    }

    /// Each of these once more.
    pub(super) fn add(&self, switch: &Namespace, losses: &[Loss]) -> anyhow::Result<()> {
        self.change(switch, "add", losses, |count| count.checked_add(1))
    }

    /// Each of these once less. An error where one has not been lost: a fault is not taken back twice.
    pub(super) fn remove(&self, switch: &Namespace, losses: &[Loss]) -> anyhow::Result<()> {
        self.change(switch, "delete", losses, |count| count.checked_sub(1))
    }

    /// Whether what one sends to the other is lost.
    pub(super) fn includes(&self, from: usize, to: usize) -> bool {
        let counts = self.counts();
        [Loss::Of(from), Loss::Of(to), Loss::Path(from, to)].iter().any(|loss| counts.contains_key(loss))
    }

    /// Those that begin or end by this are told to the kernel; all or none.
    fn change(
        &self,
        switch: &Namespace,
        verb: &str,
        losses: &[Loss],
        step: impl Fn(u32) -> Option<u32>,
    ) -> anyhow::Result<()> {
        // Held meanwhile: the kernel must hear of changes in their order.
        let mut counts = self.counts();
        let mut after = counts.clone();
        for &loss in losses {
            let count = step(after.get(&loss).copied().unwrap_or(0));
            after.insert(loss, count.with_context(|| format!("{loss:?} is not lost"))?);
        }
        let lost = |counts: &BTreeMap<Loss, u32>, loss: &Loss| counts.get(loss).is_some_and(|&count| count > 0);
        let changed: Vec<Loss> =
            after.keys().copied().filter(|loss| lost(&after, loss) != lost(&counts, loss)).collect();
        if !changed.is_empty() {
            let commands: String =
                changed.iter().map(|loss| format!("{verb} element bridge net {}\n", loss.element())).collect();
            nft(switch, &commands)?;
        }
        after.retain(|_, count| *count > 0);
        *counts = after;
        Ok(())
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<Loss, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loss {
    /// In the words of `nft`: the set, and the ports.
    fn element(self) -> String {
        match self {
            Self::Of(host) => format!("off {{ port{host} }}"),
            Self::Path(from, to) => format!("paths {{ port{from} . port{to} }}"),
        }
    }
}

/// Runs commands of `nft` there, all of them or none.
fn nft(switch: &Namespace, commands: &str) -> anyhow::Result<()> {
    ensure!(commands.len() < MOST, "too many commands of nft at once");
    let _inside = switch.enter()?;
    run(Command::new(NFT).arg(commands), LIMIT).with_context(|| format!("nft {commands}")).map(drop)
}

/// What one argument of a program may hold is more.
const MOST: usize = 100_000;
