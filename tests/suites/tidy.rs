//! The repository checks itself: every room is complete, every document says what is true.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::{Arguments, Trial};
use mutex_tests::packages::SUFFIXES;

/// One thing that has to be true of the tree.
type Check = fn() -> Result<()>;

fn main() -> ExitCode {
    let checks: &[(&str, Check)] = &[
        ("every helper has its row in the README, the changelog and the roster", helpers_are_listed),
        ("the operator's tool is in the README and the changelog", tool_is_listed),
        ("every program has its manual page, and its place in the RPMs and the Debian packages", programs_are_packaged),
        ("the version has its entry in the changelog, and is that of the packages", version_is_described),
        ("the Debian packages need each other in the workspace's version", debs_need_this_version),
        ("every source file says at its head what it is for", files_have_heads),
        ("every make target that the README names exists", make_targets_exist),
        ("every option that the README shows is one of a helper's or the tool's", options_exist),
        ("every mutation applies, and says what it breaks and which case fails", mutations_apply),
        ("every promise has a mutation", promises_have_mutations),
        ("every case of a suite is failed by a mutation", cases_have_mutations),
        ("every shell script parses", scripts_parse),
        ("every fuzz target has its check, its seeds and its place in the manifest", fuzz_targets_are_whole),
        ("what is packaged has no syntax that is newer than its Rust", packaged_syntax_is_old_enough),
    ];
    let trials = checks.iter().map(|&(name, check)| Trial::test(name, move || Ok(check()?))).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: impl AsRef<Path>) -> Result<String> {
    let path = top().join(path);
    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// All files of the repository, as git knows them.
fn files() -> Result<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(top())
        .output()
        .context("cannot run git (package git)")?;
    ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

/// The operator's tool, whose folder is among the helpers'.
const TOOL: &str = "ctdb-mutex";

const SPEC: &str = "packaging/rpm/ctdb-mutex-helpers.spec";

fn helpers() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for folder in fs::read_dir(top().join("helpers"))? {
        let folder = folder?.path();
        if folder.join("Cargo.toml").exists() {
            let manifest = fs::read_to_string(folder.join("Cargo.toml"))?;
            let name = manifest.lines().find_map(|line| line.strip_prefix("name = "));
            names.push(name.context("a helper without a name")?.trim_matches('"').to_owned());
        }
    }
    names.retain(|name| name != TOOL);
    ensure!(!names.is_empty(), "no helper found");
    Ok(names)
}

fn tool_is_listed() -> Result<()> {
    for place in ["README.md", "CHANGELOG.md"] {
        ensure!(read(place)?.contains(&format!("`{TOOL}")), "{TOOL} is not in {place}");
    }
    Ok(())
}

fn helpers_are_listed() -> Result<()> {
    let roster: String = files()?
        .iter()
        .filter(|path| path.starts_with("tests/src/roster"))
        .map(read)
        .collect::<Result<Vec<_>>>()?
        .concat();
    for (place, text) in
        [("README.md", read("README.md")?), ("CHANGELOG.md", read("CHANGELOG.md")?), ("roster", roster)]
    {
        for helper in helpers()? {
            ensure!(text.contains(&helper), "{helper} is not in {place}");
        }
    }
    Ok(())
}

/// A page, a stanza that names the binary and one that names the page, in both kinds of package.
fn programs_are_packaged() -> Result<()> {
    let manifests =
        files()?.iter().filter(|path| path.ends_with("Cargo.toml")).map(read).collect::<Result<Vec<_>>>()?;
    let packages = [("the spec", read(SPEC)?), ("the Debian packages", manifests.concat())];
    for program in helpers()?.into_iter().chain([TOOL.to_owned()]) {
        let section = if program == TOOL { 8 } else { 7 };
        let page = format!("{program}.{section}");
        ensure!(read(format!("man/{page}"))?.contains(".Sh EXAMPLES"), "man/{page} has no examples");
        for (place, text) in &packages {
            let lines = || text.lines().filter(|line| !line.trim_start().starts_with('#'));
            // The binary's path ends with its name, a page's goes on with a dot.
            let binary = format!("/{program}");
            let ends = |line: &str| {
                line.match_indices(&binary).any(|(at, _)| {
                    !line[at + binary.len()..].starts_with(|c: char| c.is_alphanumeric() || "._-".contains(c))
                })
            };
            ensure!(lines().any(ends), "{program} is not in {place}");
            ensure!(lines().any(|line| line.contains(&page)), "man/{page} is not in {place}");
        }
    }
    Ok(())
}

