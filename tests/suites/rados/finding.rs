//! The way to the cluster: configuration, keys and environment, as librados finds them.

use std::fs;

use anyhow::{Context, ensure};
use mutex_tests::process::launch::{Launch, Stderr};
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::ceph::{ADMIN, CONF_VARIABLE, POOL};
use rustix::process::Signal;

use crate::{Case, GONE, Lock, conf, helper};

pub(crate) const CASES: &[Case] = &[
    ("--conf leads to the cluster", || leads("--conf")),
    ("CEPH_CONF leads to the cluster", || leads("CEPH_CONF")),
    ("CEPH_ARGS alone leads to the cluster", || leads("CEPH_ARGS")),
    ("USER without its type is a client", without_type),
    ("a user with no more than the recommended caps holds, is a contender, and asks", recommended_caps),
    ("a lock in a namespace is another one than its namesake", namespace),
    ("no admin socket is left behind", no_admin_socket),
    ("a talkative librados does not wait for whoever reads -v", talkative),
];

/// Holds, and lets go.
fn holds(launch: Launch) -> anyhow::Result<()> {
    let holder = launch.start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    holder.signal(Signal::TERM)?;
    holder.gone(GONE).map(drop)
}

fn leads(by: &str) -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let arguments = ["ceph", ADMIN, POOL, &lock.object, "4"];
    let conf = lock.ceph.conf();
    let launch = match by {
        "--conf" => helper(&arguments)?.arg("--conf").arg(conf),
        "CEPH_CONF" => helper(&arguments)?.env(CONF_VARIABLE, conf),
        _ => {
            let mon_host = conf::value(conf, "mon host")?;
            let keyring = conf.with_file_name(format!("{ADMIN}.keyring"));
            // A cluster of this name has no configuration anywhere.
            helper(&["none-of-this-name", ADMIN, POOL, &lock.object, "4"])?
                .env("CEPH_ARGS", format!("--mon-host {mon_host} --keyring {}", keyring.display()))
        }
    };
    holds(launch).context(by.to_owned())
}

fn without_type() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    holds(helper(&["ceph", "admin", POOL, &lock.object])?.env(CONF_VARIABLE, lock.ceph.conf()))
}

fn recommended_caps() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let user = format!("client.{}", lock.object);
    let osd = format!("allow x pool={POOL} object_prefix {}", lock.object);
    lock.ceph.add_user(&user, &[("mon", "allow r"), ("osd", &osd)])?;
    let launch =
        || Ok::<_, anyhow::Error>(helper(&["ceph", &user, POOL, &lock.object])?.env(CONF_VARIABLE, lock.ceph.conf()));
    let holder = launch()?.start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    let contender = launch()?.start()?;
    contender.expect('1', ANSWER_LIMIT)?;
    for question in ["--status", "--health"] {
        let mut asked = launch()?.arg(question).start()?;
        ensure!(asked.exit_code(ANSWER_LIMIT)? == 0, "{question}: {}", asked.stderr()?);
    }
    holder.signal(Signal::TERM)?;
    holder.gone(GONE)?;
    lock.wait_free(GONE)
}

fn namespace() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let _plain = lock.holder(&["4"])?;
    let _named = lock.holder(&["4", "-n", "of-its-own"])?;
    let again = lock.helper(&["4", "--namespace", "of-its-own"])?.start()?;
    again.expect('1', ANSWER_LIMIT)?;
    ensure!(lock.ceph.lock_info(Some("of-its-own"), &lock.object)?.is_some(), "rados does not see it there");
    Ok(())
}

fn no_admin_socket() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let dir = tempfile::tempdir()?;
    let socket = format!("[client]\nadmin socket = {}/$pid.asok\n", dir.path().display());
    let conf = conf::changed(lock.ceph.conf(), "[client]\n", &socket)?;
    let start = || lock.helper(&["4", "--conf"])?.arg(conf.path()).start();
    let holder = start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    let contender = start()?;
    contender.expect('1', ANSWER_LIMIT)?;
    contender.gone(GONE)?;
    holder.signal(Signal::TERM)?;
    holder.gone(GONE)?;
    ensure!(fs::read_dir(dir.path())?.next().is_none(), "something was left in the directory of admin sockets");
    Ok(())
}

fn talkative() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let debug = "--debug-ms 20 --debug-objecter 20 --log-to-stderr=true --err-to-stderr=true";
    holds(lock.helper(&["4", "-v"])?.env("CEPH_ARGS", debug).stderr(Stderr::Full))
}
