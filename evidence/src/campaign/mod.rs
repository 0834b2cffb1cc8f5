//! The campaign: nodes that take a lock again and again as CTDB does, faults drawn from a seed, and a checker that looks
//! for two who believed at once.
//!
//! | module | what is in it |
//! |---|---|
//! | [`stage`] | what a backend brings: its store, nodes, and what can be done to them |
//! | [`kind`] | the faults that are the same for every backend |
//! | [`mod@file`] | the stage of the file helper |
//! | [`schedule`] | which faults come when, drawn from a seed |
//! | [`dice`] | random numbers that are the same everywhere |
//! | [`parent`] | what stands in ctdbd's place |
//! | [`event`] | what happened, and when |
//! | [`belief`] | who believed when |
//! | [`checker`] | who believed at once with another, and whether anybody held |
//! | [`log`] | what has happened so far, as it is told |
//! | [`node`] | a host, its parent, and what is done to its processes |
//! | [`subject`] | whose helper is under trial |
//! | [`run`] | one campaign |
//! | [`tally`] | what a run came to, in numbers |
//! | [`one`] | a run from its orders to its numbers |
//! | [`record`] | what is kept of runs |
//! | [`judge`] | kept runs, judged anew |
//! | [`report`] | the part of `docs/EVIDENCE.md` |
//! | [`picture`] | a stretch of a run as SVG |
//! | [`etcd`] | the stage of etcd |
//! | [`rados`] | the stage of RADOS |

pub mod belief;
pub mod checker;
pub mod dice;
pub mod etcd;
pub mod event;
pub mod file;
pub mod judge;
pub mod kind;
pub mod log;
pub mod member;
pub mod node;
pub mod one;
pub mod parent;
pub mod picture;
pub mod rados;
pub mod record;
pub mod report;
pub mod run;
pub mod schedule;
pub mod stage;
pub mod subject;
pub mod tally;

use stage::{Stage, Subject, Terms};

/// Sets up a backend's stage with so many nodes.
pub type NewStage = fn(nodes: usize) -> anyhow::Result<Box<dyn Stage>>;

/// The backends, by the name that the command line has for them.
#[must_use]
pub fn backends() -> Vec<(&'static str, NewStage)> {
    vec![("etcd", |nodes| Ok(Box::new(etcd::EtcdStage::start(nodes)?))), ("file", file::stage), ("rados", rados::stage)]
}

/// What is promised on a backend.
#[must_use]
pub fn terms(backend: &str) -> Option<Terms> {
    match backend {
        "etcd" => Some(etcd::terms()),
        "file" => Some(file::terms()),
        "rados" => Some(rados::terms()),
        _ => None,
    }
}

/// Debian's packages whose versions count for a subject.
#[must_use]
pub fn packages(backend: &str, subject: Subject) -> &'static [&'static str] {
    match (backend, subject) {
        ("etcd", Subject::Distribution) => &["etcd-server", "etcd-client"],
        ("etcd", _) => &["etcd-server"],
        ("file", Subject::Distribution) => &["ctdb"],
        ("rados", Subject::Distribution) => &["ceph-osd", "ctdb"],
        ("rados", _) => &["ceph-osd"],
        _ => &[],
    }
}
