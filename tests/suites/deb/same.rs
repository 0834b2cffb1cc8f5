//! The .debs hold what the RPMs hold, package by package, but for what is stated here.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, ensure};
use mutex_tests::packages::{NAME, SUFFIXES, deb, query, rpm};
use mutex_tests::process::command::run;

use crate::Case;

pub(crate) const CASES: &[Case] = &[
    ("each .deb has the files of its RPM, with their modes, but for the differences that are stated", same),
    ("each .deb says of itself what its RPM does", summaries),
];

/// What an RPM has (a path that ends with a slash: all below it), and where the .deb has it, if it does. The first that fits
/// is the one.
const DIFFERENCES: [(&str, Option<&str>); 5] = [
    // Debian's zsh looks there.
    ("/usr/share/zsh/site-functions/", Some("/usr/share/zsh/vendor-completions/")),
    // Debian has no directory for licences: `copyright` has these or says where they are.
    ("/usr/share/licenses/ctdb-mutex-helpers/LICENSE-MIT", None),
    ("/usr/share/licenses/ctdb-mutex-helpers/LICENSE-APACHE", None),
    ("/usr/share/licenses/ctdb-mutex-helpers/", Some("/usr/share/doc/ctdb-mutex-helpers/")),
    // In Debian's form and under its name.
    ("/usr/share/doc/ctdb-mutex-helpers/CHANGELOG.md", None),
];

/// What every .deb has in its own directory of documentation.
const OF_EVERY_DEB: [&str; 2] = ["copyright", "changelog.Debian"];

fn same() -> anyhow::Result<()> {
    let mut used = BTreeSet::new();
    let mut differences = Vec::new();
    for suffix in SUFFIXES {
        let mut wanted = BTreeMap::new();
        for (path, mode) in in_rpm(suffix)? {
            match DIFFERENCES.iter().find(|(from, _)| is_from(&path, from)) {
                None => drop(wanted.insert(path, mode)),
                Some((from, to)) => {
                    used.insert(*from);
                    if let Some(to) = to {
                        wanted.insert(path.replacen(from, to, 1), mode);
                    }
                }
            }
        }
        let mut found = in_deb(suffix)?;
        for name in OF_EVERY_DEB {
            let path = format!("/usr/share/doc/{NAME}{suffix}/{name}");
            ensure!(found.remove(&path).is_some(), "{suffix:?}: no {path}");
        }
        let only = |these: &BTreeMap<String, String>, those: &BTreeMap<String, String>, whose: &str| -> Vec<String> {
            let others = these.iter().filter(|(path, mode)| those.get(*path) != Some(mode));
            others.map(|(path, mode)| format!("{whose}{suffix} alone: {mode} {path}")).collect()
        };
        differences.extend(only(&wanted, &found, "RPM"));
        differences.extend(only(&found, &wanted, "deb"));
    }
    ensure!(differences.is_empty(), "not stated: {differences:#?}");
    let idle: Vec<_> = DIFFERENCES.iter().map(|(from, _)| from).filter(|from| !used.contains(*from)).collect();
    ensure!(idle.is_empty(), "stated, and no difference: {idle:?}");
    Ok(())
}

fn summaries() -> anyhow::Result<()> {
    for suffix in SUFFIXES {
        let wanted = query(&rpm("first", suffix)?, &["--queryformat", "%{SUMMARY}"])?.concat();
        let told = run(Command::new("dpkg-deb").arg("--field").arg(deb(suffix)?).arg("Description"))?;
        ensure!(told.lines().next() == Some(&*wanted), "{suffix:?}: {told:?}, and the RPM {wanted:?}");
    }
    Ok(())
}

fn is_from(path: &str, from: &str) -> bool {
    if from.ends_with('/') { path.starts_with(from) } else { path == from }
}

/// The files of an RPM, and their modes. Build ids are for its debuginfo; Debian has them in the name of a file there.
fn in_rpm(suffix: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let lines = query(&rpm("first", suffix)?, &["--queryformat", "[%{FILEMODES:perms} %{FILENAMES}\n]"])?;
    let files = lines.iter().filter_map(|line| line.split_once(' ')).filter(|(mode, _)| !mode.starts_with('d'));
    let files = files.filter(|(_, path)| !path.starts_with("/usr/lib/.build-id/"));
    Ok(files.map(|(mode, path)| (usual(path), mode.to_owned())).collect())
}

/// The same of a Debian package.
fn in_deb(suffix: &str) -> anyhow::Result<BTreeMap<String, String>> {
    let told = run(Command::new("dpkg-deb").arg("--contents").arg(deb(suffix)?))?;
    let mut files = BTreeMap::new();
    for line in told.lines().filter(|line| !line.starts_with('d')) {
        let mode = line.split(' ').next().context("an empty line")?;
        let (_, path) = line.split_once(" ./").with_context(|| format!("no path in {line:?}"))?;
        files.insert(usual(&format!("/{path}")), mode.to_owned());
    }
    Ok(files)
}

/// The path, but for what is the builder's matter: how a page or a changelog is compressed, and whether the directories of
/// documentation and licences have the version in their names, as with Debian's rpm.
fn usual(path: &str) -> String {
    let path = path.strip_suffix(".gz").unwrap_or(path);
    path.replacen(&format!("/{NAME}-{}/", env!("CARGO_PKG_VERSION")), &format!("/{NAME}/"), 1)
}
