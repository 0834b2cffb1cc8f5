//! Who holds the lock, as one JSON line in the lock file: for people, and for `--status`.
//!
//! Nothing depends on it. It is written by a thread that may hang without harm, and read as what anybody could have
//! written there.
//!
//! On MooseFS it is an extended attribute of the file. The master keeps that as it keeps the locks, and the content is a
//! chunkserver's: without one a write waits for ever, and so does every unlock of the file after it (measured).

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use mutex_core::backend::Identity;
use rustix::fs::{XattrFlags, fgetxattr, fsetxattr};
use serde_json::{Map, Value, json};

/// Longest line that is believed to be one of ours.
pub(crate) const LINE_MAX: usize = 4096;
/// What a line may say, and nothing else is passed on.
pub(crate) const KEYS: [&str; 4] = ["host", "pid", "worker_pid", "since"];

/// The extended attribute.
const ATTRIBUTE: &str = "user.ctdb_mutex_holder";

/// Where the line stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// In place of the file's content.
    Content,
    /// In an extended attribute.
    Attribute,
}

/// Writes the line over whatever stands there.
pub(crate) fn write(file: &File, place: Line, holder: &Identity) -> io::Result<()> {
    let Identity { host, pid, worker_pid, .. } = holder;
    let since = holder.since_rfc3339();
    let line = format!("{}\n", json!({ "host": host, "pid": pid, "worker_pid": worker_pid, "since": since }));
    if place == Line::Attribute {
        return Ok(fsetxattr(file, ATTRIBUTE, line.as_bytes(), XattrFlags::empty())?);
    }
    file.write_all_at(line.as_bytes(), 0)?;
    file.set_len(line.len() as u64)?;
    // Clean pages can be dropped, so that the proofs read from the file system itself.
    file.sync_data()
}

/// The line's facts; none where anything else stands.
pub(crate) fn read(file: &File, place: Line) -> Map<String, Value> {
    let mut buffer = [0; LINE_MAX];
    let length = match place {
        Line::Content => file.read_at(&mut buffer, 0).unwrap_or(0),
        Line::Attribute => fgetxattr(file, ATTRIBUTE, &mut buffer[..]).unwrap_or(0),
    };
    parse(buffer.get(..length).unwrap_or_default())
}

/// The same of what was read.
pub(crate) fn parse(content: &[u8]) -> Map<String, Value> {
    let line = content.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let Ok(Value::Object(facts)) = serde_json::from_slice(line) else { return Map::new() };
    facts
        .into_iter()
        .filter(|(key, value)| KEYS.contains(&key.as_str()) && (value.is_string() || value.is_u64()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_facts_of_a_well_formed_line_are_passed_on() {
        let line = br#"{"host":"a","pid":7,"extra":1,"since":["x"]}"#;
        assert_eq!(Value::Object(parse(line)), json!({ "host": "a", "pid": 7 }));
        for hostile in [&b""[..], b"[1]", b"{", b"\xff\xfe", b"0", b"null\n{\"host\":\"a\"}"] {
            assert!(parse(hostile).is_empty());
        }
    }
}
