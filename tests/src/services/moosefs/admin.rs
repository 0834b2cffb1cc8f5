//! What the master says of its sessions and does for an admin, on a connection of its own for each question: no mount is
//! asked, and no answer is waited for that may never come. This is what `mfscli` asks too, which is not needed then.
//!
//! A message is its number, the length of what follows, and that; every number is big-endian.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::{MooseFs, SERVERS, files};
use crate::services::network::address;

/// How long the master may take for an answer: one that works answers at once.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// All sessions (`mfscli -SMS`), in this version of the answer.
const SESSIONS: u32 = 508;
const SESSIONS_VERSION: u8 = 4;
/// From the number of a session to the length of its mount point's path, which that follows.
const NUMBER_TO_PATH: usize = 21;

/// The end of a session (`mfscli -CRS/SESSION`).
const REMOVE_SESSION: u32 = 526;
/// The master's word for "done".
const OK: u8 = 0;

/// No answer here is longer.
const LONGEST: u32 = 1 << 20;

impl MooseFs {
    /// The number of the latest session of a node's mount: what the master knows of it.
    pub(super) fn session_of(&self, node: usize) -> anyhow::Result<u32> {
        let answer = self.ask(SESSIONS, &[SESSIONS_VERSION]).context("ask the master for sessions")?;
        let point = self.mounts[node].point().as_os_str().as_bytes();
        let path = [&u32::try_from(point.len())?.to_be_bytes(), point].concat();
        // What else is told of a session takes another number of bytes in each version.
        let number =
            |at: usize| Some(u32::from_be_bytes(*answer.get(at.checked_sub(NUMBER_TO_PATH)?..)?.first_chunk()?));
        let found = answer.windows(path.len()).enumerate().filter(|&(_, here)| here == path);
        let latest = found.filter_map(|(at, _)| number(at)).max();
        latest.with_context(|| format!("the master knows of no mount at {}", self.mounts[node].point().display()))
    }

    /// Ends a session, and its locks with it. Says whether the master did: not while it hears of the mount.
    pub(super) fn remove_session(&self, session: u32) -> anyhow::Result<bool> {
        // 0: ask for no further word.
        let what = [&[0], &session.to_be_bytes()[..]].concat();
        Ok(self.ask(REMOVE_SESSION, &what).context("ask the master to end a session")? == [OK])
    }

    fn ask(&self, what: u32, about: &[u8]) -> anyhow::Result<Vec<u8>> {
        let _inside = self.network.host(SERVERS).enter()?;
        let master = SocketAddr::from((address(SERVERS), files::MASTER_PORT));
        let mut master = TcpStream::connect_timeout(&master, ANSWER_LIMIT)?;
        master.set_read_timeout(Some(ANSWER_LIMIT))?;
        let length = u32::try_from(about.len())?;
        master.write_all(&[&what.to_be_bytes(), &length.to_be_bytes(), about].concat())?;
        // It keeps a silent connection alive by messages of number 0.
        loop {
            let (number, length) = (read_number(&mut master)?, read_number(&mut master)?);
            ensure!(length <= LONGEST, "an answer of {length} bytes");
            let mut answer = vec![0; usize::try_from(length)?];
            master.read_exact(&mut answer)?;
            if number == what + 1 {
                return Ok(answer);
            }
            ensure!(number == 0, "an answer of number {number} to {what}");
        }
    }
}

fn read_number(from: &mut impl Read) -> anyhow::Result<u32> {
    let mut number = [0; 4];
    from.read_exact(&mut number)?;
    Ok(u32::from_be_bytes(number))
}
