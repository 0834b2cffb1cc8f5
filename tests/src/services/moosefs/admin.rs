//! What the master says of its locks and does for an admin, on a connection of its own for each question: no mount is
//! asked, and no answer is waited for that may never come. This is what `mfscli` asks too, which is not needed then.
//!
//! A message is its number, the length of what follows, and that; every number is big-endian.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, ensure};

use super::{MooseFs, SERVERS, files};
use crate::services::network::address;

/// How long the master may take for an answer: one that works answers at once.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// The locks on an inode (`mfscli -SAL -i INODE`). The answer has another number, the next one.
const LOCKS: u32 = 534;
/// Each is told in so many bytes, its session in the first four.
const LOCK_BYTES: usize = 33;

/// The end of a session (`mfscli -CRS/SESSION`).
const REMOVE_SESSION: u32 = 526;
/// The master's word for "done".
const OK: u8 = 0;

/// No answer here is longer.
const LONGEST: u32 = 1 << 20;

impl MooseFs {
    /// The sessions of those who have a lock of any kind on this inode, one for each lock. A session is what the master
    /// knows of a mount.
    pub(super) fn locks(&self, inode: u64) -> anyhow::Result<Vec<u32>> {
        let answer = self.ask(LOCKS, &u32::try_from(inode)?.to_be_bytes()).context("ask the master for locks")?;
        ensure!(answer.len() % LOCK_BYTES == 0, "the master told of locks in {} bytes", answer.len());
        let session = |lock: &[u8]| lock.first_chunk().map(|session| u32::from_be_bytes(*session));
        answer.chunks(LOCK_BYTES).map(|lock| session(lock).context("a lock without a session")).collect()
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
