//! `--help` and its examples, wrong command lines, completion.
//!
//! An example is a line of a command's --help that begins with `  $ ctdb-mutex`; what it needs stands behind a `  # `:
//! `exit N` (else 0), `Ctrl-C` (the command stays until then), `yes` (on standard input), `held` (another has the lock).
//! They are run as they stand, but for the helpers' directory and the places that the lock is in.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, ensure};
use mutex_tests::process::launch::Launch;
use mutex_tests::process::programs;
use mutex_tests::services::ceph::{self, ADMIN, CONF_VARIABLE, POOL};
use mutex_tests::services::etcd;
use rustix::process::Signal;

use crate::Case;
use crate::running::Running;
use crate::tool::{LIMIT, answer, directory, expect_code, file_lock, text, tool};

pub(crate) const CASES: &[Case] = &[
    ("every command has examples, and its --help and -h show them", all_have_examples),
    ("the examples of hold do what they say", || examples("hold")),
    ("the examples of status do what they say", || examples("status")),
    ("the examples of health do what they say", || examples("health")),
    ("the examples of run do what they say", || examples("run")),
    ("the examples of break do what they say", || examples("break")),
    ("the examples of test do what they say", || examples("test")),
    ("the examples of bench do what they say", || examples("bench")),
    ("the examples of completion do what they say", || examples("completion")),
    ("a wrong command line is exit code 3 with one line", wrong),
    ("--help that nobody can read does not panic", unread),
    ("bash completes commands, options and shells", bash),
    ("completion for zsh and fish can be read by them, where they are", zsh_and_fish),
];

/// Those that have a trial here.
const COMMANDS: [&str; 8] = ["hold", "status", "health", "run", "break", "test", "bench", "completion"];

fn help_of(command: &str) -> anyhow::Result<String> {
    let said = answer(["help", command])?;
    expect_code(&said, 0)?;
    Ok(text(&said))
}

/// One example.
struct Example {
    /// For the shell.
    line: String,
    /// What it needs and what comes of it.
    remarks: Vec<String>,
}

impl Example {
    fn is(&self, remark: &str) -> bool {
        self.remarks.iter().any(|told| told == remark)
    }

    fn code(&self) -> anyhow::Result<i32> {
        let told = self.remarks.iter().find_map(|remark| remark.strip_prefix("exit "));
        told.map_or(Ok(0), |code| code.parse().with_context(|| format!("exit {code:?}")))
    }
}

fn examples_of(help: &str) -> Vec<Example> {
    // A long one goes on behind a backslash, as in a shell.
    help.replace("\\\n", " ")
        .lines()
        .filter_map(|line| {
            let line = line.strip_prefix("  $ ")?;
            let (line, remarks) = line.split_once("  #").unwrap_or((line, ""));
            let remarks = remarks.split(',').map(|remark| remark.trim().to_owned()).collect();
            Some(Example { line: line.trim().to_owned(), remarks })
        })
        .collect()
}

fn all_have_examples() -> anyhow::Result<()> {
    let said = text(&answer(["--help"])?);
    let commands = said.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A line that goes on is further in.
    let named = commands.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let mut commands: BTreeSet<&str> = named.filter_map(|line| line.split_whitespace().next()).collect();
    ensure!(commands.remove("help"), "no commands in {said:?}");
    ensure!(commands == BTreeSet::from(COMMANDS), "{commands:?} are not those that have a trial");
    let mut without = Vec::new();
    for command in COMMANDS {
        for help in [vec!["help", command], vec![command, "--help"], vec![command, "-h"]] {
            let said = answer(&help)?;
            expect_code(&said, 0)?;
            if examples_of(&text(&said)).is_empty() || !said.stderr.is_empty() {
                without.push(help.join(" "));
            }
        }
    }
    ensure!(without.is_empty(), "no examples in {without:?}");
    Ok(())
}

/// Where an example's names lead.
struct Stage<'a> {
    dir: &'a Path,
    environment: Vec<(&'static str, std::ffi::OsString)>,
    number: usize,
}

