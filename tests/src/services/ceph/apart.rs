//! A cluster on a host of its own, with OSDs whose wall clocks can be set, and a host each for the holder of a lock and for
//! whoever wants it: the holder can be cut off, and the store goes on for the other.

use std::sync::Arc;

use super::{Ceph, Setup};
use crate::fault::Fault;
use crate::services::network::{Inside, NOBODY, Network, address};

/// One of the hosts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// Every daemon is there.
    Servers,
    /// The one that can be cut off.
    Holder,
    /// The one that cannot.
    Rival,
}

const HOSTS: usize = 3;

/// A running cluster and its hosts. Every process of it ends with this value.
pub struct Apart {
    // In this order: the daemons end while their network is there.
    ceph: Arc<Ceph>,
    network: Network,
}

impl Apart {
    /// Starts one. Without a manager, which would slow it down.
    pub fn start(min_size: u8) -> anyhow::Result<Self> {
        let network = Network::new(HOSTS)?;
        let ceph = {
            let _inside = network.host(Host::Servers as usize).enter()?;
            Ceph::start_with_clocks(Setup { mgr: false, min_size }, address(Host::Servers as usize))?
        };
        Ok(Self { ceph: Arc::new(ceph), network })
    }

    /// The cluster. Its commands find it from a thread on one of the hosts only.
    #[must_use]
    pub fn ceph(&self) -> &Arc<Ceph> {
        &self.ceph
    }

    /// Puts this thread, and what it starts, on a host.
    pub fn enter(&self, host: Host) -> anyhow::Result<Inside> {
        self.network.host(host as usize).enter()
    }

    /// What the holder's host sends or is sent is lost, and nobody is told.
    pub fn holder_cut_off(&self) -> Fault<'_> {
        let number = Host::Holder as usize;
        Fault::new("holder cut off", move || self.network.cut_off(number), move || self.network.reconnect(number))
    }

    /// What the holder's host sends to the servers is lost, and nobody is told; what they send arrives.
    pub fn holder_not_heard(&self) -> Fault<'_> {
        let servers = address(Host::Servers as usize);
        let holder = self.network.host(Host::Holder as usize);
        Fault::new(
            "holder not heard",
            move || holder.ip(&format!("neigh replace {servers} lladdr {NOBODY} nud permanent dev host\n")),
            move || holder.ip(&format!("neigh del {servers} dev host\n")),
        )
    }
}
