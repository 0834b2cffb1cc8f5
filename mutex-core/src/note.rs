//! How a helper of this suite is known without being started: a note in its ELF file.
//!
//! Another program must not be asked whether it is one, since it may take the question for a lock to take. A note is where
//! ELF keeps words about a file (elf(5)); it is loaded with the program, so stripping leaves it, and `readelf -n` shows it.
//! Rejected: the program's name (others' helpers are called alike), and a question on the command line.

/// Whose note it is, with the zero that ends it.
pub const NAME: &str = "ctdb-mutex";
/// What it says: a helper on this crate, which understands the options that all its helpers share.
pub const KIND: u32 = 1;
/// The version of those options.
const VERSION: u32 = 1;

const NAME_BYTES: usize = NAME.len() + 1;
/// The note's parts begin at multiples of four.
const NAME_ROOM: usize = NAME_BYTES.next_multiple_of(4);

/// The note as ELF has it; [`main!`](crate::main!) puts it into a section of its own.
#[doc(hidden)]
#[repr(C, align(4))]
pub struct Note {
    name_size: u32,
    description_size: u32,
    kind: u32,
    name: [u8; NAME_ROOM],
    description: u32,
}

impl Note {
    /// The one that every helper has.
    #[doc(hidden)]
    #[must_use]
    pub const fn new() -> Self {
        let mut name = [0; NAME_ROOM];
        let mut at = 0;
        while at < NAME.len() {
            name[at] = NAME.as_bytes()[at];
            at += 1;
        }
        Self { name_size: NAME_BYTES as u32, description_size: 4, kind: KIND, name, description: VERSION }
    }
}

impl Default for Note {
    fn default() -> Self {
        Self::new()
    }
}
