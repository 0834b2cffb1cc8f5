//! What can be seen of a package without installing it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};
use mutex_tests::packages::{SUFFIXES, query, rpm, rpms, unpacked_rpm};
use mutex_tests::process::command::{output, run};

use crate::Case;

pub(crate) const CASES: &[Case] = &[
    ("two builds without a network are the same bytes", twice_the_same),
    ("rpmlint has nothing to say", lint),
    ("only the package of RADOS needs librados, and all but one need a ctdb of any version", needs),
    ("the binaries are hardened, stripped, and name no directory of the build", hardened),
    ("the debuginfo is a package of its own, and belongs to the binaries", debuginfo),
    ("the helpers' directory is one option of the build, and known for each distribution", helper_directory),
    ("each distribution's build asks for what is called so there", build_requires),
    ("nothing is compiled into the architecture's package that is for all of them", no_arch),
];

fn twice_the_same() -> anyhow::Result<()> {
    let (first, second) = (rpms("first")?, rpms("second")?);
    ensure!(first.len() == SUFFIXES.len() + 2, "{first:?} are not the packages, the source and the debuginfo");
    ensure!(first.len() == second.len(), "{first:?} and {second:?}");
    let mut different = Vec::new();
    for (one, other) in first.iter().zip(&second) {
        ensure!(one.file_name() == other.file_name(), "{one:?} and {other:?}");
        if fs::read(one)? != fs::read(other)? {
            different.push(one.file_name().unwrap_or_default());
        }
    }
    ensure!(different.is_empty(), "two builds of {different:?} differ");
    Ok(())
}

fn lint() -> anyhow::Result<()> {
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/rpm/rpmlint.toml");
    let said = run(Command::new("rpmlint").args(["-c", config]).args(rpms("first")?))?;
    let end = said.lines().last().unwrap_or_default();
    ensure!(end.contains("0 errors, 0 warnings"), "{said}");
    Ok(())
}

fn needs() -> anyhow::Result<()> {
    for suffix in SUFFIXES {
        let requires = query(&rpm("first", suffix)?, &["--requires"])?;
        let librados = requires.iter().any(|need| need.contains("librados"));
        ensure!(librados == (suffix == "-rados"), "{suffix:?} needs {requires:?}");
        let ctdb: Vec<_> = requires.iter().filter(|need| need.split(' ').next() == Some("ctdb")).collect();
        // The others need it by way of the base.
        let wanted = !matches!(suffix, "-selinux" | "-tests");
        ensure!(
            ctdb.iter().all(|need| need.as_str() == "ctdb") && wanted != ctdb.is_empty(),
            "{suffix:?}: {requires:?}"
        );
    }
    Ok(())
}

/// The programs in it: what begins as ELF files do.
fn binaries(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.extend(binaries(&entry.path())?);
        } else if entry.file_type()?.is_file() && fs::read(entry.path())?.starts_with(b"\x7fELF") {
            found.push(entry.path());
        }
    }
    Ok(found)
}

fn hardened() -> anyhow::Result<()> {
    let mut seen = 0;
    for suffix in SUFFIXES {
        let dir = unpacked_rpm(&rpm("first", suffix)?)?;
        for binary in binaries(dir.path())? {
            seen += 1;
            let said = run(Command::new("readelf")
                .args(["--file-header", "--program-headers", "--dynamic", "--sections", "--wide"])
                .arg(&binary))?;
            let line = |word: &str| said.lines().find(|line| line.contains(word)).unwrap_or_default().to_owned();
            let stack = line("GNU_STACK");
            let name = binary.display();
            ensure!(line("Type:").contains("DYN") && line("(FLAGS_1)").contains("PIE"), "{name}: no PIE");
            ensure!(!line("GNU_RELRO").is_empty() && line("(FLAGS_1)").contains("NOW"), "{name}: no full RELRO");
            ensure!(stack.contains(" RW ") && !stack.contains("RWE"), "{name}: {stack}");
            ensure!(!said.contains("RPATH") && !said.contains("RUNPATH"), "{name}: has a path for its libraries");
            // Not .debug_gdb_scripts, which Rust has loaded with the program.
            ensure!(!said.contains(".debug_info") && !said.contains(".symtab"), "{name}: not stripped");
            let bytes = fs::read(&binary)?;
            for place in ["/BUILD/", "/.cargo/", "/root/", "/home/"] {
                let found = bytes.windows(place.len()).any(|window| window == place.as_bytes());
                ensure!(!found, "{name}: has {place} in it");
            }
        }
    }
    ensure!(seen == 9, "{seen} binaries, not four of the product and five of the tests");
    Ok(())
}

