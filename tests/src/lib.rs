//! The bench on which every helper is tried: the helper as CTDB runs it, real services, named faults.
//!
//! | module | what is in it |
//! |---|---|
//! | [`roster`] | one row a helper: what the contract suite runs over |
//! | [`packages`] | the RPMs and the Debian packages |
//! | [`process`] | a helper started as CTDB starts it, and its pipe |
//! | [`fault`] | named things that a case does to a store and takes back |
//! | [`lanes`] | trials of one kind one after the other, kinds side by side |
//! | [`byte_zero`] | what a file lock is on |
//! | [`services`] | real services as ordinary processes, each with its own ports and directory |
//! | [`times`] | the table of times that a suite prints |
//! | [`wait`] | bounded waiting for a condition; there is no other kind of waiting here |

pub mod byte_zero;
pub mod fault;
pub mod lanes;
pub mod packages;
pub mod process;
pub mod roster;
pub mod services;
pub mod times;
pub mod wait;
