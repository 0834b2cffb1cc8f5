//! Loopback addresses for one service, a block `127.x.y.1` to `.n`.
//!
//! CTDB's port is the same on every node (4379), so a cluster of it needs addresses of its own. Ceph would do with
//! ports of its own, but a free port that has been found can go to somebody else before its service takes it.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};

use anyhow::Context;

/// Blocks looked at before giving up.
const ATTEMPTS: u32 = 200;

/// The addresses of one service, nobody else's while this value lives.
pub(super) struct Block {
    addresses: Vec<Ipv4Addr>,
    /// The services here use TCP alone: the UDP port with the number of theirs is free to stand for "this block is
    /// taken", and the kernel frees it however this process ends.
    _claim: UdpSocket,
}

impl Block {
    /// Finds a block on which nobody has this port.
    pub(super) fn reserve(size: usize, port: u16) -> anyhow::Result<Self> {
        // Services of two processes rarely look at the same block first.
        let first = std::process::id().wrapping_mul(251);
        (0..ATTEMPTS)
            .find_map(|attempt| Self::claim(first.wrapping_add(attempt), size, port))
            .with_context(|| format!("no free block of loopback addresses for port {port} in {ATTEMPTS} tries"))
    }

    pub(super) fn all(&self) -> &[Ipv4Addr] {
        &self.addresses
    }

    fn claim(seed: u32, size: usize, port: u16) -> Option<Self> {
        // 127.0.y.z is where people put things by hand.
        let [_, _, high, low] = seed.to_be_bytes();
        let addresses: Vec<_> =
            (1..=u8::try_from(size).ok()?).map(|last| Ipv4Addr::new(127, high.max(1), low, last)).collect();
        let claim = UdpSocket::bind(SocketAddrV4::new(*addresses.first()?, port)).ok()?;
        // A server that somebody else left behind.
        let all_free = addresses.iter().all(|&address| TcpListener::bind((address, port)).is_ok());
        all_free.then_some(Self { addresses, _claim: claim })
    }
}
