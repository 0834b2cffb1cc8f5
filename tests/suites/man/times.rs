//! The times that pages name, beside those that the helpers keep: what `-v` says of them before a store is asked.

use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::process::launch::Launch;
use mutex_tests::process::programs;
use mutex_tests::wait::wait_for;

use crate::pages::{self, Page};
use crate::{Case, mdoc};

pub(crate) const CASES: &[Case] = &[
    ("the times of helpers: default and shortest are those of their pages", limits),
    ("the times of helpers: a lease's stall and end are those of the pages", leases),
    ("the times of helpers: a failure goes as the overview's timeline says", timeline),
];

const LIMIT: Duration = Duration::from_secs(10);

/// A helper, and arguments with which it comes to an end before it asks anybody.
struct Helper {
    program: &'static str,
    arguments: &'static [&'static str],
    /// As the overview calls it.
    name: &'static str,
}

const FILE: Helper =
    Helper { program: "ctdb_mutex_file_helper", arguments: &["--status", "/dev/null/none"], name: "file" };
const RADOS: Helper = Helper {
    program: "ctdb_mutex_rados_helper",
    arguments: &["--conf", "/dev/null/none", "ceph", "client.admin", "rbd", "lockctdb"],
    name: "RADOS",
};
const ETCD: Helper = Helper {
    program: "ctdb_mutex_etcd_helper",
    arguments: &["--endpoints", "https://127.0.0.1:1", "--cacert", "/dev/null/none", "ctdb/lock"],
    name: "etcd",
};
const HELPERS: [Helper; 3] = [FILE, RADOS, ETCD];

/// What it says of a lease, in seconds.
struct Times {
    lease: f64,
    every: f64,
    call: f64,
    close: f64,
}

impl Helper {
    /// The line about its times; `None` where it refuses them.
    fn says(&self, times: &[&str]) -> anyhow::Result<Option<String>> {
        // A helper waits for no log: on a busy machine the line may be missing, and so it is asked again.
        wait_for("a line about times", LIMIT, || self.says_now(times).transpose())?.0
    }

    /// The same of one run; `None` where it says neither the one nor the other.
    fn says_now(&self, times: &[&str]) -> anyhow::Result<Option<Option<String>>> {
        let arguments = [&["-v"], self.arguments, times].concat();
        let stderr = Launch::new(programs::helper(self.program)?, arguments).answer(LIMIT)?.stderr;
        if stderr.contains("; see --help") {
            return Ok(Some(None));
        }
        let line = stderr.lines().find(|line| line.contains("close ") && line.contains("lease"));
        Ok(line.and_then(|line| line.find("lease").map(|at| Some(line[at..].to_owned()))))
    }

    fn times(&self, arguments: &[&str]) -> anyhow::Result<Times> {
        let line = self.says(arguments)?.with_context(|| format!("{} {arguments:?}: no times", self.program))?;
        let number = |behind: &str| seconds(&line, behind).with_context(|| format!("{line:?}: no {behind:?}"));
        Ok(Times {
            lease: number("lease ")?,
            every: number("renew every ")?,
            call: number("may take ")?,
            close: number("close ")?,
        })
    }
}

/// The seconds that stand there.
fn seconds(line: &str, behind: &str) -> Option<f64> {
    let (_, rest) = line.split_once(behind)?;
    let word = rest.split([' ', ',', ':']).next()?;
    let milliseconds = word.strip_suffix("ms").and_then(|number| number.parse::<f64>().ok());
    milliseconds.map(|number| number / 1000.0).or_else(|| word.strip_suffix('s')?.parse().ok())
}

/// Said with no argument, the defaults come to the same; a second less than the shortest is refused.
fn limits() -> anyhow::Result<()> {
    for helper in HELPERS {
        let page = pages::of(helper.program)?;
        let items = mdoc::items(page.text.lines());
        let times: Vec<_> =
            items.iter().filter(|(head, _)| head.starts_with("Ar ") && head.ends_with("-SECONDS")).collect();
        let default = |text: &str| number_behind(text, "default is ");
        let defaults: Option<Vec<String>> = times.iter().map(|(_, text)| default(text)).collect();
        let defaults = defaults.filter(|defaults| !defaults.is_empty()).context("a time without a default")?;
        let arguments: Vec<&str> = defaults.iter().map(String::as_str).collect();
        let (none, same) = (helper.says(&[])?, helper.says(&arguments)?);
        ensure!(none.is_some() && none == same, "{}: default {defaults:?}: {same:?}, and {none:?}", page.title());
        for (at, (head, text)) in times.into_iter().enumerate() {
            let Some(shortest) = number_behind(text, "shortest ") else {
                ensure!(!head.contains("LEASE"), "{}: {head}: it is not said how short it may be", page.title());
                continue;
            };
            let shorter = shortest.parse::<u32>()?.checked_sub(1).context("nothing is shorter")?.to_string();
            let accepts = |seconds: &str| {
                let (before, behind) = arguments.split_at(at);
                let line = helper.says(&[before, &[seconds], &behind[1..]].concat());
                line.map(|line| line.is_some())
            };
            ensure!(accepts(&shortest)?, "{}: {head} {shortest} is refused", page.title());
            ensure!(!accepts(&shorter)?, "{}: {head} {shorter} is accepted", page.title());
        }
    }
    Ok(())
}

