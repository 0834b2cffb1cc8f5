//! Who is under trial, and how that is called.

use std::time::Duration;

use anyhow::Context;
use mutex_tests::process::programs;

use super::stage::{Call, Stage, Subject};

impl Subject {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ours, Self::Distribution, Self::Unsafe];

    /// As on the command line and in the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Distribution => "distribution",
            Self::Unsafe => "unsafe",
        }
    }
}

/// How the unsafe one is late: by this, the end of the pipe comes after the helper has given up. So much that it is caught,
/// so little that each of its holders is right most of the time.
#[must_use]
pub fn lateness(lease: Duration) -> Duration {
    lease
}

/// How a subject is called on a node; `None` where this backend has no such subject.
///
/// # Errors
/// Where a program is not there.
pub fn call(stage: &dyn Stage, subject: Subject, node: usize) -> anyhow::Result<Option<Call>> {
    if subject != Subject::Unsafe {
        return stage.call(subject, node);
    }
    // Ours, in the hands of a program that is late: so every backend has one.
    let Call { program, arguments, environment } =
        stage.call(Subject::Ours, node)?.context("there is no helper of ours for this backend")?;
    let late = lateness(stage.times().lease).as_millis().to_string();
    let arguments = [late.into(), program.into()].into_iter().chain(arguments).collect();
    let call = Call { program: programs::own("campaign_late")?, arguments, environment };
    ending_with_parent(call).map(Some)
}

/// The same of a program that does not look after its parent: without this its lock would outlive every parent that is
/// killed, and nobody would hold for the rest of the run.
///
/// # Errors
/// Where `setpriv` is not there.
pub fn ending_with_parent(call: Call) -> anyhow::Result<Call> {
    let setpriv = programs::packaged("/usr/bin/setpriv", "util-linux")?;
    let Call { program, arguments, environment } = call;
    let words = ["--pdeathsig".into(), "TERM".into(), program.into()];
    Ok(Call { program: setpriv, arguments: words.into_iter().chain(arguments).collect(), environment })
}
