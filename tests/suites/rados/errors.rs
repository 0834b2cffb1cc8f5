//! What goes wrong, in words (P7): the byte, the exit code and one line that names the thing and what to do.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use mutex_tests::process::helper::Helper;
use mutex_tests::process::launch::Launch;
use mutex_tests::process::programs;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::ceph::{ADMIN, CONF_VARIABLE, POOL};
use mutex_tests::wait::wait_for;

use crate::{Case, GONE, Lock, conf, helper, trial};

/// A command line that is refused; `%` stands for an object that nobody has.
const BAD_INPUTS: &[(&str, &[&str], &str)] = &[
    ("no arguments", &[], "CLUSTER"),
    ("no OBJECT", &["ceph", "client.admin", "rbd"], "OBJECT"),
    ("an empty OBJECT", &["ceph", "client.admin", "rbd", ""], "OBJECT"),
    ("an empty POOL", &["ceph", "client.admin", "", "%"], "POOL"),
    ("an empty USER", &["ceph", "", "rbd", "%"], "USER"),
    ("an empty CLUSTER", &["", "client.admin", "rbd", "%"], "CLUSTER"),
    ("an empty namespace", &["ceph", "client.admin", "rbd", "%", "-n", ""], "namespace"),
    ("LEASE-SECONDS not a number", &["ceph", "client.admin", "rbd", "%", "ten"], "ten"),
    ("LEASE-SECONDS negative", &["ceph", "client.admin", "rbd", "%", "-4"], "-4"),
    ("LEASE-SECONDS a fraction", &["ceph", "client.admin", "rbd", "%", "4.5"], "4.5"),
    ("LEASE-SECONDS too short for a second try", &["ceph", "client.admin", "rbd", "%", "2"], "lease of 2 s"),
    ("LEASE-SECONDS longer than a day", &["ceph", "client.admin", "rbd", "%", "86401"], "86401"),
    ("one argument too many", &["ceph", "client.admin", "rbd", "%", "4", "-R", "more"], "more"),
    ("an unknown option", &["ceph", "client.admin", "rbd", "%", "--leese"], "--leese"),
    ("a pool that does not exist", &["ceph", "client.admin", "no-such-pool", "%"], "ceph osd pool create no-such-pool"),
    ("a user without a key", &["ceph", "client.nobody", "rbd", "%"], "client.nobody"),
    (
        "a configuration file that does not exist",
        &["ceph", "client.admin", "rbd", "%", "--conf", "/no/file"],
        "/no/file",
    ),
];

/// A cluster or a way to it that is not as it should be.
const TROUBLES: &[Case] = &[
    ("no configuration of the cluster: 3 with one line that names the file", no_conf),
    ("a configuration that cannot be parsed: 3 with one line that names it", bad_conf),
    ("a configuration that may not be read: 3 with one line that says so", unreadable_conf),
    ("a configuration without monitors: silence, then 2 with one line that names mon_host", no_monitors),
    ("a monitor's name that cannot be resolved: silence, then 2 with one line that names it", no_name),
    ("no keyring: 3 with one line that names it", no_keyring),
    ("a keyring that cannot be understood: 3 with one line that names it", bad_keyring),
    ("a keyring that may not be read: 3 with one line that says so", unreadable_keyring),
    ("a key that is refused: 3 with one line that names user and keyring", wrong_key),
    ("caps that are too small: 3 with one line that says which are enough", small_caps),
    ("caps for another object: 3 with one line that says which are enough", other_caps),
    ("no caps for the monitors: 3 with one line that names the user", no_monitor_caps),
    ("monitors that nobody can reach: silence, then 2 with one line that names them", no_answer),
    ("a client whose address is blocklisted: 3 with one line that says so", blocklisted),
    ("a full cluster: 2 with one line that says so, and whoever holds a lock keeps it", full),
];

pub(crate) fn trials() -> Vec<Trial> {
    let bad_inputs = BAD_INPUTS
        .iter()
        .map(|&(name, arguments, names)| trial(format!("{name}: 3 with one line"), move || refused(arguments, names)));
    bad_inputs.chain(TROUBLES.iter().map(|&(name, run)| trial(name, run))).collect()
}