/// The number that stands there.
fn number_behind(text: &str, words: &str) -> Option<String> {
    let (_, rest) = text.split_once(words)?;
    let number: String = rest.chars().take_while(char::is_ascii_digit).collect();
    (!number.is_empty()).then_some(number)
}

fn leases() -> anyhow::Result<()> {
    for helper in [RADOS, ETCD] {
        let page = pages::of(helper.program)?;
        let part = mdoc::part(&page.text, ".Ss", "Time").context("no Time")?;
        let begins_with_a_number = |row: &Vec<&str>| row[0].starts_with(|first: char| first.is_ascii_digit());
        let rows: Vec<_> = rows(&part, 3).filter(begins_with_a_number).collect();
        ensure!(rows.len() > 1, "{}: no table of leases", page.title());
        for row in rows {
            let times = of_lease(&helper, row[0])?;
            shows(&page, &row, row[1], times.close - times.every)?;
            shows(&page, &row, row[2], times.close)?;
        }
        let words = mdoc::words(&part);
        let times = helper.times(&[])?;
        let early = format!("lets go {:.1} s before the lease could end", times.lease - times.close);
        ensure!(words.contains(&early), "{}: it {early}", page.title());
        let parts = "every fifth of it, with a quarter for the answer";
        let are = near(times.every, times.lease / 5.0) && near(times.call, times.lease / 4.0);
        ensure!(are && words.contains(parts), "{}: it is not said, or not so: {parts}", page.title());
    }
    in_the_overview()
}

fn in_the_overview() -> anyhow::Result<()> {
    let page = pages::of("ctdb-mutex-helpers")?;
    let part = mdoc::part(&page.text, ".Sh", "LEASES").context("no LEASES")?;
    let mut known = 0;
    for row in rows(&part, 4) {
        let Some((name, lease)) = row[0].split_once(", ") else { continue };
        let Some(helper) = [RADOS, ETCD].into_iter().find(|helper| helper.name == name) else { continue };
        known += 1;
        if lease == "0" {
            ensure!(row[1] == "never" && row[2] == "any", "{}: {row:?}", page.title());
            continue;
        }
        let times = of_lease(&helper, lease)?;
        ensure!(row[1] == format!("{} s", times.lease), "{}: {row:?}: {} s", page.title(), times.lease);
        shows(&page, &row, row[2], times.close - times.every)?;
    }
    ensure!(known > 3, "{}: leases of helpers: {known}", page.title());
    Ok(())
}

/// The columns of a table's rows.
fn rows<'a>(lines: &'a [&'a str], columns: usize) -> impl Iterator<Item = Vec<&'a str>> {
    let rows =
        lines.iter().filter_map(|line| line.strip_prefix(".It ")).map(|row| row.split(" Ta ").collect::<Vec<_>>());
    rows.filter(move |row| row.len() == columns && !row[0].starts_with("Em "))
}

/// The times of a lease; the default's where the page says that it is that.
fn of_lease(helper: &Helper, lease: &str) -> anyhow::Result<Times> {
    match lease.strip_suffix(" (default)") {
        Some(lease) => {
            let times = helper.times(&[])?;
            ensure!(times.lease.to_string() == lease, "{}: the default is {}", helper.name, times.lease);
            Ok(times)
        }
        None => helper.times(&[lease]),
    }
}

fn shows(page: &Page, row: &[&str], shown: &str, seconds: f64) -> anyhow::Result<()> {
    ensure!(shown == format!("{seconds:.1} s"), "{}: {row:?}: not {shown} but {seconds:.1} s", page.title());
    Ok(())
}

fn near(one: f64, other: f64) -> bool {
    (one - other).abs() < 0.001
}

/// The steps of the first list are those of RADOS's default lease.
fn timeline() -> anyhow::Result<()> {
    let page = pages::of("ctdb-mutex-helpers")?;
    let part = mdoc::part(&page.text, ".Sh", "FAILURE TIMELINE").context("no FAILURE TIMELINE")?;
    let shown: Vec<&str> = part.iter().filter_map(|line| line.strip_prefix(".It ")).take(4).collect();
    let Times { lease, every, call, close } = RADOS.times(&[])?;
    // The page has tenths, and the second is no later than it says.
    let tenth = |seconds: f64| format!("{:.1}", (seconds * 10.0 + 0.001).floor() / 10.0);
    let two = format!("{}, {}", tenth(every + call), tenth(every + 2.0 * call));
    let wanted = [tenth(every), two, tenth(close), tenth(lease)];
    ensure!(shown == wanted, "{}: {shown:?}, and it is {wanted:?}", page.title());
    Ok(())
}
