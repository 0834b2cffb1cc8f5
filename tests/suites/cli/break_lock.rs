//! `break`.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use mutex_tests::process::Process;
use mutex_tests::process::answer::Answer;
use mutex_tests::process::helper::Helper;
use mutex_tests::process::launch::Launch;
use mutex_tests::process::programs;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::ceph::{self, ADMIN, CONF_VARIABLE, Ceph, POOL};
use mutex_tests::services::etcd::{self, Etcd, Setup};
use mutex_tests::wait::wait_for;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::openpty;
use rustix::process::Signal;

use crate::tool::{LIMIT, directory, expect_code, file_lock, objects, text, tool};
use crate::{Case, NOISE};

pub(crate) const CASES: &[Case] = &[
    ("break of a lock whose host is dead, without expiry: named, broken, and another takes it", dead_host),
    ("break of a lock that is held: the holder's pipe ends", live_holder),
    ("break of a lock that changed hands while the person thought breaks nothing, exit code 1", changed_hands),
    ("break that is not confirmed does nothing, exit code 3", not_confirmed),
    ("break without a terminal and without --yes names the holder and does nothing, exit code 3", nobody_to_ask),
    ("break of a free lock does nothing, exit code 0", free),
    ("break of a file lock says why it cannot and what to do, without asking, exit code 3", file),
    ("break with a helper that is none of ours does not start it, exit code 3", not_ours),
    ("break with a store that does not answer is over at its limit, exit code 2", no_answer),
    ("break whose helper is killed says that the outcome is not known, exit code 2", helper_killed),
    ("break by a program that ignores SIGCHLD: broken, exit code 0", children_ignored),
];

/// The process is gone so soon after it was told to go.
const GONE: Duration = Duration::from_secs(1).saturating_add(NOISE);

/// A renewal and the time for its answer, with a lease of 3 s of etcd; noise included.
const NOTICED: Duration = Duration::from_millis(600 + 750).saturating_add(NOISE);

