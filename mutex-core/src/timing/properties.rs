//! What is true of every timing that is accepted, and of every one that is refused: tried on times of a day, on borders and
//! on everything that a `Duration` can be.
//!
//! Nothing is repeated from the formulas but what ARCHITECTURE.md promises: room for two calls, and an order of events.

use proptest::prelude::*;

use super::*;

const DAY: u64 = 86_400_000_000_000;

/// Times as people choose them, borders, and anything.
fn time() -> impl Strategy<Value = Duration> {
    let borders = [
        Duration::ZERO,
        Duration::from_nanos(1),
        SCHEDULING_MARGIN,
        PING_TIMEOUT_MIN - Duration::from_nanos(1),
        PING_TIMEOUT_MIN,
        Duration::MAX / 2,
        Duration::MAX - Duration::from_nanos(1),
        Duration::MAX,
    ];
    prop_oneof![
        4 => (0..=86_400_u64).prop_map(Duration::from_secs),
        4 => (0..=20_000_u64).prop_map(Duration::from_millis),
        2 => (0..=DAY).prop_map(Duration::from_nanos),
        1 => prop::sample::select(borders.to_vec()),
        1 => (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(seconds, nanos)| Duration::new(seconds, nanos)),
    ]
}

/// A point of the clock in the first 30 years after boot, where nothing saturates that a day is added to.
fn instant() -> impl Strategy<Value = BootTime> {
    (DAY..DAY * 365 * 30).prop_map(BootTime::from_nanos)
}

/// A timing of any kind, as it may come from a command line.
fn timing() -> impl Strategy<Value = Timing> {
    let day = || (0..=DAY).prop_map(Duration::from_nanos);
    let kind = prop_oneof![
        (day(), 0..2_000_u64).prop_map(|(lease, error)| Timing::lease(lease, Duration::from_millis(error))),
        ((0..=20_000_u64), 0..2_000_u64)
            .prop_map(|(lease, error)| Timing::lease(Duration::from_millis(lease), Duration::from_millis(error))),
        (day(), 0..2_000_u64).prop_map(|(lease, error)| Timing::without_expiry(lease, Duration::from_millis(error))),
        (day(), day()).prop_map(|(recheck, ping_timeout)| Timing::proof(recheck, ping_timeout)),
        day().prop_map(|ping_timeout| Timing::proof(Duration::ZERO, ping_timeout)),
    ];
    (kind, 0..=5_000_u64).prop_filter_map("refused", |(kind, grace)| {
        let timing = kind.ok()?;
        Some(timing.with_grace(Duration::from_millis(grace)).unwrap_or(timing))
    })
}

