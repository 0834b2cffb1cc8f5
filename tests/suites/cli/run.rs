//! `run`.
//!
//! | module | what is in it |
//! |---|---|
//! | `scene` | a command under a lock, and what it notes |
//! | `codes` | exit codes, standard input and output |
//! | `turns` | nested, side by side, one after the other |
//! | `ending` | how a command ends: by itself, by signals, and what it leaves behind |
//! | `killed` | a process of the tool killed |
//! | `lost` | the lock lost |
//! | `terminal` | on a terminal |

mod codes;
mod ending;
mod killed;
mod lost;
mod scene;
mod terminal;
mod turns;

use crate::Case;

pub(crate) const CASES: &[Case] = &[
    ("run: the exit code is the command's, 128 + N where signal N ended it", codes::of_the_command),
    ("run: 121 with one line where another holds the lock", codes::contended),
    ("run: 122 with one line where the store does not answer", codes::timed_out),
    ("run: 122 with one line for a helper that says nothing, which is told to end", codes::mute),
    ("run: 123 for a wrong LOCK, a helper's error, and options that cannot be understood", codes::errors),
    ("run: a helper that says no and stays is told to end", codes::helper_that_stays),
    ("run: 126 and 127 for a command that cannot be run or found, and the lock is not tried", codes::no_such_command),
    ("run: standard input and output are the command's alone", codes::streams),
    ("run: inside another run: both locks are held", turns::nested),
    ("run: of several at once one runs, the others end with 121", turns::at_once),
    ("run: LOCK left out: the one in ctdb.conf", codes::configured),
    ("run: --wait-seconds: one after the other", turns::one_after_the_other),
    ("run: a helper that is not ours: the same, and --wait-seconds tries again", turns::of_others),
    ("run: the command has ended: the lock is free at once", ending::free_at_once),
    ("run: signals are passed on, and the lock stays until the command has ended", ending::signals),
    ("run: a signal while it waits for the lock ends it, and nothing is left", ending::signal_while_waiting),
    ("run: what the command leaves behind is ended before the lock is free", ending::left_behind),
    ("run: the command ends while the keeper looks: what it leaves behind is seen", ending::ends_at_a_look),
    ("run: a command that is stopped ends on SIGTERM", ending::stopped),
    ("run: SIGKILL of ctdb-mutex: the lock stays while a process of the command cannot die", killed::undying),
    ("run: SIGKILL of ctdb-mutex: when the lock is free, nobody is left of a command that spreads", killed::spread),
    ("run: SIGKILL of ctdb-mutex where the command has no cgroup: the same, and -v says so", killed::without_cgroup),
    ("run: the command has a cgroup of its own, unless -v says why not, and it goes with it", ending::cgroup),
    (
        "run: SIGKILL of ctdb-mutex around another run: both locks stay while a process of the command cannot die",
        killed::nested,
    ),
    ("run: SIGKILL of the keeper: the command is killed with a line, the lock is free after the grace", killed::keeper),
    ("run: SIGKILL of the helper: the command is killed at once", killed::helper),
    ("run: SIGKILL of the helper's worker, and a file's lock with it: the command is killed at once", killed::worker),
    ("run: SIGTERM of the helper: the lock is free when the command has ended", killed::helper_told_to_end),
    ("run: SIGKILL of ctdb-mutex while it waits for the lock: nothing is left", killed::while_waiting),
    ("run: the keeper stopped: it goes on", killed::keeper_stopped),
    ("run: all OSDs frozen, lease 4: a command deaf to SIGTERM has ended before the lease", lost::rados),
    ("run: all members frozen, lease 3: a command deaf to SIGTERM has ended before the lease", lost::etcd),
    ("run: the lock taken away: SIGTERM, 124 and one line", lost::taken_away),
    ("run: a store that answers again within the grace: the lock is free when the command has ended", lost::thawed),
    ("run: the lock lost before the command's program could be read: it never starts", lost::not_yet_started),
    ("run: the lock lost while nobody reads standard error: the command is ended all the same", lost::unread),
    ("run: a grace that leaves no time for a renewal: 123 with both values", lost::grace_too_long),
    ("run: on a terminal the command has it, Ctrl-Z has no effect, Ctrl-C ends the command", terminal::ctrl_c),
];
