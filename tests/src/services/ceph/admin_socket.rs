//! A question to a daemon through the socket in its directory: a thousandth of a second, where the `ceph` command takes a
//! third of one. A daemon that is stopped does not answer, and whoever asks is told so in time.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

/// Asks, and returns the answer, which is mostly JSON.
pub(super) fn ask(socket: &Path, question: &Value, limit: Duration) -> anyhow::Result<String> {
    exchange(socket, question, limit).with_context(|| format!("ask {} for {question}", socket.display()))
}

fn exchange(socket: &Path, question: &Value, limit: Duration) -> anyhow::Result<String> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(format!("{question}\0").as_bytes())?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length))?];
    stream.read_exact(&mut answer)?;
    String::from_utf8(answer).context("an answer that is no text")
}
