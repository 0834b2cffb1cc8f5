//! What the record says, in words: the table of `docs/EVIDENCE.md`, and the claims of README.md. Nothing else on those
//! pages speaks of failover in figures.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::ensure;

use super::belief::Run;
use super::column::Column;
use super::measured::{Cell, Outcome, Record};
use super::row::Row;
use super::store::{Kind, SESSION_TIMEOUT};

/// The part of `docs/EVIDENCE.md`.
#[must_use]
pub fn table(record: &Record) -> String {
    let mut text = format!(
        "{}.\n\n![Failover by fault](evidence/failover.svg)\n\n\
         Three nodes of ctdbd for each helper, each node on a host of its own; all helpers of a store that are measured \
         together meet the same fault at the same moment, and the fault hits the node that leads. Seconds from the fault: the \
         median of {} of each, and the worst in brackets{}.\n\n**Until a node has the lock again**\n\n",
        record.circumstances.line(),
        runs(record, &Column::ALL),
        loads(record)
    );
    grid(&mut text, record, |row, column| leader(record, row, column));
    text.push_str("\n**Until the old leader no longer believed to have it**\n\n");
    grid(&mut text, record, |row, column| believed(record, row, column));
    let _ = write!(
        text,
        "\n- †: in one run at least it was the node that had it before.\n\
         - *kept*: the old leader believed to the end of the watch, and nobody else got the lock{}. Cut off from its \
         peers that is what CTDB's lock is for; cut off from the store it means that the loss is not noticed.\n\
         - *nobody*: the old leader let go, and nobody had the lock by the end of the watch.\n\
         - *never*: of one run at least; the median is that of all.\n\
         - *node's processes killed*: its kernel still says goodbye to everybody. *Host gone*: the same with the host's \
         network, as when its power fails. By default CTDB gives a silent peer up after 25 s only \
         (`KeepaliveInterval` 5, `KeepaliveLimit` 5), and no node tries for the lock before that, whatever the helper: \
         its elections wait for an answer of every node that they count as connected. In the last of the three rows \
         both are set so that it takes 3 s.\n\
         - What dies with its host leaves its lock for the rest of its lease. Ours renews after each fifth of it, Samba's \
         after each half: so more of it is left with ours.\n",
        watched(record)
    );
    if is_known(record, Column::File) || is_known(record, Column::SambaFcntl) {
        let _ = writeln!(
            text,
            "- *a file on CephFS*: a client that is not heard of keeps its locks until its session is over, here {} s, the \
             least that Ceph allows, and up to 9 s more. Ceph's defaults are 60 s and then 300 \
             (`session_timeout`, `session_autoclose`).",
            SESSION_TIMEOUT.as_secs()
        );
    }
    frozen(&mut text, record);
    for column in Column::ALL {
        let said = record.cells.iter().filter(|cell| cell.column == column.id());
        if let Some(said) = said.filter_map(|cell| cell.did_not_start.as_ref()).next() {
            let _ = writeln!(
                text,
                "- *{}* did not start: `{said}`. With Debian's python3-etcd and samba-common-bin, and where etcd is told to \
                 speak its second version's interface (up to 3.5), it may; that was not measured.",
                column.label()
            );
        }
    }
    let _ = writeln!(text, "- {}", both(record));
    let mut others: BTreeMap<&str, usize> = BTreeMap::new();
    for cell in record.cells.iter().filter(|cell| cell.measured != record.circumstances.when()) {
        *others.entry(&cell.measured).or_default() += 1;
    }
    for (when, cells) in others {
        let _ = writeln!(text, "- {cells} of {} cells were measured before: {when}.", record.cells.len());
    }
    text
}

/// What README.md says: every fault, of one store and lease, whoever of the two comes off better.
///
/// # Errors
/// Where the record lacks what is claimed.
pub fn claims(record: &Record) -> anyhow::Result<String> {
    let (ours, theirs) = (Column::Rados(9), Column::SambaRados(9));
    let mut text = format!(
        "![Failover by fault](docs/evidence/failover.svg)\n\n\
         On RADOS with a lease of 9 s, ours and Samba's helper side by side; the fault hits the node that leads. Seconds from \
         the fault, the median of {} (the worst):\n\n\
         | fault | a node has the lock again: ours | Samba's | the old leader lets go: ours | Samba's |\n|---|---|---|---|---|\n",
        runs(record, &[ours, theirs])
    );
    for row in Row::ALL {
        for column in [ours, theirs] {
            ensure!(!matches!(record.outcome(row, column), Outcome::Unknown), "{row:?}, {column:?}: not measured");
        }
        let leads = [ours, theirs].map(|column| leader(record, row, column));
        let goes = [ours, theirs].map(|column| {
            let both = record.cell(row, column).map_or(0.0, Cell::both);
            let beside = if both > 0.0 { format!(", {both:.1} of it beside another") } else { String::new() };
            believed(record, row, column) + &beside
        });
        let _ = writeln!(text, "| {row} | {} | {} | {} | {} |", leads[0], leads[1], goes[0], goes[1]);
    }
    let _ = write!(
        text,
        "\n†: in one run at least it was the node that had it before. *Never*: of one run at least. *Kept*, *to the end*: the old leader believed to the end of the watch{}. Cut off from its peers that is as it should \
         be. A host that is *gone* says goodbye to nobody: by default CTDB waits 25 s for it, and elects nobody before.\n\n{}",
        watched(record),
        both(record)
    );
    text.push_str("\n\nEverything that was measured, and how: [docs/EVIDENCE.md](docs/EVIDENCE.md).\n");
    Ok(text)
}

