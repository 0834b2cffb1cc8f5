//! Every proof, and every counterexample that has to be found. SLOW=1 adds the proofs that take minutes.

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use mutex_model::cases::{self, Counterexample, Proof};
use mutex_model::check::{find, prove};
use stateright::{Expectation, Model};

fn main() -> ExitCode {
    let slow = std::env::var_os("SLOW").is_some();
    let proofs = cases::proofs().into_iter().map(|proof| {
        let later = proof.slow && !slow;
        Trial::test(format!("proof: {}", proof.name), move || holds(proof)).with_ignored_flag(later)
    });
    let broken = |kind: &'static str| {
        move |row: Counterexample| {
            Trial::test(format!("{kind}: {}: breaks '{}'", row.name, row.breaks), move || is_found(row))
        }
    };
    let mutations = cases::mutations().into_iter().map(broken("broken rule"));
    let beyond = cases::beyond().into_iter().map(broken("beyond the promise"));
    let rest = Trial::test("every property is broken by a broken rule", every_property_is_broken);
    let trials = proofs.chain(mutations).chain(beyond).chain([rest]).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn holds(proof: Proof) -> Result<(), Failed> {
    let outcome = prove(proof.helper);
    if let Some((property, run)) = outcome.broken.first() {
        return Err(format!("'{property}' does not hold: {run:?}").into());
    }
    if !outcome.unreached.is_empty() {
        return Err(format!("never reached: {:?}", outcome.unreached).into());
    }
    Ok(())
}

fn is_found(row: Counterexample) -> Result<(), Failed> {
    let outcome = find(row.helper, row.breaks);
    if outcome.broken.iter().any(|&(property, _)| property == row.breaks) {
        return Ok(());
    }
    Err(format!("not found in {} states; instead: {:?}", outcome.states, outcome.broken).into())
}

/// A property that no mistake breaks says nothing.
fn every_property_is_broken() -> Result<(), Failed> {
    let Some(proof) = cases::proofs().pop() else { return Err("there is no proof".into()) };
    let all = proof.helper.properties().into_iter().filter(|property| property.expectation != Expectation::Sometimes);
    let rows = cases::mutations();
    let unbroken: Vec<_> =
        all.map(|property| property.name).filter(|&name| rows.iter().all(|row| row.breaks != name)).collect();
    if !unbroken.is_empty() {
        return Err(format!("no row of the broken rules breaks {unbroken:?}").into());
    }
    Ok(())
}
