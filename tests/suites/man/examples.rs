//! Each page's examples, run as they stand, in their order: what one has written is there for the next.

use anyhow::{Context, bail, ensure};

use crate::mdoc::{self, Kind};
use crate::needs::Needs;
use crate::pages::Page;
use crate::running::{Environment, Holding, run};
use crate::stage::on_stage;
use crate::{files, users};

/// All examples of a page.
pub(crate) fn run_all(page: &Page) -> anyhow::Result<()> {
    let blocks = mdoc::blocks(&page.text)?;
    let examples = blocks.iter().filter(|block| matches!(block.kind, Kind::Run(_) | Kind::File(_)));
    ensure!(examples.count() > 0, "the page has no example");
    let needs = Needs::of(&blocks)?;
    let environment: Environment =
        needs.etcd.iter().map(|etcd| ("ETCDCTL_ENDPOINTS".to_owned(), etcd.endpoints())).collect();
    on_stage(&needs, || {
        for block in &blocks {
            let done = match &block.kind {
                Kind::Run(remarks) if users::are_made_by(block) => with_users(remarks, &block.lines, &needs),
                Kind::Run(remarks) => commands(remarks, &block.lines, &needs, &environment),
                Kind::File(path) => files::show(path, &block.lines, &needs, &environment),
                Kind::Log | Kind::Shape => Ok(()),
            };
            done.with_context(|| format!("the example at line {}", block.at))?;
        }
        Ok(())
    })
}

/// What an example is run with.
#[derive(Default)]
struct Remarks {
    code: i32,
    held: bool,
    ctrl_c: bool,
    yes: bool,
}

impl Remarks {
    fn new(words: &[String]) -> anyhow::Result<Self> {
        let mut remarks = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match &**word {
                "exit" => remarks.code = words.next().context("exit without a number")?.parse().context("exit")?,
                "held" => remarks.held = true,
                "Ctrl-C" => remarks.ctrl_c = true,
                "yes" => remarks.yes = true,
                // Looked at by who starts the stores.
                "file" | "rados" | "etcd" => {}
                other => bail!("the remark {other:?} means nothing"),
            }
        }
        Ok(remarks)
    }
}

fn with_users(remarks: &[String], lines: &[String], needs: &Needs) -> anyhow::Result<()> {
    let etcd = needs.etcd_with_users.as_ref().context("no etcd for the users")?;
    commands(remarks, lines, needs, &users::environment(etcd))?;
    users::tried(etcd)
}

fn commands(remarks: &[String], lines: &[String], needs: &Needs, environment: &Environment) -> anyhow::Result<()> {
    let remarks = Remarks::new(remarks)?;
    // A long one goes on behind a backslash, as in a shell.
    let text = lines.join("\n").replace("\\\n", " ");
    for documented in text.lines().filter(|line| !line.trim().is_empty()) {
        let line = needs.adapted(documented.trim())?;
        command(&line, &remarks, environment).with_context(|| documented.to_owned())?;
    }
    Ok(())
}

fn command(line: &str, remarks: &Remarks, environment: &Environment) -> anyhow::Result<()> {
    let is_setting = |word: &&str| {
        word.split_once('=').is_some_and(|(name, _)| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
    };
    let program = line.split(' ').find(|word| !is_setting(word)).context("no command")?;
    ensure!(program.starts_with('/'), "{program}: not an absolute path");
    let holder =
        if remarks.held { Some(Holding::start(&holder_of(line), environment).context("the holder")?) } else { None };
    if remarks.ctrl_c {
        let code = Holding::start(line, environment)?.interrupt()?;
        ensure!(code == remarks.code, "exit code {code} after Ctrl-C, not {}", remarks.code);
    } else {
        // Nobody is asked but a person, who is at a terminal.
        let line = if remarks.yes { format!("echo yes | {}", on_a_terminal(line)) } else { line.to_owned() };
        let said = run(&line, environment, remarks.code)?;
        let asks = remarks.held && remarks.code == 0 && line.contains("status");
        ensure!(!asks || said.contains("held"), "it said {said:?} of a lock that is held");
    }
    if let Some(holder) = holder {
        let code = holder.interrupt().context("the holder")?;
        // Released, or lost to what the example does.
        ensure!([0, 4].contains(&code), "the holder ended with {code}");
    }
    Ok(())
}

/// The same on a terminal of its own.
fn on_a_terminal(line: &str) -> String {
    format!("/usr/bin/script -qec '{}' /dev/null", line.replace('\'', r"'\''"))
}

/// The command that holds the lock of an example.
fn holder_of(line: &str) -> String {
    let quoted = line.split('\'').nth(1).filter(|text| text.starts_with('!')).map(str::to_owned);
    let lock = quoted.unwrap_or_else(|| {
        let mut words = line.split(' ');
        if let Some(helper) = words.find(|word| word.starts_with("/usr/libexec/ctdb/")) {
            let arguments: Vec<&str> = words.filter(|word| !word.starts_with("--")).collect();
            format!("!{helper} {}", arguments.join(" "))
        } else if line.contains("/usr/bin/rados") || line.contains("/usr/bin/ceph ") {
            "!/usr/libexec/ctdb/ctdb_mutex_rados_helper ceph client.admin rbd lockctdb".to_owned()
        } else if line.contains("/usr/bin/etcdctl") {
            "!/usr/libexec/ctdb/ctdb_mutex_etcd_helper ctdb/lock".to_owned()
        } else {
            line.split(' ').find(|word| word.starts_with("/clusterfs/")).unwrap_or_default().to_owned()
        }
    });
    // That of ctdb.conf where the line names none.
    if lock.is_empty() { "/usr/bin/ctdb-mutex hold".to_owned() } else { format!("/usr/bin/ctdb-mutex hold '{lock}'") }
}
