//! The files and directories that each distribution's ctdb packages own.
//!
//! From the specs of Fedora (samba 4.23), EL9 (4.18) and openSUSE (4.15.5), as PACKAGING.md has them: not whole lists of what
//! ctdb ships, but every directory that we put something into, every name there, and every page. Debian's is what dpkg tells.

use std::path::Path;
use std::process::Command;

use mutex_tests::process::command::run;

/// A distribution, as far as our packages meet it.
pub(crate) struct Distribution {
    pub(crate) name: &'static str,
    /// The build that is for it.
    pub(crate) build: &'static str,
    /// Where its ctdb has the helpers.
    pub(crate) helpers: &'static str,
    /// What its `filesystem` owns beside what everybody's does.
    pub(crate) filesystem: &'static [&'static str],
    /// With ctdb in them.
    pub(crate) packages: fn() -> anyhow::Result<Vec<Package>>,
}

/// One package of a distribution.
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) files: Vec<String>,
    pub(crate) directories: Vec<String>,
}

const LIBEXEC: &str = "/usr/libexec/ctdb";

pub(crate) const FEDORA: Distribution =
    Distribution { name: "Fedora", build: "first", helpers: LIBEXEC, filesystem: SHELLS, packages: of_fedora };

pub(crate) const EL9: Distribution =
    Distribution { name: "EL9", build: "first", helpers: LIBEXEC, filesystem: &[], packages: of_el9 };

pub(crate) const DEBIAN: Distribution =
    Distribution { name: "Debian", build: "first", helpers: LIBEXEC, filesystem: &[], packages: of_debian };

pub(crate) const OPENSUSE: Distribution = Distribution {
    name: "openSUSE",
    build: "opensuse",
    helpers: "/usr/lib64/ctdb",
    filesystem: &[],
    packages: of_opensuse,
};

/// One without ctdb.
pub(crate) const NONE: Distribution =
    Distribution { name: "none", build: "first", helpers: LIBEXEC, filesystem: &[], packages: || Ok(Vec::new()) };

fn of_fedora() -> anyhow::Result<Vec<Package>> {
    let ctdb = package("ctdb", LIBEXEC, &[HELPERS, NEWER_HELPERS], &[FILES, NEWER], &[DIRECTORIES, NEWER_DIRECTORIES]);
    let ceph = package("ctdb-ceph-mutex", LIBEXEC, &[CEPH_HELPER], &[CEPH_PAGE], &[]);
    Ok(vec![ctdb, ceph, package("ctdb-etcd-mutex", LIBEXEC, &[ETCD_HELPER], &[ETCD_PAGE], &[])])
}

fn of_el9() -> anyhow::Result<Vec<Package>> {
    Ok(vec![package("ctdb", LIBEXEC, &[HELPERS, OLDER_HELPERS], &[FILES, OLDER], &[DIRECTORIES, EVENTS])])
}

fn of_opensuse() -> anyhow::Result<Vec<Package>> {
    let dir = OPENSUSE.helpers;
    // /etc/ctdb/events/legacy is nobody's there.
    let ctdb = package("ctdb", dir, &[HELPERS, OLDER_HELPERS], &[FILES, OLDER], &[DIRECTORIES]);
    Ok(vec![ctdb, package("samba-ceph", dir, &[CEPH_HELPER], &[CEPH_PAGE], &[])])
}

/// The package of this machine, with everything in it.
fn of_debian() -> anyhow::Result<Vec<Package>> {
    let told = run(Command::new("dpkg").args(["-L", "ctdb"]))?;
    let paths = told.lines().filter(|path| *path != "/.").map(str::to_owned);
    let (directories, files) = paths.partition(|path| Path::new(path).is_dir());
    Ok(vec![Package { name: "ctdb", files, directories }])
}

type Lists = [&'static [&'static str]];

fn package(name: &'static str, dir: &str, helpers: &Lists, files: &Lists, directories: &Lists) -> Package {
    let in_dir = helpers.concat().into_iter().map(|helper| format!("{dir}/{helper}"));
    let owned = |lists: &Lists| lists.concat().into_iter().map(str::to_owned).collect::<Vec<_>>();
    let mut directories = owned(directories);
    if name == "ctdb" {
        directories.push(dir.to_owned());
    }
    Package { name, files: in_dir.chain(owned(files)).collect(), directories }
}

/// Only some distributions' `filesystem` has them; elsewhere they are the shells', which need not be there.
const SHELLS: &[&str] = &[
    "/usr/share/bash-completion",
    "/usr/share/bash-completion/completions",
    "/usr/share/fish",
    "/usr/share/fish/vendor_completions.d",
    "/usr/share/zsh",
    "/usr/share/zsh/site-functions",
];

