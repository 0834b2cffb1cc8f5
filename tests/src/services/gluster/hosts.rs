//! Hosts for a volume: one for each node's mount, and one for the servers, on which every brick has an address of its own,
//! so that a node can be cut off from one brick alone.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::BRICKS;
use crate::services::cluster_fs::NODES;
use crate::services::network::{NOBODY, Namespace, Network, address};

/// The servers' host, counted on after the nodes'.
const SERVER: usize = NODES;
const HOSTS: usize = NODES + 1;

/// Where the servers' host sends what is to be lost, by a routing table of its own.
const NOWHERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 99);
const TABLE: u32 = 100;

/// They go with the last process inside.
pub(super) struct Hosts(Network);

impl Hosts {
    pub(super) fn new() -> anyhow::Result<Self> {
        let hosts = Self(Network::new(HOSTS)?);
        let mut commands = String::new();
        for brick in 0..BRICKS {
            writeln!(commands, "addr add {}/24 dev host", of_brick(brick))?;
        }
        writeln!(commands, "neigh add {NOWHERE} lladdr {NOBODY} nud permanent dev host")?;
        writeln!(commands, "route add default via {NOWHERE} dev host onlink table {TABLE}")?;
        hosts.server().ip(&commands)?;
        Ok(hosts)
    }

    /// Where a node has its mount.
    pub(super) fn node(&self, node: usize) -> &Namespace {
        self.0.host(node)
    }

    /// Where the servers are.
    pub(super) fn server(&self) -> &Namespace {
        self.0.host(SERVER)
    }

    /// Nothing reaches the node or comes from it.
    pub(super) fn cut_off(&self, node: usize) -> anyhow::Result<()> {
        self.0.cut_off(node)
    }

    /// Takes that back.
    pub(super) fn reconnect(&self, node: usize) -> anyhow::Result<()> {
        self.0.reconnect(node)
    }

    /// What the node and a brick send to each other nobody gets.
    pub(super) fn separate(&self, node: usize, brick: usize) -> anyhow::Result<()> {
        let (node_address, brick) = (address(node), of_brick(brick));
        self.server().ip(&format!("rule add from {brick} to {node_address} lookup {TABLE}\n"))?;
        self.node(node).ip(&format!("neigh replace {brick} lladdr {NOBODY} nud permanent dev host\n"))
    }

    /// Takes that back.
    pub(super) fn unite(&self, node: usize, brick: usize) -> anyhow::Result<()> {
        let (node_address, brick) = (address(node), of_brick(brick));
        self.server().ip(&format!("rule del from {brick} to {node_address} lookup {TABLE}\n"))?;
        self.node(node).ip(&format!("neigh del {brick} dev host\n"))
    }
}

/// Where the volume is asked for.
pub(super) fn of_glusterd() -> Ipv4Addr {
    address(SERVER)
}

/// Where a brick is.
pub(super) fn of_brick(brick: usize) -> Ipv4Addr {
    address(HOSTS + brick)
}