/// How many runs the cells of these columns have.
fn runs(record: &Record, columns: &[Column]) -> String {
    let cells = record.cells.iter().filter(|cell| columns.iter().any(|column| cell.column == column.id()));
    let counts: Vec<usize> = cells.map(|cell| cell.runs.len()).filter(|&runs| runs > 0).collect();
    match (counts.iter().min(), counts.iter().max()) {
        (Some(least), Some(most)) if least == most => format!("{most} runs"),
        (Some(least), Some(most)) => format!("{least} to {most} runs"),
        _ => "no runs".to_owned(),
    }
}

/// A row a fault, a column a helper; empty where nothing was measured.
fn grid(text: &mut String, record: &Record, value: impl Fn(Row, Column) -> String) {
    let columns: Vec<Column> = Column::ALL.into_iter().filter(|column| is_known(record, *column)).collect();
    text.push_str("| fault |");
    for column in &columns {
        let _ = write!(text, " {}: {} |", column.kind(), column.label());
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(columns.len()));
    text.push('\n');
    for row in Row::ALL {
        let _ = write!(text, "| {row} |");
        for &column in &columns {
            let _ = write!(text, " {} |", value(row, column));
        }
        text.push('\n');
    }
}

fn is_known(record: &Record, column: Column) -> bool {
    record.cells.iter().any(|cell| cell.column == column.id())
}

fn leader(record: &Record, row: Row, column: Column) -> String {
    match record.outcome(row, column) {
        Outcome::Leader(median, worst) => {
            let again = record.cell(row, column).is_some_and(|cell| cell.runs.iter().any(|run| run.same_node));
            pair(Some(median), worst) + if again { " †" } else { "" }
        }
        Outcome::Kept => {
            let kept = |run: &Run| run.leader_after.is_none() && run.believed.is_none();
            "kept".to_owned() + &part(record.cell(row, column), kept)
        }
        Outcome::Nobody => {
            let nobody = |run: &Run| run.leader_after.is_none() && run.believed.is_some();
            "nobody".to_owned() + &part(record.cell(row, column), nobody)
        }
        Outcome::DidNotStart => "did not start".to_owned(),
        Outcome::Absent => "–".to_owned(),
        Outcome::Unknown => String::new(),
    }
}

fn believed(record: &Record, row: Row, column: Column) -> String {
    match (record.outcome(row, column), record.cell(row, column)) {
        (Outcome::Leader(..) | Outcome::Kept | Outcome::Nobody, Some(cell)) => match cell.believed() {
            [None, _] => "to the end".to_owned() + &part(Some(cell), |run| run.believed.is_none()),
            [median, worst] => pair(median, worst),
        },
        _ => leader(record, row, column),
    }
}

/// In how many of the runs, where it was not all.
fn part(cell: Option<&Cell>, is: impl Fn(&Run) -> bool) -> String {
    let runs = cell.map_or(&[][..], |cell| &cell.runs);
    match runs.iter().filter(|run| is(run)).count() {
        some if some < runs.len() => format!(" ({some} of {})", runs.len()),
        _ => String::new(),
    }
}

/// Between what the machine's load was.
fn loads(record: &Record) -> String {
    let loads = || record.cells.iter().filter_map(|cell| cell.load);
    match (loads().reduce(f64::min), loads().reduce(f64::max)) {
        (Some(least), Some(most)) if loads().count() == record.cells.len() => {
            format!("; the machine's load was {least:.1} to {most:.1}")
        }
        _ => String::new(),
    }
}

fn pair(median: Option<f64>, worst: Option<f64>) -> String {
    let one = |value: Option<f64>| value.map_or_else(|| "never".to_owned(), |value| format!("{value:.1}"));
    format!("{} ({})", one(median), one(worst))
}

/// Whether two ever believed at once; whose, and for how long.
fn both(record: &Record) -> String {
    let of = |is_ours: bool| {
        let cells = record
            .cells
            .iter()
            .filter(move |cell| Column::named(&cell.column).is_some_and(|column| column.is_ours() == is_ours));
        let runs: usize = cells.clone().map(|cell| cell.runs.len()).sum();
        let bad = cells.clone().flat_map(|cell| &cell.runs).filter(|run| run.both > 0.0).count();
        let longest = cells.map(Cell::both).fold(0.0, f64::max);
        (runs, bad, longest)
    };
    let words = |(runs, bad, longest): (usize, usize, f64)| match bad {
        0 => format!("in none of {runs} runs"),
        _ => format!("in {bad} of {runs} runs, for up to {longest:.1} s"),
    };
    format!("Two nodes believed at once: with ours {}; with the distribution's {}.", words(of(true)), words(of(false)))
}