/// Helpers that `ctdb` of all of them has.
const HELPERS: &[&str] = &[
    "ctdb-config",
    "ctdb-event",
    "ctdb-eventd",
    "ctdb_killtcp",
    "ctdb_lock_helper",
    "ctdb_lvs",
    "ctdb_mutex_fcntl_helper",
    "ctdb_natgw",
    "ctdb-path",
    "ctdb_recovery_helper",
    "ctdb_takeover_helper",
    "tdb_mutex_check",
];

/// In `ctdb` of all of them.
const FILES: &[&str] = &[
    "/usr/bin/ctdb",
    "/usr/bin/ctdb_diagnostics",
    "/usr/bin/ltdbtool",
    "/usr/bin/onnode",
    "/usr/bin/ping_pong",
    "/usr/sbin/ctdbd",
    "/usr/share/man/man1/ctdb.1.gz",
    "/usr/share/man/man1/ctdb_diagnostics.1.gz",
    "/usr/share/man/man1/ctdbd.1.gz",
    "/usr/share/man/man1/onnode.1.gz",
    "/usr/share/man/man1/ltdbtool.1.gz",
    "/usr/share/man/man1/ping_pong.1.gz",
    "/usr/share/man/man5/ctdb.conf.5.gz",
    "/usr/share/man/man5/ctdb-script.options.5.gz",
    "/usr/share/man/man5/ctdb.sysconfig.5.gz",
    "/usr/share/man/man7/ctdb.7.gz",
    "/usr/share/man/man7/ctdb-tunables.7.gz",
    "/usr/share/man/man7/ctdb-statistics.7.gz",
    "/usr/share/ctdb/events/legacy/00.ctdb.script",
    "/usr/share/ctdb/events/legacy/01.reclock.script",
    "/usr/share/ctdb/events/legacy/05.system.script",
    "/usr/share/ctdb/events/legacy/10.interface.script",
    "/usr/share/ctdb/events/legacy/11.natgw.script",
    "/usr/share/ctdb/events/legacy/11.routing.script",
    "/usr/share/ctdb/events/legacy/13.per_ip_routing.script",
    "/usr/share/ctdb/events/legacy/20.multipathd.script",
    "/usr/share/ctdb/events/legacy/31.clamd.script",
    "/usr/share/ctdb/events/legacy/40.vsftpd.script",
    "/usr/share/ctdb/events/legacy/41.httpd.script",
    "/usr/share/ctdb/events/legacy/48.netbios.script",
    "/usr/share/ctdb/events/legacy/49.winbind.script",
    "/usr/share/ctdb/events/legacy/50.samba.script",
    "/usr/share/ctdb/events/legacy/60.nfs.script",
    "/usr/share/ctdb/events/legacy/70.iscsi.script",
    "/usr/share/ctdb/events/legacy/91.lvs.script",
    "/etc/ctdb/functions",
    "/etc/ctdb/notify.sh",
    "/etc/ctdb/debug-hung-script.sh",
];

/// Of 4.23 alone.
const NEWER_HELPERS: &[&str] = &["ctdb_smnotify_helper", "statd_callout", "statd_callout_helper"];

const NEWER: &[&str] = &[
    "/usr/share/ctdb/events/legacy/46.update-keytabs.script",
    "/usr/share/ctdb/events/legacy/47.samba-dcerpcd.script",
    "/usr/share/ctdb/events/legacy/95.database.script",
];

/// Up to 4.18.
const OLDER_HELPERS: &[&str] = &["smnotify"];

const OLDER: &[&str] = &["/usr/share/ctdb/events/legacy/06.nfs.script"];

const CEPH_HELPER: &[&str] = &["ctdb_mutex_ceph_rados_helper"];

const CEPH_PAGE: &[&str] = &["/usr/share/man/man7/ctdb_mutex_ceph_rados_helper.7.gz"];

const ETCD_HELPER: &[&str] = &["ctdb_etcd_lock"];

const ETCD_PAGE: &[&str] = &["/usr/share/man/man7/ctdb-etcd.7.gz"];

const DIRECTORIES: &[&str] = &[
    "/etc/ctdb",
    "/etc/ctdb/events",
    "/etc/ctdb/events/notification",
    "/etc/ctdb/nfs-checks.d",
    "/usr/share/ctdb",
    "/usr/share/ctdb/events",
    "/usr/share/ctdb/events/legacy",
    "/var/lib/ctdb",
    "/var/lib/ctdb/persistent",
    "/var/lib/ctdb/state",
    "/var/lib/ctdb/volatile",
];

/// Where the links of enabled scripts are.
const EVENTS: &[&str] = &["/etc/ctdb/events/legacy"];

const NEWER_DIRECTORIES: &[&str] = &["/etc/ctdb/events/legacy", "/usr/share/ctdb/scripts"];
