//! The protocol between CTDB and its cluster mutex helpers: processes, time, and the plug for a store.
//!
//! CTDB keeps one cluster lock, so that a cluster that falls apart goes on in one part only. It takes the lock through
//! a *helper*: a program it starts with a pipe as standard output, and whose whole language is
//!
//! 1. **one byte**: `0` held, `1` contended, `2` took too long, `3` error ([`status::Status`]);
//! 2. after `0`, **the end of the pipe**: the lock is lost;
//! 3. SIGTERM, the parent's death or a closed reader: release, and go.
//!
//! This crate is everything about that which is not the store. A helper parses its arguments, builds its
//! [`backend::Backend`] and calls [`run()`]; the promises P1 to P8 then hold:
//!
//! - at most one byte; `0` only while the store says that the lock is ours;
//! - a loss reaches CTDB before the store's lease can run out, whatever hangs or is killed;
//! - a short stall of the store costs nothing;
//! - stopping closes the pipe first, frees the lock one round trip later, and takes at most a second;
//! - errors that waiting cannot cure are said at once, in one line, and nothing is taken.
//!
//! # Not promised
//! Fencing. A paused virtual machine resumes with a CTDB that has not read the end of the pipe yet; what it wrote
//! meanwhile, and what was on its way, nobody here can take back. Nor a parent that dies before `main` runs while a
//! third process keeps the pipe's reader open: there is no sign of it. Where standard error is a file on the store that
//! hangs, the pipe ends in time, but the process is gone only at the thaw: whoever has a file open there hangs in its
//! close.
//!
//! # Map
//! | module | its one job |
//! |---|---|
//! | [`backend`] | the plug: storage verbs |
//! | [`timing`] | when to renew and when to give up, from one base number |
//! | [`status`] | the byte and the exit codes |
//! | [`note`] | how a helper is known without being started |
//! | [`token`] | how one holding of the lock is named |
//! | `run` | from main() to two processes |
//! | `supervisor` | the process CTDB started: owns the pipe, never talks to a store |
//! | `worker` | the other process: `keeper` talks to the store, `guard` watches the supervisor |
//! | `entry` | [`main!`], which starts a helper 0.1 ms earlier |
//! | `wire` | what the two say to each other |
//! | `cause` | why a helper stops: byte, exit code and line |
//! | `clock`, `descriptor`, `parent`, `pipe`, `stderr`, `sys` | the parts of Linux that all this stands on |
//!
//! ARCHITECTURE.md has the process picture, the states and the worst case second by second.
//!
//! # The smallest helper
//! A lock on the existence of a directory: real, though nobody should use it (it survives its holder).
//!
//! ```no_run
//! use std::fs;
//! use std::io::ErrorKind;
//! use std::process::ExitCode;
//! use std::time::Duration;
//!
//! use mutex_core::backend::{
//!     Acquired, Backend, Broken, Failure, HolderReport, HolderState, Identity, Renewed, Trouble,
//! };
//! use mutex_core::timing::Timing;
//! use mutex_core::{Helper, Options};
//!
//! #[derive(clap::Parser)]
//! #[command(name = "ctdb_mutex_directory_helper", version)]
//! struct Args {
//!     directory: String,
//!     #[command(flatten)]
//!     options: Options,
//! }
//!
//! struct Directory {
//!     path: String,
//!     ours: bool,
//! }
//!
//! impl Backend for Directory {
//!     async fn acquire(&mut self, _holder: &Identity) -> Result<Acquired, Failure> {
//!         match fs::create_dir(&self.path) {
//!             Ok(()) => {
//!                 self.ours = true;
//!                 Ok(Acquired::Held(None))
//!             }
//!             Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Acquired::Contended),
//!             Err(error) => Err(Failure::permanent("make", error, "see its parent directory")),
//!         }
//!     }
//!     async fn announce(&mut self, _holder: &Identity) -> Result<(), Failure> {
//!         Ok(())
//!     }
//!     async fn renew(&mut self) -> Result<Renewed, Failure> {
//!         match fs::metadata(&self.path) {
//!             Ok(_) => Ok(Renewed::Kept(None)),
//!             Err(error) if error.kind() == ErrorKind::NotFound => Ok(Renewed::Lost("it was removed".into())),
//!             Err(error) => Err(Failure::transient("look at", error, "see its file system")),
//!         }
//!     }
//!     async fn release(&mut self) -> Result<(), Failure> {
//!         if std::mem::take(&mut self.ours) {
//!             fs::remove_dir(&self.path).map_err(|error| Failure::transient("remove", error, "remove it by hand"))?;
//!         }
//!         Ok(())
//!     }
//!     async fn holder(&mut self) -> Result<HolderReport, Failure> {
//!         let state = if fs::metadata(&self.path).is_ok() { HolderState::Held } else { HolderState::Free };
//!         // No holding differs from the next: none can be named.
//!         Ok(HolderReport { state, holder: Default::default(), token: None, store: Default::default() })
//!     }
//!     async fn break_lock(&mut self, _token: &str) -> Result<Broken, Failure> {
//!         Err(Failure::permanent("break the lock on", "its holder cannot be told from the next", "remove it by hand"))
//!     }
//!     async fn health(&mut self) -> Result<String, Failure> {
//!         fs::metadata("/").map(|_| "the root directory".into()).map_err(|error| Failure::transient("see", error, "reboot"))
//!     }
//!     fn silence(&self) -> Trouble {
//!         Trouble::new("reach", "its file system does not answer", "see whether it is mounted")
//!     }
//! }
//!
//! fn main() -> ExitCode {
//!     mutex_core::run(|args: Args| {
//!         Ok(Helper {
//!             options: args.options,
//!             object: args.directory.clone(),
//!             timing: Timing::proof(Duration::from_secs(5), Duration::from_secs(10))?,
//!             store_libraries: &[],
//!             backend: Directory { path: args.directory, ours: false },
//!         })
//!     })
//! }
//! ```

// Properties of every program.
#[cfg(test)]
#[path = "../../fuzz/properties/argv.rs"]
mod argv;
mod cause;
mod clock;
mod descriptor;
mod entry;
mod options;
mod parent;
mod pipe;
mod refusal;
mod report;
mod run;
mod stderr;
mod supervisor;
mod sys;
mod wire;
mod worker;

pub mod backend;
// The checks of the fuzz targets, which are about what is private here.
#[cfg(any(test, fuzzing))]
#[path = "../../fuzz/checks/core.rs"]
#[doc(hidden)]
pub mod fuzz;
pub mod note;
pub mod status;
pub mod timing;
pub mod token;

#[doc(hidden)]
pub use entry::enter;
pub use options::{Options, at_least_a_second, milliseconds, seconds};
pub use refusal::refusal;
pub use run::{Helper, run};
pub use stderr::escape;
