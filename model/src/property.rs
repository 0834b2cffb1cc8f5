//! What has to hold in every state, and what has to be reached in some.

use stateright::Property;

use crate::keeper::{Keeper, Request};
use crate::protocol::{Helper, Limits};
use crate::state::{Byte, Life, State};
use crate::supervisor::Phase;

/// P1, P2a: CTDB believes only while the store has the lock for us, or an admin broke it.
pub const EXCLUSION: &str = "CTDB believes only while the lock is ours";
/// P2b: a lock that an admin broke is not believed in for longer than promised.
pub const BROKEN: &str = "a broken lock is noticed in time";
/// P2b: what is lost is never taken again in silence.
pub const NEVER_TAKEN_AGAIN: &str = "a renewal never takes the lock";
/// P1: at most one byte.
pub const ONE_BYTE: &str = "at most one byte is written";
/// DESIGN 3: the one order of stopping.
pub const PIPE_FIRST: &str = "the pipe is closed before the release is sent";
/// P3: delays alone cost nothing before the deadline.
pub const PATIENCE: &str = "nobody gives up before the deadline";
/// P6: who ends of its own will has undone its tries.
pub const UNDONE: &str = "nothing is left behind by a worker that ends of its own will";
/// P5: whoever dies or stops, nobody renews a lock that CTDB does not believe in; so it goes with its lease.
pub const NOT_ALONE: &str = "no worker goes on renewing a lock that CTDB does not believe in";
/// P4: where the store answers, the lock is free one call after the pipe's end.
pub const FREE_AT_ONCE: &str = "where the store answers, the lock is free one call after the pipe's end";
/// No run gets stuck: every one that ends has ended as runs should. Without it, time could stand still, and no bound be
/// reached.
pub const ENDS: &str = "a run ends only when nothing is left";

pub(crate) fn all(helper: &Helper) -> Vec<Property<Helper>> {
    let mut properties = vec![
        Property::always(EXCLUSION, |_, state: &State| {
            !state.believes() || state.ours() || state.seen.broken.is_some()
        }),
        Property::always(BROKEN, |helper: &Helper, state: &State| {
            let longest = helper.times.seen_broken(helper.limits.answers);
            !state.believes() || state.seen.broken.is_none_or(|since| since <= longest)
        }),
        Property::always(NEVER_TAKEN_AGAIN, |_, state: &State| !state.seen.taken_again),
        Property::always(ONE_BYTE, |_, state: &State| !state.pipe.second),
        Property::always(PIPE_FIRST, |_, state: &State| !state.seen.theft),
        Property::always(PATIENCE, |_, state: &State| !state.seen.gave_up_early),
        Property::always(UNDONE, |_, state: &State| !state.seen.left_behind),
        Property::always(NOT_ALONE, |_, state: &State| !state.seen.renewed_alone),
        Property::always(FREE_AT_ONCE, |helper: &Helper, state: &State| {
            state.worker.life != Life::Running || state.seen.kept <= helper.times.released()
        }),
        // True in terminal states alone: so it does not matter by which way one was reached, which `eventually` of the
        // checker does not tell apart.
        Property::eventually(ENDS, |helper: &Helper, state: &State| helper.is_over(state)),
    ];
    properties.extend(sometimes(helper));
    properties
}

/// What a model has to reach that is not empty.
fn sometimes(helper: &Helper) -> Vec<Property<Helper>> {
    let mut properties = vec![
        Property::sometimes("CTDB believes", |_, state: &State| state.believes()),
        Property::sometimes("both processes know that CTDB was told", |_, state: &State| {
            matches!(state.supervisor.phase, Phase::Held { .. }) && state.worker.watch.unacknowledged.is_none()
        }),
        Property::sometimes("a renewal is under way, and an older one with it", |_, state: &State| {
            state.late.renewal && matches!(state.worker.keeper.call(), Some((Request::Renew, _)))
        }),
        Property::sometimes("a try is answered after its sender gave it up", |_, state: &State| {
            state.ours() && matches!(state.worker.keeper, Keeper::Undoing(_)) && state.pipe.byte.is_none()
        }),
        Property::sometimes("another has the lock", |_, state: &State| {
            state.pipe.byte == Some(Byte::NotHeld) && !state.ours()
        }),
    ];
    let Limits { faults, answers, to_the_end, .. } = helper.limits;
    if answers {
        // No call is given up before the pipe's end, and the release that bars a try always arrives.
        properties.retain(|property| !property.name.contains("older one") && !property.name.contains("gave it up"));
    }
    if faults > 0 || !answers {
        properties.push(Property::sometimes("the pipe ends after a belief", |_, state: &State| {
            !state.pipe.open && state.pipe.byte == Some(Byte::Held)
        }));
    }
    if to_the_end {
        properties
            .push(Property::sometimes("believed, released, and both have ended", |helper: &Helper, state: &State| {
                state.pipe.byte == Some(Byte::Held) && helper.is_over(state)
            }));
    }
    if to_the_end && !answers {
        properties.push(Property::sometimes("a try is under way when both have ended", |_, state: &State| {
            let ended = state.supervisor.life == Life::Dead && state.worker.life == Life::Dead;
            ended && state.late.acquire
        }));
    }
    if faults > 0 {
        properties.push(Property::sometimes("CTDB believes in a broken lock", |_, state: &State| {
            state.believes() && state.seen.broken.is_some()
        }));
    }
    properties
}