fn refused(arguments: &[&str], names: &str) -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let arguments: Vec<&str> =
        arguments.iter().map(|&argument| if argument == "%" { &lock.object } else { argument }).collect();
    let started = helper(&arguments)?.env(CONF_VARIABLE, lock.ceph.conf()).start()?;
    ends(started, '3', names)?;
    ensure!(lock.info()?.is_none(), "something was taken");
    Ok(())
}

/// The byte, then the end, the exit code of the same number, and one line with this in it.
fn ends(mut started: Helper, status: char, names: &str) -> anyhow::Result<()> {
    started.expect(status, ANSWER_LIMIT + GONE)?;
    started.end(GONE)?;
    let code = started.exit_code(GONE)?;
    ensure!(char::from_digit(u32::try_from(code)?, 10) == Some(status), "exit code {code} after {status}");
    let line = started.one_line()?;
    ensure!(line.contains(names), "the line {line:?} does not name {names}");
    Ok(())
}

/// The helper with this configuration file.
fn with_conf(lock: &Lock, conf: &Path) -> anyhow::Result<Launch> {
    Ok(helper(&["ceph", ADMIN, POOL, &lock.object])?.arg("--conf").arg(conf))
}

fn no_conf() -> anyhow::Result<()> {
    ends(helper(&["none-of-this-name", ADMIN, POOL, "x"])?.start()?, '3', "/etc/ceph/none-of-this-name.conf")
}

fn bad_conf() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let conf = conf::changed(lock.ceph.conf(), "[global]", "[global")?;
    ends(with_conf(&lock, conf.path())?.start()?, '3', &conf.path().display().to_string())
}

/// The helper as a user who may read nothing of ours.
fn as_nobody(lock: &Lock, conf: &Path) -> anyhow::Result<Launch> {
    let setpriv = programs::packaged("/usr/bin/setpriv", "util-linux")?;
    let helper = programs::helper("ctdb_mutex_rados_helper")?.display().to_string();
    let arguments = ["--reuid=65534", "--clear-groups", &helper, "ceph", ADMIN, POOL, &lock.object];
    Ok(Launch::new(setpriv, arguments).arg("--conf").arg(conf))
}

fn unreadable_conf() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let conf = conf::changed(lock.ceph.conf(), "[global]", "[global]")?;
    ends(as_nobody(&lock, conf.path())?.start()?, '3', "Permission denied")
}

/// Where the name service is asked, it may be down: waiting can cure it.
fn no_monitors() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let conf = conf::changed(lock.ceph.conf(), "mon host", "some host")?;
    let launch = with_conf(&lock, conf.path())?.args(&["--acquire-timeout-seconds", "2"]);
    ends(launch.start()?, '2', "mon_host")
}

fn no_name() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let host = conf::value(lock.ceph.conf(), "mon host")?;
    let conf = conf::changed(lock.ceph.conf(), &host, "no.such.host.invalid")?;
    let launch = with_conf(&lock, conf.path())?.args(&["--acquire-timeout-seconds", "2"]);
    ends(launch.start()?, '2', "no.such.host.invalid")
}

/// The cluster's configuration with another keyring for clients.
fn with_keyring(lock: &Lock, keyring: &str) -> anyhow::Result<tempfile::NamedTempFile> {
    conf::changed(lock.ceph.conf(), "[client]\n", &format!("[client.admin]\nkeyring = {keyring}\n[client]\n"))
}

fn no_keyring() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let conf = with_keyring(&lock, "/no/keyring")?;
    ends(with_conf(&lock, conf.path())?.start()?, '3', "/no/keyring")
}

fn bad_keyring() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let keyring = tempfile::NamedTempFile::new()?;
    std::fs::write(keyring.path(), "no keyring at all")?;
    let place = keyring.path().display().to_string();
    let conf = with_keyring(&lock, &place)?;
    ends(with_conf(&lock, conf.path())?.start()?, '3', &format!("in {place} cannot be understood"))
}

