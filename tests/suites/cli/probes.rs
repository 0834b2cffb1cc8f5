//! Whose probes are alive.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rustix::process::{Pid, getpgid};

/// The process groups that a helper with --health has, started for this lock file; what hangs is alive.
pub(crate) fn groups(file: &Path) -> BTreeSet<i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let is_probe = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|&byte| byte == 0).collect();
        words.contains(&&b"--health"[..]) && words.contains(&file.as_os_str().as_encoded_bytes())
    };
    pids.filter(is_probe).filter_map(|pid| Some(getpgid(Pid::from_raw(pid)).ok()?.as_raw_nonzero().get())).collect()
}