impl Stage<'_> {
    /// The example's line with the bench's places in the documented ones' stead. A store is started when it is named.
    fn line(&mut self, documented: &str) -> anyhow::Result<String> {
        let mut line = documented.to_owned();
        for store in ["file", "rados", "etcd"] {
            let name = format!("ctdb_mutex_{store}_helper");
            let installed = format!("/usr/libexec/ctdb/{name}");
            if line.contains(&installed) {
                line = line.replace(&installed, &programs::helper(&name)?.to_string_lossy());
            }
        }
        let cluster = "ceph client.admin rbd ";
        if line.contains(cluster) {
            let ceph = ceph::shared()?;
            self.environment.push((CONF_VARIABLE, ceph.conf().into()));
            line = line.replace(cluster, &format!("ceph {ADMIN} {POOL} cli-help-{}-", self.number));
        }
        if let Some(at) = line.find("ctdb_mutex_etcd_helper ") {
            let key = line[at..].find(' ').map_or(line.len(), |blank| at + blank + 1);
            line.insert_str(key, &format!("cli-help-{}/", self.number));
            self.environment.push(("ETCDCTL_ENDPOINTS", etcd::shared()?.endpoints().into()));
        }
        for place in ["/clusterfs/", "/etc/", "/usr/local/", "/var/"] {
            // Words that begin with it, and files that output goes to.
            for before in [" ", "'", "="] {
                let ours = format!("{before}{}{place}", self.dir.display());
                line = line.replace(&format!("{before}{place}"), &ours);
            }
        }
        Ok(line)
    }

    fn launch(&self, line: &str) -> anyhow::Result<Launch> {
        let tool = programs::helper("ctdb-mutex")?;
        let tools = tool.parent().context("the tool lies in no directory")?;
        let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap_or_default());
        let launch = Launch::new("/bin/sh", ["-c", line]).env("PATH", path).env("CTDB_BASE", self.dir.join("etc/ctdb"));
        Ok(self.environment.iter().cloned().fold(launch, |launch, (name, value)| launch.env(name, value)))
    }
}

fn examples(command: &str) -> anyhow::Result<()> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let examples = examples_of(&help_of(command)?);
    ensure!(!examples.is_empty(), "{command} has no example");
    for example in examples {
        let documented = &example.line;
        ensure!(documented.starts_with(&format!("ctdb-mutex {command}")), "{documented}: not of {command}");
        // Of its own: one example's lock is nothing to the next.
        let (dir, file) = directory()?;
        let dir = dir.path();
        for folder in ["clusterfs/ctdb", "etc/ctdb", "etc/bash_completion.d", "etc/fish/completions", "var"] {
            fs::create_dir_all(dir.join(folder))?;
        }
        fs::create_dir_all(dir.join("usr/local/share/zsh/site-functions"))?;
        fs::write(dir.join("etc/hostname"), "")?;
        fs::write(dir.join("etc/ctdb/ctdb.conf"), format!("[cluster]\n  cluster lock = {}\n", file_lock(&file)?))?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let mut stage = Stage { dir, environment: Vec::new(), number };
        let line = stage.line(documented)?;
        run(&stage, &example, &line).with_context(|| format!("{documented}\n    as {line}"))?;
    }
    Ok(())
}

fn run(stage: &Stage<'_>, example: &Example, line: &str) -> anyhow::Result<()> {
    let _holder = if example.is("held") { Some(holder(stage, line)?) } else { None };
    if example.is("Ctrl-C") {
        let mut running = Running::start(stage.launch(&format!("exec {line}"))?)?;
        // Words, lines or JSON.
        let taken = || running.said().is_ok_and(|said| said.contains("taken")).then_some(());
        let waited = mutex_tests::wait::wait_for("it to say taken", LIMIT, taken);
        waited.with_context(|| format!("it said {:?}, {:?}", running.said(), running.helper.stderr()))?;
        running.signal(Signal::INT)?;
        return running.ends_with(example.code()?);
    }
    let line = if example.is("yes") { format!("echo yes | {line}") } else { line.to_owned() };
    // The longest are those that wait for a lease.
    let said = stage.launch(&line)?.answer(LIMIT * 3)?;
    expect_code(&said, example.code()?)
}

/// Another has the lock of an example: that of its first argument with a place in it, else that of ctdb.conf.
fn holder(stage: &Stage<'_>, line: &str) -> anyhow::Result<Running> {
    let quoted = line.split('\'').nth(1).filter(|text| text.starts_with('!')).map(|text| format!("'{text}'"));
    let place = stage.dir.to_string_lossy();
    let file = || line.split(' ').find(|word| word.starts_with(&*place)).map(str::to_owned);
    let lock = quoted.or_else(file).unwrap_or_default();
    let running = Running::start(stage.launch(&format!("exec ctdb-mutex hold {lock}"))?)?;
    running.event("taken")?;
    Ok(running)
}

