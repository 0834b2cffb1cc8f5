//! Any command line, for a program with any arguments: what is accepted is as it has to be, and a refusal is one line.
//!
//! Taken into each program's unit tests by its path, as the checks of the fuzz targets are.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use clap::error::ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion, ValueValidation};
use clap::error::{ContextKind, ContextValue};
use clap::{Command, Parser};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// How many command lines are tried.
const CASES: u32 = 256;

/// Tries command lines of `A`: what `accepted` says of one that is taken, and what `refused` makes of clap's error, where
/// neither help nor the version was asked for.
pub(crate) fn any<A: Parser>(accepted: impl Fn(A), refused: impl Fn(clap::Error) -> String) {
    let command = A::command();
    let mut names = Vec::new();
    collect(&command, &mut names);
    let line = prop::collection::vec(word(names), 0..10);
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let tried = TestRunner::new(config).run(&line, |words| {
        match A::try_parse_from(std::iter::once(OsString::from("program")).chain(words)) {
            Ok(taken) => accepted(taken),
            Err(error) => {
                let kind = error.kind();
                if matches!(kind, DisplayHelp | DisplayVersion | DisplayHelpOnMissingArgumentOrSubcommand) {
                    return Ok(());
                }
                // Whatever was written, which argument it was written for is part of what is wrong.
                let about = match error.get(ContextKind::InvalidArg) {
                    Some(ContextValue::String(argument)) if kind == ValueValidation => argument.clone(),
                    _ => String::new(),
                };
                let line = refused(error);
                let words: Vec<&str> = line.split_whitespace().collect();
                prop_assert_eq!(&words.join(" "), &line, "one line, and no blank too many");
                prop_assert!(!line.is_empty() && !line.starts_with("error:"), "{}", line);
                prop_assert!(line.contains(&about), "{} is missing: {}", about, line);
            }
        }
        Ok(())
    });
    tried.unwrap();
}

/// Every option and every command, also of the commands.
fn collect(command: &Command, names: &mut Vec<String>) {
    for argument in command.get_arguments() {
        names.extend(argument.get_long().map(|long| format!("--{long}")));
        names.extend(argument.get_short().map(|short| format!("-{short}")));
    }
    for command in command.get_subcommands() {
        names.push(command.get_name().to_owned());
        collect(command, names);
    }
}

fn word(names: Vec<String>) -> impl Strategy<Value = OsString> {
    let numbers = ["0", "1", "2", "3", "9", "-1", "+5", "1.5", "86400", "86401", "007", "1e3", "18446744073709551616"];
    let words = [
        "",
        "-",
        "--",
        "a",
        "/clusterfs/ctdb/lock",
        "a b",
        "a\n\nb",
        "a\n\nUsage: b",
        "\x1b[2J",
        "\u{202e}",
        "posix",
        "ceph,,x",
        "client.a",
    ];
    let name = prop::sample::select(names);
    let number = prop::sample::select(numbers.to_vec());
    prop_oneof![
        3 => name.clone().prop_map(OsString::from),
        1 => (name, number.clone()).prop_map(|(name, number)| OsString::from(format!("{name}={number}"))),
        3 => number.prop_map(OsString::from),
        3 => prop::sample::select(words.to_vec()).prop_map(OsString::from),
        1 => prop::collection::vec(1..=255_u8, 0..12).prop_map(OsString::from_vec),
    ]
}
