//! The timelines of ARCHITECTURE.md and the rules of a try, replayed on paused time.
//!
//! The fake store fails the test on any call that the script does not plan.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::*;
use crate::backend::{HolderReport, Trouble};

/// Paused time as the keeper's clock.
#[derive(Clone)]
struct PausedClock(Instant);

impl PausedClock {
    const BOOT: BootTime = BootTime::from_nanos(1_000_000_000_000);

    fn elapsed_ms(&self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }
}

impl Clock for PausedClock {
    fn now(&self) -> BootTime {
        Self::BOOT + self.0.elapsed()
    }

    async fn sleep_until(&self, at: BootTime) {
        tokio::time::sleep_until(self.0 + at.since(Self::BOOT)).await;
    }
}

/// One planned call and its answer; `None`: never.
enum Step {
    Acquire(Duration, Option<Result<Acquired, Failure>>),
    Announce,
    Renew(Duration, Option<Result<Renewed, Failure>>),
    Release(Option<Result<(), Failure>>),
    Break(Duration, Option<Result<Broken, Failure>>),
}

struct Script {
    steps: Rc<RefCell<VecDeque<Step>>>,
    log: Log,
}

/// What happened, with the milliseconds at which it did.
#[derive(Clone)]
struct Log {
    clock: PausedClock,
    lines: Rc<RefCell<Vec<(u64, String)>>>,
}

impl Log {
    fn add(&self, what: impl Into<String>) {
        self.lines.borrow_mut().push((self.clock.elapsed_ms(), what.into()));
    }
}

impl Script {
    fn next(&self, called: &str) -> Step {
        self.log.add(called);
        self.steps.borrow_mut().pop_front().unwrap_or_else(|| panic!("unplanned call: {called}"))
    }
}

async fn answer<T>(after: Duration, answer: Option<T>) -> T {
    tokio::time::sleep(after).await;
    match answer {
        Some(answer) => answer,
        None => std::future::pending().await,
    }
}

impl Backend for Script {
    async fn acquire(&mut self, _: &Identity) -> Result<Acquired, Failure> {
        let Step::Acquire(after, said) = self.next("acquire") else { panic!("acquire was not planned now") };
        answer(after, said).await
    }
    async fn announce(&mut self, _: &Identity) -> Result<(), Failure> {
        let Step::Announce = self.next("announce") else { panic!("announce was not planned now") };
        Ok(())
    }
    async fn renew(&mut self) -> Result<Renewed, Failure> {
        let Step::Renew(after, said) = self.next("renew") else { panic!("renew was not planned now") };
        answer(after, said).await
    }
    async fn release(&mut self) -> Result<(), Failure> {
        let Step::Release(said) = self.next("release") else { panic!("release was not planned now") };
        answer(Duration::ZERO, said).await
    }
    async fn holder(&mut self) -> Result<HolderReport, Failure> {
        panic!("nobody asked for the holder")
    }
    async fn break_lock(&mut self, token: &str) -> Result<Broken, Failure> {
        let Step::Break(after, said) = self.next(&format!("break {token}")) else { panic!("no break was planned now") };
        answer(after, said).await
    }
    async fn health(&mut self) -> Result<String, Failure> {
        panic!("nobody asked for the health")
    }
    fn silence(&self) -> Trouble {
        Trouble::new("reach", "no answer", "wait")
    }
}

const NOW: Duration = Duration::ZERO;

fn held() -> Option<Result<Acquired, Failure>> {
    Some(Ok(Acquired::Held(None)))
}

fn kept() -> Step {
    Step::Renew(NOW, Some(Ok(Renewed::Kept(None))))
}

fn released() -> Step {
    Step::Release(Some(Ok(())))
}

fn lease(seconds: u64) -> Timing {
    Timing::lease(Duration::from_secs(seconds), Duration::ZERO).unwrap()
}

/// What was done and reported, without what was said of calls that failed.
fn without_words(seen: &[(u64, String)]) -> Vec<(u64, String)> {
    seen.iter().filter(|(_, what)| !what.starts_with("Retrying")).cloned().collect()
}

/// Runs `steps`; the orders come at their milliseconds. Returns all that happened.
async fn replay(timing: Timing, wait: Duration, steps: Vec<Step>, orders: &[(u64, Orders)]) -> Vec<(u64, String)> {
    replay_of(Task::Hold, timing, wait, steps, orders).await
}

