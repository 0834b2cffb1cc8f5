//! `ctdb-mutex completion`: from clap's own description of the options.

use std::process::ExitCode;

use clap::CommandFactory;
use mutex_core::status::exit_code;

use crate::{Cli, say};

/// Print the completion script of a shell
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  $ ctdb-mutex completion bash > /etc/bash_completion.d/ctdb-mutex
  $ ctdb-mutex completion zsh > /usr/local/share/zsh/site-functions/_ctdb-mutex
  $ ctdb-mutex completion fish > /etc/fish/completions/ctdb-mutex.fish";

#[derive(Clone, Copy, clap::ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), env!("CARGO_BIN_NAME"), &mut script);
    say::print(&mended(&String::from_utf8_lossy(&script)));
    Ok(ExitCode::from(exit_code::RELEASED))
}

/// clap_complete names the states of bash's script in two ways where the program's name has a hyphen, and then nothing is
/// completed behind a command (clap issue 6421). No difference to a script without that.
fn mended(script: &str) -> String {
    let name = env!("CARGO_BIN_NAME");
    script.replace(&name.replace('-', "__subcmd__"), &name.replace('-', "__"))
}
