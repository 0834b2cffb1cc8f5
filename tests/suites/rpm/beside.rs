//! Ours beside the packages of the distributions, in one root.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use mutex_tests::packages::{NAME, names, rpm};
use mutex_tests::process::command::{output, run};
use mutex_tests::process::launch::Launch;
use mutex_tests::services::in_memory;
use rustix::process::Signal;

use crate::Case;
use crate::distributions::{DEBIAN, Distribution, EL9, FEDORA, NONE, OPENSUSE, Package};
use crate::events;
use crate::root::Root;

pub(crate) const CASES: &[Case] = &[
    ("beside Fedora's ctdb all install, verify, and are removed without a trace", || beside(&FEDORA)),
    ("beside EL9's ctdb all install, verify, and are removed without a trace", || beside(&EL9)),
    ("beside Debian's ctdb all install, verify, and are removed without a trace", || beside(&DEBIAN)),
    ("beside openSUSE's ctdb all install, verify, and are removed without a trace", || beside(&OPENSUSE)),
    ("a package that takes a file of ctdb's is refused, so that the cases before can fail", refused),
    ("without ctdb none is installed", without_ctdb),
    ("the event script is disabled at first, and the link of an enabled one goes with it", event_script),
    ("an update leaves the lock with its holder", update),
    ("the contract suite runs against what is installed", contract),
];

/// For an answer of a helper on a machine that is busy with other tests.
const LIMIT: Duration = Duration::from_secs(10);

fn beside(distribution: &Distribution) -> anyhow::Result<()> {
    let root = Root::of(distribution)?;
    let before = root.paths()?;
    let said = root.install(root.ours())?;
    ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let theirs: BTreeSet<_> = (distribution.packages)()?.iter().map(|package| package.name.to_owned()).collect();
    run(root.rpm(&["--verify"]).args(theirs).args(names()))?;
    let added: Vec<PathBuf> = root.paths()?.difference(&before).cloned().collect();
    for path in &added {
        let owner = output(root.rpm(&["-qf"]).arg(format!("/{}", path.strip_prefix(root.path())?.display())))?;
        ensure!(owner.status.success(), "{} is nobody's", path.display());
    }
    let helper = root.at(distribution.helpers).join("ctdb_mutex_file_helper");
    ensure!(added.contains(&helper), "no file helper");
    events::monitor(&root, distribution)?;
    run(root.rpm(&["--erase"]).args(names()))?;
    let after = root.paths()?;
    let left: Vec<_> = after.symmetric_difference(&before).collect();
    ensure!(left.is_empty(), "not as before: {left:#?}");
    Ok(())
}

fn refused() -> anyhow::Result<()> {
    for distribution in [FEDORA, EL9, DEBIAN, OPENSUSE] {
        let root = Root::with_ours(&distribution)?;
        let of_helpers = |name: &str| format!("{}/{name}", distribution.helpers);
        let script = "/usr/share/ctdb/events/legacy/01.reclock.script".to_owned();
        let taken = [
            (of_helpers("ctdb_mutex_fcntl_helper"), "ctdb-1-1"),
            (script, "ctdb-1-1"),
            (of_helpers("ctdb_mutex_file_helper"), NAME),
        ];
        for (file, owner) in taken {
            let bad = root.make(&Package { name: "bad", files: vec![file.clone()], directories: Vec::new() })?;
            let said = root.install(&[bad])?;
            let words = String::from_utf8_lossy(&said.stderr);
            let conflict = words.lines().any(|line| {
                line.contains(&file) && line.contains(&format!("conflicts with file from package {owner}"))
            });
            ensure!(!said.status.success() && conflict, "{}: {file}: {words}", distribution.name);
        }
    }
    Ok(())
}

fn without_ctdb() -> anyhow::Result<()> {
    let root = Root::of(&NONE)?;
    let said = root.install(root.ours())?;
    let words = String::from_utf8_lossy(&said.stderr);
    ensure!(!said.status.success() && words.contains("ctdb is needed by"), "{words}");
    Ok(())
}

fn event_script() -> anyhow::Result<()> {
    let root = Root::with_ours(&FEDORA)?;
    let link = root.at("/etc/ctdb/events/legacy/02.mutex.script");
    ensure!(link.symlink_metadata().is_err(), "enabled at once");
    // As `ctdb event script enable` makes it: that is done for real in the suite deb.
    symlink("/usr/share/ctdb/events/legacy/02.mutex.script", &link)?;
    run(root.rpm(&["--upgrade", "--force"]).arg(rpm(FEDORA.build, "-events")?))?;
    ensure!(link.symlink_metadata().is_ok(), "an update has disabled it");
    run(root.rpm(&["--erase"]).arg(format!("{NAME}-events")))?;
    ensure!(link.symlink_metadata().is_err(), "the link is left, and leads nowhere");
    Ok(())
}

fn update() -> anyhow::Result<()> {
    let root = Root::with_ours(&EL9)?;
    let dir = in_memory::directory("mutex-", 1 << 20)?;
    let lock = dir.path().join("lock");
    let helper = root.at("/usr/libexec/ctdb/ctdb_mutex_file_helper");
    let launch = || Launch::new(&helper, [lock.as_os_str()]).args(&["1", "2"]);
    let mut holder = launch().start()?;
    holder.expect('0', LIMIT)?;
    run(root.rpm(&["--upgrade", "--force"]).args(root.ours()))?;
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
    let root = Root::with_ours(&FEDORA)?;
    let script = std::fs::read_to_string(root.at("/usr/bin/ctdb-mutex-helpers-tests"))?;
    ensure!(script.contains("/usr/libexec/ctdb-mutex-helpers/tests/contract \"$@\""), "{script}");
    let suite = root.at("/usr/libexec/ctdb-mutex-helpers/tests/contract");
    let mut command = std::process::Command::new(suite);
    command.env("HELPER_DIR", root.at("/usr/libexec/ctdb")).args(["file-posix: ", "--test-threads", "4"]);
    let said = run(&mut command)?;
    ensure!(said.contains("test result: ok.") && !said.contains(" 0 passed"), "{said}");
    Ok(())
}