async fn replay_of(
    task: Task,
    timing: Timing,
    wait: Duration,
    steps: Vec<Step>,
    orders: &[(u64, Orders)],
) -> Vec<(u64, String)> {
    let clock = PausedClock(Instant::now());
    let log = Log { clock: clock.clone(), lines: Rc::default() };
    let steps = Rc::new(RefCell::new(VecDeque::from(steps)));
    let (sender, receiver) = watch::channel(Orders::default());
    let reports = log.clone();
    let keeper = Keeper {
        backend: Script { steps: Rc::clone(&steps), log: log.clone() },
        clock: clock.clone(),
        orders: receiver,
        object: "/lock".to_owned(),
        timing,
        try_limit: timing.call(),
        identity: Identity { host: "here".into(), pid: 1, worker_pid: 2, since: SystemTime::UNIX_EPOCH },
        report: move |report: Report| {
            let until = |at: Option<BootTime>| at.map_or(0, |at| at.since(PausedClock::BOOT).as_millis());
            reports.add(match report {
                Report::Held(at) => format!("held until {}", until(at)),
                Report::Renewed(at) => format!("renewed until {}", until(at)),
                other => format!("{other:?}"),
            });
        },
    };
    let giving_orders = async {
        for (ms, order) in orders {
            tokio::time::sleep_until(clock.0 + Duration::from_millis(*ms)).await;
            sender.send_replace(*order);
        }
        std::future::pending::<()>().await
    };
    tokio::select! {
        () = keeper.run(task, wait) => {}
        () = giving_orders => unreachable!("orders never end"),
    }
    assert!(steps.borrow().is_empty(), "planned calls were not made");
    log.lines.take()
}

const TOLD: Orders = Orders { byte_written: true, release: false };
const RELEASE: Orders = Orders { byte_written: true, release: true };

