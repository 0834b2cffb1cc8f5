//! The module for SELinux in Debian's own policy: what that policy allows before, with and after it.
//!
//! The policy is linked and asked in a root; no kernel enforces it. The module is what the .deb and the RPM have, and is loaded by
//! their scripts.
//!
//! | module | what is in it |
//! |---|---|
//! | `policy` | a compiled policy, asked as the kernel would |

mod policy;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use mutex_tests::packages::{deb, rpm, unpacked_deb, unpacked_rpm};
use mutex_tests::process::command::run;

use crate::Case;
use crate::system::System;

use self::policy::Policy;

pub(crate) const CASES: &[Case] = &[
    ("the SELinux module of the .deb is that of the RPM", same_bytes),
    ("Debian's SELinux policy lets ctdbd connect to etcd and Ceph with the module, and not without", connects),
];

/// What CTDB runs in.
const DOMAIN: &str = "ctdbd_t";

/// The module as it is named in a policy.
const MODULE: &str = "ctdb_mutex_helpers";

/// Where etcd, Ceph's monitors (new and old) and its other daemons listen by default.
fn stores() -> BTreeSet<u16> {
    [2379, 3300, 6789].into_iter().chain(6800..=7300).collect()
}

/// Of services with a type of their own: SSH, HTTP, PostgreSQL. The module is not for these.
const OTHERS: [u16; 3] = [22, 80, 5432];

fn same_bytes() -> anyhow::Result<()> {
    let unpacked = [unpacked_deb(&deb("-selinux")?)?, unpacked_rpm(&rpm("first", "-selinux")?)?];
    for kind in ["pp", "te"] {
        let path = format!("usr/share/selinux/packages/{MODULE}.{kind}");
        let read = |root: &Path| fs::read(root.join(&path)).with_context(|| format!("read {path}"));
        ensure!(read(unpacked[0].path())? == read(unpacked[1].path())?, "/{path} differs");
    }
    Ok(())
}

fn connects() -> anyhow::Result<()> {
    let system = System::new()?;
    // The package is there before there is a policy: it goes into that one as soon as it comes.
    system.install(&["", "-selinux"])?;
    system.run(&["apt-get", "-qq", "update"])?;
    system.run(&["apt-get", "-qq", "--yes", "--no-install-recommends", "install", "selinux-policy-default"])?;
    helpers_are_in_the_domain(&system)?;
    with(&system).context("a policy after the .deb")?;
    system.run(&["dpkg", "--remove", "ctdb-mutex-helpers-selinux"])?;
    without(&system).context("after the .deb")?;

    let package = rpm("first", "-selinux")?;
    let of_root = |arguments: &[&str]| {
        let mut rpm = Command::new("rpm");
        // What it requires has other names here, and Debian's rpm has its database elsewhere.
        rpm.arg("--root").arg(system.path()).args(["--dbpath", "/var/lib/rpm", "--nodeps"]).args(arguments);
        rpm
    };
    run(of_root(&["--install"]).arg(&package))?;
    with(&system).context("the RPM")?;
    // The old one's script runs after the new one's.
    run(of_root(&["--upgrade", "--force"]).arg(&package))?;
    with(&system).context("after an update of the RPM")?;
    run(&mut of_root(&["--erase", "ctdb-mutex-helpers-selinux"]))?;
    without(&system).context("after the RPM")?;

    system.install(&["-selinux"])?;
    with(&system).context("the .deb after a policy")
}

/// That the helpers need no domain, nor file contexts, of their own.
fn helpers_are_in_the_domain(system: &System) -> anyhow::Result<()> {
    for helper in ["file", "rados", "etcd"] {
        let path = format!("/usr/libexec/ctdb/ctdb_mutex_{helper}_helper");
        let label = system.run(&["matchpathcon", "-n", &path])?;
        ensure!(label.trim() == "system_u:object_r:bin_t:s0", "{path} would be {label}");
    }
    ensure!(Policy::of_root(&system.path())?.runs_as_itself(DOMAIN, "bin_t")?, "{DOMAIN} becomes another with bin_t");
    Ok(())
}

fn with(system: &System) -> anyhow::Result<()> {
    let modules = system.run(&["semodule", "--list-modules=full"])?;
    let ours = modules.lines().any(|line| line.split_whitespace().take(2).eq(["200", MODULE]));
    ensure!(ours, "the policy has no module {MODULE} at priority 200");
    let policy = Policy::of_root(&system.path())?;
    let refused: BTreeSet<_> = &stores() - &policy.connects(DOMAIN, &stores())?;
    ensure!(refused.is_empty(), "it may not connect to {refused:?}");
    let too = policy.connects(DOMAIN, &OTHERS.into())?;
    ensure!(too.is_empty(), "it may connect to {too:?} as well");
    Ok(())
}

fn without(system: &System) -> anyhow::Result<()> {
    let modules = system.run(&["semodule", "--list-modules=full"])?;
    ensure!(!modules.contains(MODULE), "the policy has the module {MODULE}");
    let may = Policy::of_root(&system.path())?.connects(DOMAIN, &stores())?;
    ensure!(may.is_empty(), "it may connect to {may:?}");
    Ok(())
}
