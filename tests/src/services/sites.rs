//! The hosts of a store and of those who use it: one for each server, one for each node, and one for who asks what is
//! true, which no partition reaches.
//!
//! A partition of any shape is a fault that says which of them do not reach which others, both ways or one: [`Sites::apart`]
//! and [`Sites::one_way`]. As many as one likes may overlap, and each heals by itself.

use std::net::Ipv4Addr;

use anyhow::ensure;

use super::network::{Inside, Loss, Namespace, Network, address};
use crate::fault::Fault;

/// One of the hosts that can be cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Site {
    /// That of a server of the store, counted from 0.
    Server(usize),
    /// That of a node which uses it.
    Node(usize),
    /// One of somebody else's that was put on the switch.
    Attached(usize),
}

/// They go with the last process inside.
pub struct Sites {
    network: Network,
    servers: usize,
    nodes: usize,
}

impl Sites {
    /// Makes so many of each.
    pub fn new(servers: usize, nodes: usize) -> anyhow::Result<Self> {
        Ok(Self { network: Network::new(servers + nodes + 1)?, servers, nodes })
    }

    /// All that can be cut off, but for those that were attached.
    #[must_use]
    pub fn all(&self) -> Vec<Site> {
        (0..self.servers).map(Site::Server).chain((0..self.nodes).map(Site::Node)).collect()
    }

    /// One of them.
    pub(super) fn host(&self, site: Site) -> anyhow::Result<&Namespace> {
        ensure!(!matches!(site, Site::Attached(_)), "{site:?} is somebody else's host");
        Ok(self.network.host(self.number(site)))
    }

    /// The same for somebody else to start processes on, and to give further links.
    pub fn another(&self, site: Site) -> anyhow::Result<Namespace> {
        self.host(site)?.try_clone()
    }

    /// Puts this thread, and what it starts, there until the returned value ends.
    pub fn enter(&self, site: Site) -> anyhow::Result<Inside> {
        self.host(site)?.enter()
    }

    /// Where the others find it.
    #[must_use]
    pub fn address(&self, site: Site) -> Ipv4Addr {
        address(self.number(site))
    }

    /// Where the facts are asked for.
    pub(super) fn admin(&self) -> &Namespace {
        self.network.host(self.servers + self.nodes)
    }

    /// Puts a host of others on the switch, after those here.
    pub(super) fn attach(&self, host: &Namespace, number: usize, interface: &str) -> anyhow::Result<()> {
        self.network.attach(host, self.number(Site::Attached(number)), interface)
    }

    /// Nothing reaches this one or comes from it, and who asks for the facts does not reach it either.
    pub(super) fn cut_off(&self, site: Site) -> anyhow::Result<()> {
        self.network.cut_off(self.number(site))
    }

    /// Takes that back.
    pub(super) fn reconnect(&self, site: Site) -> anyhow::Result<()> {
        self.network.reconnect(self.number(site))
    }

    /// What the first send to the second nobody gets. Who is among both reaches itself all the same.
    pub fn one_way(&self, name: &'static str, from: &[Site], to: &[Site]) -> Fault<'_> {
        self.lost(name, self.paths(from, to))
    }

    /// What the first and the second send to each other nobody gets.
    pub fn apart(&self, name: &'static str, ones: &[Site], others: &[Site]) -> Fault<'_> {
        self.lost(name, [self.paths(ones, others), self.paths(others, ones)].concat())
    }

    /// How many other servers this one hears and is heard by.
    pub(super) fn peers_of(&self, server: usize) -> usize {
        let hears = |other| !self.network.loses(server, other) && !self.network.loses(other, server);
        (0..self.servers).filter(|&other| other != server && hears(other)).count()
    }

    fn lost(&self, name: &'static str, losses: Vec<Loss>) -> Fault<'_> {
        let same = losses.clone();
        Fault::new(name, move || self.network.lose(&losses), move || self.network.restore(&same))
    }

    fn paths(&self, from: &[Site], to: &[Site]) -> Vec<Loss> {
        let to_all = |&one| to.iter().filter(move |&&other| other != one).map(move |&other| self.path(one, other));
        from.iter().flat_map(to_all).collect()
    }

    fn path(&self, from: Site, to: Site) -> Loss {
        Loss::Path(self.number(from), self.number(to))
    }

    fn number(&self, site: Site) -> usize {
        match site {
            Site::Server(server) => server,
            Site::Node(node) => self.servers + node,
            // After the one that asks for the facts.
            Site::Attached(number) => self.servers + self.nodes + 1 + number,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::{Site, Sites};
    use crate::wait::wait_for;

    const LIMIT: Duration = Duration::from_secs(5);

    /// One socket a host.
    struct Sockets(Vec<UdpSocket>);

    impl Sockets {
        fn of(sites: &Sites) -> Self {
            let socket = |site| {
                let _inside = sites.enter(site).unwrap();
                let socket = UdpSocket::bind((sites.address(site), 0)).unwrap();
                socket.set_nonblocking(true).unwrap();
                socket
            };
            Self(sites.all().into_iter().map(socket).collect())
        }

        /// Whether a datagram arrives. What a third one sends after it tells that it will not.
        fn arrives(&self, from: usize, to: usize, witness: usize) -> bool {
            let send = |from: usize, word: &[u8]| {
                // Nobody may have told the sender yet where the other is: then it is sent again.
                let _ = self.0[from].send_to(word, self.0[to].local_addr().unwrap());
            };
            let mut arrived = false;
            let look = || {
                send(from, b"word");
                send(witness, b"end");
                let mut word = [0; 8];
                while let Ok(length) = self.0[to].recv(&mut word) {
                    arrived |= &word[..length] == b"word";
                    if &word[..length] == b"end" {
                        return Some(());
                    }
                }
                None
            };
            wait_for("the witness's word", LIMIT, look).unwrap();
            arrived
        }
    }

    #[test]
    fn partitions_overlap_and_each_takes_back_its_own() {
        let sites = Sites::new(2, 2).unwrap();
        let sockets = Sockets::of(&sites);
        let [one, other] = [Site::Server(0), Site::Server(1)];
        // Both know each other's hardware address from then on.
        assert!(sockets.arrives(0, 1, 2) && sockets.arrives(1, 0, 2));
        let one_way = sites.one_way("one way", &[one], &[other]);
        let apart = sites.apart("apart", &[one], &[other, Site::Node(0)]);
        let (one_way, apart) = (one_way.inject().unwrap(), apart.inject().unwrap());
        assert!(!sockets.arrives(0, 1, 2) && !sockets.arrives(1, 0, 3) && !sockets.arrives(0, 2, 3));
        assert_eq!(sites.peers_of(0), 0);
        apart.heal().unwrap();
        assert!(!sockets.arrives(0, 1, 2), "a fault took back what another still does");
        assert!(sockets.arrives(1, 0, 2), "one way was both");
        assert!(sites.network.loses(0, 1) && !sites.network.loses(1, 0));
        sites.cut_off(one).unwrap();
        one_way.heal().unwrap();
        assert!(!sockets.arrives(0, 1, 2) && sites.network.loses(1, 0));
        sites.reconnect(one).unwrap();
        assert!(sockets.arrives(0, 1, 2) && sockets.arrives(1, 0, 2));
        assert_eq!(sites.peers_of(0), 1);
        assert!(sites.reconnect(one).is_err(), "taken back twice");
    }
}
