//! The .debs hold what the RPMs hold, package by package, but for what is stated here.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, ensure};
use mutex_tests::packages::{NAME, SUFFIXES, deb, query, rpm};
use mutex_tests::process::command::run;

use crate::Case;

pub(crate) const CASES: &[Case] =
    &[("each .deb has the files of its RPM, with their modes, but for the differences that are stated", same)];

/// How Debian has a file, or a directory's files, that the RPM has.
enum Debian {
    /// At another place.
    At(&'static str),
    /// Not in this package.
    Without,
}
use Debian::{At, Without};

/// What the RPM of this package has (a name that ends with a slash: all below it), and Debian.
const DIFFERENCES: &[(&str, &str, Debian)] = &[
    // Its zsh looks there.
    ("", "/usr/share/zsh/site-functions/", At("/usr/share/zsh/vendor-completions/")),
    // It has no directory for licences: the lists are documentation, and `copyright` has or names the texts.
    (
        "",
        "/usr/share/licenses/ctdb-mutex-helpers/LICENSE.dependencies",
        At("/usr/share/doc/ctdb-mutex-helpers/LICENSE.dependencies"),
    ),
    (
        "",
        "/usr/share/licenses/ctdb-mutex-helpers/cargo-vendor.txt",
        At("/usr/share/doc/ctdb-mutex-helpers/cargo-vendor.txt"),
    ),
    ("", "/usr/share/licenses/ctdb-mutex-helpers/LICENSE-MIT", At("/usr/share/doc/ctdb-mutex-helpers/copyright")),
    ("", "/usr/share/licenses/ctdb-mutex-helpers/LICENSE-APACHE", Without),
    // In Debian's form.
    ("", "/usr/share/doc/ctdb-mutex-helpers/CHANGELOG.md", At("/usr/share/doc/ctdb-mutex-helpers/changelog.Debian")),
];

/// What every .deb has in a directory of its own, and the RPMs have in the first alone.
const OF_EVERY_DEB: [&str; 2] = ["copyright", "changelog.Debian"];

fn same() -> anyhow::Result<()> {
    let mut used = BTreeSet::new();
    let mut differences = Vec::new();
    for suffix in SUFFIXES {
        let mut wanted = BTreeMap::new();
        for (path, mode) in in_rpm(suffix)? {
            match DIFFERENCES.iter().position(|(of, from, _)| *of == suffix && is_from(&path, from)) {
                None => drop(wanted.insert(path, mode)),
                Some(at) => {
                    used.insert(at);
                    let (_, from, debian) = &DIFFERENCES[at];
                    if let At(to) = debian {
                        wanted.insert(path.replacen(from, to, 1), mode);
                    }
                }
            }
        }
        let mut found = in_deb(suffix)?;
        if !suffix.is_empty() {
            for name in OF_EVERY_DEB {
                let path = format!("/usr/share/doc/ctdb-mutex-helpers{suffix}/{name}");
                ensure!(found.remove(&path).is_some(), "{suffix:?}: no {path}");
            }
        }
        let only = |these: &BTreeMap<String, String>, those: &BTreeMap<String, String>, whose: &str| -> Vec<String> {
            let others = these.iter().filter(|(path, mode)| those.get(*path) != Some(mode));
            others.map(|(path, mode)| format!("{whose}{suffix} alone: {mode} {path}")).collect()
        };
        differences.extend(only(&wanted, &found, "RPM"));
        differences.extend(only(&found, &wanted, "deb"));
    }
    ensure!(differences.is_empty(), "not stated: {differences:#?}");
    let idle: Vec<_> = (0..DIFFERENCES.len()).filter(|at| !used.contains(at)).map(|at| DIFFERENCES[at].1).collect();
    ensure!(idle.is_empty(), "stated, and no difference: {idle:?}");
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
