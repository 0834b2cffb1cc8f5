//! What is kept of the measurements: one cell a fault and helper, with every run. Cells that are measured again replace
//! those of before, and nothing else.

use serde::{Deserialize, Serialize};

use super::NAME;
use super::belief::{Run, median_and_worst};
use super::column::Column;
use super::row::Row;
use crate::circumstances::Circumstances;
use crate::record;

/// All that is known.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Record {
    /// Those of the last measurement.
    pub circumstances: Circumstances,
    /// In the table's order.
    pub cells: Vec<Cell>,
}

/// One fault with one helper.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Cell {
    /// The fault, by its name.
    pub row: String,
    /// The helper, by its name.
    pub column: String,
    /// The day and the commit.
    pub measured: String,
    /// How busy the machine was: its load over the five minutes before. Older records do not have it.
    #[serde(default)]
    pub load: Option<f64>,
    /// For how long a run was watched at most, in seconds; where the store was frozen, after the thaw.
    pub watched_seconds: u64,
    /// For how long the store was frozen, in seconds; 0 where it was not.
    pub frozen_seconds: u64,
    /// One a repetition.
    pub runs: Vec<Run>,
    /// Why there are none, in the helper's own words.
    pub did_not_start: Option<String>,
}

/// What the runs of a cell have in common.
#[derive(Clone, PartialEq, Debug)]
pub enum Outcome {
    /// A new leader, after so many seconds: the median, and the worst; `None` where one run had none.
    Leader(f64, Option<f64>),
    /// No run, or fewer than half of them, had another leader; the old one kept the lock all the time.
    Kept,
    /// The same, but the old one no longer believed: nobody led.
    Nobody,
    /// The helper cannot run.
    DidNotStart,
    /// This helper has no such process.
    Absent,
    /// Not measured yet.
    Unknown,
}

impl Cell {
    /// Seconds until a new leader.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        if self.did_not_start.is_some() {
            return Outcome::DidNotStart;
        }
        if self.runs.is_empty() {
            return Outcome::Unknown;
        }
        let [median, worst] = median_and_worst(&self.leaders());
        match (median, self.believed()) {
            (Some(median), _) => Outcome::Leader(median, worst),
            (None, [None, _]) => Outcome::Kept,
            (None, _) => Outcome::Nobody,
        }
    }

    /// Seconds during which the old leader still believed: median and worst. `None`: to the end of the watch.
    #[must_use]
    pub fn believed(&self) -> [Option<f64>; 2] {
        median_and_worst(&self.runs.iter().map(|run| run.believed).collect::<Vec<_>>())
    }

    /// The most seconds of a run in which two believed.
    #[must_use]
    pub fn both(&self) -> f64 {
        self.runs.iter().map(|run| run.both).fold(0.0, f64::max)
    }

    /// Seconds until a new leader, of each run.
    #[must_use]
    pub fn leaders(&self) -> Vec<Option<f64>> {
        self.runs.iter().map(|run| run.leader_after).collect()
    }
}

impl Record {
    /// The cell of this fault and helper.
    #[must_use]
    pub fn cell(&self, row: Row, column: Column) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.row == row.id() && cell.column == column.id())
    }

    /// What came of this fault with this helper.
    #[must_use]
    pub fn outcome(&self, row: Row, column: Column) -> Outcome {
        if !column.has(row) {
            return Outcome::Absent;
        }
        self.cell(row, column).map_or(Outcome::Unknown, Cell::outcome)
    }

    /// Adds these to what is known, in the place of what was known of the same. One program at a time.
    ///
    /// # Errors
    /// Where the record cannot be read or written.
    pub fn merge(circumstances: &Circumstances, cells: Vec<Cell>) -> anyhow::Result<()> {
        let _turn = record::turn()?;
        let none = || Self { circumstances: circumstances.clone(), cells: Vec::new() };
        let known = record::find(NAME)?.unwrap_or_else(none);
        record::save(NAME, &known.with(circumstances, cells))
    }

    fn with(mut self, circumstances: &Circumstances, cells: Vec<Cell>) -> Self {
        let same = |one: &Cell, other: &Cell| one.row == other.row && one.column == other.column;
        self.cells.retain(|cell| !cells.iter().any(|new| same(cell, new)));
        self.cells.extend(cells);
        let place = |cell: &Cell| {
            let row = Row::ALL.into_iter().position(|row| row.id() == cell.row);
            (row, Column::ALL.into_iter().position(|column| column.id() == cell.column))
        };
        self.cells.sort_by_key(place);
        self.circumstances = circumstances.clone();
        self
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::failover) fn cell(row: Row, column: Column, runs: &[(Option<f64>, Option<f64>)]) -> Cell {
        let run = |&(leader_after, believed): &(Option<f64>, Option<f64>)| Run {
            leader_after,
            believed,
            same_node: false,
            both: 0.0,
        };
        Cell {
            row: row.id().to_owned(),
            column: column.id(),
            measured: "2026-11-27, commit 0".to_owned(),
            load: None,
            watched_seconds: 45,
            frozen_seconds: 0,
            runs: runs.iter().map(run).collect(),
            did_not_start: None,
        }
    }

    pub(in crate::failover) fn record(cells: Vec<Cell>) -> Record {
        let circumstances = Circumstances {
            date: "2026-11-27".to_owned(),
            command: "make failover".to_owned(),
            commit: "0".to_owned(),
            machine: "Linux, 2 cores, 24 GiB".to_owned(),
            load: None,
            versions: vec![("ctdb".to_owned(), "4.17".to_owned())],
        };
        Record { circumstances: circumstances.clone(), cells: Vec::new() }.with(&circumstances, cells)
    }

    #[test]
    fn what_is_measured_again_replaces_what_was_and_nothing_else() {
        let [one, other] = [Column::File, Column::Rados(9)];
        let before = vec![cell(Row::ShutDown, one, &[(Some(1.0), Some(0.0))]), cell(Row::HelperKilled, one, &[])];
        let old = record(before);
        let new = old.with(
            &record(Vec::new()).circumstances,
            vec![cell(Row::ShutDown, one, &[(Some(2.0), Some(0.0))]), cell(Row::ShutDown, other, &[])],
        );
        let places: Vec<_> = new.cells.iter().map(|cell| (cell.row.as_str(), cell.column.as_str())).collect();
        assert_eq!(places, [("helper-killed", "file"), ("shutdown", "rados-9"), ("shutdown", "file")]);
        assert_eq!(new.outcome(Row::ShutDown, one), Outcome::Leader(2.0, Some(2.0)));
    }

    #[test]
    fn outcomes_are_told_apart() {
        let outcome = |runs: &[(Option<f64>, Option<f64>)]| cell(Row::NodeKilled, Column::File, runs).outcome();
        assert_eq!(outcome(&[]), Outcome::Unknown);
        assert_eq!(outcome(&[(None, None), (None, None), (None, Some(1.0))]), Outcome::Kept);
        assert_eq!(outcome(&[(None, Some(2.0))]), Outcome::Nobody);
        assert_eq!(outcome(&[(Some(4.0), Some(0.0)), (None, None), (Some(5.0), None)]), Outcome::Leader(5.0, None));
        assert_eq!(record(Vec::new()).outcome(Row::WorkerKilled, Column::SambaFcntl), Outcome::Absent);
    }
}
