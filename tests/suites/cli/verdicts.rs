//! `test`: its verdicts on our helpers, the distribution's and the wrong one, and its manners.
//!
//! | module | what is in it |
//! |---|---|
//! | `store` | a lock whose store can be frozen and broken by a shell's command |
//! | `verdict` | what `test` said of each rule |
//! | `ours` | our helpers: every rule holds |
//! | `theirs` | the distribution's: the verdicts kept in tests/expected |
//! | `wrong` | the wrong helper: each bug fails its rule |
//! | `manners` | what it leaves alone, what it leaves behind, how it speaks |

mod manners;
mod ours;
mod store;
mod theirs;
mod verdict;
mod wrong;

use crate::Case;

pub(crate) const CASES: &[Case] = &[
    ("test: the file helper passes every rule, its file system frozen and its file removed too", ours::file),
    ("test: the RADOS helper passes every rule, its OSDs frozen and its lock broken too", ours::rados),
    ("test: the etcd helper passes every rule, its members frozen and its key deleted too", ours::etcd),
    ("test: the distribution's file helper gets the verdicts that were observed by hand", theirs::file),
    ("test: the distribution's RADOS helper gets the verdicts that were observed by hand", theirs::rados),
    ("test: each bug of the wrong helper fails its rule", wrong::each_bug),
    ("test: the wrong helper without a bug passes every rule", wrong::without_bug),
    ("test: every bug of the contract suite has its verdict", wrong::complete),
    ("test: a lock that is held is left alone, and so is its holder", manners::held),
    ("test: Ctrl-C ends what was started, frees the lock and thaws the store", manners::interrupted),
    ("test: a store that a failing rule froze is thawed, and what it left is killed and named", manners::cleans_up),
    ("test: --tap is TAP 14, and --json an object a line", manners::formats),
];
