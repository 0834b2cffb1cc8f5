//! What the command line asks for.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// Measure the helpers at scale: many locks, many contenders, many cycles
///
/// Exit code 0: everything that was measured is as it should be.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "scale")]
pub struct Options {
    /// What to measure [default: all three]
    #[arg(value_enum)]
    pub stages: Vec<Stage>,

    /// On these stores [default: all three]
    #[arg(long = "backend", value_enum, value_name = "NAME")]
    pub backends: Vec<Backend>,

    /// many: so many locks held at once [default: 300; 50 for rados]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub locks: Option<u32>,

    /// contenders: so many of them on one lock
    #[arg(long, value_name = "N", default_value = "200", value_parser = clap::value_parser!(u32).range(1..))]
    pub contenders: u32,

    /// soak: the lock taken and released so often
    #[arg(long, value_name = "N", default_value = "10000", value_parser = clap::value_parser!(u32).range(1..))]
    pub cycles: u32,

    /// many: the locks are held for so long; soak: the long-lived holder holds for at least ten times as long
    #[arg(long, value_name = "N", default_value = "60", value_parser = clap::value_parser!(u64).range(1..))]
    pub seconds: u64,

    /// Keep the figures in docs/evidence/scale.json, and write them into docs/EVIDENCE.md
    #[arg(long)]
    pub record: bool,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// Many locks held at once
    Many,
    /// Many contenders for one lock
    Contenders,
    /// Many cycles of take and release, and one holder through many renewals
    Soak,
}

/// A helper and its store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Files on a FUSE file system whose server keeps the locks
    File,
    /// Objects of a Ceph pool
    Rados,
    /// Keys of an etcd cluster of three
    Etcd,
}

impl Backend {
    /// As the command line has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Rados => "rados",
            Self::Etcd => "etcd",
        }
    }

    /// The helper's program.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::File => "ctdb_mutex_file_helper",
            Self::Rados => "ctdb_mutex_rados_helper",
            Self::Etcd => "ctdb_mutex_etcd_helper",
        }
    }

    /// How many locks one machine is to hold at once: issue 8, "Scale". librados has its 20 threads in each.
    #[must_use]
    pub fn locks(self) -> u32 {
        if self == Self::Rados { 50 } else { 300 }
    }
}

impl Options {
    /// What to measure.
    #[must_use]
    pub fn stages(&self) -> Vec<Stage> {
        chosen(&self.stages)
    }

    /// On which stores.
    #[must_use]
    pub fn backends(&self) -> Vec<Backend> {
        chosen(&self.backends)
    }

    /// Whether nothing is left out, and nothing smaller than what issue 8 asks for.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let all = self.stages().len() == Stage::value_variants().len()
            && self.backends().len() == Backend::value_variants().len();
        let large = self.contenders >= 200 && self.cycles >= 10_000 && self.seconds >= 60;
        all && large && self.backends().iter().all(|backend| self.locks.is_none_or(|locks| locks >= backend.locks()))
    }
}

/// Those that were named, in the usual order; all where none was.
fn chosen<T: ValueEnum + Copy + PartialEq>(named: &[T]) -> Vec<T> {
    let all = T::value_variants().iter().copied();
    all.filter(|one| named.is_empty() || named.contains(one)).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    fn parse(words: &[&str]) -> Options {
        Options::try_parse_from([&["scale"], words].concat()).unwrap()
    }

    #[test]
    fn without_a_word_everything_is_measured() {
        let all = parse(&[]);
        assert_eq!(all.stages(), [Stage::Many, Stage::Contenders, Stage::Soak]);
        assert_eq!(all.backends(), [Backend::File, Backend::Rados, Backend::Etcd]);
        assert!(all.is_whole());
    }

    #[test]
    fn less_is_not_the_whole() {
        for less in [
            &["soak"][..],
            &["--backend", "file"],
            &["--locks", "50"],
            &["--cycles", "9999"],
            &["--seconds", "5"],
            &["--contenders", "2"],
        ] {
            assert!(!parse(less).is_whole(), "{less:?}");
        }
        assert_eq!(parse(&["soak", "many"]).stages(), [Stage::Many, Stage::Soak]);
        assert_eq!(parse(&["--backend", "etcd", "--backend", "file"]).backends(), [Backend::File, Backend::Etcd]);
    }
}
