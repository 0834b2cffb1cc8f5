//! LOCK from ctdb.conf, read as CTDB reads it. Seen of `ctdb-config get`, which the suite asks about the same files:
//!
//! - `[section]` and `name = value`; a line whose first character is `#` or `;` is a comment, a line's end is not;
//! - sections are compared with their blanks and without regard to case, names the other way round; the last value of a
//!   name counts;
//! - a line that ends in a backslash goes on in the next one, a comment does not;
//! - blanks around a value go, and of several blanks in it the first stays;
//! - a line ends at a zero byte, once it is known whether it goes on in the next;
//! - a line that begins with `=`, and a `[` that is not closed, make CTDB ignore **the whole file**, in silence: it runs
//!   without a lock then.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};

/// CTDB's own directory, where `CTDB_BASE` does not name another.
const DEFAULT_BASE: &str = "/etc/ctdb";
/// Since CTDB 4.16, and what it was called before, which is still read where the first is not there.
const NAMES: [&str; 2] = ["cluster lock", "recovery lock"];

/// What the file says.
pub(crate) struct Configured {
    /// The value, as CTDB takes it.
    pub(crate) lock: String,
    /// Where it stands, for messages.
    pub(crate) place: String,
}

/// The file.
pub(crate) fn path() -> PathBuf {
    let base = std::env::var_os("CTDB_BASE").filter(|base| !base.is_empty());
    Path::new(&base.unwrap_or_else(|| DEFAULT_BASE.into())).join("ctdb.conf")
}

/// The lock that CTDB uses on this machine.
///
/// # Errors
/// Where the file cannot be read, or names no lock.
pub(crate) fn cluster_lock() -> anyhow::Result<Configured> {
    let path = path();
    let shown = path.display();
    let bytes = std::fs::read(&path).with_context(|| {
        format!("no LOCK given, and cannot read {shown}; name the LOCK, or CTDB's directory in CTDB_BASE")
    })?;
    configured(&bytes, &path)
}

/// The same of what stands in the file.
///
/// # Errors
/// Where that names no lock.
pub(crate) fn configured(bytes: &[u8], path: &Path) -> anyhow::Result<Configured> {
    let shown = path.display();
    let settings = match settings(bytes) {
        Ok(settings) => settings,
        Err(line) => bail!(
            "{shown}: cannot be understood at {line:?}: CTDB ignores the whole file then, without a word, and runs without \
             a cluster lock; mend that line"
        ),
    };
    for name in NAMES {
        let last = settings
            .iter()
            .rev()
            .find(|setting| setting.section.eq_ignore_ascii_case(b"cluster") && setting.name == name.as_bytes());
        let Some(setting) = last else { continue };
        ensure!(!setting.value.is_empty(), "{shown}: {name} has no value: CTDB does not start with that");
        let lock = String::from_utf8(setting.value.clone());
        let lock = lock
            .ok()
            .with_context(|| format!("{shown}: {name} is not UTF-8, which CTDB takes and this tool does not"))?;
        return Ok(Configured { lock, place: format!("{name} in {shown}") });
    }
    bail!("no LOCK given, and {shown} has no cluster lock in [cluster]: CTDB runs without one; name the LOCK")
}

/// A name and its value.
struct Setting {
    section: Vec<u8>,
    name: Vec<u8>,
    value: Vec<u8>,
}

/// All that the file sets, in its order; or the line at which CTDB gives up.
fn settings(text: &[u8]) -> Result<Vec<Setting>, String> {
    let mut section = Vec::new();
    let mut found = Vec::new();
    for mut line in lines(text) {
        // What CTDB reads as C strings ends there.
        line.truncate(line.iter().position(|&byte| byte == 0).unwrap_or(line.len()));
        if let Some(inner) = line.strip_prefix(b"[") {
            let end = inner.iter().position(|&byte| byte == b']').ok_or_else(|| shown(&line))?;
            section = inner[..end].to_vec();
        } else if let Some(at) = line.iter().position(|&byte| byte == b'=') {
            if at == 0 {
                return Err(shown(&line));
            }
            let (name, value) = (blanks_joined(&line[..at]), blanks_joined(&line[at + 1..]));
            found.push(Setting { section: section.clone(), name, value });
        }
    }
    Ok(found)
}

fn shown(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim().to_owned()
}

/// Lines without comments and without the blanks in front, each with those that it goes on in.
fn lines(text: &[u8]) -> Vec<Vec<u8>> {
    let mut whole = Vec::new();
    // What is still open; its blanks in front are gone, those of the lines that it goes on in are not.
    let mut open: Option<Vec<u8>> = None;
    let mut rest = text.split(|&byte| byte == b'\n').peekable();
    while let Some(line) = rest.next() {
        let mut line = match open.take() {
            Some(begun) => [&begun, line].concat(),
            None => {
                let line = without_blanks_in_front(line);
                if line.starts_with(b"#") || line.starts_with(b";") {
                    continue;
                }
                line.to_vec()
            }
        };
        let end = line.iter().rposition(|byte| !is_blank(*byte));
        match end {
            // At the file's end there is nothing to go on in.
            Some(end) if line[end] == b'\\' && rest.peek().is_some() => {
                line.truncate(end);
                open = Some(line);
            }
            _ => whole.push(line),
        }
    }
    whole
}

/// A text as CTDB takes it where it stands behind a `=`.
pub(crate) fn as_value(text: &str) -> String {
    // Only ASCII goes, so UTF-8 stays.
    String::from_utf8_lossy(&blanks_joined(text.as_bytes())).into_owned()
}

/// What C calls a space.
fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn without_blanks_in_front(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&byte| !is_blank(byte)).unwrap_or(text.len());
    &text[start..]
}

fn blanks_joined(text: &[u8]) -> Vec<u8> {
    let mut joined: Vec<u8> = Vec::new();
    for &byte in without_blanks_in_front(text) {
        if !(is_blank(byte) && joined.last().is_some_and(|&last| is_blank(last))) {
            joined.push(byte);
        }
    }
    if joined.last().is_some_and(|&last| is_blank(last)) {
        joined.pop();
    }
    joined
}
