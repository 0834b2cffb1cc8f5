//! A command that is run to its end, however long that takes.

use std::process::{Command, Output};

use anyhow::{Context, ensure};

/// Runs it.
///
/// # Errors
/// Where it cannot be started.
pub fn output(command: &mut Command) -> anyhow::Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.output().with_context(|| format!("run {program} (install the package that has it: see tests/install-deps)"))
}

/// Runs one that must succeed; what it printed.
///
/// # Errors
/// Also where it fails, with what it said.
pub fn run(command: &mut Command) -> anyhow::Result<String> {
    let output = output(command)?;
    succeeded(&output).with_context(|| format!("{command:?}"))
}

/// What a command printed, if it succeeded.
///
/// # Errors
/// If it did not, with what it said.
pub fn succeeded(output: &Output) -> anyhow::Result<String> {
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    ensure!(output.status.success(), "{}\n{out}{err}", output.status);
    Ok(out)
}
