//! The thread that talks to the store: takes the lock, renews it, releases it.
//!
//! "Don't know" is not "lost": a renewal without an answer is tried again until the deadline, which the supervisor
//! keeps by its own clock. What the keeper cannot do, since a call may hang it, is left to the other process.

use std::future::Future;
use std::time::{Duration, SystemTime};

use tokio::sync::watch::Receiver;

use super::watch::Orders;
use crate::backend::{Acquired, Backend, Broken, Failure, Identity, Renewed};
use crate::clock::{BootTime, Clock};
use crate::options::Task;
use crate::report;
use crate::timing::Timing;
use crate::wire::Report;

/// "Contended" means looked twice: our own worker that is just releasing must not cost CTDB an election (5 s). From
/// the answer of one look to the start of the other, as a look may begin with connecting.
const SECOND_LOOK: Duration = Duration::from_millis(50);
/// How often `--wait-seconds` looks; a person waits for it, and the store hardly notices.
const WAIT_LOOK: Duration = Duration::from_millis(250);

pub(super) struct Keeper<B, C, R> {
    pub(super) backend: B,
    pub(super) clock: C,
    pub(super) orders: Receiver<Orders>,
    pub(super) object: String,
    pub(super) timing: Timing,
    /// How long a try or a question may go without an answer: T, or less where there is less time to say what keeps silent.
    pub(super) try_limit: Duration,
    pub(super) identity: Identity,
    pub(super) report: R,
}

/// A lock that we have.
struct Held {
    /// When the last request that was answered with "yours" was sent.
    sent: BootTime,
    /// Until when that lets us hold it.
    until: Option<BootTime>,
}

/// How a call ended.
enum Call<T> {
    Answered(T),
    /// Not within its time: the future was dropped, and what the store made of it is unknown.
    Unanswered,
    /// The order to release came first.
    Stopped,
}

impl<B: Backend, C: Clock, R: FnMut(Report)> Keeper<B, C, R> {
    /// Does the task; returns when nothing of ours is left in the store, or nothing that could be undone.
    pub(super) async fn run(mut self, task: Task, wait: Duration) {
        match task {
            Task::Hold => {
                if let Some(held) = self.acquire(wait).await {
                    self.hold(held).await;
                }
            }
            Task::Status { .. } | Task::Health | Task::Break { .. } => self.answer(&task).await,
        }
    }

    /// Answers a question, if there is an answer before the supervisor gives up.
    async fn answer(&mut self, task: &Task) {
        loop {
            let start = self.clock.now();
            let (backend, clock, object) = (&mut self.backend, &self.clock, &self.object);
            let question = async move {
                match task {
                    Task::Status { json } => {
                        let found = backend.holder().await?;
                        Ok(Report::Answer(report::status(object, &found, *json)))
                    }
                    Task::Break { token, json } => {
                        let broken = backend.break_lock(token).await?;
                        let report = if broken == Broken::NotHeld { Report::NotHeld } else { Report::Answer };
                        Ok(report(report::broken(object, &broken, *json)))
                    }
                    Task::Health | Task::Hold => {
                        let text = backend.health().await?;
                        Ok(Report::Answer(report::health(object, &text, clock.now().since(start))))
                    }
                }
            };
            let limit = start + self.try_limit;
            match bounded(&self.clock, &mut self.orders, limit, question).await {
                Call::Answered(Ok(report)) => return (self.report)(report),
                Call::Answered(Err(Failure::Permanent(trouble))) => {
                    return (self.report)(Report::Failed(trouble.line(&self.object)));
                }
                Call::Answered(Err(Failure::Transient(trouble))) => {
                    (self.report)(Report::Retrying(trouble.line(&self.object)));
                    if self.pause(self.timing.retry()).await.is_none() {
                        return;
                    }
                }
                Call::Unanswered => (self.report)(Report::Retrying(self.backend.silence().line(&self.object))),
                Call::Stopped => return,
            }
        }
    }

