//! Hosts for a cluster that can be cut off: one for each member, one for the clients and one for who asks what is true.
//!
//! A case brings itself and whatever it starts onto the clients' host by `let _inside = etcd.enter()?;`.

use super::MEMBERS;
use crate::services::network::{Namespace, Network};

/// The clients' host and the observer's, counted on after the members.
const CLIENT: usize = MEMBERS;
const ADMIN: usize = MEMBERS + 1;
const HOSTS: usize = MEMBERS + 2;

/// They go with the last process inside.
pub(super) struct Hosts(Network);

impl Hosts {
    pub(super) fn new() -> anyhow::Result<Self> {
        Network::new(HOSTS).map(Self)
    }

    pub(super) fn member(&self, member: usize) -> &Namespace {
        self.0.host(member)
    }

    /// Where clients are.
    pub(super) fn client(&self) -> &Namespace {
        self.0.host(CLIENT)
    }

    /// Where the facts are asked for: never cut off.
    pub(super) fn admin(&self) -> &Namespace {
        self.0.host(ADMIN)
    }

    pub(super) fn cut_off(&self, member: usize) -> anyhow::Result<()> {
        self.0.cut_off(member)
    }

    pub(super) fn reconnect(&self, member: usize) -> anyhow::Result<()> {
        self.0.reconnect(member)
    }

    pub(super) fn cut_off_clients(&self) -> anyhow::Result<()> {
        self.0.cut_off(CLIENT)
    }

    pub(super) fn reconnect_clients(&self) -> anyhow::Result<()> {
        self.0.reconnect(CLIENT)
    }

    /// Puts a host of others on the switch, after those here.
    pub(super) fn attach(&self, host: &Namespace, number: usize, interface: &str) -> anyhow::Result<()> {
        self.0.attach(host, HOSTS + number, interface)
    }

    pub(super) fn cut_off_attached(&self, number: usize) -> anyhow::Result<()> {
        self.0.cut_off(HOSTS + number)
    }

    pub(super) fn reconnect_attached(&self, number: usize) -> anyhow::Result<()> {
        self.0.reconnect(HOSTS + number)
    }

    /// The member sends to the others, and they to it, what nobody gets.
    pub(super) fn separate(&self, member: usize) -> anyhow::Result<()> {
        others(member).try_for_each(|other| self.0.separate(member, other))
    }

    pub(super) fn unite(&self, member: usize) -> anyhow::Result<()> {
        others(member).try_for_each(|other| self.0.unite(member, other))
    }
}

fn others(member: usize) -> impl Iterator<Item = usize> {
    (0..MEMBERS).filter(move |&other| other != member)
}
