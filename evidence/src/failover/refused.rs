//! What becomes of the distribution's script for etcd: it is started as CTDB starts it, and says why it cannot run.
//!
//! It needs a Python library that its package does not ask for, and the interface of etcd's second version, which current
//! etcds have no more or leave off. So both are looked at: the second would be found out only where the first is there.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};
use mutex_tests::process::launch::Launch;

use super::column::Column;
use super::store::Store;

/// It ends at once, or not at all.
const LIMIT: Duration = Duration::from_secs(20);

/// The reasons, in its words and in etcd's.
pub(super) fn why(column: Column, store: &Store) -> anyhow::Result<String> {
    let Store::Etcd(etcd) = store else { bail!("{} is for etcd", column.id()) };
    let line = column.lock(&[])?;
    let _inside = etcd.enter()?;
    let helper = Launch::new(line.trim_start_matches('!').trim(), Vec::<String>::new()).start()?;
    helper.gone(LIMIT)?;
    let said = helper.stderr()?;
    let last = said.lines().last().context("it ended without a word: is it the script that is known here?")?;
    let endpoint = etcd.endpoint(0).trim_start_matches("http://").parse().context("a member's address")?;
    Ok(format!("{}; etcd answers the interface that it uses with: {}", last.trim(), second_version(endpoint)?))
}

/// What a member says to the question with which every client of that version begins.
fn second_version(member: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect_timeout(&member, LIMIT).context("reach a member of etcd")?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(b"GET /v2/keys HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("read a member's answer")?;
    let first = answer.lines().next().context("a member answered nothing")?;
    Ok(first.split_once(' ').map_or(first, |(_, status)| status).to_owned())
}
