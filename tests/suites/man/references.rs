//! The pages that a page refers to.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::pages;
use crate::{Case, mdoc};

pub(crate) const CASES: &[Case] =
    &[("every page that a page refers to exists here or in a package that we require", references)];

/// Where the pages of others are from: CTDB's, which our packages require, and Ceph's commands, which are there where a lock
/// is on Ceph.
const PACKAGES: [&str; 2] = ["ctdb", "ceph-common"];

/// The kernel's calls that pages refer to. No program requires the package of their pages, on any distribution.
const CALLS: [&str; 2] = ["fcntl.2", "flock.2"];

fn references() -> anyhow::Result<()> {
    let pages = pages::all()?;
    let mut known: BTreeSet<String> = pages.iter().map(|page| format!("{}.{}", page.name, page.section)).collect();
    known.extend(CALLS.map(str::to_owned));
    for package in PACKAGES {
        known.extend(of(package)?);
    }
    for page in &pages {
        for (name, section) in mdoc::references(&page.text) {
            ensure!(known.contains(&format!("{name}.{section}")), "{}: there is no {name}({section})", page.title());
        }
    }
    Ok(())
}

/// The pages of a package, as the package manager lists them: a small image leaves the files themselves out.
fn of(package: &str) -> anyhow::Result<Vec<String>> {
    let output = Command::new("/usr/bin/dpkg").args(["-L", package]).output().context("run dpkg")?;
    ensure!(output.status.success(), "install the package {package}, whose manual pages ours refer to");
    let list = String::from_utf8(output.stdout).context("a list of files")?;
    let files = list.lines().filter_map(|path| path.strip_prefix("/usr/share/man/man")?.split_once('/'));
    Ok(files.map(|(_, file)| file.trim_end_matches(".gz").to_owned()).collect())
}
