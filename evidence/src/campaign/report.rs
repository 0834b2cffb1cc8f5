//! The part of `docs/EVIDENCE.md` about campaigns, written from what is kept of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;

use super::backends;
use super::picture;
use super::record::{Measurement, Record};
use super::tally::{Measured, Tally};
use crate::{page, record};

const PART: &str = "campaign";

/// The picture's place, from the page and from the repository.
const PICTURE: &str = "evidence/campaign.svg";

/// Writes the page's part and the picture anew.
///
/// # Errors
/// Where one cannot be written.
pub fn write() -> Result<()> {
    let kept = |backend| Ok((backend, Record::load(backend)?));
    let records = backends().into_iter().map(|(backend, _)| kept(backend)).collect::<Result<Vec<(&str, Record)>>>()?;
    let stretch = records.iter().find_map(|(_, record)| record.stretch.as_ref());
    if let Some(stretch) = stretch {
        picture::draw(stretch, &record::top().join("docs").join(PICTURE))?;
    }
    page::write(PART, &text(&records, stretch.is_some())?)
}

/// What is said of all that is kept.
fn text(records: &[(&str, Record)], picture: bool) -> Result<String> {
    let measured: Vec<(&str, Vec<(Tally, &Measurement)>)> = records
        .iter()
        .map(|(backend, record)| {
            let sums = record.subjects.iter().filter_map(|measurement| Some((measurement.sum()?, measurement)));
            (*backend, sums.collect())
        })
        .collect();
    let mut text = String::from(INTRODUCTION);
    text.push_str(&subjects(&measured)?);
    if picture {
        write!(text, "\n![A stretch of a campaign: who believed when, and the faults]({PICTURE})\n")?;
    }
    text.push_str(&kinds(&measured)?);
    text.push_str(&own_table(&measured)?);
    text.push_str("\nMeasured:\n\n");
    for (backend, subjects) in &measured {
        for (sum, Measurement { circumstances, runs, judged }) in subjects {
            let seeds: Vec<String> = runs.iter().map(|run| run.seed.to_string()).collect();
            let line = circumstances.line();
            let judged = judged.as_ref().map_or_else(String::new, |commit| format!("; judged anew by {commit}"));
            let Measured { count, longest } = sum.busy;
            let stalls = if count == 0 {
                String::new()
            } else {
                format!("; parents kept from running {count} times, for up to {longest:.1} s")
            };
            writeln!(text, "- {backend}, {}: seeds {}; {line}{judged}{stalls}", sum.subject, seeds.join(", "))?;
            for run in runs {
                if let Some(error) = &run.failed {
                    writeln!(text, "  - seed {}: failed: {error}", run.seed)?;
                }
            }
        }
    }
    Ok(text)
}

const INTRODUCTION: &str = "\
Nodes, each on a host of its own, take one lock again and again as CTDB does, while faults come at random, most of them \
while somebody holds, up to four at once. A node *holds* from reading `0` until it reads the end of the pipe, sends SIGTERM \
or is killed, and not while its parent is frozen. Two nodes that hold at once are a **violation**. The same seed draws \
the same schedule for every subject; who was tried with which seeds stands at the end. Parents run at ctdbd's real-time \
priority; one was *kept from running* where it was not run for 50 ms though nobody had stopped it: then the machine stood \
still, and of that nothing is promised where it is for longer than the margin. *Ends seen* are ends of the pipe that a holder saw, which is how it learns of a loss, \
and *without a fault* those with no fault in the lease before: most come right after that, where a member of etcd is heard again \
and the others elect anew. *Fencing* is what nobody promises: a host that was frozen whole, and goes on with a parent that has not read the \
end yet. *No holder* counts the quiets, with no fault left and the store well, in which nobody took the lock in time: within a lease, \
what the store adds to it, and two seconds for the next try. \
*Unsafe* is our helper, made late on purpose: what the campaign must catch. etcd's *distribution* is `etcdctl lock` behind an \
adapter that writes CTDB's byte.

";

fn subjects(measured: &[(&str, Vec<(Tally, &Measurement)>)]) -> Result<String> {
    let mut text = String::from(
        "| store | helper | lease | faults | while held | locks taken | ends seen | without a fault | violations | longest \
         | fencing | longest | no holder | longest until one |\n|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    for (sum, _) in measured.iter().flat_map(|(_, subjects)| subjects) {
        let Tally { backend, subject, lease, while_held, locks, unprovoked, .. } = sum;
        let Tally { violations, fencing, quiets, without_holder, .. } = sum;
        let (faults, losses) = (sum.faults(), sum.losses());
        // Older records do not have it.
        let while_held = if *while_held == 0 { "–".to_owned() } else { while_held.to_string() };
        write!(
            text,
            "| {backend} | {subject} | {lease} s | {faults} | {while_held} | {locks} | {losses} | {unprovoked} "
        )?;
        write!(text, "| **{}** | {} ", violations.count, longest(*violations))?;
        write!(text, "| {} | {} ", fencing.count, longest(*fencing))?;
        writeln!(text, "| {without_holder} of {} | {} |", quiets.count, longest(*quiets))?;
    }
    Ok(text)
}

