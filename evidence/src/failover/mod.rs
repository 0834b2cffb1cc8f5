//! Failover: how long a cluster is without a leader after a fault, and how long the old one still believed; our helpers and
//! the distribution's, on the same stores, at the same time.
//!
//! Three nodes of the real ctdbd for every helper, each node on a host of its own (a network namespace), so that it can be
//! cut off from its peers or from its store. All helpers of a store meet the same fault at the same moment, each with a
//! cluster and a lock of its own; the stores' rows go on side by side. What is measured is what ctdbd itself logs, with
//! microseconds, and the death of its processes: nobody is asked, so nobody can answer late.
//!
//! | module | what is in it |
//! |---|---|
//! | [`row`] | the faults |
//! | [`mod@column`] | the helpers |
//! | [`store`] | what the locks are in |
//! | [`belief`] | from who believed when to seconds |
//! | [`measured`] | what is kept of it, as `docs/evidence/failover.json` |
//! | [`report`] | its words: the table, and the claims of README.md |
//! | [`picture`] | its bars |
//! | [`options`] | the command line |
//! | `trial` | one fault on one cluster |
//! | `stage` | a store, and the clusters on it |
//! | `refused` | what becomes of the distribution's script for etcd |
//!
//! Rejected: asking `ctdb status`, which follows the log by up to a second; stopping the clocks when *a* node answers
//! clients, which depends on Samba; clusters one after the other, whose machine is another one each time.

pub mod belief;
pub mod column;
pub mod measured;
pub mod options;
pub mod picture;
mod refused;
pub mod report;
pub mod row;
mod stage;
pub mod store;
mod trial;

use std::fs;
use std::io::{self, Write as _};
use std::time::SystemTime;

use anyhow::{Context, anyhow, ensure};

use crate::circumstances::Circumstances;
use crate::{page, record};
use column::Column;
use measured::{Cell, Record};
use options::Options;
use stage::Stage;
use store::Kind;

/// The name of the record, of its part of the page and of its picture.
pub const NAME: &str = "failover";

/// Whose versions count.
const PACKAGES: [&str; 4] = ["ctdb", "ceph-osd", "etcd-server", "fuse3"];

/// Measures what was asked for, and writes down all that is known.
///
/// # Errors
/// Where a store or a cluster does not start; where something could not be measured, after all else has been.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let measured = if options.draw { Ok(()) } else { measure(options) };
    // Also where a run failed: the record has all others.
    write_down(&record::load(NAME)?)?;
    measured
}

fn measure(options: &Options) -> anyhow::Result<()> {
    let command = if cfg!(debug_assertions) { "make failover, but no release build" } else { "make failover" };
    let circumstances = Circumstances::now(command, &PACKAGES)?;
    // Kept after every row: what has been measured is not lost with the rest.
    let keep = |cells: Vec<Cell>| Record::merge(&circumstances, cells);
    let run = |kind: Kind| -> anyhow::Result<Vec<String>> {
        let stage = Stage::start(kind, options).with_context(|| format!("start the clusters on {kind}"))?;
        stage.run(options, &circumstances, keep)
    };
    let kinds = Kind::ALL.into_iter().filter(|&kind| Column::of(kind).iter().any(|&it| options.wants_column(it)));
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let stages: Vec<_> = kinds.map(|kind| scope.spawn(move || run(kind))).collect();
        stages.into_iter().map(|stage| stage.join().map_err(|_| anyhow!("a thread panicked"))?).collect()
    });
    let failures = outcomes.into_iter().flat_map(|outcome| outcome.unwrap_or_else(|error| vec![format!("{error:#}")]));
    let failures: Vec<String> = failures.collect();
    ensure!(failures.is_empty(), "not measured:\n{}", failures.join("\n"));
    Ok(())
}

/// Says how far it is; best effort.
pub fn note(text: &str) {
    let time = humantime::format_rfc3339_seconds(SystemTime::now());
    let _ = writeln!(io::stderr(), "{time} {text}");
}

/// The table, the claims and the picture.
fn write_down(record: &Record) -> anyhow::Result<()> {
    page::write(NAME, &report::table(record))?;
    page::write_in(page::README, NAME, &report::claims(record)?)?;
    let path = record::top().join("docs/evidence").join(format!("{NAME}.svg"));
    fs::write(&path, picture::draw(record)?).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands on the pages is what the record says, to the last figure: none was written by hand, and none is left
    /// from another measurement.
    #[test]
    fn the_pages_and_the_picture_are_those_of_the_record() {
        let record: Record = record::load(NAME).unwrap();
        assert_eq!(page::read(NAME).unwrap(), report::table(&record).trim());
        assert_eq!(page::read_in(page::README, NAME).unwrap(), report::claims(&record).unwrap().trim());
        let picture = fs::read_to_string(record::top().join("docs/evidence/failover.svg")).unwrap();
        assert!(picture == picture::draw(&record).unwrap(), "draw it anew: make failover FAILOVER=--draw");
    }
}
