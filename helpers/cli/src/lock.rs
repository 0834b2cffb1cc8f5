//! LOCK: what stands behind `cluster lock =`, and what CTDB would start for it.
//!
//! CTDB splits the text behind a `!` at blanks and tabs, knows no quoting, and starts the first word with `execv`: no PATH
//! is searched (DESIGN 1, FACTS E2). Without a `!` the text is a file, for its own file helper. Ours takes the same lock on
//! the same file (P8), answers questions about it too, and so is started in its place.
//!
//! A helper that cannot be started is an error for CTDB like any other: it tries again with every election, each 5 s, and
//! the node stays in recovery (seen with 4.17). What can be seen of that before is refused here, in words. A lock *file* is
//! never looked at: it may lie on a file system that hangs.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use rustix::fs::{Access, access};

use crate::{conf, ours, say};

/// Where most distributions have the helpers, and where the examples of all help texts have them.
const USUAL_HELPER_DIR: &str = "/usr/libexec/ctdb";
/// Where helpers are installed; a build for openSUSE names another directory.
const HELPER_DIR: &str = match option_env!("CTDB_HELPER_DIR") {
    Some(dir) => dir,
    None => USUAL_HELPER_DIR,
};
const FILE_HELPER: &str = "ctdb_mutex_file_helper";

/// What CTDB makes of a LOCK that it cannot use.
const IN_VAIN: &str = "CTDB would try it in vain every few seconds, and nobody could lead the cluster";
const QUOTES: &str = "CTDB knows no quoting: a quote in ctdb.conf is a part of the word";

/// A help text with the helpers where this build has them.
pub(crate) fn help_of_this_build(text: &str) -> String {
    text.replace(&format!("{USUAL_HELPER_DIR}/"), &format!("{HELPER_DIR}/"))
}

/// A lock that CTDB could be configured with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lock {
    text: String,
    program: PathBuf,
    arguments: Vec<String>,
}

impl Lock {
    /// The one that is named, or the one in ctdb.conf. What looks like a mistake and is none for CTDB is said.
    ///
    /// # Errors
    /// What CTDB would make of a text that it cannot use.
    pub(crate) fn find(named: Option<&str>) -> anyhow::Result<Self> {
        let lock = match named {
            Some(text) => Self::parse(text)?,
            None => {
                let found = conf::cluster_lock()?;
                Self::parse(&found.lock).context(found.place)?
            }
        };
        if let Some(warning) = lock.warning() {
            say::complain(&format!("warning: {warning}"));
        }
        Ok(lock)
    }

