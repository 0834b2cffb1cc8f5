//! A model of one helper, whole, in a model checker: every run of it within the bounds below is looked at, and in none has
//! the lock two holders.
//!
//! A test tries some runs of the real thing; this tries all runs of a small one. It is written beside the product by
//! hand, file for file, so it proves the rules and not the code: that a lease's age counts from before its request,
//! that the pipe is closed before the release, and so on ([`rules::Mutation`] has each). For each rule it is shown too
//! that it is needed: a helper without it breaks a property ([`cases::mutations`]).
//!
//! | module | what is in it |
//! |---|---|
//! | [`times`] | the times, in ticks |
//! | [`rules`] | the rules, each of which can be broken, and worlds that are worse than promised for |
//! | [`state`] | what there is at one moment |
//! | [`supervisor`], [`keeper`], `guard` | the two processes, the second with its two threads |
//! | `store`, [`fault`] | the store and its adversary; what is done to a helper from outside |
//! | [`protocol`] | what can happen next |
//! | [`property`] | what has to hold |
//! | [`cases`] | what is proven, and what has to be found |
//! | [`check`] | runs the checker |
//!
//! ## What is modelled
//! One helper: its supervisor, its worker's guard and keeper, the socket and the pipe between them and CTDB; and the store
//! with a lease, beside an adversary who has the lock the moment it is not ours, and lets go of it as he likes. More
//! helpers need not be there: to each of them all others are that adversary.
//! - **A tick** is the smallest time that matters. R = 2, T = 3, D = R + 2T = 8; M = 4 for scheduling + the error of the store's
//!   clock (0, or 4); L = D + M. Two more proofs have other R and T, one of them as the product, 4 : 5. Only the order
//!   of times counts, so the longer ones are cut short. Between two ticks any number of things may happen, in any order.
//! - **A step** of a process is one look at everything and what it decides, or one act that another can see: a byte, a
//!   close, an order, a request, a kill. It can be stopped or killed between any two. Each thread may take one tick from
//!   the event that it waits for to the last step that this asks for, one less than half the margin for scheduling.
//! - **The network** may delay every request and every answer for any time, and lose it. A request may be applied after
//!   its sender gave it up or died. A store that is frozen is a network that delays everything.
//! - **The store's clock** may step at any moment within its error, so it may also run at any rate that stays within. It is
//!   exact, or may be off by as much as scheduling may cost. A host's clock that is slow is a store's that is ahead.
//! - **Faults**, as many as a proof says, at any moment: SIGKILL, SIGSTOP and SIGCONT of either process, SIGTERM,
//!   the parent's death, a lock broken by an admin. A process that is resumed acts before the next tick. A fault hits
//!   one process while the other runs; both stopped, or the worker killed while the supervisor is stopped, is more than
//!   P5 promises to stand, and [`cases::beyond`] shows what comes of it.
//! - **The very end**: times are counted to and from the moment, so what comes again is one state, and a lock that is held
//!   for years is proven as well as one of seconds. A proof to the very end goes on until both processes have ended,
//!   the lock is not ours, and no try is under way; one to the pipe's end stops there: what CTDB believes is settled then.
//!
//! "The lock is free in time" is no `eventually` of the checker, which can miss a cycle: it is counted, in ticks, and
//! the count has a bound that no state may pass ([`property::BROKEN`], [`property::NOT_ALONE`], [`property::FREE_AT_ONCE`]).
//! The one `eventually`, [`property::ENDS`], is true in states without a next one alone, where it is sound: it says
//! that no run gets stuck, so that time always reaches the bounds.
//!
//! ## What is left out
//! - The code. That the product does what the model does is what tests, mutations of the product and readers are for.
//! - Times between ticks, more ratios of R, T and L, and steps of the host's clock: CLOCK_BOOTTIME makes none.
//! - Files (no lease), locks without expiry, `--grace-milliseconds`, `--wait-seconds`, the second look at a contended
//!   lock, failures that a store names (they are requests that get lost), the note of who holds the lock.
//! - Of renewals that were given up, all but one are lost. A late one can only prolong a lock that is still ours.
//! - What RADOS and etcd do inside. A release bars the try before it: RADOS keeps the order of one client's requests,
//!   etcd has forgotten the lease. The store does not forget what it has answered.
//! - A supervisor that is stopped in the microseconds between its close and its order to release: its worker goes on
//!   renewing a lock in which nobody believes, until it is resumed or killed ([`rules::Beyond::StoppedBeforeTheOrder`]).
//! - What CTDB does after the pipe's end.
//! - The checker knows a state again by 64 bits of hash: with the largest proof here the chance that two were
//!   taken for one is less than one in a hundred thousand.

pub mod cases;
pub mod check;
pub mod fault;
mod guard;
pub mod keeper;
pub mod property;
pub mod protocol;
pub mod rules;
pub mod state;
mod store;
pub mod supervisor;
pub mod times;
