//! Temporary.
use mutex_evidence::campaign::{backends, checker, run, stage::Subject, tally::Tally};
use std::collections::BTreeMap;
use std::io::Write;
fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let subject = *Subject::ALL.iter().find(|s| s.name() == args[1]).unwrap();
    let seed: u64 = args[2].parse()?;
    let n: usize = args[3].parse()?;
    let (_, new) = backends()[0];
    let stage = new(5)?;
    let dir = tempfile::tempdir()?;
    let orders = run::Orders { subject, seed, until: run::Until::Faults(n) };
    let seen = run::run(stage.as_ref(), &orders, dir.path(), |n| {
        let _ = write!(std::io::stderr(), "{n} ");
    })?
    .unwrap();
    let rules = checker::Rules {
        times: stage.times(),
        own_table: run::kinds(stage.as_ref())
            .iter()
            .filter(|k| k.table == mutex_evidence::campaign::stage::Table::OwnTable)
            .map(|k| k.name.to_owned())
            .collect(),
        excused: BTreeMap::new(),
    };
    let verdict = checker::check(&seen.history, &rules);
    let tally = Tally::of(("etcd", subject.name(), seed, 5), &seen, &verdict, &rules);
    let mut out = std::io::stdout();
    writeln!(out, "{}", serde_json::to_string_pretty(&tally)?)?;
    for o in &verdict.overlaps {
        writeln!(out, "{o:?} {:?}", o.length())?;
    }
    let mut f = std::fs::File::create(format!("/tmp/wt/campaign-{}-{seed}.txt", subject.name()))?;
    for e in &seen.history {
        writeln!(f, "{} {}", e.at, e.what)?;
    }
    std::process::Command::new("cp")
        .arg("-r")
        .arg(dir.path())
        .arg(format!("/tmp/wt/campaign-{}-{seed}.d", subject.name()))
        .status()?;
    Ok(())
}
