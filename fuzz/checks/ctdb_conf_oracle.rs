//! ctdb.conf, read by this tool and by CTDB's own `ctdb-config`, which is started for every input: slow, and no model of ours.
//!
//! For libFuzzer alone: a unit test would need the Debian package ctdb wherever the suite is built. Trials of the suite cli, which
//! need it anyway, have its seeds' like, and some at random.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::conf::configured;

/// CTDB's reader of ctdb.conf.
const ORACLE: &str = "/usr/libexec/ctdb/ctdb-config";

/// Both find the same, or neither anything.
///
/// # Panics
/// Where they differ; and without `ctdb-config` (Debian package ctdb).
pub fn check(data: &[u8]) {
    let base = base();
    std::fs::write(base.join("ctdb.conf"), data).expect("write a ctdb.conf");
    let newer = oracle(base, "cluster lock");
    let older = || oracle(base, "recovery lock");
    let found = if newer.as_ref().is_some_and(Vec::is_empty) { older() } else { newer };
    // Nothing is learnt of a file that it refuses for another reason: a value that CTDB does not allow, say.
    let Some(theirs) = found else { return };
    let ours = configured(data, Path::new("/ctdb.conf"));
    match ours {
        Ok(found) => assert_eq!(found.lock.as_bytes(), theirs, "ours, and CTDB's"),
        Err(error) => {
            let said = format!("{error:#}");
            let is_text = std::str::from_utf8(&theirs).is_ok();
            assert!(theirs.is_empty() || !is_text, "CTDB's lock is {:?}: {said}", String::from_utf8_lossy(&theirs));
        }
    }
}

/// What CTDB takes; empty for none, `None` where it refuses the file.
fn oracle(base: &Path, name: &str) -> Option<Vec<u8>> {
    let mut command = Command::new(ORACLE);
    command.args(["get", "cluster", name]).env("CTDB_TEST_MODE", "yes").env("CTDB_BASE", base);
    let output = command.output().expect("ctdb-config of the Debian package ctdb is needed");
    output.status.success().then(|| output.stdout.strip_suffix(b"\n").unwrap_or(&output.stdout).to_vec())
}

/// One directory for the life of this process; who starts it removes TMPDIR.
fn base() -> &'static Path {
    static BASE: OnceLock<PathBuf> = OnceLock::new();
    BASE.get_or_init(|| {
        let base = std::env::temp_dir().join(format!("mutex-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&base).expect("make a directory");
        base
    })
}
