//! Two nodes with the example of `docs/examples/keepalived`: real keepalived in a network namespace each, with a link of
//! VRRP's own between them that can be cut, and its hooks, which note what they do.
//!
//! | module | what is in it |
//! |---|---|
//! | `node` | one node: its directory, its keepalived |
//! | [`record`] | what the hooks have noted |

mod node;
pub mod record;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use tempfile::TempDir;

use super::etcd::Etcd;
use super::guard::Guard;
use super::in_memory;
use super::network::Network;
use crate::fault::Fault;
use crate::process::programs;
pub use node::Node;
use record::Record;

/// The guard finds the processes of a pair by it: the pair's directory, a slash and the node.
const PLACE_VARIABLE: &str = "MUTEX_KEEPALIVED";

/// How many there are; they have the numbers 0 and 1, and the names `node1` and `node2`.
const NODES: usize = 2;

/// More than its files need.
const ROOM: u64 = 16 << 20;

/// The subnet of the link of VRRP; etcd's is 0.
const SUBNET: u8 = 1;

/// What a pair is started with.
pub struct Setup<'a> {
    /// LOCK in the settings.
    pub lock: String,
    /// A cluster that both reach, by another link than VRRP's. It needs a network of its own.
    pub etcd: Option<&'a Etcd>,
    /// What `demote` has when the lock is lost, all told.
    pub grace: Duration,
}

/// Two nodes. Every process of them ends with this value.
pub struct Pair {
    // In this order: keepalived ends, then the guard ends what it has started, then the directory goes.
    nodes: [Node; NODES],
    link: Network,
    record: Record,
    _guard: Guard,
    _dir: TempDir,
}

impl Pair {
    /// Makes both; keepalived is not started.
    pub fn new(setup: &Setup<'_>) -> anyhow::Result<Self> {
        programs::packaged(node::KEEPALIVED, "keepalived")?;
        let dir = in_memory::directory("mutex-keepalived-", ROOM).context("make a directory")?;
        let guard = Guard::over(dir.path(), PLACE_VARIABLE)?;
        let record = Record::new(dir.path());
        let link = Network::switch(SUBNET)?;
        let make = |number: usize| -> anyhow::Result<Node> {
            let node = Node::new(dir.path(), number, setup, &record)?;
            link.attach(node.host(), number, node::LINK)?;
            if let Some(etcd) = setup.etcd {
                etcd.attach(node.host(), number, "store")?;
            }
            Ok(node)
        };
        Ok(Self { nodes: [make(0)?, make(1)?], link, record, _guard: guard, _dir: dir })
    }

    /// One of them.
    #[must_use]
    pub fn node(&self, number: usize) -> &Node {
        &self.nodes[number]
    }

    /// What the hooks have noted.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// What the nodes send to each other nobody gets, and nobody is told.
    pub fn link_cut(&self) -> Fault<'_> {
        Fault::new("link of VRRP cut", || self.link.cut_off(0), || self.link.reconnect(0))
    }

    /// The same by a cable that is pulled: both see that.
    pub fn cable_pulled(&self) -> Fault<'_> {
        let both = |deed: fn(&Network, usize) -> anyhow::Result<()>| {
            move || (0..NODES).try_for_each(|node| deed(&self.link, node))
        };
        Fault::new("cable of VRRP pulled", both(Network::unplug), both(Network::plug))
    }

    /// The last words of both, for a message.
    #[must_use]
    pub fn said(&self) -> String {
        let said = self.nodes.iter().map(Node::said).collect::<Vec<_>>().join("; ");
        format!("record: {:?}; {said}", self.record.text())
    }
}

/// Where the examples are.
fn examples() -> PathBuf {
    let own = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples");
    std::env::var_os("EXAMPLES_DIR").map_or_else(|| own.into(), PathBuf::from)
}
