//! Sessions: what the server of a cluster file system knows of each client. One that has been silent for its session time
//! is evicted, and so are its locks; whoever is behind that mount is told by an error at what it has open from before.
//! When it can talk to the server again it has a new session, without a lock (CephFS does so with
//! `recover_session=clean`).
//!
//! A server counts from the last that it heard: a request of whatever kind, or the client's own sign of life, every third of
//! the session time (CephFS's clients give one as often). So a lock is never free before the session time has passed since
//! the holder's last good proof, and since P2c closes the pipe RECHECK + PING-TIMEOUT after the start of that proof, a
//! session time that is not less than that leaves no time for two holders. With less there would be a promise that
//! nobody could keep: the lock of a holder who cannot be told is given away while the proof that it has still counts.

use std::time::{Duration, Instant};

/// What the server knows of one client.
struct Session {
    number: u64,
    heard: Instant,
}

/// All of them.
pub(crate) struct Sessions {
    /// For how long one may be silent; `None`: for ever.
    patience: Option<Duration>,
    /// How many there have been.
    count: u64,
    /// Each mount's, if it has one.
    of_mounts: Vec<Option<Session>>,
    /// Those whose mount is no more, which the server does not know.
    left_behind: Vec<Session>,
}

impl Sessions {
    pub(crate) fn new(mounts: usize, patience: Option<Duration>) -> Self {
        Self { patience, count: 0, of_mounts: (0..mounts).map(|_| None).collect(), left_behind: Vec::new() }
    }

    /// The server hears of this mount; its session's number, which may be a new one.
    pub(crate) fn heard(&mut self, mount: usize, now: Instant) -> u64 {
        let session = self.of_mounts[mount].get_or_insert_with(|| {
            self.count += 1;
            Session { number: self.count, heard: now }
        });
        session.heard = now;
        session.number
    }

    /// Its number, if it has a session.
    pub(crate) fn of(&self, mount: usize) -> Option<u64> {
        self.of_mounts[mount].as_ref().map(|session| session.number)
    }

    /// The client gives its sign of life, where one is due.
    pub(crate) fn sign_of_life(&mut self, mount: usize, now: Instant) {
        let (Some(patience), Some(session)) = (self.patience, &mut self.of_mounts[mount]) else { return };
        if now.saturating_duration_since(session.heard) >= patience / 3 {
            session.heard = now;
        }
    }

    /// Time in which the server itself did not work, as far as this mount is concerned: silence then is not counted.
    pub(crate) fn overlook(&mut self, mount: usize, time: Duration) {
        if let Some(session) = &mut self.of_mounts[mount] {
            session.heard += time;
        }
    }

    /// As [`Self::overlook`], for those left behind.
    pub(crate) fn overlook_left_behind(&mut self, time: Duration) {
        self.left_behind.iter_mut().for_each(|session| session.heard += time);
    }

    /// Ends a mount's session; its number.
    pub(crate) fn end(&mut self, mount: usize) -> Option<u64> {
        self.of_mounts[mount].take().map(|session| session.number)
    }

    /// The mount is gone without a word: its session lasts for as long as the server is patient.
    pub(crate) fn leave_behind(&mut self, mount: usize) {
        self.left_behind.extend(self.of_mounts[mount].take());
    }

    /// Ends those that have been silent for too long; their numbers.
    pub(crate) fn end_silent(&mut self, now: Instant) -> Vec<u64> {
        let Some(patience) = self.patience else { return Vec::new() };
        let is_silent = |session: &Session| now.saturating_duration_since(session.heard) >= patience;
        let mounts = self.of_mounts.iter_mut().filter_map(|session| session.take_if(|session| is_silent(session)));
        let mut ended: Vec<_> = mounts.map(|session| session.number).collect();
        ended.extend(self.left_behind.iter().filter(|session| is_silent(session)).map(|session| session.number));
        self.left_behind.retain(|session| !is_silent(session));
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(3);

    fn after(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_mount_that_was_silent_for_the_session_time_is_evicted_and_comes_back_with_a_new_session() {
        let (mut sessions, start) = (Sessions::new(2, Some(PATIENCE)), Instant::now());
        let old = sessions.heard(0, start);
        let other = sessions.heard(1, after(start, 100));
        assert_ne!(old, other);
        assert!(sessions.end_silent(after(start, 2999)).is_empty());
        assert_eq!(sessions.end_silent(after(start, 3000)), [old]);
        assert_eq!((sessions.of(0), sessions.of(1)), (None, Some(other)));
        let new = sessions.heard(0, after(start, 4000));
        assert!(![old, other].contains(&new));
    }

    #[test]
    fn every_request_counts_and_signs_of_life_come_every_third_of_the_time() {
        let (mut sessions, start) = (Sessions::new(1, Some(PATIENCE)), Instant::now());
        sessions.heard(0, start);
        sessions.heard(0, after(start, 500));
        sessions.sign_of_life(0, after(start, 1499));
        assert!(sessions.end_silent(after(start, 3499)).is_empty());
        sessions.sign_of_life(0, after(start, 3499));
        assert!(sessions.end_silent(after(start, 6498)).is_empty());
        assert_eq!(sessions.end_silent(after(start, 6499)).len(), 1);
        // Nobody is brought back by a sign of life.
        sessions.sign_of_life(0, after(start, 7000));
        assert_eq!(sessions.of(0), None);
    }

    #[test]
    fn a_session_without_its_mount_lasts_as_long() {
        let (mut sessions, start) = (Sessions::new(1, Some(PATIENCE)), Instant::now());
        let dead = sessions.heard(0, start);
        sessions.leave_behind(0);
        let new = sessions.heard(0, after(start, 2000));
        sessions.sign_of_life(0, after(start, 3000));
        assert_eq!(sessions.end_silent(after(start, 3000)), [dead]);
        assert_eq!(sessions.of(0), Some(new));
    }

    #[test]
    fn silence_while_the_server_did_not_work_is_not_counted() {
        let (mut sessions, start) = (Sessions::new(2, Some(PATIENCE)), Instant::now());
        sessions.heard(0, start);
        sessions.heard(1, start);
        sessions.leave_behind(1);
        sessions.overlook(0, Duration::from_secs(10));
        sessions.overlook_left_behind(Duration::from_secs(10));
        assert!(sessions.end_silent(after(start, 12_999)).is_empty());
        assert_eq!(sessions.end_silent(after(start, 13_000)).len(), 2);
    }

    #[test]
    fn without_a_session_time_nobody_is_evicted() {
        let (mut sessions, start) = (Sessions::new(1, None), Instant::now());
        sessions.heard(0, start);
        assert!(sessions.end_silent(after(start, 1_000_000)).is_empty());
        assert!(sessions.end(0).is_some());
    }
}