fn version_is_described() -> Result<()> {
    let version = version()?;
    let changelog = read("CHANGELOG.md")?;
    let entry = format!("## [{version}] - ");
    ensure!(changelog.lines().any(|line| line.starts_with(&entry)), "CHANGELOG.md has no line \"{entry}DATE\"");
    let spec = read(SPEC)?;
    let told = spec.lines().find_map(|line| line.strip_prefix("Version:")).context("the spec has no version")?;
    ensure!(told.trim() == version, "the spec is of version {}, the workspace of {version}", told.trim());
    Ok(())
}

/// cargo-deb knows no variables.
fn debs_need_this_version() -> Result<()> {
    let version = version()?;
    let mut needs = 0;
    for path in files()?.iter().filter(|path| path.ends_with("Cargo.toml")) {
        for line in read(path)?.lines().filter(|line| line.starts_with("depends = ")) {
            for (at, name) in line.match_indices("ctdb-mutex-helpers") {
                let told = line[at + name.len()..].strip_prefix(" (= ").and_then(|rest| rest.split(')').next());
                ensure!(told == Some(version.as_str()), "{path}: {line}: not \"{name} (= {version})\"");
                needs += 1;
            }
        }
    }
    ensure!(needs == SUFFIXES.len() - 1, "{needs} Debian packages need the first one, not all others");
    Ok(())
}

/// The workspace's.
fn version() -> Result<String> {
    let manifest = read("Cargo.toml")?;
    let version = manifest.lines().find_map(|line| line.strip_prefix("version = ")).context("no version")?;
    Ok(version.trim_matches('"').to_owned())
}

fn files_have_heads() -> Result<()> {
    for path in files()?.iter().filter(|path| path.ends_with(".rs")) {
        ensure!(read(path)?.starts_with("//! "), "{path} has no head");
    }
    Ok(())
}

fn make_targets_exist() -> Result<()> {
    let makefile = read("Makefile")?;
    for word in read("README.md")?.split("make ").skip(1) {
        let target: String = word.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
        ensure!(makefile.contains(&format!("\n{target}:")), "README names `make {target}`, the Makefile does not");
    }
    Ok(())
}

fn options_exist() -> Result<()> {
    let readme = read("README.md")?;
    let shown: BTreeSet<&str> = readme
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .filter(|word| word.starts_with("--") && word.chars().any(|c| c != '-'))
        .collect();
    ensure!(!shown.is_empty(), "README shows no option");
    let mut helps = String::new();
    for helper in helpers()? {
        let program = mutex_tests::process::programs::helper(&helper)?;
        helps.push_str(&String::from_utf8_lossy(&Command::new(program).arg("--help").output()?.stdout));
    }
    let tool = mutex_tests::process::programs::helper(TOOL)?;
    let help = |arguments: &[&str]| -> Result<String> {
        Ok(String::from_utf8_lossy(&Command::new(&tool).args(arguments).output()?.stdout).into_owned())
    };
    let whole = help(&["--help"])?;
    let commands = whole.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    for command in commands.filter_map(|line| line.split_whitespace().next()) {
        helps.push_str(&help(&["help", command])?);
    }
    for option in &shown {
        ensure!(helps.contains(option), "README shows {option}, no --help of a helper or of the tool does");
    }
    Ok(())
}

/// The mutations: name and text.
fn mutations() -> Result<Vec<(String, String)>> {
    let mut all = Vec::new();
    for path in files()?.iter().filter(|path| path.starts_with("tests/mutations/") && path.ends_with(".patch")) {
        all.push((path.clone(), read(path)?));
    }
    Ok(all)
}

