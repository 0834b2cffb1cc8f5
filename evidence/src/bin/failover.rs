//! `make failover`: see [`mutex_evidence::failover`].

use std::process::ExitCode;

use clap::Parser;
use mutex_evidence::failover::{self, options::Options};

fn main() -> ExitCode {
    match failover::run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            failover::note(&format!("failover: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
