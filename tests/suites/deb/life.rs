//! Installed, verified, enabled, refused, removed.

use std::fs;

use anyhow::ensure;
use mutex_tests::packages::{SUFFIXES, names};

use crate::Case;
use crate::system::System;

const SCRIPT: &str = "usr/share/ctdb/events/legacy/02.mutex.script";

/// Where CTDB's scripts keep what they know.
const STATES: &str = "var/lib/ctdb/scripts";

/// What `ctdb event script enable` makes.
const LINK: &str = "etc/ctdb/events/legacy/02.mutex.script";

pub(crate) const CASES: &[Case] = &[
    ("all packages beside ctdb: installed and verified; removed and purged, nothing is left", without_a_trace),
    ("the event script is enabled and disabled, and its link goes with its package", event_script),
    ("a package that takes a file of ctdb is refused", refused),
];

fn without_a_trace() -> anyhow::Result<()> {
    let all = names();
    let dpkg = |action| ["dpkg", action].into_iter().chain(all.iter().map(String::as_str)).collect::<Vec<_>>();
    let system = System::new()?;
    fs::create_dir(system.path().join("clusterfs"))?;
    system.configure("!/usr/libexec/ctdb/ctdb_mutex_file_helper /clusterfs/lock")?;
    let before = system.files()?;
    system.install(&SUFFIXES)?;
    let verified = system.run(&dpkg("--verify"))?;
    ensure!(verified.is_empty(), "dpkg --verify: {verified}");
    let enabled = system.path().join(LINK);
    ensure!(enabled.symlink_metadata().is_err(), "the event script is enabled from the start");
    let installed = system.files()?;
    ensure!(installed.len() >= before.len() + 20, "no more than {} files came", installed.len() - before.len());
    let nothing_left = |action: &str| -> anyhow::Result<()> {
        let after = system.files()?;
        let differ: Vec<_> = before.symmetric_difference(&after).collect();
        ensure!(differ.is_empty(), "after dpkg {action}: {differ:?}");
        Ok(())
    };
    monitor(&system)?;
    system.run(&dpkg("--remove"))?;
    nothing_left("--remove")?;
    // As a script does that still ran.
    fs::create_dir_all(system.path().join(STATES).join("mutex"))?;
    system.run(&dpkg("--purge"))?;
    nothing_left("--purge")?;
    // And both at once.
    system.install(&SUFFIXES)?;
    monitor(&system)?;
    system.run(&dpkg("--purge"))?;
    nothing_left("--purge of what is installed")
}

/// One `monitor` event, as ctdbd runs it; the script notes something.
fn monitor(system: &System) -> anyhow::Result<()> {
    let script = format!("/{SCRIPT}");
    let said = system.run(&["env", "CTDB_BASE=/etc/ctdb", &script, "monitor"])?;
    ensure!(said.starts_with("OK - "), "{said}");
    ensure!(system.path().join(STATES).join("mutex").is_dir(), "the script has no directory");
    Ok(())
}

fn event_script() -> anyhow::Result<()> {
    let system = System::installed()?;
    let link = system.path().join(LINK);
    let script = |what| system.run(&["ctdb", "event", "script", what, "legacy", "02.mutex"]);
    script("enable")?;
    ensure!(link.is_symlink(), "enabled, and no link");
    script("disable")?;
    ensure!(!link.is_symlink(), "disabled, and the link is still there");
    script("enable")?;
    system.run(&["dpkg", "--remove", "ctdb-mutex-helpers-events"])?;
    ensure!(!link.is_symlink(), "the package is gone, and its link dangles");
    Ok(())
}

fn refused() -> anyhow::Result<()> {
    let system = System::new()?;
    let bad = system.path().join("var/cache/bad");
    fs::create_dir_all(bad.join("DEBIAN"))?;
    fs::create_dir_all(bad.join("usr/libexec/ctdb"))?;
    fs::write(
        bad.join("DEBIAN/control"),
        "Package: bad\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@bad.invalid>\nDescription: takes a file\n",
    )?;
    fs::write(bad.join("usr/libexec/ctdb/ctdb_mutex_fcntl_helper"), "another\n")?;
    system.run(&["dpkg-deb", "--build", "/var/cache/bad", "/var/cache/bad.deb"])?;
    let output = system.output(&["dpkg", "--install", "/var/cache/bad.deb"])?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(!output.status.success() && said.contains("trying to overwrite"), "{}: {said}", output.status);
    Ok(())
}
