//! `ctdb-mutex`: what an operator needs around the helpers.
//!
//! | module | what is in it |
//! |---|---|
//! | `lock` | LOCK: what CTDB would start for it |
//! | `conf` | LOCK from ctdb.conf |
//! | `ours` | whether a program is one of our helpers |
//! | `helper` | a helper started as CTDB starts it, and what happens to it |
//! | `sys` | system calls that are `unsafe` |
//! | `unblocked` | a child with the signals of an ordinary process |
//! | `question` | a helper asked a question, and its answer |
//! | `holder` | who holds the lock and which store it is in, in words |
//! | `say` | what it says: words on a terminal, stable lines in a pipe, JSON where asked |
//! | `hold` | `ctdb-mutex hold` |
//! | `status` | `ctdb-mutex status` |
//! | `health` | `ctdb-mutex health` |
//! | `probe_file` | the probe before this one, and whether it still hangs |
//! | `run` | `ctdb-mutex run` |
//! | `break_lock` | `ctdb-mutex break` |
//! | `test` | `ctdb-mutex test` |
//! | `bench` | `ctdb-mutex bench` |
//! | `completion` | `ctdb-mutex completion` |

// Properties of every program.
#[cfg(test)]
#[path = "../../../fuzz/properties/argv.rs"]
mod argv;
mod bench;
mod break_lock;
mod completion;
mod conf;
// The checks of the fuzz targets, as unit tests here.
#[cfg(test)]
#[path = "../../../fuzz/checks/cli.rs"]
mod fuzz;
mod health;
mod helper;
mod hold;
mod holder;
mod lock;
mod ours;
mod probe_file;
mod question;
mod run;
mod say;
mod status;
mod sys;
mod test;
mod unblocked;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use mutex_core::status::exit_code;

/// Try CTDB's cluster lock, see who holds it, run something under it, and hold a helper to the contract
///
/// LOCK is one argument, written as behind `cluster lock =` in ctdb.conf:
///   '!/usr/libexec/ctdb/ctdb_mutex_rados_helper ceph client.admin rbd lockctdb'   a helper and its arguments
///   /clusterfs/ctdb/lock                                                          a file
/// Left out, it is read from ctdb.conf in $CTDB_BASE or /etc/ctdb.
///
/// The helper gets this shell's environment, which need not be ctdbd's.
#[derive(clap::Parser)]
#[command(name = "ctdb-mutex", version, verbatim_doc_comment)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Hold(hold::Args),
    Status(status::Args),
    Health(health::Args),
    Run(run::Args),
    Break(break_lock::Args),
    Test(test::Args),
    Bench(bench::Args),
    Completion(completion::Args),
}

fn main() -> ExitCode {
    // Not of clap's commands, so neither in --help nor in the shells' completion.
    if let Some(done) = test::parent::asked_for() {
        return done;
    }
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => return said_by_clap(error),
    };
    let done = match command {
        Command::Hold(args) => hold::run(args),
        Command::Status(args) => status::run(args),
        Command::Health(args) => health::run(args),
        Command::Run(args) => run::run(args),
        Command::Break(args) => break_lock::run(args),
        Command::Test(args) => test::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Completion(args) => completion::run(args),
    };
    done.unwrap_or_else(|error| {
        say::error(&error);
        ExitCode::from(exit_code::ERROR)
    })
}

/// What is wrong, with clap's hints.
fn in_one_line(error: clap::Error) -> String {
    // The shell split it, which is what CTDB would have done.
    let is_split = error.kind() == ErrorKind::UnknownArgument;
    let hint = if is_split { "; LOCK is one argument: put it in quotes" } else { "" };
    format!("{}{hint}; see --help", mutex_core::refusal(error, true))
}

/// What is left to say where there is no command to run: what was asked for, or what is wrong, in one line.
fn said_by_clap(error: clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            say::print(&lock::help_of_this_build(&error.to_string()));
            return ExitCode::from(exit_code::RELEASED);
        }
        // No command at all: its help, as an error.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
        }
        _ => say::complain(&in_one_line(error)),
    }
    // What `run` ends with is else its command's.
    let of_run = std::env::args_os().nth(1).is_some_and(|word| word == "run");
    ExitCode::from(if of_run { run::usage_code() } else { exit_code::ERROR })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_command_line_is_taken_or_refused_in_a_line() {
        argv::any(|_: Cli| {}, in_one_line);
    }
}
