//! The tables, as the terminal and docs/EVIDENCE.md show them.

use std::fmt::Write as _;

use super::Record;
use super::contenders::Contenders;
use super::flat::Course;
use super::many::Many;
use super::soak::{Courses, Soak};

/// All tables of a record.
#[must_use]
pub fn tables(record: &Record) -> String {
    let mut text = String::new();
    if !record.many.is_empty() {
        many(&mut text, &record.many);
    }
    if !record.contenders.is_empty() {
        contenders(&mut text, &record.contenders);
    }
    if !record.soak.is_empty() {
        soak(&mut text, &record.soak);
    }
    text
}

/// The part of docs/EVIDENCE.md.
#[must_use]
pub fn page(record: &Record) -> String {
    format!("{}\n\n{}", record.circumstances.line(), tables(record).trim_end())
}

/// What does not hold, in words.
#[must_use]
pub fn complaints(record: &Record) -> Vec<String> {
    let mut all = Vec::new();
    for row in &record.many {
        let name = row.backend.name();
        all.extend(row.lost.iter().map(|lost| format!("many {name}: lost {lost}")));
        all.extend(row.left.iter().map(|left| format!("many {name}: {left}")));
        // With a lock lost there are none to count.
        if row.lost.is_empty() && !row.renews() {
            all.push(format!("many {name}: {:.1} renewals a second, not {:.1}", row.renewals, row.renewals_due));
        }
    }
    for row in &record.contenders {
        let name = row.backend.name();
        all.extend(row.others.iter().map(|other| format!("contenders {name}: answered {other}")));
        all.extend(row.left.iter().map(|left| format!("contenders {name}: {left}")));
        if row.takers != 1 || row.in_vain + 1 != row.contenders {
            let (takers, in_vain) = (row.takers, row.in_vain);
            all.push(format!("contenders {name}: {takers} took over and {in_vain} of {} did not", row.contenders));
        }
    }
    for row in &record.soak {
        let name = row.backend.name();
        all.extend(row.failures.iter().map(|failure| format!("soak {name}: {failure}")));
        all.extend(row.lost.iter().map(|lost| format!("soak {name}: the holder lost its lock {lost}")));
        all.extend(row.left.iter().map(|left| format!("soak {name}: {left}")));
        for (of, part, Course { first, last, noise, .. }, _) in courses(row).iter().filter(|row| !row.2.is_flat()) {
            all.push(format!("soak {name}: {part} of {of} grew from {first} to {last}, noise {noise}"));
        }
    }
    all
}

/// Of what, what, its course, and how many bytes more at each event would have shown.
type Row = (&'static str, &'static str, Course, Option<f64>);

fn courses(soak: &Soak) -> Vec<Row> {
    let mut rows = Vec::new();
    let warm_renewals = soak.renewals.saturating_sub(soak.renewals_warm_up) as f64;
    for (of, courses, events) in
        [("a cycle", &soak.of_cycles, 0.9 * f64::from(soak.cycles)), ("the holder", &soak.of_holder, warm_renewals)]
    {
        let Courses { resident, anonymous, descriptors, threads } = *courses;
        let shows = |course: Course| Some(course.would_show(events) * 1024.0);
        rows.push((of, "resident memory, KiB", resident, shows(resident)));
        rows.push((of, "allocated memory, KiB", anonymous, shows(anonymous)));
        rows.push((of, "descriptors", descriptors, None));
        rows.push((of, "threads", threads, None));
    }
    rows.push(("the store", "descriptors", soak.descriptors_of_store, None));
    rows
}

