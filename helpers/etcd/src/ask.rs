//! Any one member may be silent: how several are asked (FACTS B4).
//!
//! The member that answered last is asked first. When it has been silent for a moment, the next is asked beside it, and so
//! on, round and round: a member that is asked anew may answer although an older request hangs in it, waiting for a leader
//! that is gone. One that refuses is followed by the next at once. The first answer counts. Every request can be made twice
//! without harm: a lease is granted by its number, and the second put finds the first.

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use mutex_core::backend::{Failure, Trouble};
use tokio::time::sleep;

use crate::member::Member;
use crate::trouble::{self, Refusal};

/// How long a member may be silent before the next is asked beside it, as a part of the lease: a fifth of what one call
/// of the core may take. A healthy member answers in milliseconds.
const PATIENCE_OF_LEASE: u32 = 20;
/// With a long lease too a contender is to be answered soon: CTDB's probe allows 5 s.
const PATIENCE_MAX: Duration = Duration::from_millis(500);

/// The members, all of one cluster.
pub(crate) struct Members {
    all: Vec<Member>,
    /// Which one answered last.
    first: Cell<usize>,
    patience: Duration,
}

impl Members {
    /// At least one.
    pub(crate) fn new(all: Vec<Member>, lease: Duration) -> Self {
        Self { all, first: Cell::new(0), patience: (lease / PATIENCE_OF_LEASE).min(PATIENCE_MAX) }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.all.iter()
    }

    /// The first answer of any member. Fails when all have refused, or one for all of them.
    pub(crate) async fn ask<'a, T, F>(
        &'a self,
        operation: &str,
        question: impl Fn(&'a Member) -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Refusal>>,
    {
        self.all.iter().for_each(Member::begin);
        let mut asked = FuturesUnordered::new();
        for turn in 0.. {
            let number = (self.first.get() + turn) % self.all.len();
            let Some(member) = self.all.get(number) else { break };
            member.ask();
            let answer = question(member);
            asked.push(async move { (number, member, answer.await) });
            let all_were_asked = turn + 1 >= self.all.len();
            let patience = sleep(self.patience);
            tokio::pin!(patience);
            loop {
                let (number, member, answer) = tokio::select! {
                    biased;
                    Some(answer) = asked.next() => answer,
                    () = &mut patience => break,
                };
                match answer {
                    Ok(answer) => {
                        self.answered(number);
                        return Ok(answer);
                    }
                    Err(refusal) => {
                        tracing::debug!("{} refuses to {operation}: {refusal}", member.url());
                        let for_all = refusal.is_for_all();
                        member.refused(refusal);
                        if for_all || (all_were_asked && asked.is_empty()) {
                            return Err(trouble::failure(operation, self.iter()));
                        }
                    }
                }
                if !all_were_asked {
                    break;
                }
            }
        }
        Err(trouble::failure(operation, self.iter()))
    }

    /// Who was silent meanwhile, or answered before, is connected to anew when it is asked again: a connection that leads
    /// nowhere any more would delay it, and one that nobody uses must not be kept alive by pings.
    fn answered(&self, number: usize) {
        let before = self.first.replace(number);
        for (other, member) in self.all.iter().enumerate() {
            if other == number {
                member.answered();
            } else if other == before || member.is_waited_for() {
                member.disconnect();
            }
        }
        if before != number {
            tracing::info!("{} answers", self.all.get(number).map_or("", Member::url));
        }
    }

    /// What each has said, or not, since it was asked last.
    pub(crate) fn silence(&self) -> Trouble {
        trouble::failure("reach", self.iter()).trouble().clone()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::pending;
    use std::rc::Rc;

    use tokio::time::Instant;

    use super::*;
    use crate::member::{Access, Unanswered};
    use crate::tls::Tls;

    const LEASE: Duration = Duration::from_secs(4);
    const PATIENCE: Duration = Duration::from_millis(200);

    fn three() -> Members {
        let access = Access { tls: Tls::default(), credentials: None, prefix: "a/".to_owned(), lease: LEASE };
        let access = Rc::new(access);
        let member = |url: &str| Member::new(url.to_owned(), Rc::clone(&access), Unanswered::default());
        Members::new(["a", "b", "c"].map(member).into_iter().collect(), LEASE)
    }

    fn down() -> Refusal {
        Refusal::passing("down")
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_is_asked_when_one_is_silent_and_whoever_answered_is_asked_first() {
        let members = three();
        let start = Instant::now();
        let question = async |member: &Member| match member.url() {
            "a" | "b" => pending().await,
            url => Ok(url.to_owned()),
        };
        assert_eq!(members.ask("look", &question).await.as_deref(), Ok("c"));
        assert_eq!(start.elapsed(), 2 * PATIENCE);
        assert_eq!(members.ask("look", &question).await.as_deref(), Ok("c"));
        assert_eq!(start.elapsed(), 2 * PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_is_asked_at_once_when_one_refuses() {
        let members = three();
        let start = Instant::now();
        let question = async |member: &Member| if member.url() == "c" { Ok(()) } else { Err(down()) };
        assert_eq!(members.ask("look", &question).await, Ok(()));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    /// As a keepalive that waits for a leader that is gone, and one after the election.
    #[tokio::test(start_paused = true)]
    async fn a_silent_member_is_asked_anew() {
        let members = three();
        let asked = RefCell::new(Vec::new());
        let question = async |member: &Member| {
            asked.borrow_mut().push(member.url().to_owned());
            let is_new = asked.borrow().len() == 5;
            if is_new { Ok(()) } else { pending().await }
        };
        let start = Instant::now();
        assert_eq!(members.ask("look", &question).await, Ok(()));
        assert_eq!(start.elapsed(), 4 * PATIENCE);
        assert_eq!(*asked.borrow(), ["a", "b", "c", "a", "b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_refuse_the_reasons_of_all_are_said() {
        let members = three();
        let question =
            async |member: &Member| -> Result<(), Refusal> { Err(Refusal::passing(format!("down {}", member.url()))) };
        let Err(Failure::Transient(trouble)) = members.ask("look", &question).await else {
            panic!("waiting may cure it");
        };
        assert_eq!(trouble.cause, "a: down a, b: down b, c: down c");
    }

    #[tokio::test(start_paused = true)]
    async fn only_when_waiting_cures_none_of_them_it_is_no_use() {
        let members = three();
        let question = async |member: &Member| -> Result<(), Refusal> {
            Err(if member.url() == "b" { down() } else { Refusal::lasting("bad", "mend it") })
        };
        assert!(matches!(members.ask("look", &question).await, Err(Failure::Transient(_))));
        let question = async |_: &Member| -> Result<(), Refusal> { Err(Refusal::lasting("bad", "mend it")) };
        assert!(matches!(members.ask("look", &question).await, Err(Failure::Permanent(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn of_one_that_is_silent_it_is_said() {
        let members = three();
        let question = async |_: &Member| -> Result<(), Refusal> { pending().await };
        let asking = members.ask("look", &question);
        assert!(tokio::time::timeout(LEASE, asking).await.is_err());
        assert_eq!(members.silence().cause, "a and b and c: no answer");
    }
}
