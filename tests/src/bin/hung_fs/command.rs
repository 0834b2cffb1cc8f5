//! The commands, a line each.

use std::path::PathBuf;

use anyhow::{Context, bail, ensure};

use crate::gate::Held;

/// What is to happen to a mount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Deed {
    /// Something is held back, once more.
    Hold(Held),
    /// And once less.
    Free(Held),
    /// Every request fails with EIO, once more.
    Fail,
    /// And once less.
    Work,
    /// Its session ends, and its locks with that.
    Evict,
    /// Its locks are dropped, and nobody is told.
    Forget,
    /// Its connection ends, and its locks go at once.
    Kill,
    /// Its connection ends, and its session stays for its time.
    LeaveBehind,
    /// It is mounted anew.
    Mount,
}

/// A line.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Command {
    /// To one mount, or to all.
    Mount(Option<usize>, Deed),
    /// The kernel may answer for the server.
    Cache,
    /// A file's name goes, as if another node had removed it.
    Remove(PathBuf),
    /// A mount that is to end with the server.
    TakeAlong(PathBuf),
}

/// Reads a line; there are so many mounts.
pub(crate) fn parse(line: &str, mounts: usize) -> anyhow::Result<Command> {
    if let Some(path) = line.strip_prefix("take along ") {
        return Ok(Command::TakeAlong(path.into()));
    }
    if let Some(path) = line.strip_prefix("remove ") {
        return Ok(Command::Remove(path.into()));
    }
    if line == "cache" {
        return Ok(Command::Cache);
    }
    let (mount, deed) = match line.split_once(' ') {
        Some((number, deed)) if number.starts_with(|first: char| first.is_ascii_digit()) => {
            let number = number.parse().with_context(|| format!("command {line:?}: which mount?"))?;
            ensure!(number < mounts, "command {line:?}: there are {mounts} mounts");
            (Some(number), deed)
        }
        _ => (None, line),
    };
    let what = |word: &str| Held::ALL.iter().find(|(name, _)| *name == word).map(|&(_, held)| held);
    let deed = match deed.split_once(' ').map_or((deed, None), |(verb, word)| (verb, Some(word))) {
        ("hold", Some(word)) => what(word).map(Deed::Hold),
        ("free", Some(word)) => what(word).map(Deed::Free),
        ("fail", None) => Some(Deed::Fail),
        ("work", None) => Some(Deed::Work),
        ("evict", None) => Some(Deed::Evict),
        ("forget", None) => Some(Deed::Forget),
        ("kill", None) => Some(Deed::Kill),
        ("leave", Some("behind")) => Some(Deed::LeaveBehind),
        ("mount", None) => Some(Deed::Mount),
        _ => None,
    };
    match deed {
        Some(deed) => Ok(Command::Mount(mount, deed)),
        None => bail!("command {line:?}: not one that this knows"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_for_one_mount_or_for_all() {
        let is = |line: &str, command| assert_eq!(parse(line, 3).unwrap(), command, "{line}");
        is("hold writes", Command::Mount(None, Deed::Hold(Held::Writes)));
        is("2 free link", Command::Mount(Some(2), Deed::Free(Held::Link)));
        is("0 leave behind", Command::Mount(Some(0), Deed::LeaveBehind));
        is("forget", Command::Mount(None, Deed::Forget));
        is("remove a/b", Command::Remove("a/b".into()));
        is("take along /a b", Command::TakeAlong("/a b".into()));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for line in ["", "hold", "hold hands", "3 kill", "kill all", "-1 kill", "2"] {
            parse(line, 3).unwrap_err();
        }
    }
}