fn many(text: &mut String, rows: &[Many]) {
    text.push_str(
        "### Many locks held at once\n\
         One store, one machine, every helper with its defaults. Renewals are those that the store itself has counted; due is \
         what the defaults come to. Memory is proportional (PSS), CPU time by the processes' own clocks. The stall is how \
         long this machine kept a thread waiting that could run, at worst.\n\n\
         | store | locks | held | lost | renewals a second (due) | memory of all | of one: supervisor + worker | CPU of all | \
         of one | threads, descriptors of one | stall |\n|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let each = row.cpu / row.locks as f64;
        let _ = writeln!(
            text,
            "| {} | {} | {:.0} s | {} | {:.1} ({:.1}) | {:.1} MiB | {} + {} KiB | {:.0} ms/s | {:.2} ms/s | {}, {} | {} ms |",
            row.backend.name(),
            row.locks,
            row.seconds,
            row.lost.len(),
            row.renewals,
            row.renewals_due,
            row.pss as f64 / 1024.0,
            row.pss_supervisor,
            row.pss_worker,
            row.cpu,
            each,
            row.threads,
            row.descriptors,
            row.stall,
        );
    }
    text.push('\n');
    for row in rows {
        let name = row.backend.name();
        let _ = writeln!(
            text,
            "- {name}: counted are {}; all taken {:.1} s after the first start, all gone {:.1} s after the first SIGTERM.",
            row.counted_by, row.taken, row.released
        );
    }
    text.push('\n');
}

fn contenders(text: &mut String, rows: &[Contenders]) {
    text.push_str(
        "### Many contenders for one lock\n\
         All started at once while another holds the lock; then as many that wait for it (`--wait-seconds`), and the holder \
         is ended by SIGTERM. An answer's time is from the start of the process, of which this machine runs as many at once \
         as it has cores.\n\n\
         | store | contenders | answered `1` | otherwise | median | worst | took over | after | waited in vain | stall |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} ms | {} ms | {} | {} ms | {} | {} ms |",
            row.backend.name(),
            row.contenders,
            row.ones,
            row.others.len(),
            row.median,
            row.worst,
            row.takers,
            row.taken_over,
            row.in_vain,
            row.stall,
        );
    }
    text.push('\n');
}