/// A name that no other case has.
fn name() -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    format!("break-{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A lock in the etcd that all share.
struct EtcdLock {
    etcd: Arc<Etcd>,
    key: String,
    /// As in ctdb.conf.
    text: String,
}

impl EtcdLock {
    fn new() -> anyhow::Result<Self> {
        Self::on(etcd::shared()?)
    }

    fn on(etcd: Arc<Etcd>) -> anyhow::Result<Self> {
        let key = name();
        let helper = programs::helper("ctdb_mutex_etcd_helper")?;
        let text = format!("!{} {key} 3 --endpoints {}", helper.display(), etcd.endpoints());
        Ok(Self { etcd, key, text })
    }

    /// The helper as CTDB starts it.
    fn holder(&self) -> anyhow::Result<Helper> {
        let words: Vec<&str> = self.text.trim_start_matches('!').split(' ').collect();
        let holder = Launch::new(words[0], &words[1..]).start()?;
        holder.expect('0', ANSWER_LIMIT)?;
        Ok(holder)
    }

    fn is_held(&self) -> anyhow::Result<bool> {
        Ok(!self.etcd.holders(&self.key)?.is_empty())
    }
}

fn rados_helper(ceph: &Ceph, object: &str) -> anyhow::Result<Launch> {
    let launch = Launch::new(programs::helper("ctdb_mutex_rados_helper")?, ["ceph", ADMIN, POOL, object, "0"]);
    Ok(launch.env(CONF_VARIABLE, ceph.conf()))
}

fn dead_host() -> anyhow::Result<()> {
    let (ceph, object) = (ceph::shared()?, name());
    let holder = rados_helper(&ceph, &object)?.start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    let lasting = || ceph.lock_info(None, &object).ok()??.expires.is_none().then_some(());
    wait_for("the lock to have no expiration", ANSWER_LIMIT, lasting)?;
    holder.worker()?.signal(Signal::KILL)?;
    holder.gone(GONE)?;
    let info = ceph.lock_info(None, &object)?.context("the lock has gone with its holder")?;

    let helper = programs::helper("ctdb_mutex_rados_helper")?;
    let lock = format!("!{} ceph {ADMIN} {POOL} {object} 0", helper.display());
    let answer = tool(["break", "--yes", "--json", &lock])?.env(CONF_VARIABLE, ceph.conf()).answer(LIMIT)?;
    expect_code(&answer, 0)?;
    let said = objects(&answer)?;
    let [held, broken] = &said[..] else { anyhow::bail!("not two objects: {said:?}") };
    ensure!(
        held["event"] == "held" && held["holder"]["client"] == info.client && held["store"]["pool"] == POOL,
        "{held}"
    );
    ensure!(broken["event"] == "broken", "{broken}");
    ensure!(broken["text"].as_str().is_some_and(|text| text.contains(&info.address)), "{broken}");
    let next = rados_helper(&ceph, &object)?.start()?;
    next.expect('0', ANSWER_LIMIT)
}

fn live_holder() -> anyhow::Result<()> {
    let lock = EtcdLock::new()?;
    let holder = lock.holder()?;
    let answer = tool(["break", "--yes", &lock.text])?.answer(LIMIT)?;
    holder.end(NOTICED)?;
    expect_code(&answer, 0)?;
    let said = text(&answer);
    let [held, broken] = said.lines().collect::<Vec<_>>()[..] else { anyhow::bail!("not two lines: {said:?}") };
    let pid = format!(" holder.pid={} ", holder.supervisor().pid());
    ensure!(held.starts_with(&format!("held object={} ", lock.key)) && held.contains(&pid), "{said:?}");
    ensure!(held.contains(" store.cluster_id="), "which store this is: {said:?}");
    ensure!(broken.starts_with("broken ") && answer.stderr.is_empty(), "{said:?}, {:?}", answer.stderr);
    ensure!(!lock.is_held()?, "it is not free");
    Ok(())
}

/// The tool with a person before it. Ends with this value.
struct Person {
    tool: Child,
    screen: File,
    said: String,
}

impl Person {
    fn start(arguments: &[&str]) -> anyhow::Result<Self> {
        let terminal = openpty(None, None).context("open a terminal")?;
        let mut command = Command::new(programs::helper("ctdb-mutex")?);
        command.args(arguments).stdin(terminal.slave.try_clone()?).stdout(Stdio::null()).stderr(terminal.slave);
        let tool = command.spawn().context("start ctdb-mutex")?;
        Ok(Self { tool, screen: File::from(terminal.master), said: String::new() })
    }

    /// Waits until it asks.
    fn is_asked(&mut self) -> anyhow::Result<()> {
        self.reads("Type yes")
    }

    /// Waits until these words have come.
    fn reads(&mut self, words: &str) -> anyhow::Result<()> {
        let Self { screen, said, .. } = self;
        let read = wait_for(words, LIMIT, || {
            let mut ready = [PollFd::new(screen.as_fd(), PollFlags::POLLIN)];
            if poll(&mut ready, PollTimeout::ZERO).is_ok_and(|count| count > 0) {
                let mut piece = [0; 4096];
                let count = (&*screen).read(&mut piece).unwrap_or(0);
                said.push_str(&String::from_utf8_lossy(&piece[..count]));
            }
            said.contains(words).then_some(())
        });
        read.with_context(|| format!("on the terminal: {said:?}"))?;
        Ok(())
    }

    /// Answers, and waits for the exit code.
    fn types(&mut self, line: &str) -> anyhow::Result<Option<i32>> {
        self.screen.write_all(line.as_bytes())?;
        let (status, _) = wait_for("ctdb-mutex to end", LIMIT, || self.tool.try_wait().ok().flatten())?;
        Ok(status.code())
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        let _ = self.tool.kill();
        let _ = self.tool.wait();
    }
}

fn changed_hands() -> anyhow::Result<()> {
    let lock = EtcdLock::new()?;
    let first = lock.holder()?;
    let mut person = Person::start(&["break", &lock.text])?;
    person.is_asked()?;
    first.signal(Signal::TERM)?;
    first.gone(GONE)?;
    let next = lock.holder()?;
    let code = person.types("yes\n")?;
    ensure!(code == Some(1), "exit code {code:?}");
    next.pipe()?.stays_silent(NOTICED)?;
    ensure!(lock.is_held()?, "the lock was broken");
    Ok(())
}

fn not_confirmed() -> anyhow::Result<()> {
    let lock = EtcdLock::new()?;
    let holder = lock.holder()?;
    for answer in ["y\n", "\n", "\u{4}"] {
        let mut person = Person::start(&["break", &lock.text])?;
        person.is_asked()?;
        let pid = format!("process {} on ", holder.supervisor().pid());
        ensure!(person.said.contains(&pid), "nobody is named on the terminal: {:?}", person.said);
        let code = person.types(answer)?;
        ensure!(code == Some(3), "exit code {code:?} after {answer:?}");
    }
    holder.pipe()?.stays_silent(NOTICED)?;
    let mut person = Person::start(&["break", &lock.text])?;
    person.is_asked()?;
    let code = person.types("yes\n")?;
    ensure!(code == Some(0), "exit code {code:?} after yes");
    holder.end(NOTICED).map(drop)
}

fn nobody_to_ask() -> anyhow::Result<()> {
    let lock = EtcdLock::new()?;
    let holder = lock.holder()?;
    let answer = tool(["break", &lock.text])?.answer(LIMIT)?;
    expect_code(&answer, 3)?;
    ensure!(text(&answer).contains(&format!("holder.pid={} ", holder.supervisor().pid())), "{:?}", text(&answer));
    ensure!(answer.stderr.contains("--yes") && answer.stderr.lines().count() == 1, "{:?}", answer.stderr);
    holder.pipe()?.stays_silent(NOTICED)
}

fn free() -> anyhow::Result<()> {
    let lock = EtcdLock::new()?;
    let answer = tool(["break", &lock.text])?.answer(LIMIT)?;
    expect_code(&answer, 0)?;
    let said = text(&answer);
    ensure!(said.starts_with(&format!("free object={} ", lock.key)) && said.lines().count() == 1, "{said:?}");
    ensure!(!lock.is_held()?, "it was taken");
    Ok(())
}

fn file() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    let holder = Launch::new(programs::helper("ctdb_mutex_file_helper")?, [&file]).args(&["1", "2"]).start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    let process = format!("process {} on ", holder.supervisor().pid());
    // As CTDB has it, and by the name of the file alone. The holder writes its line once CTDB was told.
    for lock in [file_lock(&file)?, file.display().to_string()] {
        let named = || {
            let answer = tool(["break", &lock]).ok()?.answer(LIMIT).ok()?;
            answer.stderr.contains(&process).then_some(answer)
        };
        let (answer, _) = wait_for("the line to name the holder", LIMIT, named)?;
        expect_code(&answer, 3)?;
        ensure!(
            answer.stderr.lines().count() == 1 && answer.stderr.contains("end that process"),
            "{:?}",
            answer.stderr
        );
    }
    ensure!(holder.pipe()?.is_silent(), "the holder's pipe is not silent");
    Ok(())
}

