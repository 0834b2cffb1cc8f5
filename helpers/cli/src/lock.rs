//! LOCK: what stands behind `cluster lock =`, and what CTDB would start for it.
//!
//! CTDB splits the text behind a `!` at blanks and tabs, knows no quoting, and starts the first word with `execv`: no PATH
//! is searched (DESIGN 1, FACTS E2). Without a `!` the text is a file, for its own file helper. Ours takes the same lock on
//! the same file (P8), answers questions about it too, and so is started in its place.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};

use crate::{conf, ours};

/// Where helpers are installed; a build for openSUSE names another directory.
const HELPER_DIR: &str = match option_env!("CTDB_HELPER_DIR") {
    Some(dir) => dir,
    None => "/usr/libexec/ctdb",
};
const FILE_HELPER: &str = "ctdb_mutex_file_helper";

/// A lock that CTDB could be configured with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lock {
    text: String,
    program: PathBuf,
    arguments: Vec<String>,
}

impl Lock {
    /// The one that is named, or the one in ctdb.conf.
    ///
    /// # Errors
    /// What CTDB would make of a text that it cannot use.
    pub(crate) fn find(named: Option<&str>) -> anyhow::Result<Self> {
        let Some(text) = named else {
            let found = conf::cluster_lock()?;
            return Self::parse(&found.lock).map_err(|error| error.context(found.place));
        };
        Self::parse(text)
    }

    /// Reads LOCK as CTDB does.
    ///
    /// # Errors
    /// What CTDB would make of a text that it cannot use.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let Some(command) = text.strip_prefix('!') else {
            ensure!(!text.is_empty(), "LOCK is empty: CTDB runs without a cluster lock then");
            return Ok(Self { text: text.to_owned(), program: file_helper()?, arguments: vec![text.to_owned()] });
        };
        let mut words = command.split([' ', '\t']).filter(|word| !word.is_empty()).map(str::to_owned);
        let Some(program) = words.next() else {
            bail!("LOCK {text:?} names no helper: CTDB cannot take such a lock, and nobody can lead the cluster");
        };
        let program = PathBuf::from(program);
        check(&program)?;
        Ok(Self { text: text.to_owned(), program, arguments: words.collect() })
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

    /// Whether the helper understands --status, --health and --break.
    ///
    /// # Errors
    /// Where its file cannot be read.
    pub(crate) fn is_ours(&self) -> anyhow::Result<bool> {
        ours::is_ours(&self.program)
    }
}

/// The file helper beside this program, where it was built, or the installed one.
fn file_helper() -> anyhow::Result<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join(FILE_HELPER)));
    let helper = beside.filter(|path| path.is_file()).unwrap_or_else(|| Path::new(HELPER_DIR).join(FILE_HELPER));
    check(&helper)?;
    Ok(helper)
}

/// What `execv` would say.
fn check(program: &Path) -> anyhow::Result<()> {
    let shown = program.display();
    let comes_of_it = "CTDB gets status 3 from it, and nobody can lead the cluster";
    ensure!(
        program.is_absolute(),
        "{shown} is not an absolute path: CTDB searches no PATH, and looks where ctdbd was started; {comes_of_it}"
    );
    let about = match std::fs::metadata(program) {
        Ok(about) => about,
        Err(error) => bail!("{shown}: {error}; {comes_of_it}"),
    };
    ensure!(about.is_file(), "{shown} is not a file; {comes_of_it}");
    ensure!(about.permissions().mode() & 0o111 != 0, "{shown} is not executable; {comes_of_it}");
    Ok(())
}
