//! The command of -tests, as its users start it.

use anyhow::ensure;

use crate::Case;
use crate::system::System;

pub(crate) const CASES: &[Case] =
    &[("ctdb-mutex-helpers-tests tries the helpers that are installed, with the programs of its package", contract)];

fn contract() -> anyhow::Result<()> {
    let system = System::installed()?;
    let said = system.run(&["ctdb-mutex-helpers-tests", "file-posix: ", "--test-threads", "4"])?;
    ensure!(said.contains("test result: ok.") && !said.contains(" 0 passed"), "{said}");
    Ok(())
}
