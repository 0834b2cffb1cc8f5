//! Each page's examples, run as they stand, in their order: what one has written is there for the next.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use mutex_tests::process::programs;

use crate::mdoc::{self, Kind};
use crate::needs::{self, Needs};
use crate::pages::Page;
use crate::running::{Environment, Holding, run};
use crate::stage::on_stage;
use crate::{ceph_users, files, users};

/// Exit codes of a holder.
const RELEASED: i32 = 0;
const LOST: i32 = 4;

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
            let _turn = needs::turn(block);
            let done = match &block.kind {
                Kind::Run(remarks) if users::are_made_by(block) => with_users(remarks, &block.lines, &needs),
                Kind::Run(remarks) if ceph_users::are_made_by(block) => {
                    commands(remarks, &block.lines, &needs, &environment).and_then(|()| ceph_users::tried(&environment))
                }
                Kind::Run(remarks) => commands(remarks, &block.lines, &needs, &environment),
                Kind::File(path) => files::show(path, &block.lines, &needs, &environment),
                Kind::Shape => shows_no_command(&block.lines),
                Kind::Log => Ok(()),
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
    /// The example takes the lock away from who holds it.
    lost: bool,
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
                "lost" => remarks.lost = true,
                // Looked at by who starts the stores.
                "file" | "rados" | "etcd" => {}
                other => bail!("the remark {other:?} means nothing"),
            }
        }
        ensure!(remarks.held || !remarks.lost, "lost, and nobody holds it");
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
    let line = &*with_the_client(line, environment)?;
    if remarks.ctrl_c {
        let code = Holding::start(line, environment)?.interrupt()?;
        ensure!(code == remarks.code, "exit code {code} after Ctrl-C, not {}", remarks.code);
    } else {
        // Nobody is asked but a person, who is at a terminal.
        let line = if remarks.yes { format!("echo yes | {}", on_a_terminal(line)?) } else { line.to_owned() };
        let said = run(&line, environment, remarks.code)?;
        let asks = remarks.held && remarks.code == 0 && line.contains("status");
        ensure!(!asks || said.contains("held"), "it said {said:?} of a lock that is held");
    }
    if let Some(holder) = holder {
        let (code, wanted) = if remarks.lost { (holder.lose(), LOST) } else { (holder.interrupt(), RELEASED) };
        let code = code.context("the holder")?;
        ensure!(code == wanted, "the holder ended with {code}, not {wanted}");
    }
    Ok(())
}

/// The command with Ceph's name of the holder in the place of `CLIENT`, as a reader fills it in from what `lock info` says.
fn with_the_client(line: &str, environment: &Environment) -> anyhow::Result<String> {
    if !line.split(' ').any(|word| word == "CLIENT") {
        return Ok(line.to_owned());
    }
    let said = run("/usr/bin/rados -p rbd lock info lockctdb ctdb_reclock_mutex", environment, 0)?;
    let about: serde_json::Value = serde_json::from_str(&said).context("what lock info says")?;
    let client = about["lockers"][0]["name"].as_str().with_context(|| format!("no holder in {said:?}"))?;
    Ok(line.replace(" CLIENT ", &format!(" {client} ")))
}

/// What is a command belongs into an example that is run.
fn shows_no_command(lines: &[String]) -> anyhow::Result<()> {
    const PLACES: [&str; 4] = ["/usr/bin", "/usr/sbin", "/usr/libexec/ctdb", "/"];
    for line in lines {
        let word = line.trim_start_matches(['$', '#', ' ']).split(' ').next().unwrap_or_default();
        let is_command = !word.is_empty() && PLACES.iter().any(|place| Path::new(place).join(word).is_file());
        ensure!(!is_command, "{line:?} is a command: show it as one that is run");
    }
    Ok(())
}

/// The same on a terminal of its own.
fn on_a_terminal(line: &str) -> anyhow::Result<String> {
    let script = programs::packaged("/usr/bin/script", "bsdutils")?;
    Ok(format!("{} -qec '{}' /dev/null", script.display(), line.replace('\'', r"'\''")))
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
