//! Evidence: what `docs/EVIDENCE.md` says, measured by programs, and drawn and written down by them.
//!
//! | module | what is in it |
//! |---|---|
//! | [`campaign`] | faults at random, and whether two nodes ever held at once |
//! | [`circumstances`] | when, where and with which versions something was measured |
//! | [`record`] | what was measured, kept as JSON under `docs/evidence/` |
//! | [`page`] | the parts of `docs/EVIDENCE.md` that programs write |

pub mod campaign;
pub mod circumstances;
pub mod page;
pub mod record;
