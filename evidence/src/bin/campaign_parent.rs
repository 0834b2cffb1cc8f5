//! The parent of a node's helpers in a campaign: see `mutex_evidence::campaign::parent`.
//!
//!     campaign_parent NODE NODES SEED LEASE-MILLISECONDS PROGRAM [ARGUMENT...]

use std::time::Duration;

use anyhow::Context;
use mutex_evidence::campaign::parent::{Orders, run};

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let mut number = || {
        let text = arguments
            .next()
            .context("usage: campaign_parent NODE NODES SEED LEASE-MILLISECONDS PROGRAM [ARGUMENT...]")?;
        text.to_string_lossy().parse::<u64>().with_context(|| format!("{} is no number", text.to_string_lossy()))
    };
    let (node, nodes, seed, lease) = (number()?, number()?, number()?, number()?);
    let program = arguments.next().context("no program")?;
    run(Orders {
        node: usize::try_from(node)?,
        nodes: u32::try_from(nodes)?,
        seed,
        lease: Duration::from_millis(lease),
        program,
        arguments: arguments.collect(),
    })
}
