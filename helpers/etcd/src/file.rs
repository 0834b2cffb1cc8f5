//! Reading a small file whose name somebody else has chosen: it could be anything.

use std::fs::{File, Metadata};
use std::io::Read;
use std::path::Path;

use anyhow::{Context, ensure};
use rustix::fs::{Mode, OFlags};

/// Far more than a configuration or a chain of certificates takes.
const LENGTH_MAX: u64 = 256 * 1024;

/// What is in the file, and what it is. Every error names it.
pub(crate) fn read(path: &Path) -> anyhow::Result<(Vec<u8>, Metadata)> {
    let shown = path.display();
    // What is no file must not keep us waiting (a FIFO does).
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty());
    let file = File::from(file.with_context(|| format!("cannot open {shown}"))?);
    let about = file.metadata().with_context(|| format!("cannot look at {shown}"))?;
    ensure!(about.is_file(), "{shown} is no file");
    let mut content = Vec::new();
    file.take(LENGTH_MAX + 1).read_to_end(&mut content).with_context(|| format!("cannot read {shown}"))?;
    ensure!(content.len() as u64 <= LENGTH_MAX, "{shown} is longer than {LENGTH_MAX} bytes");
    Ok((content, about))
}
