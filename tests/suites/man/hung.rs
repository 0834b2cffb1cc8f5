//! What holders say when their store hangs or dies, and when their worker is stopped: lines that the overview explains.

use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::process::helper::Helper;
use mutex_tests::process::launch::Launch;
use mutex_tests::process::programs;
use mutex_tests::services::ceph;
use mutex_tests::services::etcd::{Etcd, Setup};

use crate::mdoc::{self, Kind};
use crate::{Case, needs, pages};

pub(crate) const CASES: &[Case] = &[
    ("what a holder says whose etcd hangs or dies, or whose worker is stopped, is in the overview", etcd),
    ("what a holder says whose OSDs hang is in the overview", rados),
];

/// For the store's answer, and for the lease.
const LIMIT: Duration = Duration::from_secs(15);

fn etcd() -> anyhow::Result<()> {
    let etcd = Etcd::start(Setup::default())?;
    let hold = |key| {
        let helper = Launch::new(programs::helper("ctdb_mutex_etcd_helper")?, [key, "4"]);
        holding(etcd.environment().into_iter().fold(helper, |helper, (name, value)| helper.env(name, value)))
    };
    let healthy = hold("ctdb/healthy")?;
    healthy.worker()?.stop()?;
    explained(healthy, "its store has not answered in time")?;
    let hung = hold("ctdb/hung")?;
    let fault = etcd.all_frozen();
    let frozen = fault.inject()?;
    explained(hung, "cannot reach")?;
    frozen.heal()?;
    etcd.wait_healthy()?;
    let down = hold("ctdb/down")?;
    let fault = etcd.all_killed();
    let _killed = fault.inject()?;
    explained(down, "cannot renew")
}

fn rados() -> anyhow::Result<()> {
    let (ceph, _turn) = (ceph::shared()?, needs::alone());
    let helper = Launch::new(programs::helper("ctdb_mutex_rados_helper")?, ["--conf"]).arg(ceph.conf());
    let helper = holding(helper.args(&["-R", "ceph", "client.admin", "rbd", "hung", "3"]))?;
    let fault = ceph.osds_frozen();
    let frozen = fault.inject()?;
    explained(helper, "the OSD of its object does not answer")?;
    frozen.heal()
}

fn holding(launch: Launch) -> anyhow::Result<Helper> {
    let helper = launch.start()?;
    helper.expect('0', LIMIT)?;
    Ok(helper)
}

/// Waits for the loss. The line about it is a whole one of the page's, and has these words.
fn explained(mut helper: Helper, words: &str) -> anyhow::Result<()> {
    let code = helper.exit_code(LIMIT)?;
    ensure!(code == 4, "exit code {code}, not 4");
    let said = helper.one_line()?;
    let said = said.split_once(": ").context("no name in front")?.1;
    ensure!(said.contains(words), "it said {said:?}, not {words:?}");
    let page = pages::of("ctdb-mutex-helpers")?;
    let blocks = mdoc::blocks(&page.text)?;
    let mut lines = blocks.iter().filter(|block| block.kind == Kind::Log).flat_map(|block| &block.lines);
    ensure!(lines.any(|line| is(line, said)), "{}: no line is {said:?}", page.title());
    Ok(())
}

/// Whether it is this line of a page, with something in the place of each placeholder.
fn is(line: &str, said: &str) -> bool {
    let Some((before, behind)) = line.split_once('<') else { return line == said };
    let (Some(rest), Some((_, next))) = (said.strip_prefix(before), behind.split_once('>')) else { return false };
    rest.char_indices().skip(1).any(|(at, _)| is(next, &rest[at..])) || next.is_empty() && !rest.is_empty()
}
