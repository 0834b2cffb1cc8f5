//! Any one member may be silent: how several are asked (FACTS B4).
//!
//! The member that answered last is asked first. When it has been silent for a moment, the next is asked beside it, and so
//! on, round and round, with twice the patience each round: a member that is asked anew may answer although an older request
//! hangs in it, waiting for a leader that is gone. One that refuses is followed by the next at once. The first answer counts.
//! Every request can be made twice without harm: the second grant of a lease and the second put find the first.

use std::cell::Cell;
use std::future::Future;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use mutex_core::backend::{Failure, Trouble};
use tokio::time::{sleep, timeout};

use crate::member::Member;
use crate::trouble::{self, Refusal};

/// How long a member may be silent before the next is asked beside it, as a part of the lease: a fifth of what one call
/// of the core may take. A healthy member answers in milliseconds.
const PATIENCE_OF_LEASE: u32 = 20;
/// With a long lease too a contender is to be answered soon: CTDB's probe allows 5 s.
const PATIENCE_MAX: Duration = Duration::from_millis(400);

/// The members, all of one cluster.
pub(crate) struct Members {
    all: Vec<Member>,
    /// Which one is asked next: the one that answered last, or the one behind those that did not.
    next: Cell<usize>,
    answered: Cell<Option<usize>>,
    patience: Duration,
}