/// Each kind: how often it came to ours, and what it cost whom.
fn kinds(measured: &[(&str, Vec<(Tally, &Measurement)>)]) -> Result<String> {
    let mut text = String::new();
    for (backend, subjects) in measured.iter().filter(|(_, subjects)| !subjects.is_empty()) {
        write!(text, "\n<details><summary>Faults on {backend}: how often each kind came, after how many a holder ")?;
        text.push_str("saw the end, and how many violations began under it</summary>\n\n| fault |");
        for (sum, _) in subjects {
            write!(text, " {0}: faults | ends | violations |", sum.subject)?;
        }
        write!(text, "\n|---|{}\n", "--:|--:|--:|".repeat(subjects.len()))?;
        let mut names: BTreeMap<&str, ()> = BTreeMap::new();
        names.extend(subjects.iter().flat_map(|(sum, _)| sum.kinds.keys()).map(|name| (name.as_str(), ())));
        for name in names.keys() {
            write!(text, "| {name} |")?;
            for (sum, _) in subjects {
                let counts = sum.kinds.get(*name).cloned().unwrap_or_default();
                write!(text, " {} | {} | {} |", counts.faults, counts.losses, counts.violations.count)?;
            }
            text.push('\n');
        }
        text.push_str("\n</details>\n");
    }
    Ok(text)
}

fn own_table(measured: &[(&str, Vec<(Tally, &Measurement)>)]) -> Result<String> {
    let mut text = String::from(
        "\nWhere two may hold at once for a bounded time: the lock was taken from its holder, and EOF is promised within \
         R + T where the store answers (P2b): measured by the overlap of two beliefs, and by how long its holder believed on \
         after what took it away had come to its end; a clock is off by more than is allowed for, and nothing is promised; a file's \
         worker is killed, and the kernel frees the lock first (P2c).\n\n\
         | store | helper | fault | faults | overlaps | longest | believed on, longest | bound |\n\
         |---|---|---|--:|--:|--:|--:|--:|\n",
    );
    for (sum, _) in measured.iter().flat_map(|(_, subjects)| subjects) {
        for (kind, counts) in &sum.kinds {
            let Some(bound) = counts.bound else { continue };
            let bound = if counts.promised { format!("{bound:.3} s") } else { format!("none ({bound:.3} s)") };
            let Tally { backend, subject, .. } = sum;
            let (faults, overlaps) = (counts.faults, counts.overlaps);
            write!(text, "| {backend} | {subject} | {kind} | {faults} | {} ", overlaps.count)?;
            writeln!(text, "| {} | {} | {bound} |", longest(overlaps), longest(counts.noticed))?;
        }
    }
    Ok(text)
}

fn longest(measured: Measured) -> String {
    if measured.count == 0 { "–".to_owned() } else { format!("{:.3} s", measured.longest) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::tally::tests::tally;
    use crate::circumstances::Circumstances;

    #[test]
    fn every_number_is_where_a_reader_looks_for_it() {
        let circumstances = Circumstances {
            date: "2000-01-02".to_owned(),
            command: "campaign".to_owned(),
            commit: "c0ffee".to_owned(),
            machine: "a machine".to_owned(),
            versions: vec![("etcd-server".to_owned(), "3".to_owned())],
            load: Some(2.5),
        };
        let mut record = Record::default();
        record.replace(Measurement {
            circumstances: circumstances.clone(),
            runs: vec![tally(), tally()],
            judged: None,
        });
        let failed = Tally { seed: 8, failed: Some("a disk is full".to_owned()), ..tally() };
        record.replace(Measurement { circumstances, runs: vec![failed], judged: Some("beef".to_owned()) });
        let text = text(&[("etcd", record), ("rados", Record::default())], true).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for wanted in [
            "| etcd | ours | 4 s | 3 | 3 | 6 | 4 | 1 | **1** | 1.000 s | 0 | – | 0 of 0 | – |",
            "| fault | ours: faults | ends | violations |",
            "| two | 1 | 1 | 1 |",
            "| etcd | ours | broken | 1 | 1 | 0.500 s | 0.999 s | 1.800 s |",
            "  - seed 8: failed: a disk is full",
            "- etcd, ours: seeds 8; 2000-01-02, commit c0ffee, a machine with a load of 2.5; etcd-server 3; `campaign`; judged anew by beef",
        ] {
            assert!(lines.contains(&wanted), "{wanted}\n{text}");
        }
        assert!(text.contains("(evidence/campaign.svg)") && !text.contains("rados"), "{text}");
    }
}
