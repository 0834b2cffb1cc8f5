//! `ctdb-mutex break`: looks who holds the lock, asks, and has the helper take it away from that holding alone.
//!
//! Between the look and the break a person thinks, and the lock may change hands: the token of what was shown goes along, so
//! that nobody else loses it. What to break, and how, the helper knows; nothing of a store is known here.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use mutex_core::escape;
use mutex_core::status::exit_code;
use serde_json::{Map, Value};

use crate::holder;
use crate::lock::Lock;
use crate::question::{self, Answer};
use crate::say::{self, Voice};

/// Take the lock away from its holder, in the store
///
/// For a lock whose holder is dead and that nobody else frees: see first that it really is, or two nodes lead. Says who has
/// it, and asks. A lock that has changed hands by then is not broken. Not for files: their lock goes with its process.
///
/// Exit codes: 0 broken, or free already; 1 that holder has it no more; 2 no answer in time; 3 refused, or an error.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The lock as in ctdb.conf; default: the one that is configured there
    lock: Option<String>,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,

    /// Say it in JSON, one object a line
    #[arg(long)]
    json: bool,

    /// How long the store may take for each answer
    #[arg(long, value_name = "N", default_value = "5", value_parser = mutex_core::at_least_a_second)]
    timeout_seconds: Duration,
}

const EXAMPLES: &str = "\
Examples:
  $ ctdb-mutex break --yes
    the lock of this node's ctdb.conf, which is free here: nothing is done
  $ ctdb-mutex break --yes '!/usr/libexec/ctdb/ctdb_mutex_rados_helper ceph client.admin rbd lockctdb'  # held
  $ ctdb-mutex break --yes --json '!/usr/libexec/ctdb/ctdb_mutex_etcd_helper /ctdb/lock 3'  # held
  $ ctdb-mutex break --yes /clusterfs/ctdb/lock  # held, exit 3
    a file: it says why not, and what to do";

/// What the helper's `--status --json` says.
struct Found {
    object: String,
    state: String,
    /// All of it.
    report: Map<String, Value>,
    /// `None`: this holding cannot be told from another, as a file's.
    token: Option<String>,
}

/// No helper's token: what it says to it is why it breaks none.
const NO_TOKEN: &str = "none";

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let lock = Lock::find(args.lock.as_deref())?;
    ensure!(
        lock.is_ours()?,
        "{} is none of our helpers: it does not know --break, and was not started; \
         break the lock with the commands of its store (Ceph: `rados lock break`)",
        lock.program().display()
    );
    let voice = Voice::new(args.json);
    let answer = ask(&lock, &["--status", "--json"], args.timeout_seconds)?;
    if answer.code != exit_code::RELEASED {
        return Ok(ExitCode::from(answer.code));
    }
    let found = Found::read(&answer.stdout)?;
    found.show(voice);
    if found.state == "free" {
        return Ok(ExitCode::SUCCESS);
    }
    let Some(token) = &found.token else {
        let answer = ask(&lock, &[&break_option(NO_TOKEN)], args.timeout_seconds)?;
        return Ok(ExitCode::from(answer.code));
    };
    if !args.yes && !found.confirmed()? {
        say::complain(&format!("{}: nothing was done", found.object));
        return Ok(ExitCode::from(exit_code::ERROR));
    }
    let answer = ask(&lock, &[&break_option(token), "--json"], args.timeout_seconds)?;
    if !answer.by_itself {
        // Else it says so itself.
        say::complain("whether the lock was broken is not known: see ctdb-mutex status");
        return Ok(ExitCode::from(exit_code::TIMED_OUT));
    }
    if matches!(answer.code, exit_code::RELEASED | exit_code::CONTENDED) {
        tell(voice, &found.object, &answer)?;
    }
    Ok(ExitCode::from(answer.code))
}

/// As one word: a token may begin like an option.
fn break_option(token: &str) -> String {
    format!("--break={token}")
}

/// Asks the helper, and shows what it says on standard error.
fn ask(lock: &Lock, options: &[&str], limit: Duration) -> anyhow::Result<Answer> {
    let answer = question::ask(lock, options, limit)?;
    answer.stderr.iter().for_each(|line| say::pass_on(line));
    Ok(answer)
}

/// What came of the break.
fn tell(voice: Voice, object: &str, answer: &Answer) -> anyhow::Result<()> {
    let said: Value = serde_json::from_str(&answer.stdout).context("the helper's answer cannot be understood")?;
    let text = said["text"].as_str().unwrap_or_default();
    let facts = [("object", object.into()), ("text", text.into())];
    if answer.code == exit_code::CONTENDED {
        voice.event("not_held", &facts, &format!("not broken: {text}; look again who has it: ctdb-mutex status"));
        return Ok(());
    }
    voice.event("broken", &facts, &format!("broken: {text}"));
    if matches!(voice, Voice::Words) {
        say::print(
            "next: a helper of ours that still runs notices with its next renewal, and its CTDB lets go; the nodes elect a\n\
             leader within seconds, who takes the lock: ctdb leader, ctdb-mutex status\n",
        );
    }
    Ok(())
}

impl Found {
    fn read(json: &str) -> anyhow::Result<Self> {
        let mut report: Map<String, Value> =
            serde_json::from_str(json).context("the helper's --status --json cannot be understood")?;
        holder::add_lease_left(&mut report, SystemTime::now());
        let text = |key: &str| report.get(key).and_then(Value::as_str).map(str::to_owned);
        Ok(Self {
            object: text("object").unwrap_or_default(),
            state: text("state").context("the helper's --status --json names no state")?,
            token: text("token"),
            report,
        })
    }

    /// Who has the lock, and where.
    fn show(&self, voice: Voice) {
        let facts = holder::facts(&self.report, &["object", "holder", "store"]);
        voice.event(&self.state, &facts, &self.in_words());
    }

    fn in_words(&self) -> String {
        format!("object:  {}\n{}", self.object, holder::report_in_words(&self.report, SystemTime::now()))
    }

    /// Asks the person, who has to see what it is about wherever standard output goes.
    fn confirmed(&self) -> anyhow::Result<bool> {
        ensure!(io::stdin().is_terminal(), "standard input is no terminal, so that nobody can be asked: see --yes");
        let mut question = String::new();
        if !io::stdout().is_terminal() {
            question = self.in_words().lines().map(|line| escape(line) + "\n").collect();
        }
        question += "Is that holder really dead? One that lives, or only sleeps, leads until it notices.\n\
                     Break it? Type yes: ";
        let mut stderr = io::stderr();
        stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush()).context("cannot ask")?;
        let mut line = String::new();
        io::stdin().read_line(&mut line).context("cannot read the answer")?;
        Ok(line.trim() == "yes")
    }
}
