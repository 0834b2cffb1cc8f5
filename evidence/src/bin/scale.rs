//! `make scale`: the helpers with many locks, many contenders and many cycles. See [`mutex_evidence::scale`].

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use mutex_evidence::scale::{self, options::Options};

fn main() -> ExitCode {
    match scale::run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "scale: {error:#}");
            ExitCode::FAILURE
        }
    }
}
