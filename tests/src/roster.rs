//! The roster: one row a helper and kind of lock. The contract suite runs every case over every row.
//!
//! A new helper is one row here, and one [`Store`] beside its service.

mod cluster_fs;
mod etcd;
mod file;
mod rados;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;

use crate::fault::Fault;
use crate::process::helper::Helper;
use crate::process::launch::Launch;
use crate::process::programs;

/// The longest a free lock or a contended one takes to answer for, on a machine that is busy with other tests.
/// CTDB's own limit for a probe is 5 s.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(4);

/// A helper with one kind of lock.
pub struct Row {
    /// Its name in the case names.
    pub name: &'static str,
    /// Its binary.
    pub program: Program,
    /// Options after the store's own arguments.
    pub options: Vec<String>,
    /// The wrong helper's bug.
    pub bug: Option<String>,
    /// How many takers at once it is tried with: what this machine can start in the time that CTDB's probe allows.
    pub takers: usize,
    /// What the promises come to with the timing in those arguments.
    pub timing: Timing,
    /// A new store with a free lock.
    pub store: NewStore,
    /// The same, on a store that can be frozen; `None` where there is none for this kind of lock.
    pub hangable: Option<NewStore>,
    /// The helper that this one replaces, if any (P8).
    pub rival: Option<Rival>,
}

/// Sets up a store.
pub type NewStore = fn() -> anyhow::Result<Box<dyn Store>>;

/// Which binary a row runs.
#[derive(Clone, Copy)]
pub enum Program {
    /// A helper of this workspace, or an installed one.
    Helper(&'static str),
    /// A program of the bench.
    Own(&'static str),
}

/// The times of P2 and P3 under a row's arguments.
#[derive(Clone, Copy)]
pub struct Timing {
    /// The store frozen: the pipe has ended this long after the last good proof.
    pub frozen: Duration,
    /// A loss that the store reports: the pipe has ended this long after it.
    pub reported: Duration,
    /// A stall of this length costs nothing.
    pub stall: Duration,
    /// The lock of a worker that nobody can reach any more is free after this; `None`: the kernel frees it at once.
    pub lease: Option<Duration>,
}

/// A helper of the distribution that takes the same lock.
#[derive(Clone, Copy)]
pub struct Rival {
    /// Its absolute path.
    pub program: &'static str,
    /// The package that brings it.
    pub package: &'static str,
}

/// A store with one lock in it, and the faults it can have.
pub trait Store {
    /// The arguments that name the lock (and its timing), the same for every taker.
    fn arguments(&self) -> Vec<OsString>;

    /// The same for the helper that the row's replaces.
    fn rival_arguments(&self) -> Vec<OsString>;

    /// What finds the store from a helper's environment.
    fn environment(&self) -> Vec<(&'static str, OsString)>;

    /// What an error about this lock must name.
    fn object(&self) -> String;

    /// Whether anybody has the lock, found without taking it and without ever hanging.
    fn is_held(&self) -> anyhow::Result<bool>;

    /// The store does not answer. An error from a store that was not set up to be frozen.
    fn frozen(&self) -> anyhow::Result<Fault<'_>>;

    /// The ways in which the lock can be taken away from its holder.
    fn takings(&self) -> Vec<Fault<'_>>;
}

/// Every row.
#[must_use]
pub fn rows() -> Vec<Row> {
    [file::rows(), cluster_fs::rows(), rados::rows(), etcd::rows()].into_iter().flatten().collect()
}

/// The row of the deliberately wrong helper, with one bug.
#[must_use]
pub fn wrong_row(bug: &str) -> Row {
    let mut row = file::row("wrong helper", "posix");
    row.program = Program::Own("wrong_helper");
    row.bug = Some(bug.to_owned());
    row
}

impl Row {
    /// A new store, and this row's helper on it.
    pub fn bench(&self) -> anyhow::Result<Bench<'_>> {
        self.bench_on(self.store)
    }

    /// The same, on a store that can be frozen.
    pub fn hangable_bench(&self) -> anyhow::Result<Bench<'_>> {
        self.bench_on(self.hangable.context("this row has no store that can be frozen")?)
    }

    fn bench_on(&self, store: NewStore) -> anyhow::Result<Bench<'_>> {
        let program = match self.program {
            Program::Helper(name) => programs::helper(name)?,
            Program::Own(name) => programs::own(name)?,
        };
        let store = store().context("set up the store")?;
        Ok(Bench { row: self, program, store })
    }
}

/// A row's helper on a store.
pub struct Bench<'a> {
    row: &'a Row,
    program: PathBuf,
    store: Box<dyn Store>,
}

impl Bench<'_> {
    /// The store.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        self.store.as_ref()
    }

    /// The row's times.
    #[must_use]
    pub fn timing(&self) -> Timing {
        self.row.timing
    }

    /// A helper about to be started on the lock.
    #[must_use]
    pub fn launch(&self) -> Launch {
        let options = self.row.options.iter().map(OsString::from);
        self.with_arguments(self.store.arguments().into_iter().chain(options))
    }

    /// A helper about to be started without any argument.
    #[must_use]
    pub fn launch_without_arguments(&self) -> Launch {
        self.with_arguments(std::iter::empty())
    }

    fn with_arguments(&self, arguments: impl Iterator<Item = OsString>) -> Launch {
        let launch = self.in_environment(Launch::new(&self.program, arguments));
        match &self.row.bug {
            Some(bug) => launch.args(&["--bug", bug]),
            None => launch,
        }
    }

    /// The helper that the row's replaces, about to be started on the lock; `None` where there is none.
    pub fn launch_rival(&self) -> anyhow::Result<Option<Launch>> {
        let Some(rival) = self.row.rival else { return Ok(None) };
        let program = programs::packaged(rival.program, rival.package)?;
        Ok(Some(self.in_environment(Launch::new(program, self.store.rival_arguments()))))
    }

    fn in_environment(&self, launch: Launch) -> Launch {
        self.store.environment().into_iter().fold(launch, |launch, (name, value)| launch.env(name, value))
    }

    /// A helper that has answered `0`.
    pub fn holder(&self) -> anyhow::Result<Helper> {
        let holder = self.launch().start()?;
        holder.expect('0', ANSWER_LIMIT).context("take the free lock")?;
        Ok(holder)
    }

    /// The status that one more taker gets. A taker that got the lock is gone when this returns.
    pub fn try_once(&self) -> anyhow::Result<char> {
        let taker = self.launch().start()?;
        taker.status(ANSWER_LIMIT)
    }
}
