//! Evidence: what `docs/EVIDENCE.md` says, measured by programs, and drawn and written down by them.
//!
//! | module | what is in it |
//! |---|---|
//! | [`campaign`] | faults at random, and whether two nodes ever held at once |
//! | [`circumstances`] | when, where and with which versions something was measured |
//! | [`failover`] | how long a cluster is without a leader, and how long the old one still believed |
//! | [`record`] | what was measured, kept as JSON under `docs/evidence/` |
//! | [`page`] | the parts of `docs/EVIDENCE.md` that programs write |
//! | [`scale`] | many locks, many contenders, many cycles |

pub mod campaign;
pub mod circumstances;
pub mod failover;
pub mod page;
pub mod record;
pub mod scale;
