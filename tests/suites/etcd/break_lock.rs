//! `--break`: one holding is taken away, and no other.

use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::etcd::accounts::{CTDB, PREFIX, READER};
use mutex_tests::wait::wait_for;
use rustix::process::Signal;

use crate::clusters::{helper_as, with_users};
use crate::lock::Lock;
use crate::relay::{Held, Relay};
use crate::told::{ask, status};
use crate::{Case, GONE, NOISE};

pub(crate) const CASES: &[Case] = &[
    ("--break of a lock that ours holds: the holder's pipe ends, and another takes it", holder_lives),
    ("--break of a lock that etcdctl holds: the next in line has it", held_by_etcdctl),
    ("--break of a key without a lease: another takes the lock", without_lease),
    ("--break of a holding that is over does nothing, exit code 1, and the next holder keeps the lock", another_holder),
    ("--break of a key that was made anew does nothing, exit code 1", made_anew),
    ("--break with what is no token of this lock: 3 with one line, and no key is deleted", no_token),
    ("--break by a user with rights on the lock's keys alone, and not by one who may only read", users),
    ("--break with a member silent: broken", member_frozen),
    ("--break whose answer is lost on the way: gone, and it is said that nobody knows by whom", answer_lost),
    ("--break without a quorum: 2 with one line that says that the outcome is not known", no_quorum),
];

/// A renewal and the time for its answer, with a lease of 3 s; noise included.
const NOTICED: Duration = Duration::from_millis(600 + 750).saturating_add(NOISE);

/// What was printed, the exit code and standard error.
type Said = (String, i32, String);

/// The token of who has the lock now.
fn token(lock: &Lock) -> anyhow::Result<String> {
    let said = status(lock, lock.helper(&[])?)?;
    Ok(said["token"].as_str().with_context(|| format!("no token: {said}"))?.to_owned())
}

fn break_it(lock: &Lock, token: &str) -> anyhow::Result<Said> {
    ask(lock.helper(&[&format!("--break={token}")])?, ANSWER_LIMIT)
}

fn expect_broken((text, code, stderr): &Said) -> anyhow::Result<()> {
    ensure!(*code == 0 && stderr.is_empty() && text.starts_with("broken: "), "exit code {code}, {text:?}, {stderr:?}");
    Ok(())
}

fn expect_not_held((text, code, stderr): &Said) -> anyhow::Result<()> {
    ensure!(
        *code == 1 && stderr.is_empty() && text.starts_with("not held: "),
        "exit code {code}, {text:?}, {stderr:?}"
    );
    Ok(())
}

fn holder_lives() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let holder = lock.holder(&["3"])?;
    expect_broken(&break_it(&lock, &token(&lock)?)?)?;
    ensure!(!lock.is_held()?, "it is not free");
    holder.end(NOTICED)?;
    holder.gone(GONE)?;
    lock.holder(&["3"]).map(drop)
}

fn held_by_etcdctl() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let first = lock.etcd.etcdctl_lock(&lock.key)?;
    let second = lock.etcd.etcdctl_lock(&lock.key)?;
    expect_broken(&break_it(&lock, &token(&lock)?)?)?;
    let line = lock.line()?;
    ensure!(line == [second.key().clone()], "{:?} was broken, and in line are {line:?}", first.key());
    Ok(())
}

fn without_lease() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    lock.etcd.etcdctl(&["put", &format!("{}/by hand:%3a", lock.key), "x"])?;
    expect_broken(&break_it(&lock, &token(&lock)?)?)?;
    lock.holder(&["3"]).map(drop)
}

fn another_holder() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let first = lock.holder(&["3"])?;
    let old = token(&lock)?;
    first.signal(Signal::TERM)?;
    first.gone(GONE)?;
    lock.wait_free(GONE)?;
    expect_not_held(&break_it(&lock, &old)?)?;
    let next = lock.holder(&["3"])?;
    expect_not_held(&break_it(&lock, &old)?)?;
    // At the first nobody listens: a request to it is none that may have done it.
    let endpoints = format!("http://127.0.0.1:1,{}", lock.etcd.endpoint(1));
    let launch = lock.helper(&[&format!("--break={old}")])?.env("ETCDCTL_ENDPOINTS", endpoints);
    expect_not_held(&ask(launch, ANSWER_LIMIT)?)?;
    ensure!(lock.line()?.len() == 1, "in line: {:?}", lock.line()?);
    next.pipe()?.stays_silent(NOTICED)
}

/// As by somebody who chooses the same name again.
fn made_anew() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let key = format!("{}/1", lock.key);
    lock.etcd.etcdctl(&["put", &key, "x"])?;
    let old = token(&lock)?;
    lock.etcd.etcdctl(&["del", &key])?;
    lock.etcd.etcdctl(&["put", &key, "y"])?;
    expect_not_held(&break_it(&lock, &old)?)?;
    ensure!(lock.line()?.len() == 1, "the key is gone");
    Ok(())
}

