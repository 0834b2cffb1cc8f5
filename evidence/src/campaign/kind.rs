//! The kinds of faults that are the same for every backend: what is done to a node's processes.

use super::stage::{Kind, Span, Table};

/// The supervisor of a helper is stopped, and goes on later.
pub const SUPERVISOR_FROZEN: Kind = promised("supervisor frozen", Span::Mixed);
/// The supervisor of a helper is killed.
pub const SUPERVISOR_KILLED: Kind = promised("supervisor killed", Span::Moment);
/// The worker of a helper is stopped, and goes on later.
pub const WORKER_FROZEN: Kind = promised("worker frozen", Span::Mixed);
/// The worker of a helper is killed.
pub const WORKER_KILLED: Kind = promised("worker killed", Span::Moment);
/// Every process of a node is stopped, and goes on later.
pub const NODE_FROZEN: Kind = promised("node frozen", Span::Mixed);
/// Every process of a node is killed; the node comes back later.
pub const NODE_KILLED: Kind = promised("node killed", Span::Mixed);
/// The parent alone is stopped, and goes on later.
pub const PARENT_FROZEN: Kind = promised("parent frozen", Span::Mixed);
/// The parent alone is killed; there is a new one later.
pub const PARENT_KILLED: Kind = promised("parent killed", Span::Moment);
/// Somebody sends the helper a SIGTERM while the parent believes.
pub const TERMINATED: Kind = promised("helper sent SIGTERM", Span::Moment);

/// All of them.
pub const COMMON: &[Kind] = &[
    SUPERVISOR_FROZEN,
    SUPERVISOR_KILLED,
    WORKER_FROZEN,
    WORKER_KILLED,
    NODE_FROZEN,
    NODE_KILLED,
    PARENT_FROZEN,
    PARENT_KILLED,
    TERMINATED,
];

/// A kind under which no overlap is allowed.
#[must_use]
pub const fn promised(name: &'static str, span: Span) -> Kind {
    Kind { name, span, table: Table::Promised }
}

/// A kind under which an overlap is measured.
#[must_use]
pub const fn own_table(name: &'static str, span: Span) -> Kind {
    Kind { name, span, table: Table::OwnTable }
}

/// A kind under which an overlap is measured, and nothing is promised.
#[must_use]
pub const fn unpromised(name: &'static str, span: Span) -> Kind {
    Kind { name, span, table: Table::Unpromised }
}
