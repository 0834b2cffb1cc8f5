//! The one byte that CTDB reads, and the exit codes for people and scripts.

/// What a helper tells CTDB: one byte on its standard output, the only message before the end of the pipe.
///
/// Source: `ctdb(7)` "cluster mutex helper", and FACTS E3: CTDB reads the first byte and ignores all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The lock is held; from now on the end of the pipe means that it is lost.
    Held,
    /// Another holds the lock.
    Contended,
    /// The store did not answer in time; nothing is held.
    TimedOut,
    /// Waiting cannot cure what went wrong; nothing is held.
    Error,
}

impl Status {
    /// The byte as CTDB reads it.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Held => b'0',
            Self::Contended => b'1',
            Self::TimedOut => b'2',
            Self::Error => b'3',
        }
    }

    /// The status a byte stands for; `None` for one that CTDB takes as an error.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'0' => Some(Self::Held),
            b'1' => Some(Self::Contended),
            b'2' => Some(Self::TimedOut),
            b'3' => Some(Self::Error),
            _ => None,
        }
    }
}

/// Exit codes. CTDB ignores them; people and scripts do not.
pub mod exit_code {
    /// Released on request, or a question answered, or a lock broken.
    pub const RELEASED: u8 = 0;
    /// Another holds the lock; or the holding that was to be broken is not there any more.
    pub const CONTENDED: u8 = 1;
    /// The store did not answer in time.
    pub const TIMED_OUT: u8 = 2;
    /// An error that waiting does not cure.
    pub const ERROR: u8 = 3;
    /// The lock was held and is lost.
    pub const LOST: u8 = 4;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_the_contract_reads_back_as_its_status() {
        for status in [Status::Held, Status::Contended, Status::TimedOut, Status::Error] {
            assert_eq!(Status::from_byte(status.byte()), Some(status));
        }
        assert_eq!(Status::from_byte(b'4'), None);
        assert_eq!(Status::from_byte(0), None);
    }
}
