//! Scale: many locks from one machine, many contenders for one lock, and many cycles with nothing left behind.
//!
//! A cluster has one lock and a handful of nodes. This is far more, to see what grows with the number of locks, contenders or
//! cycles before anybody's cluster does.
//!
//! | module | what is in it |
//! |---|---|
//! | [`options`] | what the command line asks for |
//! | [`many`] | many locks, each with a holder |
//! | [`contenders`] | many contenders for one lock |
//! | [`soak`] | many cycles, and one holder through many renewals |
//! | [`flat`] | whether a figure stays the same |
//! | [`report`] | the tables |
//! | `scene` | a store, the helper on it, and what both leave behind |
//! | `store` | what is asked of a store, of which there are `files`, `objects` and `keys` |
//! | `usage` | what a process takes of this machine |
//! | `stall` | how long this machine keeps a thread waiting |
//! | `say` | what the program says |

pub mod contenders;
mod files;
pub mod flat;
mod keys;
pub mod many;
mod objects;
pub mod options;
pub mod report;
mod say;
mod scene;
pub mod soak;
mod stall;
mod store;
mod usage;

use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use crate::circumstances::Circumstances;
use crate::{page, record};
use contenders::Contenders;
use many::Many;
use options::{Backend, Options, Stage};
use say::{say, show};
use soak::Soak;

/// The record, and the part of docs/EVIDENCE.md.
const NAME: &str = "scale";

/// The long-lived holder of the soak holds so many times as long as the many locks are held: ten minutes.
const SOAK_TIMES: u32 = 10;

/// What was measured.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    /// When and where.
    pub circumstances: Circumstances,
    /// Many locks.
    pub many: Vec<Many>,
    /// Many contenders.
    pub contenders: Vec<Contenders>,
    /// Many cycles.
    pub soak: Vec<Soak>,
}

/// Measures what is asked for. Whether all is as it should be.
///
/// # Errors
/// Where it cannot be measured, and where less than the whole is to be recorded.
pub fn run(options: &Options) -> anyhow::Result<bool> {
    ensure!(!options.record || options.is_whole(), "only the whole is recorded: leave out what makes it smaller");
    let mut record = Record {
        circumstances: Circumstances::now("make scale", &store::PACKAGES)?,
        many: Vec::new(),
        contenders: Vec::new(),
        soak: Vec::new(),
    };
    for stage in options.stages() {
        for backend in options.backends() {
            measure(&mut record, stage, backend, options).with_context(|| format!("{stage:?} {}", backend.name()))?;
        }
    }
    show(&record.circumstances.line());
    show(&format!("\n{}", report::tables(&record)));
    let complaints = report::complaints(&record);
    complaints.iter().for_each(|complaint| say(format_args!("{complaint}")));
    if options.record {
        record::save(NAME, &record)?;
        page::write(NAME, &report::page(&record))?;
    }
    Ok(complaints.is_empty())
}

fn measure(record: &mut Record, stage: Stage, backend: Backend, options: &Options) -> anyhow::Result<()> {
    let time = Duration::from_secs(options.seconds);
    match stage {
        Stage::Many => {
            let locks = usize::try_from(options.locks.unwrap_or_else(|| backend.locks()))?;
            record.many.push(many::measure(backend, locks, time)?);
        }
        Stage::Contenders => {
            record.contenders.push(contenders::measure(backend, usize::try_from(options.contenders)?)?);
        }
        Stage::Soak => record.soak.push(soak::measure(backend, options.cycles, SOAK_TIMES * time)?),
    }
    Ok(())
}
