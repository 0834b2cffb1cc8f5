//! What the file helper and Samba's lock (P8), for tests that look at it or take it away.

use nix::libc;

/// Byte 0 of a file, to be locked or asked for (`F_WRLCK`) or unlocked (`F_UNLCK`).
#[must_use]
pub fn byte_zero(kind: i32) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 1,
        l_pid: 0,
    }
}
