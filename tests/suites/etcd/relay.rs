//! A network between a helper and a member that can be held up at a chosen request: what a frozen member, a hung disk or a
//! dead line do at a moment that nobody can choose.
//!
//! It tells requests apart by counting: in HTTP/2 each begins with one frame of headers. A try's first is the look, its
//! second asks which cluster this is, its third asks for the lease, its fourth puts the key.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use mutex_tests::services::etcd::Etcd;
use mutex_tests::wait::wait_for;

/// The request that asks for a lease.
pub(crate) const GRANT: usize = 3;
/// The request that puts the key.
pub(crate) const PUT: usize = 4;

/// What a client of HTTP/2 says first.
const PREFACE: usize = 24;
/// Length (3), kind (1), flags (1), stream (4).
const FRAME_HEAD: usize = 9;
const HEADERS: u8 = 1;
const RESET: u8 = 3;

/// What is held up, from a request on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    /// The answers: the member does what it is asked.
    Answers,
    /// The requests: the member does it when they arrive.
    Requests,
}

/// The way to one member. Ends with this value.
pub(crate) struct Relay {
    address: SocketAddr,
    gate: Arc<Gate>,
}

struct Gate {
    held: Held,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    requests: usize,
    /// From which on it is held up; `None`: not any more, or not yet.
    from: Option<usize>,
    /// What a request carries with which that begins.
    content: Option<&'static [u8]>,
    is_over: bool,
}

impl State {
    fn is_reached(&self) -> bool {
        self.from.is_some_and(|from| self.requests >= from)
    }
}

impl Relay {
    /// One that holds up what belongs to request number `from`, and all that follows.
    pub(crate) fn new(etcd: &Etcd, member: usize, held: Held, from: usize) -> anyhow::Result<Self> {
        Self::with(etcd, member, held, Some(from))
    }

    /// One that lets everything through as yet.
    pub(crate) fn open_way(etcd: &Etcd, member: usize, held: Held) -> anyhow::Result<Self> {
        Self::with(etcd, member, held, None)
    }

    fn with(etcd: &Etcd, member: usize, held: Held, from: Option<usize>) -> anyhow::Result<Self> {
        let target = etcd.endpoint(member).strip_prefix("http://").context("no plain member")?.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").context("listen")?;
        let address = listener.local_addr()?;
        let state = Mutex::new(State { requests: 0, from, content: None, is_over: false });
        let gate = Arc::new(Gate { held, state, changed: Condvar::new() });
        let way = Arc::clone(&gate);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if way.state().is_over {
                    break;
                }
                // The client sees what it would see of a member that is gone.
                let _ = connect(client, &target, &way);
            }
        });
        Ok(Self { address, gate })
    }

    /// Where the member seems to be.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Holds up the next request that carries this or its answer, and all that follows; that it was given up does not get
    /// through.
    pub(crate) fn hold_up(&self, content: &'static [u8]) {
        self.gate.state().content = Some(content);
    }

    /// Waits until there is something to hold up.
    pub(crate) fn wait_reached(&self, limit: Duration) -> anyhow::Result<()> {
        let reached = || self.gate.state().is_reached().then_some(());
        wait_for("a request that is held up", limit, reached).map(drop)
    }

    /// Lets everything through, also what has come meanwhile.
    pub(crate) fn open(&self) {
        self.gate.state().from = None;
        self.gate.changed.notify_all();
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.gate.state().is_over = true;
        self.gate.changed.notify_all();
        // Wakes who listens.
        let _ = TcpStream::connect(self.address);
    }
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this is what is to be held up; then it is from now on.
    fn looks_for(&self, frame: &[u8]) -> bool {
        let mut state = self.state();
        let is_it = state.content.is_some_and(|content| frame.windows(content.len()).any(|part| part == content));
        if is_it {
            (state.content, state.from) = (None, Some(0));
        }
        is_it
    }

    fn wait_over(&self) {
        drop(self.changed.wait_while(self.state(), |state| !state.is_over));
    }

    /// Waits until what is on this way may go on; `false` when the relay is over.
    fn passes(&self, way: Held) -> bool {
        let is_held = |state: &mut State| way == self.held && state.is_reached() && !state.is_over;
        let state = self.changed.wait_while(self.state(), is_held).unwrap_or_else(PoisonError::into_inner);
        !state.is_over
    }
}

fn connect(client: TcpStream, target: &str, gate: &Arc<Gate>) -> std::io::Result<()> {
    let member = TcpStream::connect(target)?;
    client.set_nodelay(true)?;
    member.set_nodelay(true)?;
    let (from_client, to_member, way) = (client.try_clone()?, member.try_clone()?, Arc::clone(gate));
    std::thread::spawn(move || {
        let mut was_chosen = false;
        let _ = requests(&from_client, &to_member, &way, &mut was_chosen);
        if was_chosen {
            way.wait_over();
        }
        // What was sent before arrives, as with a member that was frozen meanwhile.
        let _ = to_member.shutdown(Shutdown::Write);
    });
    let way = Arc::clone(gate);
    std::thread::spawn(move || {
        let _ = answers(&member, &client, &way);
        let _ = client.shutdown(Shutdown::Both);
    });
    Ok(())
}

/// Frame by frame, and counts those that begin a request. Of one that was chosen by its content the member does not hear that
/// it was given up.
fn requests(mut from: &TcpStream, mut to: &TcpStream, gate: &Gate, was_chosen: &mut bool) -> std::io::Result<()> {
    let mut preface = [0; PREFACE];
    from.read_exact(&mut preface)?;
    to.write_all(&preface)?;
    loop {
        let mut frame = vec![0; FRAME_HEAD];
        from.read_exact(&mut frame)?;
        let length = frame[..3].iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        frame.resize(FRAME_HEAD + length, 0);
        from.read_exact(&mut frame[FRAME_HEAD..])?;
        if frame[3] == HEADERS {
            gate.state().requests += 1;
        }
        *was_chosen |= gate.looks_for(&frame);
        if *was_chosen && frame[3] == RESET {
            continue;
        }
        if !gate.passes(Held::Requests) {
            return Ok(());
        }
        to.write_all(&frame)?;
    }
}

fn answers(mut from: &TcpStream, mut to: &TcpStream, gate: &Gate) -> std::io::Result<()> {
    let mut piece = [0; 4096];
    loop {
        let length = from.read(&mut piece)?;
        if length == 0 || !gate.passes(Held::Answers) {
            return Ok(());
        }
        to.write_all(&piece[..length])?;
    }
}
