//! The store: what it makes of a request, and when it forgets the lock.
//!
//! Its clock has no place in the state. One that may step at any moment, but stays within its error, lets a lease end at
//! any age from L - error on and makes it end by L + error: just this the model allows.

use crate::keeper::{Answer, Request};
use crate::protocol::Helper;
use crate::rules::{Beyond, Mutation};
use crate::state::{State, Store};

impl Helper {
    /// Applies a request; `free`: what the adversary has made of a lock that is not ours.
    pub(crate) fn apply(&self, state: &mut State, request: Request, free: bool) -> Answer {
        let ours = state.ours();
        match request {
            Request::Acquire if !ours && free => {
                state.store = Store::Ours(0);
                // What was broken was another holding.
                state.seen.broken = None;
                Answer::Ours
            }
            Request::Acquire => Answer::NotOurs,
            Request::Renew if ours => {
                state.store = Store::Ours(0);
                Answer::Ours
            }
            Request::Renew if free && self.rules.has(Mutation::MayRenew) => {
                state.store = Store::Ours(0);
                state.seen.taken_again = true;
                Answer::Ours
            }
            Request::Renew => Answer::NotOurs,
            Request::Release => {
                state.store = Store::NotOurs;
                // A try is barred by its release: RADOS keeps the order of one client's requests, and etcd has
                // forgotten the lease that the try was to hang on.
                state.late.acquire &= self.rules.has(Mutation::TryOutlivesItsRelease);
                Answer::NotOurs
            }
        }
    }

    /// Whether the store may give the lock to another, as its time is over.
    pub(crate) fn may_expire(&self, state: &State) -> bool {
        let further = u8::from(self.limits.beyond == Some(Beyond::ClockFurtherOff));
        matches!(state.store, Store::Ours(age) if age >= self.times.may_expire() - further)
    }

    /// Whether it does.
    pub(crate) fn must_expire(&self, state: &State) -> bool {
        matches!(state.store, Store::Ours(age) if age >= self.times.must_expire())
    }
}
