//! The parent's death and the pipe's other end (P4).

use std::fs::File;
use std::io::Write;

use anyhow::{Context, ensure};
use mutex_tests::process::launch::ParentKind;
use mutex_tests::roster::{ANSWER_LIMIT, Row};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use crate::{Case, GONE, ensure_held, ensure_lets_go, wait_free};

pub(crate) const CASES: &[Case] = &[
    Case::new("the parent killed while another process keeps the reader open: it lets go", parent_killed),
    Case::new("the reader closed while the parent lives: it lets go", reader_closed),
    Case::new("parent dead and reader closed before it looks: it takes nothing and goes", nobody_there),
    Case::new("with process 1 for a parent and a living reader it works", parent_is_one),
];

fn parent_killed(row: &Row) -> anyhow::Result<()> {
    let bench = row.bench()?;
    // This process keeps the reader.
    let (parent, holder) = bench.launch().start_under(ParentKind::Ordinary)?;
    holder.expect('0', ANSWER_LIMIT)?;
    ensure_held(&bench, "although a taker was answered 0")?;
    parent.kill()?;
    ensure_lets_go(&bench, &holder)
}

fn reader_closed(row: &Row) -> anyhow::Result<()> {
    let bench = row.bench()?;
    let mut holder = bench.holder()?;
    holder.close_reader();
    holder.gone(GONE).context("the reader is closed")?;
    wait_free(&bench, GONE)
}

fn nobody_there(row: &Row) -> anyhow::Result<()> {
    let bench = row.bench()?;
    // A helper that never takes anything would pass the rest.
    drop(bench.holder()?);
    wait_free(&bench, row.timing.lease.unwrap_or_default() + GONE)?;

    let dir = tempfile::tempdir().context("make a directory")?;
    let gate = dir.path().join("gate");
    mkfifo(&gate, Mode::S_IRWXU).context("make a FIFO")?;
    let (parent, mut helper) = bench.launch().behind_gate(&gate).start_under(ParentKind::Ordinary)?;
    parent.kill()?;
    helper.close_reader();
    // Now it becomes the helper.
    File::options().write(true).open(&gate)?.write_all(b"go\n")?;
    helper.gone(ANSWER_LIMIT).context("nobody is there to take a lock for")?;
    wait_free(&bench, GONE)
}

fn parent_is_one(row: &Row) -> anyhow::Result<()> {
    let bench = row.bench()?;
    let (_first, holder) = bench.launch().start_under(ParentKind::PidOne)?;
    holder.expect('0', ANSWER_LIMIT)?;
    let (_second, contender) = bench.launch().start_under(ParentKind::PidOne)?;
    contender.expect('1', ANSWER_LIMIT)?;
    ensure!(holder.pipe()?.is_silent(), "the holder's pipe is not silent");
    ensure_held(&bench, "although the holder's pipe is open")
}
