//! What has to hold in every state, and what has to be reached in some.

use stateright::Property;

use crate::protocol::Helper;
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
/// P5: whoever dies or stops, the lock does not stay with a helper that CTDB does not believe in.
pub const FREE_AT_LAST: &str = "a lock that CTDB does not believe in is free in time";
/// P4: where the store answers, the lock is free one call after the pipe's end.
pub const FREE_AT_ONCE: &str = "where the store answers, the lock is free one call after the pipe's end";
/// No run gets stuck: every one that ends has ended as runs should. Without it, time could stand still, and no bound be
/// reached.
pub const ENDS: &str = "a run ends only when nothing is left";

pub(crate) fn all() -> Vec<Property<Helper>> {
    let mut properties = vec![
        Property::always(EXCLUSION, |_, state: &State| !state.believes() || state.ours() || state.seen.broken.is_some()),
        Property::always(BROKEN, |helper: &Helper, state: &State| {
            let longest = helper.times.seen_broken(helper.limits.answers);
            !state.believes() || state.seen.broken.is_none_or(|since| since <= longest)
        }),
        Property::always(NEVER_TAKEN_AGAIN, |_, state: &State| !state.seen.taken_again),
        Property::always(ONE_BYTE, |_, state: &State| !state.pipe.second),
        Property::always(PIPE_FIRST, |_, state: &State| !state.seen.theft),
        Property::always(PATIENCE, |_, state: &State| !state.seen.gave_up_early),
        Property::always(UNDONE, |_, state: &State| !state.seen.left_behind),
        Property::always(FREE_AT_LAST, |helper: &Helper, state: &State| {
            state.seen.unbelieved <= helper.times.unbelieved()
        }),
        Property::always(FREE_AT_ONCE, |helper: &Helper, state: &State| {
            let counts = helper.limits.answers && !state.pipe.open && state.worker.life == Life::Running;
            !counts || state.seen.unbelieved <= helper.times.released()
        }),
        // True in terminal states alone: so it does not matter by which way one was reached, which `eventually` of the
        // checker does not tell apart.
        Property::eventually(ENDS, |helper: &Helper, state: &State| helper.is_over(state)),
    ];
    properties.extend(sometimes());
    properties
}

/// What a model has to reach that is not empty.
fn sometimes() -> Vec<Property<Helper>> {
    vec![
        Property::sometimes("CTDB believes", |_, state: &State| state.believes()),
        Property::sometimes("both processes know that CTDB was told", |_, state: &State| {
            matches!(state.supervisor.phase, Phase::Held { .. }) && state.worker.watch.unacknowledged.is_none()
        }),
        Property::sometimes("another has the lock", |_, state: &State| {
            state.pipe.byte == Some(Byte::NotHeld) && !state.ours()
        }),
        Property::sometimes("the pipe ends after a belief", |_, state: &State| {
            !state.pipe.open && state.pipe.byte == Some(Byte::Held)
        }),
    ]
}