impl Members {
    /// At least one.
    pub(crate) fn new(all: Vec<Member>, lease: Duration) -> Self {
        Self {
            all,
            next: Cell::new(0),
            answered: Cell::new(None),
            patience: (lease / PATIENCE_OF_LEASE).min(PATIENCE_MAX),
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Member> + Clone {
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
        self.begin();
        let mut asked = FuturesUnordered::new();
        let mut refused_for_all = false;
        let mut patience = self.patience;
        for turn in 0.. {
            let number = self.next.get();
            let Some(member) = self.all.get(number) else { break };
            self.next.set((number + 1) % self.all.len());
            member.connection.ask();
            let answer = question(member);
            asked.push(async move { (number, &member.connection, answer.await) });
            let all_were_asked = turn + 1 >= self.all.len();
            let silent = sleep(patience);
            tokio::pin!(silent);
            if (turn + 1) % self.all.len() == 0 {
                patience *= 2;
            }
            loop {
                let (number, connection, answer) = tokio::select! {
                    biased;
                    Some(answer) = asked.next() => answer,
                    () = &mut silent, if !refused_for_all => break,
                    // No use in asking more; but whoever is asked already, over an older connection, may do it all the same.
                    () = sleep(2 * self.patience), if refused_for_all => return Err(trouble::failure(operation, self.iter())),
                };
                match answer {
                    Ok(answer) => {
                        self.answered(number);
                        return Ok(answer);
                    }
                    Err(refusal) => {
                        tracing::debug!("{} refuses to {operation}: {refusal}", connection.url());
                        refused_for_all |= refusal.is_for_all();
                        connection.refused(refusal);
                        if asked.is_empty() && (all_were_asked || refused_for_all) {
                            return Err(trouble::failure(operation, self.iter()));
                        }
                    }
                }
                if !all_were_asked && !refused_for_all {
                    break;
                }
            }
        }
        Err(trouble::failure(operation, self.iter()))
    }

    /// Asks all at once, and gives each a moment: the refusals are in their connections.
    pub(crate) async fn ask_all<'a, T, F>(
        &'a self,
        limit: Duration,
        question: impl Fn(&'a Member) -> F,
    ) -> Vec<Option<T>>
    where
        F: Future<Output = Result<T, Refusal>>,
    {
        self.begin();
        let each = self.all.iter().map(|member| {
            member.connection.ask();
            let answer = question(member);
            async move {
                match timeout(limit, answer).await {
                    Ok(Ok(answer)) => return Some(answer),
                    Ok(Err(refusal)) => member.connection.refused(refusal),
                    Err(_) => {}
                }
                None
            }
        });
        join_all(each).await
    }

    /// How long a member may be silent.
    pub(crate) fn patience(&self) -> Duration {
        self.patience
    }

    /// A new question begins.
    pub(crate) fn begin(&self) {
        self.all.iter().for_each(|member| member.connection.begin());
    }

    /// All others are connected to anew when they are asked again: a connection that leads nowhere any more would delay it,
    /// and one that nobody uses must not be kept alive by pings.
    fn answered(&self, number: usize) {
        for (other, member) in self.all.iter().enumerate() {
            if other == number {
                member.connection.answered();
            } else {
                member.disconnect();
            }
        }
        self.next.set(number);
        if self.answered.replace(Some(number)) != Some(number) {
            tracing::info!("{} answers", self.all.get(number).map_or("", |member| member.connection.url()));
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
    use crate::connection::{Access, Connection};
    use crate::member::Unanswered;
    use crate::tls::{Files, Tls};

    const LEASE: Duration = Duration::from_secs(4);
    const PATIENCE: Duration = Duration::from_millis(200);

    fn three() -> Members {
        let (tls, prefix) = (Tls::new(Files::default()), "a/".to_owned());
        let access = Rc::new(Access { tls, credentials: None, prefix, lease: LEASE, cluster: Cell::default() });
        let member =
            |url: &str| Member::new(Connection::new(url.to_owned(), Rc::clone(&access)), Unanswered::default());
        Members::new(["a", "b", "c"].map(member).into_iter().collect(), LEASE)
    }

    fn down() -> Refusal {
        Refusal::passing("down")
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_is_asked_when_one_is_silent_and_whoever_answered_is_asked_first() {
        let members = three();
        let start = Instant::now();
        let question = async |member: &Member| match member.connection.url() {
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
        let question = async |member: &Member| if member.connection.url() == "c" { Ok(()) } else { Err(down()) };
        assert_eq!(members.ask("look", &question).await, Ok(()));
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    /// As a keepalive that waits for a leader that is gone, and one after the election.
    #[tokio::test(start_paused = true)]
    async fn a_silent_member_is_asked_anew() {
        let members = three();
        let asked = RefCell::new(Vec::new());
        let question = async |member: &Member| {
            asked.borrow_mut().push(member.connection.url().to_owned());
            let is_new = asked.borrow().len() == 5;
            if is_new { Ok(()) } else { pending().await }
        };
        let start = Instant::now();
        assert_eq!(members.ask("look", &question).await, Ok(()));
        assert_eq!(start.elapsed(), 5 * PATIENCE);
        assert_eq!(*asked.borrow(), ["a", "b", "c", "a", "b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_refuse_the_reasons_of_all_are_said() {
        let members = three();
        let question = async |member: &Member| -> Result<(), Refusal> {
            Err(Refusal::passing(format!("down {}", member.connection.url())))
        };
        let Err(Failure::Transient(trouble)) = members.ask("look", &question).await else {
            panic!("waiting may cure it");
        };
        assert_eq!(trouble.cause, "a: down a, b: down b, c: down c");
    }

    #[tokio::test(start_paused = true)]
    async fn only_when_waiting_cures_none_of_them_it_is_no_use() {
        let members = three();
        let question = async |member: &Member| -> Result<(), Refusal> {
            Err(if member.connection.url() == "b" { down() } else { Refusal::lasting("bad", "mend it") })
        };
        assert!(matches!(members.ask("look", &question).await, Err(Failure::Transient(_))));
        let question = async |_: &Member| -> Result<(), Refusal> { Err(Refusal::lasting("bad", "mend it")) };
        assert!(matches!(members.ask("look", &question).await, Err(Failure::Permanent(_))));
    }

    /// As with an endpoint that needs a new connection, and certificates that are just being written.
    #[tokio::test(start_paused = true)]
    async fn what_one_refuses_for_all_another_may_still_do() {
        let members = three();
        let question = async |member: &Member| match member.connection.url() {
            "a" => {
                sleep(PATIENCE * 5 / 2).await;
                Ok(())
            }
            _ => Err(Refusal::for_all("no file", "mend it")),
        };
        assert_eq!(members.ask("look", &question).await, Ok(()));
        let start = Instant::now();
        let question = async |member: &Member| -> Result<(), Refusal> {
            if member.connection.url() == "a" { pending().await } else { Err(Refusal::for_all("no file", "mend it")) }
        };
        assert!(matches!(members.ask("look", &question).await, Err(Failure::Permanent(_))));
        assert_eq!(start.elapsed(), 3 * PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn of_one_that_is_silent_it_is_said() {
        let members = three();
        let question = async |_: &Member| -> Result<(), Refusal> { pending().await };
        let asking = members.ask("look", &question);
        assert!(timeout(LEASE, asking).await.is_err());
        assert_eq!(members.silence().cause, "a and b and c: no answer");
    }

    /// A try may have time for few of them: then the next one begins with those behind.
    #[tokio::test(start_paused = true)]
    async fn a_question_that_was_given_up_is_put_to_the_others_next() {
        let members = three();
        let question = async |member: &Member| match member.connection.url() {
            "a" | "b" => pending().await,
            _ => Ok(()),
        };
        assert!(timeout(PATIENCE / 2, members.ask("look", &question)).await.is_err());
        assert_eq!(members.silence().cause, "a: no answer");
        assert!(timeout(PATIENCE / 2, members.ask("look", &question)).await.is_err());
        assert_eq!(members.ask("look", &question).await, Ok(()));
    }
}