fn wrong() -> anyhow::Result<()> {
    let lines: [(&[&str], &str); 8] = [
        (&["status", "!/usr/libexec/ctdb/helper", "/clusterfs/ctdb/lock"], "quotes"),
        (&["hold", "--no-such-option"], "--no-such-option"),
        (&["hold", "--wait-seconds", "x", "/l"], "--wait-seconds"),
        (&["hold", "--timeout-seconds", "0", "/l"], "at least 1"),
        (&["status", "--timeout-seconds=-1", "/l"], "--timeout-seconds"),
        (&["completion"], "<SHELL>"),
        (&["completion", "ksh"], "bash, zsh, fish"),
        (&["hodl"], "hodl"),
    ];
    for (line, words) in lines {
        let said = answer(line)?;
        expect_code(&said, 3)?;
        let one = said.stderr.lines().count() == 1 && said.stderr.starts_with("ctdb-mutex: ");
        ensure!(one && said.stderr.contains(words) && said.stdout.is_empty(), "{line:?}: {:?}", said.stderr);
    }
    // Without a command its help is shown, but nothing was done.
    let said = answer([""; 0])?;
    expect_code(&said, 3)?;
    ensure!(said.stderr.contains("Usage") && said.stdout.is_empty(), "{:?}, {:?}", text(&said), said.stderr);
    Ok(())
}

fn unread() -> anyhow::Result<()> {
    let full = || anyhow::Ok(fs::File::options().write(true).open("/dev/full")?);
    for arguments in [&["--help"][..], &["help", "hold"], &["--version"], &["completion", "bash"]] {
        for launch in [tool(arguments)?.stdout_closed(), tool(arguments)?.stdout(full()?.into())] {
            let mut started = launch.start()?;
            let code = started.exit_code(LIMIT)?;
            ensure!(code == 0 && started.stderr()?.is_empty(), "{arguments:?}: {code}, {:?}", started.stderr()?);
        }
    }
    Ok(())
}

/// What bash would show for the last of these words, asked as it asks itself.
fn completed(words: &[&str]) -> anyhow::Result<Vec<String>> {
    let ask = r#"
        source "$1" || exit 1
        shift
        # How it was registered.
        registered=$(complete -p ctdb-mutex) || exit 1
        function=$(sed -n 's/.* -F \([^ ]*\) .*/\1/p' <<<"$registered")
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        previous=${COMP_WORDS[$((COMP_CWORD - 1))]}
        "$function" ctdb-mutex "${COMP_WORDS[$COMP_CWORD]}" "$previous"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let (dir, _) = directory()?;
    let script = dir.path().join("completion");
    fs::write(&script, answer(["completion", "bash"])?.stdout)?;
    let mut command = Command::new("bash");
    command.args(["--norc", "-c", ask, "bash"]).arg(script).arg("ctdb-mutex").args(words).stdin(Stdio::null());
    let output = command.output().context("run bash")?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success() && errors.is_empty(), "{words:?}: {}, {errors:?}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

fn bash() -> anyhow::Result<()> {
    ensure!(completed(&["ho"])? == ["hold"], "ho: {:?}", completed(&["ho"])?);
    ensure!(completed(&["hold", "--wa"])? == ["--wait-seconds"], "--wa: {:?}", completed(&["hold", "--wa"])?);
    ensure!(completed(&["completion", "f"])? == ["fish"], "completion f: {:?}", completed(&["completion", "f"])?);
    let all = completed(&[""])?;
    let missing: Vec<_> = COMMANDS.iter().filter(|command| !all.iter().any(|word| word == *command)).collect();
    ensure!(missing.is_empty(), "{missing:?} not among {all:?}");
    Ok(())
}

fn zsh_and_fish() -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    for (shell, word) in [("zsh", "#compdef ctdb-mutex"), ("fish", "complete -c ctdb-mutex")] {
        let said = answer(["completion", shell])?;
        expect_code(&said, 0)?;
        ensure!(text(&said).contains(word) && text(&said).contains("wait-seconds"), "{shell}: {:?}", text(&said));
        let script = dir.path().join(shell);
        fs::write(&script, &said.stdout)?;
        // Not among what the tests install: bash is the one that every machine has.
        match Command::new(shell).arg("-n").arg(&script).output() {
            Ok(output) => ensure!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => ensure!(error.kind() == std::io::ErrorKind::NotFound, "run {shell}: {error}"),
        }
    }
    Ok(())
}
