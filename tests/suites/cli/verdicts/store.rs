//! A lock whose store can be frozen and broken by a shell's command, which is what `test` is given.
//!
//! The faults are this process's to make. So the commands write a word into a FIFO, a thread here does what it says, and
//! answers in a file.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;

use anyhow::{Context, bail};
use mutex_tests::fault::{Fault, Injected};
use mutex_tests::services::ceph::{self, ADMIN, CONF_VARIABLE, Ceph, POOL, lock};
use mutex_tests::services::etcd::{self, Etcd};
use mutex_tests::services::fuse::{HungFs, Locks};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tempfile::TempDir;

/// A store with one lock in it.
pub(super) trait Store: Sync {
    /// The store does not answer.
    fn frozen(&self) -> Fault<'_>;

    /// The lock is taken away from its holder.
    fn take_away(&self) -> anyhow::Result<()>;

    /// What finds the store from a helper's environment.
    fn environment(&self) -> Vec<(&'static str, OsString)>;
}

/// The commands.
pub(super) struct Commands {
    dir: TempDir,
}

impl Commands {
    /// What makes the store stop answering.
    pub(super) fn freeze(&self) -> String {
        self.command("freeze")
    }

    /// What makes it answer again.
    pub(super) fn thaw(&self) -> String {
        self.command("thaw")
    }

    /// What takes the lock away.
    pub(super) fn take_away(&self) -> String {
        self.command("break")
    }

    /// Whether the store is frozen.
    pub(super) fn is_frozen(&self) -> bool {
        self.frozen_mark().exists()
    }

    fn frozen_mark(&self) -> PathBuf {
        self.dir.path().join("frozen")
    }

    fn asked(&self) -> PathBuf {
        self.dir.path().join("asked")
    }

    /// Where the answer to the shell with this number is.
    fn answer(&self, shell: &str) -> PathBuf {
        self.dir.path().join(shell)
    }

    fn command(&self, word: &str) -> String {
        let (asked, answer) = (self.asked(), self.answer("$$"));
        let (asked, answer) = (asked.display(), answer.display());
        format!(
            r#"echo {word} $$ >{asked}; until [ -e {answer} ]; do sleep 0.01; done
            read -r said <{answer}; [ "$said" = ok ] || {{ echo "$said" >&2; exit 1; }}"#
        )
    }
}

/// Runs a trial with the commands of a store; what it leaves frozen is thawed.
pub(super) fn with_commands<S: Store>(
    store: &S,
    trial: impl FnOnce(&Commands) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let commands = Commands { dir: tempfile::tempdir().context("make a directory")? };
    mkfifo(&commands.asked(), Mode::S_IRWXU).context("make a FIFO")?;
    // Both ends, so that nobody waits in opening it, and what is in it is not forgotten.
    let mut asked = File::options().read(true).write(true).open(commands.asked())?;
    let words = BufReader::new(asked.try_clone()?);
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| serve(store, &commands, words));
        let outcome = trial(&commands);
        asked.write_all(b"end\n")?;
        let served = thread.join().unwrap_or_else(|_| bail!("the thread of the commands panicked"));
        outcome.and(served)
    })
}

fn serve<S: Store>(store: &S, commands: &Commands, words: impl BufRead) -> anyhow::Result<()> {
    let fault = store.frozen();
    let mut frozen = None;
    for line in words.lines() {
        let line = line.context("read a command")?;
        let (word, shell) = line.split_once(' ').unwrap_or((&line, ""));
        let done = match word {
            "end" => break,
            "freeze" => fault.inject().and_then(|injected| {
                frozen = Some(injected);
                Ok(fs::write(commands.frozen_mark(), "")?)
            }),
            "thaw" => frozen.take().map_or(Ok(()), Injected::heal).and_then(|()| {
                let mark = commands.frozen_mark();
                if mark.exists() { Ok(fs::remove_file(mark)?) } else { Ok(()) }
            }),
            "break" => store.take_away(),
            other => bail!("no command: {other:?}"),
        };
        let answer = done.map_or_else(|error| format!("{error:#}").replace('\n', " "), |()| "ok".to_owned());
        // Whole, as soon as it is there. Whoever asked may have been killed meanwhile.
        let half = commands.answer("half");
        fs::write(&half, format!("{answer}\n"))?;
        fs::rename(half, commands.answer(shell))?;
    }
    Ok(())
}

/// A lock file on a file system that can hang.
pub(super) struct FileOnFuse {
    fs: HungFs,
}

impl FileOnFuse {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self { fs: HungFs::mount(Locks::Local)? })
    }

    /// The file.
    pub(super) fn path(&self) -> PathBuf {
        self.fs.path().join("lock")
    }
}

impl Store for FileOnFuse {
    fn frozen(&self) -> Fault<'_> {
        self.fs.frozen()
    }

    fn take_away(&self) -> anyhow::Result<()> {
        fs::remove_file(self.path()).context("remove the lock file")
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        Vec::new()
    }
}

/// A lock in an object of a cluster of its own.
pub(super) struct Object {
    ceph: Ceph,
    name: &'static str,
}

impl Object {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self { ceph: Ceph::start(ceph::Setup { mgr: false, min_size: 2 })?, name: "lock" })
    }

    /// What names it, for our helper and the one that it replaces.
    pub(super) fn arguments(&self) -> String {
        format!("ceph {ADMIN} {POOL} {}", self.name)
    }
}

impl Store for Object {
    fn frozen(&self) -> Fault<'_> {
        self.ceph.osds_frozen()
    }

    fn take_away(&self) -> anyhow::Result<()> {
        let holder = self.ceph.lock_info(None, self.name)?.context("nobody has the lock")?;
        let deed = ["lock", "break", self.name, lock::NAME, &holder.client, "--lock-cookie", &holder.cookie];
        self.ceph.rados(&[&ceph::in_pool(None), &deed[..]].concat()).map(drop)
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        vec![(CONF_VARIABLE, self.ceph.conf().into())]
    }
}

/// A lock under a key of a cluster of its own.
pub(super) struct Key {
    etcd: Etcd,
}

impl Key {
    /// Its name.
    pub(super) const NAME: &str = "/ctdb/lock";

    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self { etcd: Etcd::start(etcd::Setup::default())? })
    }
}

impl Store for Key {
    fn frozen(&self) -> Fault<'_> {
        self.etcd.all_frozen()
    }

    fn take_away(&self) -> anyhow::Result<()> {
        self.etcd.etcdctl(&["del", "--prefix", &format!("{}/", Self::NAME)]).map(drop)
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        self.etcd.environment()
    }
}
