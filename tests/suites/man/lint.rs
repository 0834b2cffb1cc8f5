//! What the formatters say of the pages: nothing.

use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use mutex_tests::process::programs;

use crate::Case;
use crate::pages::{self, Page};

pub(crate) const CASES: &[Case] =
    &[("every page is clean mdoc", mandoc), ("man formats every page without a warning", man)];

fn mandoc() -> anyhow::Result<()> {
    let mandoc = programs::packaged("/usr/bin/mandoc", "mandoc")?;
    silent(|page| {
        let mut command = Command::new(&mandoc);
        command.args(["-Tlint", "-W", "warning"]).arg(&page.path);
        command
    })
}

fn man() -> anyhow::Result<()> {
    let man = programs::packaged("/usr/bin/man", "man-db")?;
    silent(|page| {
        let mut command = Command::new(&man);
        command.args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"]).arg(&page.path);
        // Not the user's own ways of showing pages.
        command.env("LC_ALL", "C.UTF-8").env("MANWIDTH", "80").env_remove("MANROFFOPT").stdout(Stdio::null());
        command
    })
}

/// The command says nothing of any page.
fn silent(of: impl Fn(&Page) -> Command) -> anyhow::Result<()> {
    for page in pages::all()? {
        let mut command = of(&page);
        let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        ensure!(output.status.success() && said.is_empty(), "{}: {}, {said}", page.title(), output.status);
    }
    Ok(())
}
