//! Ours beside the packages of the distributions, in one root.

use std::os::unix::fs::symlink;
use std::time::Duration;

use anyhow::ensure;
use mutex_tests::process::launch::Launch;
use mutex_tests::services::in_memory;
use rustix::process::Signal;

use crate::Case;
use crate::distributions::{ALL, Distribution};
use crate::packages::{INSTALLED, NAME, installed, output, package, run};
use crate::root::Root;

pub(crate) const CASES: &[Case] = &[
    ("beside Fedora's ctdb all install, verify, and are removed without a trace", || beside(&ALL[0])),
    ("beside EL9's ctdb all install, verify, and are removed without a trace", || beside(&ALL[1])),
    ("beside Debian's ctdb all install, verify, and are removed without a trace", || beside(&ALL[2])),
    ("a package that takes a file of ctdb's is refused, so that the cases before can fail", refused),
    ("without ctdb none is installed", without_ctdb),
    ("the event script is disabled at first, and the link of an enabled one goes with it", event_script),
    ("an update leaves the lock with its holder", update),
    ("the contract suite runs against what is installed", contract),
];

/// For an answer of a helper on a machine that is busy with other tests.
const LIMIT: Duration = Duration::from_secs(10);

/// The distribution's root, and ours in it.
fn with_ours(distribution: &Distribution) -> anyhow::Result<Root> {
    let root = Root::of(distribution)?;
    let said = root.install(&installed()?)?;
    ensure!(said.status.success(), "{}: {}", distribution.name, String::from_utf8_lossy(&said.stderr));
    Ok(root)
}

fn names() -> Vec<String> {
    INSTALLED.iter().map(|suffix| format!("{NAME}{suffix}")).collect()
}

fn beside(distribution: &Distribution) -> anyhow::Result<()> {
    let root = Root::of(distribution)?;
    let before = root.paths()?;
    let said = root.install(&installed()?)?;
    ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let all: Vec<String> = distribution.packages.iter().map(|package| package.name.to_owned()).chain(names()).collect();
    run(root.rpm(&["--verify"]).args(&all))?;
    let added: Vec<_> = root.paths()?.difference(&before).cloned().collect();
    for path in &added {
        let owner = output(root.rpm(&["-qf"]).arg(format!("/{}", path.strip_prefix(root.path())?.display())))?;
        ensure!(owner.status.success(), "{} is nobody's", path.display());
    }
    ensure!(added.iter().any(|path| path.ends_with("usr/libexec/ctdb/ctdb_mutex_file_helper")), "no file helper");
    run(root.rpm(&["--erase"]).args(names()))?;
    let after = root.paths()?;
    let left: Vec<_> = after.symmetric_difference(&before).collect();
    ensure!(left.is_empty(), "not as before: {left:#?}");
    Ok(())
}

fn refused() -> anyhow::Result<()> {
    for distribution in &ALL {
        let root = with_ours(distribution)?;
        let taken = "/usr/libexec/ctdb/ctdb_mutex_fcntl_helper";
        let script = "/usr/share/ctdb/events/legacy/01.reclock.script";
        let ours = "/usr/libexec/ctdb/ctdb_mutex_file_helper";
        for (file, owner) in [(taken, "ctdb-1-1"), (script, "ctdb-1-1"), (ours, NAME)] {
            let bad = root.make("bad", &[file], &[])?;
            let said = root.install(&[bad])?;
            let words = String::from_utf8_lossy(&said.stderr);
            let conflict = words
                .lines()
                .any(|line| line.contains(file) && line.contains(&format!("conflicts with file from package {owner}")));
            ensure!(!said.status.success() && conflict, "{}: {file}: {words}", distribution.name);
        }
    }
    Ok(())
}

fn without_ctdb() -> anyhow::Result<()> {
    let root = Root::of(&Distribution { name: "none", packages: &[] })?;
    let said = root.install(&installed()?)?;
    let words = String::from_utf8_lossy(&said.stderr);
    ensure!(!said.status.success() && words.contains("ctdb is needed by"), "{words}");
    Ok(())
}

fn event_script() -> anyhow::Result<()> {
    let root = with_ours(&ALL[0])?;
    let link = root.at("/etc/ctdb/events/legacy/02.mutex.script");
    ensure!(link.symlink_metadata().is_err(), "enabled at once");
    let events = format!("{NAME}-events");
    // As `ctdb event script enable` makes it.
    symlink("/usr/share/ctdb/events/legacy/02.mutex.script", &link)?;
    run(root.rpm(&["--upgrade", "--force"]).arg(package("-events")?))?;
    ensure!(link.symlink_metadata().is_ok(), "an update has disabled it");
    run(root.rpm(&["--erase"]).arg(&events))?;
    ensure!(link.symlink_metadata().is_err(), "the link is left, and leads nowhere");
    Ok(())
}

fn update() -> anyhow::Result<()> {
    let root = with_ours(&ALL[1])?;
    let dir = in_memory::directory("mutex-", 1 << 20)?;
    let lock = dir.path().join("lock");
    let helper = root.at("/usr/libexec/ctdb/ctdb_mutex_file_helper");
    let launch = || Launch::new(&helper, [lock.as_os_str()]).args(&["1", "2"]);
    let mut holder = launch().start()?;
    holder.expect('0', LIMIT)?;
    run(root.rpm(&["--upgrade", "--force"]).args(installed()?))?;
    // The one that is installed now, and the holder's program is no more.
    ensure!(launch().start()?.status(LIMIT)? == '1', "the lock is not held any more");
    // Two proofs later.
    holder.pipe()?.stays_silent(Duration::from_secs(3))?;
    holder.signal(Signal::TERM)?;
    ensure!(holder.exit_code(LIMIT)? == 0, "{}", holder.stderr()?);
    let mut next = launch().start()?;
    next.expect('0', LIMIT)?;
    next.signal(Signal::TERM)?;
    ensure!(next.exit_code(LIMIT)? == 0, "{}", next.stderr()?);
    Ok(())
}

fn contract() -> anyhow::Result<()> {
    let root = with_ours(&ALL[0])?;
    let script = std::fs::read_to_string(root.at("/usr/bin/ctdb-mutex-helpers-tests"))?;
    ensure!(script.contains("/usr/libexec/ctdb-mutex-helpers/tests/contract \"$@\""), "{script}");
    let suite = root.at("/usr/libexec/ctdb-mutex-helpers/tests/contract");
    let mut command = std::process::Command::new(suite);
    command.env("HELPER_DIR", root.at("/usr/libexec/ctdb")).args(["file-posix: ", "--test-threads", "4"]);
    let said = run(&mut command)?;
    ensure!(said.contains("test result: ok.") && !said.contains(" 0 passed"), "{said}");
    Ok(())
}