    /// Tries until there is an answer. `None`: not ours, and nothing of ours is left.
    async fn acquire(&mut self, wait: Duration) -> Option<Held> {
        let asked = self.timing;
        let wait_until = self.clock.now() + wait;
        let mut looked_once = false;
        loop {
            self.identity.since = SystemTime::now();
            let sent = self.clock.now();
            let call = self.backend.acquire(&self.identity);
            match bounded(&self.clock, &mut self.orders, sent + self.try_limit, call).await {
                Call::Answered(Ok(Acquired::Held(granted))) => match asked.granted(granted) {
                    Ok(timing) => {
                        self.timing = timing;
                        if let Some(held) = self.taken(sent) {
                            return Some(held);
                        }
                        self.undo().await?;
                        self.pause(timing.retry()).await?;
                    }
                    Err(error) => {
                        (self.report)(Report::Failed(format!("cannot hold {}: {error}", self.object)));
                        return self.undo().await.and(None);
                    }
                },
                Call::Answered(Ok(Acquired::Contended)) if !looked_once => {
                    looked_once = true;
                    self.pause(SECOND_LOOK).await?;
                }
                Call::Answered(Ok(Acquired::Contended)) => {
                    if self.clock.now() >= wait_until {
                        (self.report)(Report::Contended);
                        return None;
                    }
                    (self.report)(Report::Waiting);
                    self.pause(WAIT_LOOK).await?;
                }
                Call::Answered(Err(Failure::Permanent(trouble))) => {
                    (self.report)(Report::Failed(trouble.line(&self.object)));
                    return self.undo().await.and(None);
                }
                Call::Answered(Err(Failure::Transient(trouble))) => {
                    (self.report)(Report::Retrying(trouble.line(&self.object)));
                    self.undo().await?;
                    self.pause(self.timing.retry()).await?;
                }
                Call::Unanswered => {
                    (self.report)(Report::Retrying(self.backend.silence().line(&self.object)));
                    self.undo().await?;
                }
                Call::Stopped => return self.undo().await.and(None),
            }
        }
    }

    /// Ours, with time left? Then says so.
    fn taken(&mut self, sent: BootTime) -> Option<Held> {
        let answered = self.clock.now();
        let until = self.timing.first_deadline(sent, answered);
        if until.is_some_and(|until| answered >= until) {
            let text = format!("cannot lock {}: the answer took longer than the lease; see its store", self.object);
            (self.report)(Report::Retrying(text));
            return None;
        }
        (self.report)(Report::Held(until));
        Some(Held { sent, until })
    }

    /// Renews until the order to release, or a loss.
    async fn hold(&mut self, mut held: Held) {
        let mut announced = false;
        let mut next = self.timing.first_renewal(held.sent, self.clock.now());
        loop {
            match self.rest(next, announced).await {
                Rest::Stopped => break,
                Rest::ByteWritten => {
                    announced = true;
                    self.announce().await;
                }
                Rest::Due => {
                    let sent = self.clock.now();
                    next = match self.renew(sent, &mut held).await {
                        Some(next) => Some(next),
                        None => {
                            self.stopped().await;
                            break;
                        }
                    }
                }
            }
        }
        // Nobody believes in it any more: the pipe is closed.
        self.undo().await;
    }

