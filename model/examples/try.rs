//! x
#![allow(clippy::print_stdout)]
use mutex_model::{check::check, fault, protocol::*, rules::*, times::Times};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let n = |i: usize| a.get(i).and_then(|s| s.parse::<u8>().ok()).unwrap_or(0);
    let kinds: &'static [fault::Fault] = if a.iter().any(|x| x == "orderly") { fault::ORDERLY } else { fault::ALL };
    let helper = Helper {
        times: Times { clock_error: n(1) },
        rules: Rules(None),
        limits: Limits { faults: n(2), kinds, answers: a.iter().any(|x| x == "answers"), to_the_end: !a.iter().any(|x| x == "pipe") },
    };
    let o = check(helper);
    println!("{} states {} steps {:?} unreached {:?}", o.states, o.steps, o.time, o.unreached);
    for (n, run) in o.broken { println!("BROKEN {n}: {run}"); }
}