fn soak(text: &mut String, rows: &[Soak]) {
    text.push_str(
        "### Soak\n\
         A cycle is a whole life: start, `0`, SIGTERM, both processes gone. Beside the cycles one holder renews as often as its \
         options allow. Afterwards nothing may be left: no key, lease, lock, watcher, entry in a service map or a blocklist, \
         no file but the lock's own, no process, and no descriptor.\n\n\
         | store | cycles | failed | median (first, last quarter) | worst | holder | renewals due | lost | left behind | stall |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let [first, last] = row.quarters;
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} ms ({first}, {last}) | {} ms | {:.0} s | {} | {} | {} | {} ms |",
            row.backend.name(),
            row.cycles,
            row.failures.len(),
            row.median,
            row.worst,
            row.held,
            row.renewals,
            if row.lost.is_some() { "yes" } else { "no" },
            if row.left.is_empty() { "nothing".to_owned() } else { row.left.len().to_string() },
            row.stall,
        );
    }
    text.push_str(
        "\nFlat is what does not grow: looked at again and again, without a warm-up (the first tenth of the cycles, the first half of the holder's time), the median of the last quarter is not \
         above that of the first by more than the noise, which is the first quarter's own spread (5th to 95th percentile), and \
         at least a page of each process, or one descriptor. What would have shown is the noise over the events between those quarters.\n\n\
         | store | of | what | first quarter | last quarter | noise | flat | would have shown |\n\
         |---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let name = row.backend.name();
        for (of, part, course, shows) in courses(row) {
            let event = if of == "a cycle" { "cycle" } else { "renewal" };
            let Course { first, last, noise, .. } = course;
            let shows =
                shows.map_or_else(|| format!("{} in all", noise + 1), |bytes| format!("{bytes:.0} bytes a {event}"));
            let flat = if course.is_flat() { "yes" } else { "no" };
            let _ = writeln!(text, "| {name} | {of} | {part} | {first} | {last} | {noise} | {flat} | {shows} |");
        }
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::super::options::Backend;
    use super::*;
    use crate::circumstances::Circumstances;

    fn flat() -> Course {
        Course { first: 100, last: 100, noise: 8, looks: 200 }
    }

    fn good() -> Record {
        let courses = Courses { resident: flat(), anonymous: flat(), descriptors: flat(), threads: flat() };
        let none = Vec::new;
        Record {
            circumstances: Circumstances {
                date: "2026-11-27".to_owned(),
                command: "make scale".to_owned(),
                commit: "c".to_owned(),
                machine: "m".to_owned(),
                load: None,
                versions: Vec::new(),
            },
            many: vec![Many {
                backend: Backend::Etcd,
                locks: 300,
                seconds: 60.0,
                taken: 1.0,
                lost: none(),
                renewals: 170.0,
                renewals_due: 166.7,
                counted_by: "messages".to_owned(),
                pss: 204_800,
                pss_supervisor: 200,
                pss_worker: 500,
                threads: 3,
                descriptors: 21,
                cpu: 60.0,
                stall: 5,
                released: 0.2,
                left: none(),
            }],
            contenders: vec![Contenders {
                backend: Backend::File,
                contenders: 200,
                ones: 200,
                others: none(),
                median: 60,
                worst: 200,
                takers: 1,
                taken_over: 6,
                in_vain: 199,
                wait: 50,
                stall: 5,
                left: none(),
            }],
            soak: vec![Soak {
                backend: Backend::Rados,
                cycles: 10_000,
                failures: none(),
                median: 100,
                worst: 200,
                quarters: [100, 101],
                of_cycles: courses,
                held: 300.0,
                renewals: 1000,
                renewals_warm_up: 500,
                of_holder: courses,
                descriptors_of_store: flat(),
                lost: None,
                stall: 5,
                left: none(),
            }],
        }
    }

    #[test]
    fn a_good_record_has_no_complaint_and_shows_its_figures() {
        let record = good();
        assert_eq!(complaints(&record), Vec::<String>::new());
        let page = page(&record);
        for figure in
            ["170.0 (166.7)", "200.0 MiB", "200 + 500 KiB", "0.20 ms/s", "100 ms (100, 101)", "22 bytes a renewal"]
        {
            assert!(page.contains(figure), "no {figure:?} in {page}");
        }
    }

    /// Something that must not be, and a piece of what is said of it.
    type Wrong = (fn(&mut Record), &'static str);

    #[test]
    fn whatever_is_wrong_is_told() {
        let all: &[Wrong] = &[
            (|record| record.many[0].lost.push("lock-7".to_owned()), "lost lock-7"),
            (|record| record.many[0].left.push("the process 7".to_owned()), "the process 7"),
            (|record| record.many[0].renewals = 145.0, "145.0 renewals a second, not 166.7"),
            (|record| record.contenders[0].others.push("0: ".to_owned()), "answered 0"),
            (|record| record.contenders[0].takers = 2, "2 took over"),
            (|record| record.contenders[0].in_vain = 198, "198 of 200 did not"),
            (|record| record.contenders[0].left.push("the file x".to_owned()), "the file x"),
            (|record| record.soak[0].failures.push("cycle 7".to_owned()), "cycle 7"),
            (|record| record.soak[0].lost = Some("after 7 s".to_owned()), "after 7 s"),
            (|record| record.soak[0].left.push("the lease 7".to_owned()), "the lease 7"),
            (|record| record.soak[0].of_cycles.threads.last = 109, "threads of a cycle grew from 100 to 109"),
            (|record| record.soak[0].of_holder.anonymous.last = 109, "allocated memory, KiB of the holder grew"),
            (|record| record.soak[0].descriptors_of_store.last = 109, "descriptors of the store grew"),
        ];
        for (break_it, said) in all {
            let mut record = good();
            break_it(&mut record);
            let complaints = complaints(&record);
            assert!(complaints.len() == 1 && complaints[0].contains(said), "{said:?}: {complaints:?}");
        }
    }
}
