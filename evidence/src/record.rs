//! What was measured, kept as JSON under `docs/evidence/`: pages and pictures are drawn from it, and tests read it.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{FlockOperation, flock};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The repository.
#[must_use]
pub fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Where a record is.
fn place(name: &str) -> PathBuf {
    top().join("docs/evidence").join(format!("{name}.json"))
}

/// Keeps a record.
///
/// # Errors
/// Where it cannot be written.
pub fn save(name: &str, record: &impl Serialize) -> anyhow::Result<()> {
    let path = place(name);
    let text = serde_json::to_string_pretty(record).context("write a record as JSON")? + "\n";
    replace(&path, &text)
}

/// Puts a text in the place of a file at once: whoever is killed meanwhile leaves the old one.
pub(crate) fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let write = || -> anyhow::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(path.parent().context("it lies in no directory")?)?;
        file.write_all(text.as_bytes())?;
        fs::set_permissions(file.path(), PermissionsExt::from_mode(0o644))?;
        file.persist(path)?;
        Ok(())
    };
    write().with_context(|| format!("write {}", path.display()))
}

/// Of several programs that read and write what is kept, one at a time.
#[must_use = "the turn ends with this value"]
pub struct Turn(#[expect(dead_code, reason = "the lock goes with the file")] File);

/// Waits for this program's turn. Who has it must not wait for it again.
///
/// # Errors
/// Where the directory of the records is not there.
pub fn turn() -> anyhow::Result<Turn> {
    let directory = top().join("docs/evidence");
    let file = File::open(&directory).with_context(|| format!("open {}", directory.display()))?;
    flock(&file, FlockOperation::LockExclusive).context("wait for another program's turn")?;
    Ok(Turn(file))
}

/// Reads one that was kept; `None` where there is none yet.
///
/// # Errors
/// Where it is another program's, or broken: what was measured must not be lost by being overlooked.
pub fn find<T: DeserializeOwned>(name: &str) -> anyhow::Result<Option<T>> {
    match place(name).symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        _ => load(name).map(Some),
    }
}

/// Reads one that was kept.
///
/// # Errors
/// Where there is none, or it is another program's.
pub fn load<T: DeserializeOwned>(name: &str) -> anyhow::Result<T> {
    let path = place(name);
    let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("understand {}", path.display()))
}
