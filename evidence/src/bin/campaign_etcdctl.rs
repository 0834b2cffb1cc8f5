//! `etcdctl lock` in a helper's place: it writes CTDB's byte for it, and nothing more.
//!
//!     campaign_etcdctl KEY TTL-SECONDS
//!
//! `etcdctl lock KEY` waits in line, prints its key when it has the lock, and ends when its session does. So `0` is its
//! line, EOF its end, and `1` that it has waited for a while in vain. `setpriv` ends it with this process, which is more
//! than `etcdctl` does by itself.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

/// How long it may wait in line. A free lock is had in a few milliseconds.
const PATIENCE: Duration = Duration::from_millis(1000);

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [key, ttl] = &arguments[..] else { anyhow::bail!("usage: campaign_etcdctl KEY TTL-SECONDS") };
    let line = ["--pdeathsig", "TERM", "/usr/bin/etcdctl", "lock", "--ttl", ttl, key];
    let mut etcdctl = Command::new("/usr/bin/setpriv")
        .args(line)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("start etcdctl (packages etcd-client, util-linux)")?;
    let mut said = BufReader::new(etcdctl.stdout.take().context("etcdctl has no pipe")?);
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        // Its line, then its end.
        for _ in 0..2 {
            line.clear();
            let got = said.read_line(&mut line).unwrap_or(0);
            if tell.send(got > 0).is_err() {
                return;
            }
        }
    });
    match told.recv_timeout(PATIENCE) {
        Ok(true) => {
            say(b'0')?;
            let _ = told.recv();
        }
        Err(RecvTimeoutError::Timeout) => {
            say(b'1')?;
            terminate(&etcdctl)?;
        }
        Ok(false) | Err(RecvTimeoutError::Disconnected) => say(b'2')?,
    }
    etcdctl.wait().context("wait for etcdctl").map(drop)
}

fn say(byte: u8) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    out.write_all(&[byte]).and_then(|()| out.flush()).context("write the byte")
}

fn terminate(child: &Child) -> anyhow::Result<()> {
    let pid = Pid::from_raw(i32::try_from(child.id())?).context("no process number")?;
    // One that has ended meanwhile gave its place back as well.
    let _ = kill_process(pid, Signal::TERM);
    Ok(())
}