fn unreadable_keyring() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let keyring = tempfile::NamedTempFile::new()?;
    let conf = with_keyring(&lock, &keyring.path().display().to_string())?;
    // The file of a temporary name is for its owner alone.
    std::fs::set_permissions(conf.path(), std::fs::Permissions::from_mode(0o644))?;
    ends(as_nobody(&lock, conf.path())?.start()?, '3', &format!("{}: Permission denied", keyring.path().display()))
}

fn wrong_key() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let keyring = tempfile::NamedTempFile::new()?;
    let place = keyring.path().display().to_string();
    std::fs::write(keyring.path(), "[client.admin]\nkey = AQBqDSBpAAAAABAAF4Zf8yqvJvhIbCXxkFQ7nw==\n")?;
    let conf = with_keyring(&lock, &place)?;
    ends(
        with_conf(&lock, conf.path())?.start()?,
        '3',
        &format!("client.admin is refused: no key or a wrong one in {place}"),
    )
}

/// A user with these caps tries.
fn with_caps(caps: &[(&str, &str)], names: impl Fn(&str, &Lock) -> String) -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let user = format!("client.{}", lock.object);
    lock.ceph.add_user(&user, caps)?;
    let started = helper(&["ceph", &user, POOL, &lock.object])?.env(CONF_VARIABLE, lock.ceph.conf()).start()?;
    ends(started, '3', &names(&user, &lock))?;
    ensure!(lock.info()?.is_none(), "something was taken");
    Ok(())
}

fn enough(user: &str, lock: &Lock) -> String {
    let object = &lock.object;
    format!(
        "{user} are too small; it needs at least mon 'allow r' osd 'allow x pool=\"{POOL}\" object_prefix \"{object}\"'"
    )
}

fn small_caps() -> anyhow::Result<()> {
    with_caps(&[("mon", "allow r"), ("osd", "allow rw")], enough)
}

fn other_caps() -> anyhow::Result<()> {
    with_caps(&[("mon", "allow r"), ("osd", "allow x pool=rbd object_prefix other")], enough)
}

fn no_monitor_caps() -> anyhow::Result<()> {
    with_caps(&[("osd", "allow x pool=rbd")], |user, _| format!("{user} is refused"))
}

/// An address of loopback at which nobody listens.
fn no_answer() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let host = conf::value(lock.ceph.conf(), "mon host")?;
    let conf = conf::changed(lock.ceph.conf(), &host, "[v2:127.0.0.1:1]")?;
    let launch = with_conf(&lock, conf.path())?.args(&["--acquire-timeout-seconds", "5"]);
    ends(launch.start()?, '2', "127.0.0.1:1")
}

/// Every client of the machine: a new one has a new nonce.
fn blocklisted() -> anyhow::Result<()> {
    let lock = Lock::alone(1)?;
    let seen = lock.holder(&["4"])?;
    let info = lock.info()?.context("nobody holds the lock although a taker was answered 0")?;
    let address = info.address.split(':').next().unwrap_or_default().to_owned();
    drop(seen);
    lock.ceph.ceph(&["osd", "blocklist", "add", &address])?;
    ends(lock.helper(&[])?.start()?, '3', "blocklist")
}

fn full() -> anyhow::Result<()> {
    let lock = Lock::alone(1)?;
    let holder = lock.holder(&["4"])?;
    for ratio in ["set-nearfull-ratio", "set-backfillfull-ratio", "set-full-ratio"] {
        lock.ceph.ceph(&["osd", ratio, "0.0000000001"])?;
    }
    let known = || lock.ceph.ceph(&["health"]).is_ok_and(|health| health.contains("pool(s) full")).then_some(());
    wait_for("the cluster to know that it is full", ANSWER_LIMIT * 5, known)?;
    let other = Lock::on(lock.ceph.clone());
    ends(other.helper(&["4", "--acquire-timeout-seconds", "3"])?.start()?, '2', "full")?;
    holder.pipe()?.stays_silent(ANSWER_LIMIT)?;
    Ok(())
}