/// Samba's would take `--status` for the name of its file.
fn not_ours() -> anyhow::Result<()> {
    let (dir, trace) = directory()?;
    let helper = dir.path().join("helper");
    fs::write(&helper, format!("#!/bin/sh\n: >{}\n", trace.display()))?;
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755))?;
    let samba = programs::packaged("/usr/libexec/ctdb/ctdb_mutex_fcntl_helper", "ctdb")?;
    for lock in [format!("!{} x", helper.display()), format!("!{} {}", samba.display(), trace.display())] {
        let answer = tool(["break", "--yes", &lock])?.answer(LIMIT)?;
        expect_code(&answer, 3)?;
        ensure!(text(&answer).is_empty() && answer.stderr.contains("none of our helpers"), "{:?}", answer.stderr);
        ensure!(answer.stderr.lines().count() == 1, "{:?}", answer.stderr);
    }
    ensure!(!trace.exists() && fs::read_dir(dir.path())?.count() == 1, "it was started");
    Ok(())
}

/// A port of loopback at which nobody listens.
fn no_answer() -> anyhow::Result<()> {
    let helper = programs::helper("ctdb_mutex_etcd_helper")?;
    let lock = format!("!{} {} 3 --endpoints http://127.0.0.1:1", helper.display(), name());
    let start = Instant::now();
    let Answer { code, stderr, .. } = tool(["break", "--yes", "--timeout-seconds", "2", &lock])?.answer(LIMIT)?;
    ensure!(code == 2 && stderr.contains("127.0.0.1:1"), "exit code {code}, {stderr:?}");
    let took = start.elapsed();
    let limit = Duration::from_secs(2);
    ensure!(took + NOISE > limit && took < limit + GONE + NOISE, "over after {took:?}");
    Ok(())
}

/// With the question already on its way to the store.
fn helper_killed() -> anyhow::Result<()> {
    let lock = EtcdLock::on(Arc::new(Etcd::start(Setup::default())?))?;
    let _holder = lock.holder()?;
    let mut person = Person::start(&["break", &lock.text])?;
    person.is_asked()?;
    let fault = lock.etcd.all_frozen();
    let _frozen = fault.inject()?;
    let tool = Process::open(i32::try_from(person.tool.id())?)?;
    person.screen.write_all(b"yes\n")?;
    tool.child(LIMIT)?.signal(Signal::KILL)?;
    let code = person.types("")?;
    ensure!(code == Some(2), "exit code {code:?}");
    person.reads("not known")
}

fn children_ignored() -> anyhow::Result<()> {
    let lock = EtcdLock::new()?;
    let holder = lock.holder()?;
    let tool = programs::helper("ctdb-mutex")?;
    let env = programs::packaged("/usr/bin/env", "coreutils")?;
    let arguments = ["--ignore-signal=CHLD".into(), tool, "break".into(), "--yes".into(), lock.text.clone().into()];
    let answer = Launch::new(env, arguments).answer(LIMIT)?;
    expect_code(&answer, 0)?;
    holder.end(NOTICED).map(drop)
}
