//! The helpers that are measured, ours and the distribution's, each with its lease.

use anyhow::ensure;
use mutex_tests::process::programs;

use super::row::Row;
use super::store::Kind;

/// A column of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Column {
    /// Ours on etcd, with a lease of so many seconds.
    Etcd(u32),
    /// The distribution's script for etcd.
    EtcdScript,
    /// Ours on RADOS, with a lease of so many seconds.
    Rados(u32),
    /// Samba's on RADOS, with a lock duration of so many seconds.
    SambaRados(u32),
    /// Ours on a file, as it is without options.
    File,
    /// Samba's on the same kind of file, as it is without options.
    SambaFcntl,
}

/// The leases that are compared: what the man pages call fast, and the default.
const FAST: u32 = 4;
const DEFAULT: u32 = 9;

impl Column {
    /// All, in the table's order.
    pub const ALL: [Self; 9] = [
        Self::Rados(FAST),
        Self::SambaRados(FAST),
        Self::Rados(DEFAULT),
        Self::SambaRados(DEFAULT),
        Self::Etcd(FAST),
        Self::Etcd(DEFAULT),
        Self::EtcdScript,
        Self::File,
        Self::SambaFcntl,
    ];

    /// Those on this store.
    #[must_use]
    pub fn of(kind: Kind) -> Vec<Self> {
        Self::ALL.into_iter().filter(|column| column.kind() == kind).collect()
    }

    /// What its lock is in.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Etcd(_) | Self::EtcdScript => Kind::Etcd,
            Self::Rados(_) | Self::SambaRados(_) => Kind::Rados,
            Self::File | Self::SambaFcntl => Kind::File,
        }
    }

    /// Its name on the command line and in the record.
    #[must_use]
    pub fn id(self) -> String {
        match self {
            Self::Etcd(lease) => format!("etcd-{lease}"),
            Self::EtcdScript => "script-etcd".to_owned(),
            Self::Rados(lease) => format!("rados-{lease}"),
            Self::SambaRados(lease) => format!("samba-rados-{lease}"),
            Self::File => "file".to_owned(),
            Self::SambaFcntl => "samba-fcntl".to_owned(),
        }
    }

    /// Its name for people.
    #[must_use]
    pub fn label(self) -> String {
        match self {
            Self::Etcd(lease) => format!("ours, lease {lease}"),
            Self::EtcdScript => "ctdb_etcd_lock".to_owned(),
            Self::Rados(lease) => format!("ours, lease {lease}"),
            Self::SambaRados(lease) => format!("Samba's, lease {lease}"),
            Self::File => "ours".to_owned(),
            Self::SambaFcntl => "Samba's".to_owned(),
        }
    }

    /// Whether it is ours.
    #[must_use]
    pub fn is_ours(self) -> bool {
        matches!(self, Self::Etcd(_) | Self::Rados(_) | Self::File)
    }

    /// Whether it can hold a lock at all; what comes of the one that cannot is found out once, without a cluster.
    #[must_use]
    pub fn can_run(self) -> bool {
        self != Self::EtcdScript
    }

    /// Whether there is such a thing: Samba's helpers are one process, and have no worker.
    #[must_use]
    pub fn has(self, row: Row) -> bool {
        row != Row::WorkerKilled || self.is_ours()
    }

    /// The column of this name.
    #[must_use]
    pub fn named(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.id() == id)
    }

    /// What stands behind `cluster lock =`; `place` is the words that say where the lock is.
    ///
    /// # Errors
    /// Where the helper is not there.
    pub fn lock(self, place: &[String]) -> anyhow::Result<String> {
        let ours = |name: &str| programs::helper(name);
        let packaged = |name: &str| programs::packaged(&format!("/usr/libexec/ctdb/{name}"), "ctdb");
        let (program, lease) = match self {
            Self::Etcd(lease) => (ours("ctdb_mutex_etcd_helper")?, Some(lease)),
            Self::EtcdScript => (packaged("ctdb_etcd_lock")?, None),
            Self::Rados(lease) => (ours("ctdb_mutex_rados_helper")?, Some(lease)),
            Self::SambaRados(lease) => (packaged("ctdb_mutex_ceph_rados_helper")?, Some(lease)),
            Self::File => (ours("ctdb_mutex_file_helper")?, None),
            Self::SambaFcntl => (packaged("ctdb_mutex_fcntl_helper")?, None),
        };
        let words: Vec<String> = place.iter().cloned().chain(lease.map(|lease| lease.to_string())).collect();
        // CTDB splits the line at every blank and knows no quotes.
        ensure!(words.iter().all(|word| !word.contains([' ', '\t'])), "no blanks can be in {words:?}");
        Ok(format!("!{} {}", program.display(), words.join(" ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_back() {
        for column in Column::ALL {
            assert_eq!(Column::named(&column.id()), Some(column));
        }
        assert_eq!(Kind::ALL.into_iter().map(|kind| Column::of(kind).len()).sum::<usize>(), Column::ALL.len());
    }
}