    /// One renewal. When the next one is due; `None` when the lock is lost.
    async fn renew(&mut self, sent: BootTime, held: &mut Held) -> Option<BootTime> {
        // Past the deadline the supervisor has closed, and a renewal would only keep the lock from others.
        if held.until.is_some_and(|until| sent >= until) {
            (self.report)(Report::Lost("no renewal was answered in time".into()));
            return None;
        }
        let text = match bounded(&self.clock, &mut self.orders, sent + self.timing.call(), self.backend.renew()).await {
            Call::Answered(Ok(Renewed::Kept(granted))) => match self.timing.granted(granted) {
                Ok(timing) => {
                    let answered = self.clock.now();
                    self.timing = timing;
                    *held = Held { sent, until: timing.deadline(sent, answered) };
                    (self.report)(Report::Renewed(held.until));
                    return timing.next(sent, answered);
                }
                Err(error) => error.to_string(),
            },
            Call::Answered(Ok(Renewed::Lost(why))) => {
                (self.report)(Report::Lost(why));
                return None;
            }
            Call::Answered(Err(failure)) => failure.trouble().line(&self.object),
            Call::Unanswered => {
                tracing::info!("renewal: no answer from {}, trying again", self.object);
                (self.report)(Report::Retrying(self.backend.silence().line(&self.object)));
                return Some(self.clock.now());
            }
            // `rest` sees the same order next.
            Call::Stopped => return Some(sent),
        };
        tracing::info!("renewal failed, trying again: {text}");
        (self.report)(Report::Retrying(text));
        Some(self.clock.now() + self.timing.retry())
    }

    async fn announce(&mut self) {
        let limit = self.clock.now() + self.timing.call();
        let call = self.backend.announce(&self.identity);
        match bounded(&self.clock, &mut self.orders, limit, call).await {
            Call::Answered(Err(failure)) => tracing::info!("{}", failure.trouble().line(&self.object)),
            Call::Unanswered => tracing::info!("cannot write down the holder of {}: no answer", self.object),
            Call::Answered(Ok(())) | Call::Stopped => {}
        }
    }

    /// Gives back what is ours or may be, for as long as the guard lets us. `None` when the order to release came
    /// before, so that a try that was undone after it ends.
    async fn undo(&mut self) -> Option<()> {
        loop {
            let limit = self.clock.now() + self.timing.call();
            let call = self.backend.release();
            let answer = tokio::select! {
                biased;
                answer = call => Some(answer),
                () = self.clock.sleep_until(limit) => None,
            };
            match answer {
                Some(Ok(())) => break,
                Some(Err(failure)) => {
                    tracing::info!("release failed, trying again: {}", failure.trouble().line(&self.object));
                    self.clock.sleep_until(self.clock.now() + self.timing.retry()).await;
                }
                None => tracing::info!("release of {}: no answer, trying again", self.object),
            }
        }
        (!self.orders.borrow().release).then_some(())
    }

    /// Waits; `None` when the order to release came first, with nothing of ours in the store.
    async fn pause(&mut self, time: Duration) -> Option<()> {
        self.pause_until(self.clock.now() + time).await
    }

    async fn pause_until(&mut self, until: BootTime) -> Option<()> {
        match bounded(&self.clock, &mut self.orders, until, std::future::pending::<()>()).await {
            Call::Stopped => None,
            Call::Answered(()) | Call::Unanswered => Some(()),
        }
    }

    /// Waits for the next thing to do while the lock is held.
    async fn rest(&mut self, next: Option<BootTime>, announced: bool) -> Rest {
        let Self { clock, orders, .. } = self;
        let due = async {
            match next {
                Some(next) => clock.sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            orders = orders.wait_for(|orders| orders.release || (orders.byte_written && !announced)) => match orders {
                Ok(orders) if !orders.release => Rest::ByteWritten,
                // Without a guard nobody watches: as good as the order.
                _ => Rest::Stopped,
            },
            () = due => Rest::Due,
        }
    }

    /// Waits for the order to release.
    async fn stopped(&mut self) {
        let _ = self.orders.wait_for(|orders| orders.release).await;
    }
}

/// What ended a rest.
enum Rest {
    Stopped,
    ByteWritten,
    Due,
}

/// Runs `call`, but not past `limit` and not past the order to release.
async fn bounded<T>(
    clock: &impl Clock,
    orders: &mut Receiver<Orders>,
    limit: BootTime,
    call: impl Future<Output = T>,
) -> Call<T> {
    tokio::select! {
        biased;
        answer = call => Call::Answered(answer),
        _ = orders.wait_for(|orders| orders.release) => Call::Stopped,
        () = clock.sleep_until(limit) => Call::Unanswered,
    }
}

#[cfg(test)]
mod tests;
