//! Something that listens where a member should.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

/// What it does with whoever connects.
#[derive(Clone)]
pub(crate) enum Manner {
    /// Nothing at all.
    Silent,
    /// Hears what is said and hangs up.
    HangsUp,
    /// Hears what is said, says this, and hangs up.
    Says(&'static str),
    /// Passes everything on to this address and back.
    Forwards(String),
}

/// Ends with this value.
pub(crate) struct Listener {
    address: SocketAddr,
    is_over: Arc<AtomicBool>,
}

impl Listener {
    /// On a port of this address that was free.
    pub(crate) fn start(address: &str, manner: Manner) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((address, 0)).with_context(|| format!("listen on {address}"))?;
        let (address, is_over) = (listener.local_addr()?, Arc::new(AtomicBool::new(false)));
        let is_over_there = Arc::clone(&is_over);
        std::thread::spawn(move || {
            let mut kept_open = Vec::new();
            for client in listener.incoming().flatten() {
                if is_over_there.load(Ordering::Relaxed) {
                    break;
                }
                if let Manner::Silent = manner {
                    kept_open.push(client);
                } else {
                    let manner = manner.clone();
                    // Who hangs up meanwhile is no error.
                    std::thread::spawn(move || drop(meet(client, &manner)));
                }
            }
        });
        Ok(Self { address, is_over })
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // Wakes it.
        drop(TcpStream::connect(self.address));
    }
}

fn meet(mut client: TcpStream, manner: &Manner) -> std::io::Result<()> {
    match manner {
        Manner::Forwards(target) => {
            let member = TcpStream::connect(target)?;
            let (client_too, member_too) = (client.try_clone()?, member.try_clone()?);
            std::thread::spawn(move || pass(&client_too, &member_too));
            pass(&member, &client);
            Ok(())
        }
        Manner::Says(words) => {
            hear(&client)?;
            client.write_all(words.as_bytes())
        }
        Manner::HangsUp => hear(&client),
        Manner::Silent => Ok(()),
    }
}

/// The first of it.
fn hear(mut client: &TcpStream) -> std::io::Result<()> {
    client.read(&mut [0; 4096]).map(drop)
}

fn pass(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Both);
}