fn seconds_in(text: &str, time: Duration) -> bool {
    text.contains(&format!("{} s", time.as_secs_f64()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn a_lease_has_room_for_two_calls_or_is_refused_with_both_values(lease in time(), error in time()) {
        match Timing::lease(lease, error) {
            Ok(timing) => {
                // R + 2T <= D, in numbers that cannot overflow.
                let nanos = |time: Duration| time.as_nanos();
                let needed = nanos(timing.renew_every) + 2 * nanos(timing.call()) + nanos(SCHEDULING_MARGIN) + nanos(error);
                prop_assert!(needed <= nanos(lease), "{timing:?}");
                prop_assert!(timing.renew_every > Duration::ZERO && timing.call() > Duration::ZERO);
                prop_assert!(!timing.to_string().is_empty());
            }
            Err(refused) => {
                let text = refused.to_string();
                let TimingError::LeaseTooShort { lease: told, needed } = refused else { panic!("{text}") };
                prop_assert_eq!(told, lease);
                prop_assert!(needed > lease || needed == Duration::MAX, "{}", text);
                prop_assert!(seconds_in(&text, lease) && seconds_in(&text, needed), "{}", text);
            }
        }
    }

    #[test]
    fn a_ping_timeout_is_a_second_or_is_refused_with_both_values(recheck in time(), ping_timeout in time()) {
        match Timing::proof(recheck, ping_timeout) {
            Ok(timing) => prop_assert!(ping_timeout >= PING_TIMEOUT_MIN && !timing.to_string().is_empty()),
            Err(refused) => {
                let text = refused.to_string();
                prop_assert!(ping_timeout < PING_TIMEOUT_MIN);
                prop_assert!(seconds_in(&text, ping_timeout) && seconds_in(&text, PING_TIMEOUT_MIN), "{}", text);
            }
        }
    }

    #[test]
    fn a_grace_leaves_that_room_or_is_refused_with_both_values(timing in timing(), grace in time()) {
        let timing = Timing { grace: Duration::ZERO, ..timing };
        let start = BootTime::from_nanos(DAY);
        match timing.with_grace(grace) {
            Ok(with) => {
                prop_assert_eq!(with.grace(), grace);
                prop_assert!(!with.to_string().is_empty());
                if let (Some(with), Some(without)) = (with.deadline(start, start), timing.deadline(start, start)) {
                    prop_assert_eq!(with + grace, without);
                    let two_calls = match timing.kind {
                        Kind::Lease { .. } => timing.renew_every + 2 * timing.call(),
                        // One proof has to fit, and it is the whole of a ping timeout.
                        _ => timing.renew_every + PING_TIMEOUT_MIN - SCHEDULING_MARGIN,
                    };
                    prop_assert!(with >= start + two_calls, "{:?}", timing);
                }
            }
            Err(refused) => {
                let text = refused.to_string();
                let TimingError::GraceTooLong { grace: told, room, .. } = refused else { panic!("{text}") };
                prop_assert!(told == grace && grace > room);
                let millis = |time: Duration| format!("{} ms", time.as_millis());
                prop_assert!(text.contains(&millis(grace)) && text.contains(&millis(room)), "{}", text);
                prop_assert!(timing.with_grace(room).is_ok(), "the longest one that it names is refused too: {}", text);
            }
        }
    }

    #[test]
    fn all_that_has_to_happen_happens_in_its_order(
        timing in timing(), sent in instant(), took in 0..=DAY, later in 0..=DAY,
    ) {
        let answered = sent + Duration::from_nanos(took).min(timing.call());
        if let Some(next) = timing.next(sent, answered) {
            prop_assert!(sent <= next && answered <= next);
        }
        for deadline in [timing.deadline(sent, answered), timing.first_deadline(sent, answered)] {
            let Some(deadline) = deadline else { continue };
            let kill = timing.kill_supervisor_at(deadline);
            prop_assert!(sent < deadline && deadline < kill);
            prop_assert!(timing.next(sent, answered).is_none_or(|next| next < deadline));
            if let Kind::Lease { lease, store_clock_error } = timing.kind {
                // Killed, and its grace over, while a store whose clock is off still keeps the lock for us.
                prop_assert!(kill + timing.grace() + store_clock_error < sent + lease, "{timing:?}");
                prop_assert!(sent + timing.renew_every + 2 * timing.call() <= deadline);
                prop_assert!(timing.linger(deadline.since(sent)) >= lease);
            }
        }
        // A supervisor that has not said that CTDB knows is not waited for longer than one that has.
        let first = timing.first_deadline(sent, answered);
        let acknowledge = timing.acknowledge_by(answered, first);
        prop_assert!(answered < acknowledge);
        if let (Kind::Lease { .. }, Some(first)) = (timing.kind, first) {
            prop_assert!(acknowledge <= timing.kill_supervisor_at(first));
        }
        prop_assert!(RETRY_MIN <= timing.retry() && timing.retry() <= RETRY_MAX);
        // What is sent later ends later.
        let later = Duration::from_nanos(later);
        let [before, after] = [sent, sent + later].map(|sent| (timing.deadline(sent, sent), timing.next(sent, sent)));
        prop_assert!(before <= after, "{before:?}, {after:?}");
    }

    #[test]
    fn a_lease_that_the_store_grants_replaces_the_one_asked_for(
        timing in timing(), granted in time(), sent in instant(),
    ) {
        let after = timing.granted(Some(granted));
        let Kind::Lease { store_clock_error, .. } = timing.kind else {
            prop_assert_eq!(after, Ok(timing));
            return Ok(());
        };
        let afresh = Timing::lease(granted, store_clock_error).and_then(|afresh| afresh.with_grace(timing.grace()));
        prop_assert_eq!(after, afresh);
        if let Ok(after) = after {
            prop_assert_eq!(after.deadline(sent, sent), Some(sent + granted - after.margin - after.grace()));
        }
        prop_assert_eq!(timing.granted(None), Ok(timing));
    }

    /// A clock that fails reads as the end of time.
    #[test]
    fn nothing_overflows_whatever_the_clock_says(timing in timing(), sent in time(), held in time()) {
        let sent = BootTime::from_nanos(0) + sent;
        let answered = sent + held;
        for deadline in [timing.deadline(sent, answered), timing.first_deadline(sent, answered)] {
            let _ = timing.acknowledge_by(answered, deadline);
            let _ = deadline.map(|deadline| timing.kill_supervisor_at(deadline));
        }
        let _ = (timing.next(sent, answered), timing.first_renewal(sent, answered), timing.linger(held));
    }
}