fn at(lines: &[(u64, &str)]) -> Vec<(u64, String)> {
    lines.iter().map(|&(ms, what)| (ms, what.to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_five_times_in_its_life_and_counts_from_each_send() {
    let slow = Step::Renew(Duration::from_millis(700), Some(Ok(Renewed::Kept(None))));
    let steps = vec![Step::Acquire(NOW, held()), Step::Announce, kept(), slow, kept(), released()];
    let seen = replay(lease(10), NOW, steps, &[(1, TOLD), (6500, RELEASE)]).await;
    let expected = [
        (0, "acquire"),
        (0, "held until 9800"),
        (1, "announce"),
        (2000, "renew"),
        (2000, "renewed until 11800"),
        (4000, "renew"),
        (4700, "renewed until 13800"),
        (6000, "renew"),
        (6000, "renewed until 15800"),
        (6500, "release"),
    ];
    assert_eq!(seen, at(&expected));
}

/// The worst case of ARCHITECTURE.md, line by line: the store freezes right after it has applied a renewal.
#[tokio::test(start_paused = true)]
async fn a_store_that_freezes_is_asked_until_the_deadline_and_then_given_up() {
    let timing = Timing::lease(Duration::from_secs(9), Duration::from_millis(500)).unwrap();
    let frozen = || Step::Renew(NOW, None);
    let (thaw, never) = (released(), || Step::Release(None));
    let steps =
        vec![Step::Acquire(NOW, held()), Step::Announce, frozen(), frozen(), frozen(), never(), never(), never(), thaw];
    let seen = replay(timing, NOW, steps, &[(1, TOLD), (8300, RELEASE)]).await;
    let expected = [
        (0, "acquire"),
        (0, "held until 8300"),
        (1, "announce"),
        (1800, "renew"),
        (4050, "renew"),
        (6300, "renew"),
        (8300, "release"),
        (10550, "release"),
        (12800, "release"),
        (15050, "release"),
    ];
    assert_eq!(without_words(&seen), at(&expected));
    // What keeps silent, for the line of the loss.
    let said: Vec<u64> = seen.iter().filter(|(_, what)| what.starts_with("Retrying")).map(|(time, _)| *time).collect();
    assert_eq!(said, [4050, 6300]);
    let deadline = PausedClock::BOOT + Duration::from_millis(8300);
    assert_eq!(timing.kill_supervisor_at(deadline).since(deadline), Duration::from_millis(100));
    assert_eq!(timing.linger(Duration::ZERO), Duration::from_secs(9));
}

/// The same with 500 ms for whoever reads the pipe: closed at 7.8, and the lock is not touched before 8.3.
#[tokio::test(start_paused = true)]
async fn a_grace_is_taken_from_the_time_before_the_margin() {
    let timing = Timing::lease(Duration::from_secs(9), Duration::from_millis(500)).unwrap();
    let timing = timing.with_grace(Duration::from_millis(500)).unwrap();
    let frozen = || Step::Renew(NOW, None);
    let steps = vec![Step::Acquire(NOW, held()), Step::Announce, frozen(), frozen(), frozen(), released()];
    let seen = replay(timing, NOW, steps, &[(1, TOLD), (8300, RELEASE)]).await;
    let expected = [
        (0, "acquire"),
        (0, "held until 7800"),
        (1, "announce"),
        (1800, "renew"),
        (4050, "renew"),
        (6300, "renew"),
        (8300, "release"),
    ];
    assert_eq!(without_words(&seen), at(&expected));
    // Killed at 7.9, a supervisor that was stopped has closed the pipe 1.1 s before the lease ends: half a second for the
    // reader, half for the store's clock.
    let deadline = PausedClock::BOOT + Duration::from_millis(7800);
    assert_eq!(timing.kill_supervisor_at(deadline).since(deadline), Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_failed_renewal_is_not_a_loss_while_there_is_time() {
    let refused = Step::Renew(NOW, Some(Err(Failure::permanent("renew", "refused", "wait"))));
    let steps = vec![Step::Acquire(NOW, held()), Step::Announce, refused, kept(), released()];
    let seen = replay(lease(10), NOW, steps, &[(1, TOLD), (3000, RELEASE)]).await;
    let seen = without_words(&seen);
    assert_eq!(seen.get(3..5), Some(&at(&[(2000, "renew"), (2500, "renew")])[..]));
    assert_eq!(seen.get(5), Some(&(2500, "renewed until 12300".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_reported_once_and_released_only_after_the_pipe_is_closed() {
    let lost = Step::Renew(NOW, Some(Ok(Renewed::Lost("broken".into()))));
    let steps = vec![Step::Acquire(NOW, held()), Step::Announce, lost, released()];
    let seen = replay(lease(10), NOW, steps, &[(1, TOLD), (2700, RELEASE)]).await;
    assert_eq!(seen.get(4..), Some(&at(&[(2000, "Lost(\"broken\")"), (2700, "release")])[..]));
}

#[tokio::test(start_paused = true)]
async fn contended_means_looked_twice() {
    let contended = || Step::Acquire(NOW, Some(Ok(Acquired::Contended)));
    let seen = replay(lease(10), NOW, vec![contended(), contended()], &[]).await;
    assert_eq!(seen, at(&[(0, "acquire"), (50, "acquire"), (50, "Contended")]));

    let steps = vec![contended(), Step::Acquire(NOW, held()), Step::Announce, released()];
    let seen = replay(lease(10), NOW, steps, &[(60, TOLD), (70, RELEASE)]).await;
    assert_eq!(seen.get(2), Some(&(50, "held until 9850".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn waiting_goes_on_until_its_time_is_over() {
    let contended = || Step::Acquire(NOW, Some(Ok(Acquired::Contended)));
    let steps = vec![contended(), contended(), contended(), contended()];
    let seen = replay(lease(10), Duration::from_millis(500), steps, &[]).await;
    let expected = [
        (0, "acquire"),
        (50, "acquire"),
        (50, "Waiting"),
        (300, "acquire"),
        (300, "Waiting"),
        (550, "acquire"),
        (550, "Contended"),
    ];
    assert_eq!(without_words(&seen), at(&expected));
}

#[tokio::test(start_paused = true)]
async fn a_try_without_an_answer_is_undone_before_the_next() {
    let steps = vec![
        Step::Acquire(NOW, None),
        Step::Release(None),
        released(),
        Step::Acquire(NOW, held()),
        Step::Announce,
        released(),
    ];
    let seen = replay(lease(10), NOW, steps, &[(6000, TOLD), (6001, RELEASE)]).await;
    let calls = without_words(&seen);
    let expected = [
        (0, "acquire"),
        (2500, "release"),
        (5000, "release"),
        (5000, "acquire"),
        (5000, "held until 14800"),
        (6000, "announce"),
        (6001, "release"),
    ];
    assert_eq!(calls, at(&expected));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_try_is_undone() {
    let seen = replay(lease(10), NOW, vec![Step::Acquire(NOW, None), released()], &[(700, RELEASE)]).await;
    assert_eq!(seen, at(&[(0, "acquire"), (700, "release")]));
}

#[tokio::test(start_paused = true)]
async fn what_waiting_cannot_cure_fails_at_once_and_leaves_nothing() {
    let refused = Step::Acquire(NOW, Some(Err(Failure::permanent("open", "no such pool", "create it"))));
    let seen = replay(lease(10), NOW, vec![refused, released()], &[]).await;
    let failed = "Failed(\"cannot open /lock: no such pool; create it\")";
    assert_eq!(seen, at(&[(0, "acquire"), (0, failed), (0, "release")]));
}

#[tokio::test(start_paused = true)]
async fn what_waiting_may_cure_is_tried_again() {
    let down = Step::Acquire(NOW, Some(Err(Failure::transient("reach", "refused", "start it"))));
    let steps = vec![down, released(), Step::Acquire(NOW, held()), Step::Announce, released()];
    let seen = replay(lease(10), NOW, steps, &[(600, TOLD), (700, RELEASE)]).await;
    assert_eq!(seen.get(3..5), Some(&at(&[(500, "acquire"), (500, "held until 10300")])[..]));
}

#[tokio::test(start_paused = true)]
async fn the_granted_lease_counts_not_the_one_asked_for() {
    let granted = Some(Ok(Acquired::Held(Some(Duration::from_secs(4)))));
    let steps = vec![Step::Acquire(NOW, granted), Step::Announce, kept(), released()];
    let seen = replay(lease(10), NOW, steps, &[(1, TOLD), (1000, RELEASE)]).await;
    assert_eq!(seen.get(1), Some(&(0, "held until 3800".to_owned())));
    // The renewal's answer names no other lease.
    assert_eq!(seen.get(3..5), Some(&at(&[(800, "renew"), (800, "renewed until 4600")])[..]));
}

#[tokio::test(start_paused = true)]
async fn without_proofs_nothing_is_ever_asked() {
    let timing = Timing::proof(NOW, Duration::from_secs(10)).unwrap();
    let steps = vec![Step::Acquire(NOW, held()), Step::Announce, released()];
    let seen = replay(timing, NOW, steps, &[(1, TOLD), (86_400_000, RELEASE)]).await;
    assert_eq!(seen.last(), Some(&(86_400_000, "release".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn without_expiry_the_first_renewal_comes_at_once_and_takes_the_deadline_away() {
    let timing = Timing::without_expiry(Duration::from_secs(9), Duration::from_millis(500)).unwrap();
    let frozen = || Step::Renew(NOW, None);
    let steps = vec![Step::Acquire(NOW, held()), kept(), Step::Announce, frozen(), frozen(), released()];
    let seen = replay(timing, NOW, steps, &[(1, TOLD), (6000, RELEASE)]).await;
    let expected = [
        (0, "acquire"),
        (0, "held until 8300"),
        (0, "renew"),
        (0, "renewed until 0"),
        (1, "announce"),
        (1800, "renew"),
        (4050, "renew"),
        (6000, "release"),
    ];
    assert_eq!(without_words(&seen), at(&expected));
}

#[tokio::test(start_paused = true)]
async fn a_granted_lease_that_is_too_short_is_an_error_at_once_and_given_back() {
    let granted = Some(Ok(Acquired::Held(Some(Duration::from_millis(300)))));
    let seen = replay(lease(10), NOW, vec![Step::Acquire(NOW, granted), released()], &[]).await;
    assert!(
        matches!(seen.get(1), Some((0, what)) if what.starts_with("Failed(") && what.contains("0.3 s")),
        "{seen:?}"
    );
    assert_eq!(seen.get(2), Some(&(0, "release".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn a_lock_whose_answer_came_after_its_deadline_is_given_back_and_tried_again_after_a_pause() {
    // Longer than the lease may take, and within the time of one call: only a small granted lease has both.
    let late = Step::Acquire(Duration::from_millis(900), Some(Ok(Acquired::Held(Some(Duration::from_secs(1))))));
    let steps = vec![late, released(), Step::Acquire(NOW, held()), Step::Announce, released()];
    let seen = replay(lease(10), NOW, steps, &[(2000, TOLD), (2001, RELEASE)]).await;
    let calls = without_words(&seen);
    assert_eq!(calls.get(1..3), Some(&at(&[(900, "release"), (1000, "acquire")])[..]));
}

/// Nothing is released: a break takes nothing.
#[tokio::test(start_paused = true)]
async fn a_break_is_asked_for_until_there_is_an_answer() {
    let task = || Task::Break { token: "t".into(), json: false };
    let silent = Step::Break(NOW, None);
    let down = Step::Break(NOW, Some(Err(Failure::transient("reach", "refused", "start it"))));
    let done = Step::Break(NOW, Some(Ok(Broken::Done("its key was deleted".into()))));
    let seen = replay_of(task(), lease(10), NOW, vec![silent, down, done], &[]).await;
    let answer = r#"Answer("broken: /lock: its key was deleted\n")"#;
    let expected = [(0, "break t"), (2500, "break t"), (3000, "break t"), (3000, answer)];
    assert_eq!(without_words(&seen), at(&expected));

    let seen = replay_of(task(), lease(10), NOW, vec![Step::Break(NOW, Some(Ok(Broken::NotHeld)))], &[]).await;
    let answer = r#"NotHeld("not held: /lock: that holding is not there any more; nothing was done\n")"#;
    assert_eq!(seen, at(&[(0, "break t"), (0, answer)]));
}