fn watched(record: &Record) -> String {
    let most = record.cells.iter().map(|cell| cell.watched_seconds).max();
    most.map(|most| format!(" ({most} s)")).unwrap_or_default()
}

fn frozen(text: &mut String, record: &Record) {
    let of = |kind: Kind| {
        let cells = Column::of(kind).into_iter().filter_map(|column| record.cell(Row::StoreFrozen, column));
        cells.filter(|cell| !cell.runs.is_empty()).map(|cell| cell.frozen_seconds).max()
    };
    let known: Vec<String> =
        Kind::ALL.into_iter().filter_map(|kind| Some(format!("{kind} for {} s", of(kind)?))).collect();
    if !known.is_empty() {
        let _ = writeln!(
            text,
            "- *{}*: {}, then it answers again; the seconds count from the freeze. OSDs that were frozen for so long answer \
             only some seconds after the thaw, when their read leases are renewed (Ceph's bug 53806).",
            Row::StoreFrozen,
            known.join(", ")
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::measured::tests::{cell, record};
    use super::*;

    fn known() -> Vec<Cell> {
        let at = |seconds| (Some(seconds), Some(0.01));
        let (ours, theirs) = (Column::Rados(9), Column::SambaRados(9));
        let mut cells = vec![
            cell(Row::PowerLost, theirs, &[at(9.0), at(9.5), (None, Some(0.0))]),
            cell(Row::CutOffFromStore, ours, &[(Some(14.0), Some(8.2))]),
            cell(Row::CutOffFromStore, theirs, &[(None, None)]),
            cell(Row::CutOff, ours, &[(Some(14.0), Some(8.2))]),
            cell(Row::CutOff, theirs, &[(Some(14.0), None)]),
            cell(Row::PowerLost, ours, &[at(5.0)]),
        ];
        for row in Row::ALL {
            if !cells.iter().any(|cell| cell.row == row.id()) {
                cells.push(cell(row, ours, &[at(0.2)]));
                if row != Row::WorkerKilled {
                    cells.push(cell(row, theirs, &[(None, Some(0.0))]));
                }
            }
        }
        cells
    }

    #[test]
    fn the_claims_are_the_records() {
        let text = claims(&record(known())).unwrap();
        for words in [
            "the median of 1 to 3 runs",
            "| host gone | 5.0 (5.0) | 9.5 (never) | 0.0 (0.0) | 0.0 (0.0) |",
            "| its worker killed | 0.2 (0.2) | – | 0.0 (0.0) | – |",
            "| cut off from the store | 14.0 (14.0) | kept | 8.2 (8.2) | to the end |",
            "with ours in none of 11 runs; with the distribution's in none of 12 runs",
        ] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }

    #[test]
    fn what_was_not_measured_is_not_claimed() {
        for left_out in 0..known().len() {
            let mut cells = known();
            cells.remove(left_out);
            assert!(claims(&record(cells)).is_err());
        }
    }

    #[test]
    fn two_that_believed_at_once_are_told() {
        let mut cells = known();
        cells[4].runs[0].both = 46.01;
        let record = record(cells);
        let text = table(&record);
        assert!(text.contains("the distribution's in 1 of 12 runs, for up to 46.0 s"), "{text}");
        let text = claims(&record).unwrap();
        assert!(text.contains("| to the end, 46.0 of it beside another |"), "{text}");
    }

    #[test]
    fn what_not_all_runs_did_and_who_took_the_lock_is_told() {
        let mut again = cell(Row::HelperKilled, Column::Etcd(9), &[(Some(0.5), Some(0.0)), (Some(0.7), Some(0.0))]);
        again.runs[1].same_node = true;
        let kept = cell(Row::CutOffFromStore, Column::Etcd(9), &[(None, None), (None, None), (Some(3.0), Some(2.0))]);
        let mixed = cell(Row::StoreFrozen, Column::Etcd(9), &[(None, None), (None, None), (None, Some(2.0))]);
        let text = table(&record([known(), vec![again, kept, mixed.clone()]].concat()));
        let has = |words: &str| assert!(text.contains(words), "{words}: {text}");
        has("| 0.5 (0.7) † |");
        has("| kept (2 of 3) |");
        assert_eq!(leader(&record(vec![mixed]), Row::StoreFrozen, Column::Etcd(9)), "kept (2 of 3)");
        has("| to the end (2 of 3) |");
    }

    #[test]
    fn the_table_tells_outcomes_apart() {
        let mut script = cell(Row::PowerLost, Column::EtcdScript, &[]);
        script.did_not_start = Some("no module".to_owned());
        let text = table(&record([known(), vec![script]].concat()));
        let line = |label: &str| text.lines().find(|line| line.starts_with(&format!("| {label} |"))).unwrap();
        assert_eq!(line("host gone"), "| host gone | 5.0 (5.0) | 9.5 (never) | did not start |");
        assert!(line("its worker killed").contains("| – |"));
        assert!(line("cut off from the store").contains("| kept |"));
        assert!(text.contains("- *ctdb_etcd_lock* did not start: `no module`. "));
    }
}
