//! `--break`: one holding is taken away, and no other.

use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::process::answer::Answer;
use mutex_tests::process::helper::Helper;
use mutex_tests::process::launch::Launch;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::ceph::{CONF_VARIABLE, POOL};
use mutex_tests::wait::wait_for;
use rustix::process::Signal;
use serde_json::Value;

use crate::{Case, GONE, Lock, NOISE, helper};

pub(crate) const CASES: &[Case] = &[
    ("--break of a lock that ours holds: the holder's pipe ends, and another takes it", holder_lives),
    ("--break of a lock that Samba's helper holds takes it away", held_by_samba),
    ("--break of a lock without expiry whose host is dead: another takes it", holder_dead),
    ("--break of a holding that is over does nothing, exit code 1, and the next holder keeps the lock", another_holder),
    ("--break takes one of several who share a lock", one_of_several),
    ("--break with what is no token: 3 with one line, and nothing is done", no_token),
    ("--break by a user with the documented caps", documented_caps),
    ("--break by a user whose caps are too small: 3 with one line, and nothing is done", small_caps),
    ("--break that is answered late, when it was given up once: broken", late),
    ("--break that is not answered: 2 with one line that says that the outcome is not known", unanswered),
];

/// A renewal and the time for its answer, with a lease of 4 s; noise included.
const NOTICED: Duration = Duration::from_millis(800 + 1000).saturating_add(NOISE);

fn ask(launch: Launch, limit: Duration) -> anyhow::Result<(String, i32, String)> {
    let Answer { code, stdout, stderr } = launch.answer(limit)?;
    Ok((String::from_utf8(stdout)?, code, stderr))
}

/// The token of who has the lock now.
fn token(lock: &Lock) -> anyhow::Result<String> {
    let (text, ..) = ask(lock.helper(&["--status", "--json"])?, ANSWER_LIMIT)?;
    let answer: Value = serde_json::from_str(&text).with_context(|| format!("not JSON: {text:?}"))?;
    Ok(answer["token"].as_str().with_context(|| format!("no token: {answer}"))?.to_owned())
}

/// Breaks it as the admin.
fn break_it(lock: &Lock, token: &str) -> anyhow::Result<(String, i32, String)> {
    ask(lock.helper(&[&format!("--break={token}")])?, ANSWER_LIMIT)
}

fn expect_broken(answer: &(String, i32, String)) -> anyhow::Result<()> {
    let (text, code, stderr) = answer;
    ensure!(*code == 0 && stderr.is_empty() && text.starts_with("broken: "), "exit code {code}, {text:?}, {stderr:?}");
    Ok(())
}

/// A holder whose first renewal has taken the try's lease away, killed with its worker.
fn dead_holder(lock: &Lock) -> anyhow::Result<Helper> {
    let holder = lock.holder(&["0"])?;
    let lasting = || lock.info().ok()??.expires.is_none().then_some(());
    wait_for("the lock to have no expiration", ANSWER_LIMIT, lasting)?;
    holder.worker()?.signal(Signal::KILL)?;
    holder.gone(GONE)?;
    Ok(holder)
}

fn holder_lives() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let holder = lock.holder(&["4"])?;
    let info = lock.info()?.context("nobody holds the lock although a taker was answered 0")?;
    let answer = break_it(&lock, &token(&lock)?)?;
    expect_broken(&answer)?;
    let fence = format!("ceph osd blocklist add {}`", info.address);
    ensure!(answer.0.contains(&info.client) && answer.0.contains(&fence), "{:?}", answer.0);
    ensure!(lock.info()?.is_none(), "it is not free");
    holder.end(NOTICED)?;
    holder.gone(GONE)?;
    lock.holder(&["4"]).map(drop)
}

/// It takes the lock again with its next renewal, where nobody else has it by then.
fn held_by_samba() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let theirs = lock.samba(&["60"])?.start()?;
    theirs.expect('0', ANSWER_LIMIT).context("Samba's helper")?;
    expect_broken(&break_it(&lock, &token(&lock)?)?)?;
    lock.holder(&["4"]).map(drop)
}

fn holder_dead() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let _dead = dead_holder(&lock)?;
    lock.helper(&["0"])?.start()?.expect('1', ANSWER_LIMIT).context("a dead host keeps the lock")?;
    expect_broken(&break_it(&lock, &token(&lock)?)?)?;
    lock.holder(&["0"]).map(drop)
}

fn another_holder() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let first = lock.holder(&["4"])?;
    let old = token(&lock)?;
    first.signal(Signal::TERM)?;
    first.gone(GONE)?;
    lock.wait_free(GONE)?;
    for next in [None, Some(lock.holder(&["4"])?)] {
        let before = lock.info()?.map(|info| info.client);
        let (text, code, stderr) = break_it(&lock, &old)?;
        ensure!(
            code == 1 && stderr.is_empty() && text.starts_with("not held: "),
            "exit code {code}, {text:?}, {stderr:?}"
        );
        ensure!(lock.info()?.map(|info| info.client) == before, "{before:?} has become {:?}", lock.info()?);
        if let Some(next) = next {
            next.pipe()?.stays_silent(NOTICED)?;
        }
    }
    Ok(())
}

