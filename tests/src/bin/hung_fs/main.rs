//! A small file system in memory that can be made to hang: one tree and one table of locks, and as many mounts as wanted, each
//! a client of its own, as the nodes of a cluster file system are.
//!
//!     hung_fs local|remote|none SESSION-MILLISECONDS MOUNTPOINT...
//!
//! The first argument says who keeps the locks: the kernel of this machine, this server, or nobody (ENOLCK). A mount that has
//! been silent for SESSION-MILLISECONDS loses its session and its locks; 0: never.
//!
//! Standard input takes one command a line, each answered with `ok`. Those of the first table are for all mounts, or for that
//! whose number, from 0, stands in front: `2 hold link`.
//!
//! | command | meaning |
//! |---|---|
//! | `hold WHAT` | held back from then on: `everything`, `link` (the same, and the session grows old), `answers` (what was asked for is done), `writes`, `locks`, `reads` or `attributes`; counted, so that two may do it |
//! | `free WHAT` | takes one `hold` back |
//! | `fail` | every request but a close fails with EIO; counted |
//! | `work` | takes one `fail` back |
//! | `evict` | ends the session: its locks are free, what is open fails with EIO, and what is opened then is a new session's |
//! | `forget` | drops the locks, and tells nobody |
//! | `kill` | ends the connection (ENOTCONN), and the session with it; counted |
//! | `leave behind` | ends the connection; the session and its locks stay for their time; counted with `kill` |
//! | `mount` | takes one of these two back: after the last it is mounted anew |
//!
//! `remove PATH` takes away a name, if there is one, as another node does: PATH is relative to the root. `cache` lets the kernel answer for the server; `take along PATH` names a mount that is to end with this one. `ok` is
//! also said once, when all is mounted. At the end of standard input, or
//! when something has been held back for ten minutes without a command, it unmounts and goes.

mod client;
mod command;
mod gate;
mod locks;
mod mount;
mod sessions;
mod store;
mod tree;

use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, bail};
use nix::mount::{MntFlags, umount2};

use command::{Command, Deed};
use gate::Gate;
use mount::Mount;
use store::{LockMode, Store, watch_sessions};

/// Whoever holds something back and says nothing for so long hangs in it itself: killed with a file open here, it cannot
/// end, and so its end of the input cannot.
const SILENCE: Duration = Duration::from_secs(600);

fn main() -> anyhow::Result<()> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [mode, session_time, places @ ..] = &arguments[..] else {
        bail!("usage: hung_fs local|remote|none SESSION-MILLISECONDS MOUNTPOINT...");
    };
    let mode = match mode.to_str() {
        Some("local") => LockMode::Local,
        Some("remote") => LockMode::Remote,
        Some("none") => LockMode::None,
        _ => bail!("lock mode {}: not one of local, remote, none", mode.to_string_lossy()),
    };
    let milliseconds = session_time.to_str().and_then(|number| number.parse().ok());
    let milliseconds = milliseconds.with_context(|| format!("session time {}", session_time.to_string_lossy()))?;
    let session_time = (milliseconds > 0).then(|| Duration::from_millis(milliseconds));

    let store = Arc::new(Store::new(mode, places.len(), session_time));
    let (mut mounts, mut taken_along) = (Vec::new(), Vec::new());
    let ended = serve(&store, places, &mut mounts, &mut taken_along);
    // Whoever started this is dead, else it had ended us: nothing may hang on the way out, and helpers that still have
    // files open must not keep the mounts.
    store.gates.iter().for_each(Gate::open);
    for place in taken_along {
        let _ = umount2(&place, MntFlags::MNT_DETACH);
        let _ = std::fs::remove_dir(&place);
    }
    for mut mount in mounts {
        mount.abort();
        mount.unmount();
        let _ = std::fs::remove_dir(mount.place());
    }
    ended
}

/// Mounts all, and does what it is told to the end of its input.
fn serve(
    store: &Arc<Store>,
    places: &[OsString],
    mounts: &mut Vec<Mount>,
    taken_along: &mut Vec<PathBuf>,
) -> anyhow::Result<()> {
    for (number, place) in places.iter().enumerate() {
        mounts.push(Mount::new(Path::new(place), store, number)?);
    }
    watch_sessions(store).context("start the watch over the sessions")?;
    let mut answers = std::io::stdout();
    writeln!(answers, "ok")?;
    let (sender, lines) = channel();
    std::thread::spawn(move || std::io::stdin().lock().lines().try_for_each(|line| sender.send(line)));
    loop {
        let line = match lines.recv_timeout(SILENCE) {
            Ok(line) => line?,
            Err(RecvTimeoutError::Timeout) if store.gates.iter().all(Gate::is_open) => continue,
            Err(_) => return Ok(()),
        };
        match command::parse(&line, mounts.len())? {
            Command::Mount(Some(number), deed) => act(store, number, &mut mounts[number], deed)?,
            Command::Mount(None, deed) => {
                for (number, mount) in mounts.iter_mut().enumerate() {
                    act(store, number, mount, deed)?;
                }
            }
            Command::Remove(path) => store.remove(&path),
            Command::Cache => store.let_the_kernel_answer(),
            Command::TakeAlong(place) => taken_along.push(place),
        }
        writeln!(answers, "ok")?;
    }
}

fn act(store: &Store, number: usize, mount: &mut Mount, deed: Deed) -> anyhow::Result<()> {
    let gate = &store.gates[number];
    match deed {
        Deed::Hold(held) => gate.hold(held),
        Deed::Free(held) => gate.free(held),
        Deed::Fail => gate.fail(true),
        Deed::Work => gate.fail(false),
        Deed::Evict => store.evict(number),
        Deed::Forget => store.forget_locks(number),
        Deed::Kill => {
            mount.die();
            store.evict(number);
        }
        Deed::LeaveBehind => {
            mount.die();
            store.leave_behind(number);
        }
        Deed::Mount => mount.live()?,
    }
    Ok(())
}
