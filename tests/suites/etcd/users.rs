//! Users: who is refused and why, and that no password is ever shown.

use std::fs;

use anyhow::{Context, ensure};
use mutex_tests::process::Process;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::etcd::accounts::{Account, CTDB, READER, ROOT};
use rustix::process::Signal;

use crate::clusters::{helper_as, with_certificates, with_users};
use crate::lock::{Lock, helper};
use crate::told::{Log, answer, ends, refuses, status};
use crate::{Case, GONE};

pub(crate) const CASES: &[Case] = &[
    ("a user with rights on the lock's keys alone takes it and lets it go", enough_rights),
    ("a wrong password: 3 with one line that names the user", || {
        refused(Some(Account { user: "ctdb", password: "wrong-secret" }), "the user ctdb is refused")
    }),
    ("an unknown user: 3 with one line that names the user", || {
        refused(Some(Account { user: "nobody", password: "wrong-secret" }), "the user nobody is refused")
    }),
    ("no user where etcd wants one: 3 with one line that says so", || refused(None, "none is named")),
    ("a user where etcd has none takes the lock, as with etcdctl", user_where_off),
    ("a user who may only read: 3 with one line, and nothing left behind", reader),
    ("a user who may only read is told who holds the lock", reader_asks),
    ("a user without rights: 3 with one line whose command is enough", rights_that_are_enough),
    ("a certificate without rights: 3 with one line that says so", certificate_without_rights),
    ("no password in any message, argument list or help", no_password_shown),
];

fn enough_rights() -> anyhow::Result<()> {
    let lock = with_users()?;
    let holder = helper_as(&lock, Some(CTDB), &["4"])?.start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    helper_as(&lock, Some(CTDB), &["4"])?.start()?.expect('1', ANSWER_LIMIT)?;
    holder.signal(Signal::TERM)?;
    holder.gone(GONE)?;
    lock.wait_free(GONE)
}

fn refused(account: Option<Account>, names: &str) -> anyhow::Result<()> {
    let lock = with_users()?;
    let line = refuses(&lock, helper_as(&lock, account, &[])?, &[names, &lock.key, "--user"])?;
    ensure!(!line.contains("secret"), "the line {line:?} shows the password");
    Ok(())
}

fn user_where_off() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let holder = helper_as(&lock, Some(CTDB), &[])?.start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    ensure!(lock.is_held()?, "0 without a key");
    Ok(())
}

fn reader() -> anyhow::Result<()> {
    let lock = with_users()?;
    let before = lock.etcd.leases()?;
    let names = ["the user reader may not", "etcdctl role grant-permission", &lock.key];
    refuses(&lock, helper_as(&lock, Some(READER), &["86400"])?, &names)?;
    // Those of others come and go, and last for seconds.
    let more: Vec<i64> = lock.etcd.leases()?.into_iter().filter(|lease| !before.contains(lease)).collect();
    for lease in more {
        let left = lock.etcd.etcdctl(&["lease", "timetolive", &format!("{lease:x}")])?;
        ensure!(!left.contains("granted with TTL(86400s)"), "a lease is left behind: {left}");
    }
    Ok(())
}

fn reader_asks() -> anyhow::Result<()> {
    let lock = with_users()?;
    let _holder = lock.holder(&["4"])?;
    let answer = status(&lock, helper_as(&lock, Some(READER), &[])?)?;
    ensure!(answer["state"] == "held" && answer["holder"]["host"].is_string(), "{answer}");
    ensure!(answer["holder"]["lease_left_seconds"].is_number(), "{answer}");
    Ok(())
}

fn rights_that_are_enough() -> anyhow::Result<()> {
    let lock = with_users()?;
    // A name that is nobody else's.
    let user: &'static str = lock.key.replace('/', "-").leak();
    let account = Account { user, password: "some-secret" };
    lock.etcd.etcdctl(&["user", "add", user, "--new-user-password", account.password])?;
    lock.etcd.etcdctl(&["role", "add", user])?;
    lock.etcd.etcdctl(&["user", "grant-role", user, user])?;
    let line = refuses(&lock, helper_as(&lock, Some(account), &[])?, &[user])?;

    let command = line.split('`').nth(1).with_context(|| format!("no command in {line:?}"))?;
    let words: Vec<&str> = command.split(' ').map(|word| if word == "ROLE" { user } else { word }).collect();
    ensure!(words.first() == Some(&"etcdctl") && words.contains(&user), "{command:?}");
    lock.etcd.etcdctl(words.get(1..).unwrap_or_default())?;
    let holder = helper_as(&lock, Some(account), &[])?.start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    ensure!(lock.is_held()?, "0 without a key");
    // And no more than that.
    let mut other = lock.another();
    other.key.push_str("-more");
    refuses(&other, helper_as(&other, Some(account), &[])?, &[user]).map(drop)
}

fn certificate_without_rights() -> anyhow::Result<()> {
    let mut lock = with_certificates()?;
    lock.key = lock.key.replace("locks/", "elsewhere/");
    let names = ["the user of the certificate may not", "etcdctl role grant-permission", &lock.key];
    refuses(&lock, helper_as(&lock, None, &[])?, &names).map(drop)
}

fn no_password_shown() -> anyhow::Result<()> {
    let lock = with_users()?;
    let none = |what: &str, text: &str| {
        ensure!(!text.contains(CTDB.password), "the password is in {what}: {text:?}");
        Ok(())
    };
    let both = format!("{}:{}", CTDB.user, CTDB.password);
    for (name, value) in [("ETCDCTL_PASSWORD", CTDB.password), ("ETCDCTL_USER", both.as_str())] {
        let account = Account { password: "", ..CTDB };
        let (holder, mut log) = Log::of(helper_as(&lock, Some(account), &["4", "-v"])?.env(name, value))?;
        holder.expect('0', ANSWER_LIMIT)?;
        let worker = holder.worker()?;
        for process in [holder.supervisor(), &worker] {
            none("an argument list", &arguments(process)?)?;
        }
        none("--help", &answer(helper(&["--help"])?.env(name, value))?)?;
        answer(helper_as(&lock, Some(account), &["--health"])?.env(name, value))?;
        holder.signal(Signal::TERM)?;
        holder.gone(GONE)?;
        // It writes there too.
        worker.wait_gone(GONE)?;
        let log = log.read()?;
        ensure!(log.lines().count() > 2, "little is said at -v: {log:?}");
        none("what -v says", &log)?;
        lock.wait_free(GONE)?;
    }
    // The right one for another name.
    let account = Account { user: ROOT.user, ..CTDB };
    let (mut refused, mut log) = Log::of(helper_as(&lock, Some(account), &["-v"])?)?;
    let worker = refused.worker()?;
    refused.expect('3', ANSWER_LIMIT)?;
    refused.exit_code(GONE)?;
    worker.wait_gone(GONE)?;
    none("a refusal at -v", &log.read()?)?;
    none("a refusal", &ends(helper_as(&lock, Some(account), &[])?, '3', &["the user root is refused"])?)
}

fn arguments(process: &Process) -> anyhow::Result<String> {
    let list = fs::read(format!("/proc/{}/cmdline", process.pid()))?;
    Ok(String::from_utf8_lossy(&list).into_owned())
}
