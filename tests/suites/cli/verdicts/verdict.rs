//! What `test` said of each rule.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::process::answer::Answer;
use mutex_tests::process::launch::Launch;
use serde_json::Value;

use super::store::{Commands, Store};
use crate::tool;

/// All rules one after the other, most of which wait for a lease, on a machine that runs other trials.
pub(super) const LIMIT: Duration = Duration::from_secs(300);

/// One rule's.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) id: String,
    pub(super) word: String,
    pub(super) why: String,
}

/// `ctdb-mutex test` about to be started on a lock whose lease is so many seconds.
pub(super) fn test(lock: &str, lease: u32, options: &[&str]) -> anyhow::Result<Launch> {
    let lease = lease.to_string();
    tool::tool([&["test", lock, "--lease-seconds", &lease], options].concat())
}

/// The same with every rule that a store's commands allow.
pub(super) fn test_all(
    lock: &str,
    lease: u32,
    store: &impl Store,
    commands: &Commands,
    options: &[&str],
) -> anyhow::Result<Launch> {
    let [freeze, thaw, take_away] = [commands.freeze(), commands.thaw(), commands.take_away()];
    let with = ["--freeze", &freeze, "--thaw", &thaw, "--break", &take_away];
    let launch = test(lock, lease, &[&with, options].concat())?;
    Ok(store.environment().into_iter().fold(launch, |launch, (name, value)| launch.env(name, value)))
}

/// Reads the answer to `--json`, which must be whole: a plan, the rules that it announces, and a result that counts them.
pub(super) fn read(answer: &Answer) -> anyhow::Result<Vec<Verdict>> {
    let objects = tool::objects(answer)?;
    let said = || format!("it said {:?} and {:?}", answer.stderr, tool::text(answer));
    let of = |event: &str| objects.iter().filter(move |object| object["event"] == *event).collect::<Vec<_>>();
    let (plans, rules, results) = (of("plan"), of("rule"), of("result"));
    let ([plan], [result]) = (&plans[..], &results[..]) else {
        anyhow::bail!("not one plan and one result; {}", said());
    };
    ensure!(plan["rules"].as_u64() == Some(rules.len() as u64), "not as many rules as the plan says; {}", said());
    let text = |object: &Value, key: &str| object[key].as_str().unwrap_or_default().to_owned();
    let verdicts: Vec<_> = rules
        .iter()
        .map(|rule| Verdict { id: text(rule, "id"), word: text(rule, "verdict"), why: text(rule, "why") })
        .collect();
    for (key, word) in [("ok", "ok"), ("not_ok", "not ok"), ("advice", "advice"), ("skipped", "skipped")] {
        let counted = verdicts.iter().filter(|verdict| verdict.word == word).count();
        ensure!(result[key].as_u64() == Some(counted as u64), "{key} is not {counted}; {}", said());
    }
    let failed = verdicts.iter().any(|verdict| verdict.word == "not ok");
    tool::expect_code(answer, i32::from(failed))?;
    Ok(verdicts)
}

/// Every rule was tried, and holds; nothing had to be killed.
pub(super) fn ensure_all_ok(verdicts: &[Verdict]) -> anyhow::Result<()> {
    let other: Vec<_> = verdicts.iter().filter(|verdict| verdict.word != "ok" || !verdict.why.is_empty()).collect();
    ensure!(!verdicts.is_empty() && other.is_empty(), "not all is well: {other:#?}");
    Ok(())
}

/// They are those in a file of tests/expected: a line `ID VERDICT` each, in their order.
pub(super) fn ensure_as_expected(verdicts: &[Verdict], file: &str) -> anyhow::Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("expected").join(file);
    let text = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    let expected: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let got: Vec<String> = verdicts.iter().map(|verdict| format!("{} {}", verdict.id, verdict.word)).collect();
    ensure!(expected == got, "expected in {file}: {expected:#?}\nbut got: {got:#?}\nwith these reasons: {verdicts:#?}");
    Ok(())
}
