//! The licences of the crates that are linked in: told in a list, and in the tag of the package that has the program.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use mutex_tests::packages::{deb, query, rpm, unpacked_deb, unpacked_rpm};
use mutex_tests::process::command::run;
use tempfile::TempDir;

use crate::Case;

pub(crate) const CASES: &[Case] = &[
    ("every crate that is linked in is listed with its licence, in the RPM and in the .deb", listed),
    ("every licence of the list is one of a tag's, and each package's tag has those of its crates", tagged),
];

/// The crates whose programs a package has. The source's tag, which is the first one's, is for all of the product.
const PROGRAMS: [(&str, &[&str]); 4] = [
    ("", &["ctdb_mutex_file_helper", "ctdb-mutex", "ctdb_mutex_rados_helper", "ctdb_mutex_etcd_helper"]),
    ("-rados", &["ctdb_mutex_rados_helper"]),
    ("-etcd", &["ctdb_mutex_etcd_helper"]),
    ("-tests", &["mutex-tests"]),
];

/// What only the helper of one store has, what all have, and what the tests have.
const SOME: [&str; 6] = ["tonic", "ceph", "clap", "fuser", "ring", "nix"];

/// What only those parts of the workspace have that are not packaged.
const NONE: [&str; 3] = ["stateright", "plotters", "mutex-evidence"];

/// The directory of the RPM's licences, unpacked.
fn folder() -> anyhow::Result<(TempDir, PathBuf)> {
    let dir = unpacked_rpm(&rpm("first", "")?)?;
    let folder = dir.path().join("usr/share/licenses");
    let only = fs::read_dir(&folder)?.next().context("no licences")??.path();
    Ok((dir, only))
}

fn listed() -> anyhow::Result<()> {
    let (_dir, folder) = folder()?;
    for licence in ["LICENSE-MIT", "LICENSE-APACHE"] {
        ensure!(folder.join(licence).metadata()?.len() > 1000, "{licence} is empty");
    }
    let deb = unpacked_deb(&deb("")?)?;
    for place in [folder, deb.path().join("usr/share/doc/ctdb-mutex-helpers")] {
        let read = |name: &str| {
            let path = place.join(name);
            fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
        };
        let (licences, versions) = (read("LICENSE.dependencies")?, read("cargo-vendor.txt")?);
        for name in SOME {
            ensure!(licences.lines().any(|line| line.contains(&format!(": {name} v"))), "{name} has no licence");
            ensure!(versions.lines().any(|line| line.starts_with(&format!("{name} v"))), "{name} has no version");
        }
        for name in NONE {
            ensure!(!licences.contains(&format!(": {name} v")), "{name} is linked into no program, and listed");
        }
        let crates = |text: &str| text.lines().filter_map(crate_of).collect::<BTreeSet<_>>();
        ensure!(crates(&licences) == crates(&versions), "the lists are not of the same crates");
        let without: Vec<_> = licences.lines().filter(|line| line.starts_with(':')).collect();
        ensure!(without.is_empty(), "without a licence: {without:?}");
    }
    Ok(())
}

/// The crate and version at a line's end.
fn crate_of(line: &str) -> Option<String> {
    let line = line.split(": ").last()?;
    let mut words = line.split(' ');
    Some(format!("{} {}", words.next()?, words.next()?))
}

fn tagged() -> anyhow::Result<()> {
    let mut of_some = BTreeSet::new();
    for (suffix, crates) in PROGRAMS {
        let tag = terms(&query(&rpm("first", suffix)?, &["--queryformat", "%{LICENSE}\n"])?.concat());
        for expression in of_crates(crates)? {
            for term in terms(&expression) {
                ensure!(tag.contains(&term), "{suffix:?}: {term} is not in the tag: {tag:?}");
            }
        }
        of_some.extend(tag);
    }
    let (_dir, folder) = folder()?;
    for line in fs::read_to_string(folder.join("LICENSE.dependencies"))?.lines() {
        let expression = line.split(": ").next().unwrap_or_default();
        let missing: Vec<_> = terms(expression).into_iter().filter(|term| !of_some.contains(term)).collect();
        ensure!(missing.is_empty(), "{line}: {missing:?} is in no tag");
    }
    Ok(())
}

/// What these crates, and all that is linked in with them, say of their licence.
fn of_crates(names: &[&str]) -> anyhow::Result<BTreeSet<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["tree", "--locked", "--edges", "no-build,no-dev,no-proc-macro", "--no-dedupe", "--prefix", "none"]);
    command.args(["--format", "{l}"]).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let told = run(command.args(names.iter().flat_map(|name| ["--package", name])))?;
    // `(*)` marks a crate that was told of before.
    let expressions = told.lines().map(|line| line.trim_end_matches(" (*)").trim());
    Ok(expressions.filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// The terms of an expression that all hold; a choice is one, in the order in which it is written. A slash is an older OR.
fn terms(expression: &str) -> BTreeSet<String> {
    let expression = expression.replace(" / ", " OR ").replace('/', " OR ");
    let (mut terms, mut depth) = (vec![Vec::new()], 0_usize);
    for word in expression.split_whitespace() {
        if depth == 0 && word == "AND" {
            terms.push(Vec::new());
            continue;
        }
        depth = (depth + word.matches('(').count()).saturating_sub(word.matches(')').count());
        if let Some(term) = terms.last_mut() {
            term.push(word);
        }
    }
    let alone = |words: Vec<&str>| {
        let term = words.join(" ");
        let inner = term.strip_prefix('(').and_then(|term| term.strip_suffix(')'));
        inner.map_or(term.clone(), str::to_owned)
    };
    terms.into_iter().map(alone).collect()
}