fn no_token() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let holder = lock.holder(&["3"])?;
    let another = lock.another();
    let theirs = another.holder(&["3"])?;
    let token = token(&lock)?;
    let (key, revision) = token.rsplit_once(':').context("a token without a revision")?;
    let long = format!("{}/{}:{revision}", lock.key, "x".repeat(5000));
    let wrong = [
        "",
        key,
        &format!("{key}:"),
        &format!("{key}:0"),
        &format!("{key}:-1"),
        &format!("{token}:"),
        &format!("%:{revision}"),
        &format!("{}:{revision}", lock.key),
        &format!("{PREFIX}:{revision}"),
        &long,
        "\u{1b}[2J",
        // A key that is there, of another lock.
        &self::token(&another)?,
    ];
    for wrong in wrong {
        let (text, code, stderr) = break_it(&lock, wrong)?;
        ensure!(code == 3 && text.is_empty(), "{wrong:?}: exit code {code}, {text:?}, {stderr:?}");
        ensure!(stderr.lines().count() == 1 && stderr.contains("token"), "{wrong:?}: {stderr:?}");
    }
    holder.pipe()?.stays_silent(NOTICED)?;
    ensure!(theirs.pipe()?.is_silent() && another.is_held()?, "the other lock was broken");
    Ok(())
}

fn users() -> anyhow::Result<()> {
    let lock = with_users()?;
    let holder = helper_as(&lock, Some(CTDB), &["3"])?.start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    let option = format!("--break={}", token(&lock)?);
    let (text, code, stderr) = ask(helper_as(&lock, Some(READER), &[&option])?, ANSWER_LIMIT)?;
    ensure!(code == 3 && text.is_empty() && stderr.lines().count() == 1, "exit code {code}, {text:?}, {stderr:?}");
    ensure!(stderr.contains("grant-permission") && lock.is_held()?, "{stderr:?}");
    expect_broken(&ask(helper_as(&lock, Some(CTDB), &[&option])?, ANSWER_LIMIT)?)?;
    holder.end(NOTICED).map(drop)
}

/// That which is asked first. Asked again at another, the key may be gone by the first request.
fn member_frozen() -> anyhow::Result<()> {
    let lock = Lock::alone()?;
    let holder = lock.holder(&["3"])?;
    let token = token(&lock)?;
    let [member, _] = lock.etcd.followers()?;
    let fault = lock.etcd.member_frozen(member);
    let _frozen = fault.inject()?;
    let endpoints = [member, lock.etcd.leader()?].map(|member| lock.etcd.endpoint(member)).join(",");
    let launch = lock.helper(&["--break", &token])?.env("ETCDCTL_ENDPOINTS", endpoints);
    expect_broken(&ask(launch, ANSWER_LIMIT)?)?;
    ensure!(!lock.is_held()?, "it is not free");
    holder.end(NOTICED).map(drop)
}

/// The next member is asked, and has no such key any more.
fn answer_lost() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let holder = lock.holder(&["3"])?;
    let token = token(&lock)?;
    // Its first request asks which cluster this is, its second looks at the key.
    let relay = Relay::new(&lock.etcd, 0, Held::Answers, 3)?;
    let endpoints = format!("{},{}", relay.endpoint(), lock.etcd.endpoint(1));
    let said = ask(lock.helper(&["--break", &token])?.env("ETCDCTL_ENDPOINTS", endpoints), ANSWER_LIMIT)?;
    expect_broken(&said)?;
    ensure!(said.0.contains("without an answer"), "{:?}", said.0);
    ensure!(!lock.is_held()?, "it is not free");
    holder.end(NOTICED).map(drop)
}

fn no_quorum() -> anyhow::Result<()> {
    let lock = Lock::alone()?;
    // It stays in etcd for as long as nobody deletes it.
    lock.etcd.etcdctl(&["put", &format!("{}/1", lock.key), "x"])?;
    let token = token(&lock)?;
    let survivor = lock.etcd.leader()?;
    let fault = lock.etcd.quorum_frozen(survivor);
    let _frozen = fault.inject()?;
    let knows = || lock.etcd.etcdctl_at(survivor, &["get", "x"]).is_err().then_some(());
    wait_for("the survivor to know that it is alone", ANSWER_LIMIT, knows)?;
    let launch = lock.helper(&["--break", &token, "--acquire-timeout-seconds", "2"])?;
    let (text, code, stderr) = ask(launch, Duration::from_secs(2) + GONE)?;
    ensure!(code == 2 && text.is_empty(), "exit code {code}, {text:?}, {stderr:?}");
    let says = stderr.lines().count() == 1 && stderr.contains("not known") && stderr.contains(&lock.key);
    ensure!(says, "{stderr:?}");
    Ok(())
}