/// Somebody else's program does so; a cookie of theirs is any text.
fn one_of_several() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let shared = ["lock", "get", &lock.object, "ctdb_reclock_mutex", "--lock-type", "shared", "--lock-cookie"];
    for cookie in ["a:b c%3a", "\u{202e}\u{fc}"] {
        lock.ceph.rados(&[&["--pool", POOL][..], &shared, &[cookie]].concat())?;
    }
    for _ in 0..2 {
        expect_broken(&break_it(&lock, &token(&lock)?)?)?;
    }
    ensure!(lock.info()?.is_none(), "it is not free");
    Ok(())
}

fn no_token() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let holder = lock.holder(&["4"])?;
    let token = token(&lock)?;
    let client = token.split(':').next().unwrap_or_default();
    let long = format!("{client}:{}", "x".repeat(5000));
    for wrong in
        ["", client, "client.:c", "client.-1:c", &format!("{token}:"), &format!("{token}%"), &long, "\u{1b}[2J"]
    {
        let (text, code, stderr) = break_it(&lock, wrong)?;
        ensure!(code == 3 && text.is_empty(), "{wrong:?}: exit code {code}, {text:?}, {stderr:?}");
        ensure!(stderr.lines().count() == 1 && stderr.contains("token"), "{wrong:?}: {stderr:?}");
    }
    // Of the same client, with a cookie that nobody has.
    let (_, code, stderr) = break_it(&lock, &format!("{client}:x"))?;
    ensure!(code == 1, "exit code {code}, {stderr:?}");
    holder.pipe()?.stays_silent(NOTICED)
}

/// The helper as a user with these caps for the OSDs.
fn break_as(lock: &Lock, osd: &str) -> anyhow::Result<(String, i32, String)> {
    let user = format!("client.{}", lock.object);
    lock.ceph.add_user(&user, &[("mon", "allow r"), ("osd", osd)])?;
    let launch = helper(&["ceph", &user, POOL, &lock.object, "--break", &token(lock)?])?;
    ask(launch.env(CONF_VARIABLE, lock.ceph.conf()), ANSWER_LIMIT)
}

fn documented_caps() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let holder = lock.holder(&["4"])?;
    expect_broken(&break_as(&lock, &format!("allow x pool={POOL} object_prefix {}", lock.object))?)?;
    holder.end(NOTICED).map(drop)
}

/// Enough for `--status`.
fn small_caps() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let holder = lock.holder(&["4"])?;
    let (text, code, stderr) = break_as(&lock, &format!("allow class lock get_info pool={POOL}"))?;
    ensure!(code == 3 && text.is_empty(), "exit code {code}, {text:?}, {stderr:?}");
    ensure!(stderr.lines().count() == 1 && stderr.contains("allow x pool"), "{stderr:?}");
    holder.pipe()?.stays_silent(NOTICED)
}

/// Asked a second time, the store can only say that the lock is gone. Once the core gives the call up, which is waited for
/// then all the same; once librados does.
fn late() -> anyhow::Result<()> {
    let lock = Lock::alone(1)?;
    let given_up_by = [
        ("", "does not answer", "was taken away"),
        ("--rados_osd_op_timeout=1", "cannot break the lock", "without an answer"),
    ];
    for (ceph_args, given_up, outcome) in given_up_by {
        let _dead = dead_holder(&lock)?;
        let token = token(&lock)?;
        let fault = lock.ceph.replica_frozen(&lock.object)?;
        let frozen = fault.inject()?;
        let options = ["4", "--break", &token, "-v", "--acquire-timeout-seconds", "20"];
        let mut breaking = lock.helper(&options)?.env("CEPH_ARGS", ceph_args).start()?;
        let said =
            || breaking.stderr().is_ok_and(|log| log.contains("Retrying") && log.contains(given_up)).then_some(());
        wait_for("a call to be given up", ANSWER_LIMIT, said)?;
        frozen.heal()?;
        let code = breaking.exit_code(ANSWER_LIMIT)?;
        let log = breaking.stderr()?;
        ensure!(code == 0 && log.contains(outcome), "exit code {code}, {log:?}");
        ensure!(lock.info()?.is_none(), "it is not free");
    }
    Ok(())
}

/// The request waits in the OSD for the one with the other copy: done after the thaw, though nobody waits for it any more.
fn unanswered() -> anyhow::Result<()> {
    let lock = Lock::alone(1)?;
    let _dead = dead_holder(&lock)?;
    let token = token(&lock)?;
    let fault = lock.ceph.replica_frozen(&lock.object)?;
    let frozen = fault.inject()?;
    let limit = Duration::from_secs(3);
    let launch = lock.helper(&["--break", &token, "--acquire-timeout-seconds", "3"])?;
    let (text, code, stderr) = ask(launch, limit + GONE)?;
    ensure!(code == 2 && text.is_empty(), "exit code {code}, {text:?}, {stderr:?}");
    ensure!(stderr.lines().count() == 1 && stderr.contains("not known") && stderr.contains(&lock.name()), "{stderr:?}");
    frozen.heal()?;
    lock.wait_free(ANSWER_LIMIT)
}
