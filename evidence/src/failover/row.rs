//! The faults: what is done to the node that leads, or to the store under it.

use std::fmt;

/// A row of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Row {
    /// The process that CTDB started is killed; with two processes, the supervisor.
    HelperKilled,
    /// Its child is killed.
    WorkerKilled,
    /// All of ctdbd's processes are killed; the helper lives to see it.
    CtdbdKilled,
    /// All processes of the node are killed, the helper's too; the kernel still says goodbye for them.
    NodeKilled,
    /// The same, and nothing more is heard of the host, as when its power fails.
    PowerLost,
    /// The same in a cluster whose nodes give up a silent peer after 3 s, and not after CTDB's 25 s: `KeepaliveInterval` 1,
    /// `KeepaliveLimit` 3.
    PowerLostNoticed,
    /// `ctdb shutdown`.
    ShutDown,
    /// What the node and the store send each other is lost; its peers hear it.
    CutOffFromStore,
    /// What the node and its peers send each other is lost; it reaches the store.
    CutOffFromPeers,
    /// Both at once, as when the network of the host fails: it lives on, and hears of nothing.
    CutOff,
    /// The store answers nobody, for longer than any lease here; then it does again.
    StoreFrozen,
}

impl Row {
    /// All, in the table's order.
    pub const ALL: [Self; 11] = [
        Self::HelperKilled,
        Self::WorkerKilled,
        Self::CtdbdKilled,
        Self::NodeKilled,
        Self::PowerLost,
        Self::PowerLostNoticed,
        Self::ShutDown,
        Self::CutOffFromStore,
        Self::CutOffFromPeers,
        Self::CutOff,
        Self::StoreFrozen,
    ];

    /// Its name on the command line and in the record.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::HelperKilled => "helper-killed",
            Self::WorkerKilled => "worker-killed",
            Self::CtdbdKilled => "ctdbd-killed",
            Self::NodeKilled => "node-killed",
            Self::PowerLost => "power-lost",
            Self::PowerLostNoticed => "power-lost-noticed",
            Self::ShutDown => "shutdown",
            Self::CutOffFromStore => "cut-off-from-store",
            Self::CutOffFromPeers => "cut-off-from-peers",
            Self::CutOff => "cut-off",
            Self::StoreFrozen => "store-frozen",
        }
    }

    /// Its name for people.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::HelperKilled => "helper killed",
            Self::WorkerKilled => "its worker killed",
            Self::CtdbdKilled => "ctdbd killed",
            Self::NodeKilled => "node's processes killed",
            Self::PowerLost => "host gone",
            Self::PowerLostNoticed => "host gone, keepalives 1 s × 3",
            Self::ShutDown => "ctdb shutdown",
            Self::CutOffFromStore => "cut off from the store",
            Self::CutOffFromPeers => "cut off from its peers",
            Self::CutOff => "cut off from both",
            Self::StoreFrozen => "store frozen",
        }
    }

    /// Whether it hits all clusters of a store at once.
    #[must_use]
    pub fn is_of_the_store(self) -> bool {
        self == Self::StoreFrozen
    }

    /// The row of this name.
    #[must_use]
    pub fn named(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|row| row.id() == id)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.label())
    }
}