fn mutations_apply() -> Result<()> {
    for (path, text) in mutations()? {
        for key in ["Promise", "Why", "Case"] {
            ensure!(text.lines().any(|line| line.starts_with(&format!("{key}: "))), "{path} has no line \"{key}: …\"");
        }
        let output = Command::new("git").args(["apply", "--check", &path]).current_dir(top()).output()?;
        ensure!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

fn promises_have_mutations() -> Result<()> {
    let broken: BTreeSet<String> = mutations()?
        .iter()
        .filter_map(|(_, text)| text.lines().find_map(|line| line.strip_prefix("Promise: ")))
        .flat_map(|promises| promises.split(", ").map(str::to_owned))
        .collect();
    for promise in ["P1", "P2a", "P2b", "P2c", "P3", "P4", "P5", "P6", "P7", "P8"] {
        ensure!(broken.contains(promise), "no mutation breaks {promise}");
    }
    Ok(())
}

/// `tests/mutate` shows that they do fail; here, that none was forgotten.
fn cases_have_mutations() -> Result<()> {
    let mutations = mutations()?;
    let broken: BTreeSet<&str> =
        mutations.iter().flat_map(|(_, text)| text.lines()).filter_map(|line| line.strip_prefix("Case: ")).collect();
    // The wrong helper's are about the cases, and the table's is about the documentation, not about the product.
    let of_the_product = |case: &&String| {
        !case.contains("wrong helper: ")
            && !case.ends_with("has a bug that fails it")
            && !case.starts_with("the table ")
    };
    let mut known = BTreeSet::new();
    for suite in ["contract", "file", "clusterfs", "rados", "etcd", "cli", "man", "ctdb"] {
        known.extend(cases_of(suite)?.iter().filter(of_the_product).map(|case| format!("{suite} {case}")));
    }
    if let Some(gone) = broken.iter().find(|&&case| !known.contains(case)) {
        bail!("a mutation names {gone:?}, which is no case");
    }
    // A case of these is one, whatever the lock.
    let without_row = |case: &str| {
        let of_rows =
            ["contract ", "clusterfs ", "ctdb "].iter().find_map(|suite| case.strip_prefix(suite)?.split_once(": "));
        of_rows.map_or(case, |(_row, case)| case).to_owned()
    };
    let broken: BTreeSet<String> = broken.into_iter().map(without_row).collect();
    let wanted: BTreeSet<String> = known.iter().map(|case| without_row(case)).collect();
    let forgotten: Vec<&String> = wanted.difference(&broken).collect();
    ensure!(forgotten.is_empty(), "no mutation fails {forgotten:#?}");
    Ok(())
}

/// What the suite lists.
fn cases_of(suite: &str) -> Result<Vec<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["test", "--quiet", "--package", "mutex-tests", "--test", suite, "--", "--list"])
        .current_dir(top())
        .output()
        .context("run cargo")?;
    ensure!(output.status.success(), "{suite} --list: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect())
}

/// All but the target itself is compiled or run by `make test` and `make tidy`.
fn fuzz_targets_are_whole() -> Result<()> {
    let files = files()?;
    let stems = |folder: &str, ending: &str| -> BTreeSet<String> {
        let inside = files.iter().filter_map(|path| path.strip_prefix(folder)?.strip_suffix(ending));
        inside.map(str::to_owned).collect()
    };
    let manifest = read("fuzz/Cargo.toml")?;
    let programs: BTreeSet<String> =
        manifest.split("[[bin]]").skip(1).filter_map(|part| part.split('"').nth(1)).map(str::to_owned).collect();
    ensure!(!programs.is_empty(), "fuzz/Cargo.toml has no target");
    ensure!(programs == stems("fuzz/targets/", ".rs"), "fuzz/targets is not what fuzz/Cargo.toml has: {programs:?}");
    let (mut used, checks) = (BTreeSet::new(), stems("fuzz/checks/", ".rs"));
    for program in &programs {
        let seeds = format!("fuzz/seeds/{program}/");
        ensure!(files.iter().any(|path| path.starts_with(&seeds)), "there is no seed in {seeds}");
        let text = read(format!("fuzz/targets/{program}.rs"))?;
        for call in text.split("::check(data)").filter_map(|before| before.rsplit([' ', '\n']).next()) {
            let Some((group, check)) = call.trim_start_matches("mutex_fuzz::").split_once("::") else { continue };
            let group = group.trim_start_matches("for_");
            let listed = read(format!("fuzz/checks/{group}.rs"))?.contains(&format!("pub mod {check};"));
            ensure!(listed && checks.contains(check), "{program}: there is no check {check} in fuzz/checks/{group}.rs");
            used.insert(check.to_owned());
        }
    }
    // What all of them share, and the lists of each crate.
    let others = ["harmless", "seeds", "core", "file", "rados", "etcd", "cli"];
    let forgotten: Vec<&String> = checks.difference(&used).filter(|name| !others.contains(&name.as_str())).collect();
    ensure!(forgotten.is_empty(), "no fuzz target runs {forgotten:?}");
    Ok(())
}

/// Clippy's `incompatible_msrv` knows what the standard library has since when, and no syntax: chains of `let` are 1.88's.
fn packaged_syntax_is_old_enough() -> Result<()> {
    let packaged = ["mutex-core/", "helpers/", "tests/src/", "tests/suites/contract/"];
    let is_packaged = |path: &&String| path.ends_with(".rs") && packaged.iter().any(|folder| path.starts_with(folder));
    let found = files()?;
    for path in found.iter().filter(is_packaged) {
        let text = read(path)?;
        let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
        if let Some(at) = chain_of_let(&code.join("\n")) {
            bail!("{path}:{}: a chain of `let`: {}", at + 1, code[at].trim());
        }
    }
    // That it would be seen: this file is packaged nowhere, and these are words in it.
    for chain in ["if a && let", "if a\n    && let", "while let Some(a) = b()\n    && c {", "if let A { a } = b && c {"]
    {
        ensure!(chain_of_let(&format!("{chain} \n")).is_some(), "not seen: {chain:?}");
    }
    for none in ["if let Some(a) = (b && c).then(d) { e && f }", "let a = b && c;", "if let 1..=2 = a { b && c }"] {
        ensure!(chain_of_let(none).is_none(), "no chain: {none:?}");
    }
    Ok(())
}

/// In which line, from zero, a condition has a `let` among others: before it, or behind it outside of all brackets.
fn chain_of_let(code: &str) -> Option<usize> {
    let behind_others = code.match_indices("&&").find(|(at, and)| {
        let rest = &code[at + and.len()..];
        rest.trim_start().starts_with("let ") || rest.trim_start().starts_with("let\n")
    });
    let before_others = || {
        let starts = ["if let ", "while let "].into_iter().flat_map(|word| code.match_indices(word));
        let mut starts = starts.filter(|(at, _)| {
            // Behind the pattern, which may have braces.
            let Some((_, value)) = code[*at..].split_once(" =").filter(|(_, value)| value.starts_with([' ', '\n']))
            else {
                return false;
            };
            let mut depth = 0;
            for (place, character) in value.char_indices() {
                match character {
                    '(' | '[' => depth += 1,
                    ')' | ']' => depth -= 1,
                    '{' if depth <= 0 => return false,
                    '&' if depth == 0 && value[place..].starts_with("&&") => return true,
                    _ => {}
                }
            }
            false
        });
        starts.next()
    };
    let (at, _) = behind_others.or_else(before_others)?;
    Some(code[..at].matches('\n').count())
}

fn scripts_parse() -> Result<()> {
    for path in files()? {
        if read(&path).is_ok_and(|text| text.starts_with("#!/bin/sh")) {
            let output = Command::new("sh").args(["-n", &path]).current_dir(top()).output()?;
            ensure!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
    Ok(())
}