    /// Reads LOCK as CTDB does.
    ///
    /// # Errors
    /// What CTDB would make of a text that it cannot use.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let text = conf::as_value(text);
        let Some(command) = text.strip_prefix('!') else { return Self::file(text) };
        let mut words = words(command).map(str::to_owned);
        let Some(program) = words.next() else {
            bail!("LOCK {text:?} names no helper behind the !; {IN_VAIN}");
        };
        let program = PathBuf::from(program);
        check(&program)?;
        let arguments = words.collect();
        Ok(Self { text, program, arguments })
    }

    fn file(text: String) -> anyhow::Result<Self> {
        ensure!(!text.is_empty(), "LOCK is empty; CTDB does not start with a cluster lock that is");
        let first = words(&text).next().unwrap_or_default();
        ensure!(
            !looks_like_a_helper(first.trim_start_matches(['"', '\''])),
            "LOCK {text:?} has no ! in front of the helper: CTDB would take all of it for the name of the lock file; \
             write '!{text}'"
        );
        if text.starts_with(['"', '\'']) {
            bail!(
                "LOCK {text:?} would be the name of a file for CTDB, with its quotes and in ctdbd's directory: {QUOTES}"
            );
        }
        ensure!(
            text.starts_with('/'),
            "LOCK {text:?} is a file without its whole path: CTDB would take it in the directory where each ctdbd was \
             started, which is no cluster file system; write /…/{}",
            text.trim_start_matches("./")
        );
        Ok(Self { program: file_helper()?, arguments: vec![text.clone()], text })
    }

    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The helper.
    pub(crate) fn program(&self) -> &Path {
        &self.program
    }

    /// Its arguments.
    pub(crate) fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// Whether it is a file, and the helper ours.
    pub(crate) fn is_a_file(&self) -> bool {
        self.program.ends_with(FILE_HELPER)
    }

    /// Whether the helper understands --status, --health and --break.
    ///
    /// # Errors
    /// Where its file cannot be read.
    pub(crate) fn is_ours(&self) -> anyhow::Result<bool> {
        ours::is_ours(&self.program)
    }

    /// What CTDB takes in another way than it may be meant.
    fn warning(&self) -> Option<String> {
        let is_file = !self.text.starts_with('!');
        if let Some(word) = self.arguments.iter().find(|word| word.contains(['"', '\''])) {
            let of = if is_file { "the name of the lock file".to_owned() } else { format!("argument {word}") };
            return Some(format!("the quotes in {of} are a part of it: {QUOTES}, and blanks always split"));
        }
        if let Some(word) = words(&self.text).find(|word| word.starts_with(['#', ';'])) {
            return Some(format!("{word} begins no comment: behind a value CTDB takes it as a part of that"));
        }
        (is_file && self.text.contains([' ', '\t'])).then(|| {
            format!("all of {:?} is the name of one file: without a ! in front CTDB splits nothing", self.text)
        })
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', '\t']).filter(|word| !word.is_empty())
}

/// By its name alone: it may lie on a file system that hangs.
fn looks_like_a_helper(word: &str) -> bool {
    let name = word.rsplit('/').next().unwrap_or_default();
    name == "ctdb_etcd_lock" || (name.starts_with("ctdb_mutex_") && name.ends_with("_helper"))
}

/// The file helper beside this program, where it was built, or the installed one.
fn file_helper() -> anyhow::Result<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join(FILE_HELPER)));
    let helper = beside.filter(|path| path.is_file()).unwrap_or_else(|| Path::new(HELPER_DIR).join(FILE_HELPER));
    check(&helper).context("for a LOCK that is a file our file helper is needed")?;
    Ok(helper)
}

/// What `execv` would say.
fn check(program: &Path) -> anyhow::Result<()> {
    let shown = program.display();
    if program.to_string_lossy().contains(['"', '\'']) && !program.exists() {
        bail!("no program {shown}: {QUOTES}; {IN_VAIN}");
    }
    ensure!(
        program.is_absolute(),
        "{shown} is not an absolute path: CTDB searches no PATH, and would look in the directory where ctdbd was started; \
         {IN_VAIN}"
    );
    let about = match std::fs::metadata(program) {
        Ok(about) => about,
        Err(error) => bail!("{shown}: {error}; {IN_VAIN}"),
    };
    ensure!(about.is_file(), "{shown} is not a file that could be started; {IN_VAIN}");
    ensure!(access(program, Access::EXEC_OK).is_ok(), "{shown} is not executable; {IN_VAIN}");
    // A shell would run it all the same, and so would Rust's Command.
    ensure!(
        begins_as_a_program(program),
        "{shown} begins neither as a program nor with #! and an interpreter that is there; {IN_VAIN}"
    );
    Ok(())
}

/// Whether the kernel has something to start it with; one that cannot be read is not judged.
fn begins_as_a_program(program: &Path) -> bool {
    // As much as the kernel looks at (BINPRM_BUF_SIZE).
    let mut head = Vec::new();
    if File::open(program).and_then(|file| file.take(256).read_to_end(&mut head)).is_err() {
        return true;
    }
    let Some(line) = head.strip_prefix(b"#!") else { return head.starts_with(b"\x7fELF") };
    let line = line.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    words(&line).next().is_some_and(|interpreter| Path::new(interpreter).is_file())
}
