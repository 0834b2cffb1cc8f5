//! One clock for everything: `CLOCK_BOOTTIME`.
//!
//! It counts suspend, which `CLOCK_MONOTONIC` (and with it `std::time::Instant` and tokio's timers) does not,
//! and no admin can set it, unlike wall time. A lease ends by real time, so its age must count all of it.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{self, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId, clock_gettime};
use tokio::io::unix::AsyncFd;

use crate::sys;

/// A point on `CLOCK_BOOTTIME`: time since boot, suspend included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BootTime(Duration);

impl BootTime {
    /// The present.
    pub(crate) fn now() -> Self {
        // Every Linux since 2.6.39 has the clock. Were it to fail, all deadlines would have passed: the safe side.
        Self(clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(Duration::MAX, Duration::from))
    }

    pub(crate) const fn from_nanos(nanos: u64) -> Self {
        Self(Duration::from_nanos(nanos))
    }

    /// Nanoseconds since boot; enough for 584 years.
    pub(crate) fn as_nanos(self) -> u64 {
        u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The time from `earlier` until `self`; zero where `self` is not later.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl std::ops::Add<Duration> for BootTime {
    type Output = Self;
    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(time))
    }
}

impl std::ops::Sub<Duration> for BootTime {
    type Output = Self;
    fn sub(self, time: Duration) -> Self {
        Self(self.0.saturating_sub(time))
    }
}

/// A timer that fires once, at a point of [`BootTime`]: a descriptor to poll.
pub(crate) struct Timer(TimerFd);

impl Timer {
    /// A timer that is not set.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK;
        Ok(Self(TimerFd::new(timerfd::ClockId::CLOCK_BOOTTIME, flags)?))
    }

    /// Sets it to fire at `at` (at once where that is past), or never; forgets what was set before.
    pub(crate) fn set(&self, at: Option<BootTime>) -> io::Result<()> {
        match at {
            // Zero would mean "not set": the first nanosecond after boot is as good.
            Some(at) => self.0.set(
                Expiration::OneShot(TimeSpec::from_duration(at.0.max(Duration::from_nanos(1)))),
                TimerSetTimeFlags::TFD_TIMER_ABSTIME,
            )?,
            None => self.0.unset()?,
        }
        Ok(())
    }

    /// Takes note of its firing; `WouldBlock` where it has not fired.
    fn take(&self) -> io::Result<()> {
        self.0.wait().map_err(io::Error::from)
    }
}

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The clock as the worker's loop sees it: a field, so that a test replays a timeline on paused time.
pub(crate) trait Clock {
    fn now(&self) -> BootTime;
    async fn sleep_until(&self, at: BootTime);
}

/// The real clock. One sleep at a time.
pub(crate) struct SystemClock(AsyncFd<Timer>);

impl SystemClock {
    /// Must be called within a tokio runtime.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self(sys::async_timer(Timer::new()?)?))
    }
}

impl Clock for SystemClock {
    fn now(&self) -> BootTime {
        BootTime::now()
    }

    /// Not tokio's timer: that one stops in suspend and wakes several times for one long sleep.
    async fn sleep_until(&self, at: BootTime) {
        // A timer descriptor of our own can neither be refused a time nor fail to be read; were it to, going on
        // too early is the safe side: the loop looks at the clock itself.
        if self.0.get_ref().set(Some(at)).is_err() {
            return;
        }
        while let Ok(mut ready) = self.0.readable().await {
            match ready.try_io(|timer| timer.get_ref().take()) {
                Ok(_) => return,
                Err(_would_block) => continue,
            }
        }
    }
}
