//! The files and directories that each distribution's ctdb packages own.
//!
//! From the specs of Fedora (samba 4.23), EL9 (4.18) and Debian 12's package of ctdb 4.17, as PACKAGING.md has them. Not whole
//! lists of what ctdb ships: every directory that we put something into, every name there, and every page.

/// Packages of one distribution: their names, files and directories.
pub(crate) struct Distribution {
    pub(crate) name: &'static str,
    pub(crate) packages: &'static [Package],
}

/// One package of a distribution.
pub(crate) struct Package {
    pub(crate) name: &'static str,
    pub(crate) files: &'static [&'static [&'static str]],
    pub(crate) directories: &'static [&'static [&'static str]],
}

pub(crate) const ALL: [Distribution; 3] = [
    Distribution {
        name: "Fedora",
        packages: &[
            Package { name: "ctdb", files: &[COMMON, FEDORA], directories: &[DIRECTORIES, FEDORA_DIRECTORIES] },
            Package { name: "ctdb-ceph-mutex", files: &[CEPH], directories: &[] },
            Package { name: "ctdb-etcd-mutex", files: &[ETCD], directories: &[] },
        ],
    },
    Distribution {
        name: "EL9",
        packages: &[Package { name: "ctdb", files: &[COMMON, OLDER], directories: &[DIRECTORIES] }],
    },
    Distribution {
        name: "Debian",
        packages: &[Package { name: "ctdb", files: &[COMMON, OLDER, CEPH, ETCD], directories: &[DIRECTORIES] }],
    },
];

/// In `ctdb` of all of them.
const COMMON: &[&str] = &[
    "/usr/libexec/ctdb/ctdb-config",
    "/usr/libexec/ctdb/ctdb-event",
    "/usr/libexec/ctdb/ctdb-eventd",
    "/usr/libexec/ctdb/ctdb_killtcp",
    "/usr/libexec/ctdb/ctdb_lock_helper",
    "/usr/libexec/ctdb/ctdb_lvs",
    "/usr/libexec/ctdb/ctdb_mutex_fcntl_helper",
    "/usr/libexec/ctdb/ctdb_natgw",
    "/usr/libexec/ctdb/ctdb-path",
    "/usr/libexec/ctdb/ctdb_recovery_helper",
    "/usr/libexec/ctdb/ctdb_takeover_helper",
    "/usr/libexec/ctdb/tdb_mutex_check",
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
const FEDORA: &[&str] = &[
    "/usr/libexec/ctdb/ctdb_smnotify_helper",
    "/usr/libexec/ctdb/statd_callout",
    "/usr/libexec/ctdb/statd_callout_helper",
    "/usr/share/ctdb/events/legacy/46.update-keytabs.script",
    "/usr/share/ctdb/events/legacy/47.samba-dcerpcd.script",
    "/usr/share/ctdb/events/legacy/95.database.script",
];

/// Up to 4.18.
const OLDER: &[&str] = &["/usr/libexec/ctdb/smnotify", "/usr/share/ctdb/events/legacy/06.nfs.script"];

const CEPH: &[&str] =
    &["/usr/libexec/ctdb/ctdb_mutex_ceph_rados_helper", "/usr/share/man/man7/ctdb_mutex_ceph_rados_helper.7.gz"];

const ETCD: &[&str] = &["/usr/libexec/ctdb/ctdb_etcd_lock", "/usr/share/man/man7/ctdb-etcd.7.gz"];

const DIRECTORIES: &[&str] = &[
    "/etc/ctdb",
    "/etc/ctdb/events",
    "/etc/ctdb/events/legacy",
    "/etc/ctdb/events/notification",
    "/etc/ctdb/nfs-checks.d",
    "/usr/libexec/ctdb",
    "/usr/share/ctdb",
    "/usr/share/ctdb/events",
    "/usr/share/ctdb/events/legacy",
    "/var/lib/ctdb",
    "/var/lib/ctdb/persistent",
    "/var/lib/ctdb/state",
    "/var/lib/ctdb/volatile",
];

const FEDORA_DIRECTORIES: &[&str] = &["/usr/share/ctdb/scripts"];