fn debuginfo() -> anyhow::Result<()> {
    let files = query(&rpm("first", "-debuginfo")?, &["--list"])?;
    for suffix in ["", "-rados", "-etcd", "-tests"] {
        let rpm = rpm("first", suffix)?;
        let dir = unpacked_rpm(&rpm)?;
        for binary in binaries(dir.path())? {
            let notes = run(Command::new("readelf").arg("--notes").arg(&binary))?;
            let id = notes.lines().find_map(|line| line.trim().strip_prefix("Build ID: "));
            let id = id.with_context(|| format!("{}: no build id", binary.display()))?;
            let (folder, rest) = id.split_at(2);
            let wanted = format!("/usr/lib/debug/.build-id/{folder}/{rest}.debug");
            ensure!(files.contains(&wanted), "{}: no {wanted}", binary.display());
        }
    }
    Ok(())
}

/// openSUSE has CTDB's helpers elsewhere.
fn helper_directory() -> anyhow::Result<()> {
    let spec = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/rpm/ctdb-mutex-helpers.spec");
    let parsed = |options: &[&str]| run(Command::new("rpmspec").arg("-P").args(options).arg(spec));
    let elsewhere = parsed(&["--define", "ctdb_helperdir /usr/lib64/ctdb"])?;
    for line in ["/usr/lib64/ctdb/ctdb_mutex_file_helper", "export CTDB_HELPER_DIR=/usr/lib64/ctdb"] {
        ensure!(elsewhere.lines().any(|told| told == line), "no line {line:?}");
    }
    for (distribution, directory) in [
        ("debian 12", "/usr/libexec/ctdb"),
        ("fedora 43", "/usr/libexec/ctdb"),
        ("rhel 9", "/usr/libexec/ctdb"),
        ("suse_version 1600", "/usr/lib64/ctdb"),
    ] {
        let options = ["--define", distribution, "--define", "_libdir /usr/lib64"];
        let helper = format!("{directory}/ctdb_mutex_file_helper");
        ensure!(parsed(&options)?.lines().any(|line| line == helper), "{distribution}: no line {helper}");
        // What is wrong in a spec is told on standard error.
        let said = output(Command::new("rpmspec").arg("-P").args(options).arg(spec))?;
        ensure!(said.stderr.is_empty(), "{distribution}: {}", String::from_utf8_lossy(&said.stderr));
    }
    Ok(())
}

/// By their names where a resolver knows no files but programs; Debian's rpm has neither.
fn build_requires() -> anyhow::Result<()> {
    let spec = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/rpm/ctdb-mutex-helpers.spec");
    for (distribution, rust) in [
        ("fedora 43", "cargo-rpm-macros"),
        ("rhel 9", "rust-toolset"),
        ("rhel 10", "rust-toolset"),
        ("suse_version 1600", "cargo"),
    ] {
        let mut rpmspec = Command::new("rpmspec");
        rpmspec.args(["-q", "--buildrequires", "--define", distribution]).arg(spec);
        let needs = run(&mut rpmspec)?;
        let named = |name: &str| needs.lines().any(|need| need.split(' ').next() == Some(name));
        for name in [rust, "librados-devel", "protobuf-devel", "selinux-policy-devel"] {
            ensure!(named(name), "{distribution}: {name} is not asked for: {needs}");
        }
        let files: Vec<_> =
            needs.lines().filter(|need| need.starts_with('/') && !need.starts_with("/usr/bin/")).collect();
        ensure!(files.is_empty(), "{distribution}: {files:?} are in no package that a resolver finds");
        ensure!(named("ctdb") == distribution.starts_with("suse"), "{distribution}: {needs}");
    }
    Ok(())
}

fn no_arch() -> anyhow::Result<()> {
    for suffix in SUFFIXES {
        let rpm = rpm("first", suffix)?;
        let dir = unpacked_rpm(&rpm)?;
        let has_binaries = !binaries(dir.path())?.is_empty();
        let arch = query(&rpm, &["--queryformat", "%{ARCH}\n"])?.concat();
        if has_binaries == (arch == "noarch") {
            bail!("{}: {arch}, and binaries: {has_binaries}", rpm.display());
        }
    }
    Ok(())
}
