//! A store, and a cluster on it for every helper. All of them meet the same fault at the same moment.

use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use mutex_tests::services::ctdb::{Cluster, Setup};

use super::belief::Run;
use super::column::Column;
use super::measured::Cell;
use super::options::Options;
use super::row::Row;
use super::store::{Kind, Store};
use super::trial::{Ready, Scene, WATCHED};
use super::{note, refused};
use crate::circumstances::{Circumstances, load};

/// As many as it takes for a majority beside one that fails.
const NODES: usize = 3;

/// Both of a store and its clusters. The clusters end first.
pub(super) struct Stage {
    kind: Kind,
    clusters: Vec<(Column, Cluster)>,
    store: Store,
}

impl Stage {
    /// Starts the store, and the clusters of all helpers that are asked for side by side.
    pub(super) fn start(kind: Kind, options: &Options) -> anyhow::Result<Self> {
        let columns: Vec<Column> =
            Column::of(kind).into_iter().filter(|&column| column.can_run() && options.wants_column(column)).collect();
        let store = Store::start(kind, columns.len() * NODES)?;
        let start = |(index, &column): (usize, &Column)| {
            let hosts = index * NODES..(index + 1) * NODES;
            let setup = Setup {
                size: NODES,
                lock: column.lock(&store.place(column))?,
                environment: store.environment(),
                common: store.common(hosts.clone()),
                hosts: hosts.map(|host| store.host(host)).collect::<anyhow::Result<_>>()?,
                ..Setup::default()
            };
            let cluster = Cluster::start(&setup).with_context(|| column.id())?;
            note(&format!("{}: three nodes are healthy", column.id()));
            Ok((column, cluster))
        };
        let clusters = side_by_side(columns.iter().enumerate(), start).into_iter().collect::<anyhow::Result<_>>()?;
        Ok(Self { kind, clusters, store })
    }

    /// Measures what is asked for, row by row, and hands each row to `keep`; says what could not be measured.
    pub(super) fn run(
        &self,
        options: &Options,
        circumstances: &Circumstances,
        keep: impl Fn(Vec<Cell>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Vec<String>> {
        let measured = circumstances.when();
        let mut failures = Vec::new();
        for row in Row::ALL {
            let mut cells = Vec::new();
            let scenes: Vec<(Column, Scene<'_>)> = self
                .clusters
                .iter()
                .enumerate()
                .filter(|(_, (column, _))| options.wants(row, *column))
                .map(|(index, (column, cluster))| {
                    (*column, Scene { store: &self.store, cluster, first_host: index * NODES })
                })
                .collect();
            let mut runs: Vec<Vec<Run>> = vec![Vec::new(); scenes.len()];
            for number in 0..options.runs {
                // Never two at the same moment between two broadcasts.
                let phase = f64::from(2 * number + 1) / f64::from(2 * options.runs);
                for (index, outcome) in self.row_once(row, &scenes, phase, options.verbose)?.into_iter().enumerate() {
                    let column = scenes[index].0.id();
                    match outcome {
                        Ok(run) => {
                            note(&format!("{}, {column}, run {}: {}", row.id(), number + 1, words(&run)));
                            runs[index].push(run);
                        }
                        Err(error) => {
                            let failure = format!("{}, {column}, run {}: {error:#}", row.id(), number + 1);
                            note(&failure);
                            failures.push(failure);
                        }
                    }
                }
            }
            for ((column, _), runs) in scenes.iter().zip(runs) {
                if !runs.is_empty() {
                    cells.push(self.cell(row, *column, &measured, runs));
                }
            }
            for column in Column::of(self.kind).into_iter().filter(|column| !column.can_run()) {
                if options.wants(row, column) {
                    let said = refused::why(column, &self.store).with_context(|| column.id())?;
                    cells.push(Cell { did_not_start: Some(said), ..self.cell(row, column, &measured, Vec::new()) });
                }
            }
            if !cells.is_empty() {
                keep(cells)?;
            }
        }
        Ok(failures)
    }

    fn cell(&self, row: Row, column: Column, measured: &str, runs: Vec<Run>) -> Cell {
        Cell {
            row: row.id().to_owned(),
            column: column.id(),
            measured: measured.to_owned(),
            load: load(1).ok(),
            watched_seconds: WATCHED.as_secs(),
            frozen_seconds: if row.is_of_the_store() { self.kind.frozen_for().as_secs() } else { 0 },
            runs,
            did_not_start: None,
        }
    }

    /// Does it once to each of them; the clusters are made ready first, all of them.
    fn row_once(
        &self,
        row: Row,
        scenes: &[(Column, Scene<'_>)],
        phase: f64,
        verbose: bool,
    ) -> anyhow::Result<Vec<anyhow::Result<Run>>> {
        let ready = side_by_side(scenes.iter(), |(_, scene)| scene.ready(phase));
        let runs = if row.is_of_the_store() {
            let runs = self.frozen_once(&ready)?;
            side_by_side(scenes.iter(), |(_, scene)| scene.start_anew()).into_iter().collect::<anyhow::Result<()>>()?;
            runs
        } else {
            side_by_side(ready.iter(), |ready| {
                let ready = ready.as_ref().map_err(|error| anyhow!("{error:#}"))?;
                ready.measure(row).with_context(|| ready.transcript())
            })
        };
        if verbose {
            for ((column, _), ready) in scenes.iter().zip(&ready) {
                let transcript = ready.as_ref().map(Ready::transcript).unwrap_or_default();
                note(&format!("{}, {}:\n{transcript}", row.id(), column.id()));
            }
        }
        Ok(runs)
    }

    fn frozen_once(&self, ready: &[anyhow::Result<Ready<'_>>]) -> anyhow::Result<Vec<anyhow::Result<Run>>> {
        let fault = self.store.frozen();
        let at = SystemTime::now();
        let frozen = fault.inject()?;
        let until = at + self.kind.frozen_for() + WATCHED;
        std::thread::scope(|scope| {
            let watching: Vec<_> = ready
                .iter()
                .map(|ready| {
                    scope.spawn(move || {
                        let ready = ready.as_ref().map_err(|error| anyhow!("{error:#}"))?;
                        ready.watch(at, until).with_context(|| ready.transcript())
                    })
                })
                .collect();
            // The fault itself.
            std::thread::sleep(self.kind.frozen_for().saturating_sub(at.elapsed().unwrap_or(Duration::ZERO)));
            frozen.heal()?;
            let runs = watching.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?);
            Ok(runs.collect())
        })
    }
}

/// Does this to all of them at once, a thread each.
fn side_by_side<I: Send, T: Send>(
    items: impl Iterator<Item = I>,
    work: impl Fn(I) -> anyhow::Result<T> + Sync,
) -> Vec<anyhow::Result<T>> {
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = items.map(|item| scope.spawn(move || work(item))).collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?).collect()
    })
}

fn words(run: &Run) -> String {
    let seconds = |value: Option<f64>| value.map_or_else(|| "never".to_owned(), |value| format!("{value:.2} s"));
    let Run { leader_after, believed, same_node, both } = run;
    format!(
        "{} leader after {}, the old one believed for {}, two for {both:.2} s",
        if *same_node { "the same" } else { "a new" },
        seconds(*leader_after),
        seconds(*believed)
    )
}
