//! Whether a program is one of our helpers, found without starting it.
//!
//! Another helper must not be asked: Samba's takes `--status` for the name of a file, or for nothing, and may take the lock.
//! Ours carry a note in their ELF file (`readelf -n` shows it), which stripping leaves in place.

use std::path::Path;

use anyhow::Context;
use mutex_core::note;
use object::read::elf::{ElfFile, ElfFile32, ElfFile64, FileHeader, SectionHeader};
use object::{Endianness, FileKind};

/// Larger than any program that could be a helper.
const MOST: u64 = 1 << 30;

/// Whether `program` understands --status, --health and --break as the helpers on `mutex-core` do.
///
/// # Errors
/// Where its file cannot be read.
pub(crate) fn is_ours(program: &Path) -> anyhow::Result<bool> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut std::io::Read::take(std::fs::File::open(program)?, MOST), &mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().with_context(|| format!("cannot read {}", program.display()))?;
    // What is no ELF file, a script say, is none of ours.
    Ok(match FileKind::parse(&*bytes) {
        Ok(FileKind::Elf64) => ElfFile64::<Endianness>::parse(&*bytes).is_ok_and(|file| has_note(&file)),
        Ok(FileKind::Elf32) => ElfFile32::<Endianness>::parse(&*bytes).is_ok_and(|file| has_note(&file)),
        _ => false,
    })
}

fn has_note<E: FileHeader<Endian = Endianness>>(file: &ElfFile<'_, E>) -> bool {
    let endian = file.endian();
    file.elf_section_table().iter().any(|section| {
        let Ok(Some(mut notes)) = section.notes(endian, file.data()) else { return false };
        while let Ok(Some(found)) = notes.next() {
            if found.name() == note::NAME.as_bytes() && found.n_type(endian) == note::KIND {
                return true;
            }
        }
        false
    })
}
