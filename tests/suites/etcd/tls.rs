//! Members that speak https: what the helper shows them, what it wants to see, and what it says where that is not so.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};
use mutex_tests::process::launch::Launch;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::etcd::tls::{Identity, SERVER_NAME, Tls};
use mutex_tests::services::etcd::{MEMBERS, Setup};
use rustix::process::Signal;
use tempfile::NamedTempFile;

use crate::certificates::Authority;
use crate::clusters::{helper_as, with_certificates};
use crate::lock::{Lock, helper};
use crate::told::{ends, refuses};
use crate::{Case, GONE};

pub(crate) const CASES: &[Case] = &[
    ("a certificate is a user: it takes the lock, and lets it go", certificate_user),
    ("a certificate and its key in one file", one_file),
    ("a server name that is in the members' certificates", server_name),
    ("a server name that is not in the members' certificates: 3 with one line that names both", wrong_name),
    ("members whose authority is another: 3 with one line that names the file", || {
        refused(|launch, tls| launch.arg("--cacert").arg(tls.other_ca()), |tls| shown(tls.other_ca()))
    }),
    ("members whose authority this machine does not know: 3 with one line that misses --cacert", no_authority),
    ("members whose certificate has expired: 3 with one line that says so", expired),
    ("no certificate for members that want one: 3 with one line that misses --cert", no_certificate),
    ("a certificate that the members refuse: 3 with one line that names it", || {
        refused(|launch, tls| with_identity(launch, tls.other_client()), |tls| shown(&tls.other_client().cert))
    }),
    ("the key of another certificate: 3 with one line", || {
        refused(
            |launch, tls| launch.arg("--cert").arg(&tls.client().cert).arg("--key").arg(&tls.other_client().key),
            |_| "consistent".to_owned(),
        )
    }),
    ("a certificate without its key: 3 with one line that names the file", || {
        // Over an environment that names one.
        refused(
            |launch, tls| launch.env("ETCDCTL_KEY", "").arg("--cert").arg(&tls.client().cert),
            |tls| shown(&tls.client().cert),
        )
    }),
    ("a file of authorities that is not there: 3 with one line that names it", || {
        refused(|launch, _| launch.args(&["--cacert", "/no/ca"]), |_| "/no/ca: No such file".to_owned())
    }),
    ("a file of authorities without one: 3 with one line that names it", || {
        refused(|launch, tls| launch.arg("--cacert").arg(&tls.client().key), |tls| shown(&tls.client().key))
    }),
    ("a directory in a certificate's place: 3 with one line that names it", || {
        refused(|launch, _| launch.args(&["--cert", "/etc"]), |_| "/etc".to_owned())
    }),
    ("certificates that are replaced under a holder are used at the next connection", replaced),
];

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn with_identity(launch: Launch, identity: &Identity) -> Launch {
    launch.arg("--cert").arg(&identity.cert).arg("--key").arg(&identity.key)
}

/// Refused, with this instead of what is right.
fn refused(change: fn(Launch, &Tls) -> Launch, names: fn(&Tls) -> String) -> anyhow::Result<()> {
    let lock = with_certificates()?;
    let tls = lock.etcd.tls()?;
    let line = refuses(&lock, change(helper_as(&lock, None, &[])?, tls), &[&names(tls), &lock.key, "--cacert"])?;
    ensure!(line.len() < 1_000, "{} bytes: {line}", line.len());
    Ok(())
}

fn certificate_user() -> anyhow::Result<()> {
    let lock = with_certificates()?;
    let holder = helper_as(&lock, None, &["4"])?.start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    ensure!(lock.is_held()?, "0 without a key");
    helper_as(&lock, None, &["4"])?.start()?.expect('1', ANSWER_LIMIT)?;
    holder.signal(Signal::TERM)?;
    holder.gone(GONE)?;
    lock.wait_free(GONE)
}

fn one_file() -> anyhow::Result<()> {
    let lock = with_certificates()?;
    let tls = lock.etcd.tls()?;
    let both = NamedTempFile::new()?;
    fs::write(both.path(), fs::read_to_string(&tls.client().key)? + &fs::read_to_string(&tls.client().cert)?)?;
    let launch = helper(&[&lock.key, "--endpoints", &lock.etcd.endpoints()])?;
    let holder = launch.arg("--cacert").arg(tls.ca()).arg("--cert").arg(both.path()).start()?;
    holder.expect('0', ANSWER_LIMIT)
}

fn server_name() -> anyhow::Result<()> {
    let lock = with_certificates()?;
    helper_as(&lock, None, &["--server-name", SERVER_NAME])?.start()?.expect('0', ANSWER_LIMIT)
}

fn wrong_name() -> anyhow::Result<()> {
    let lock = with_certificates()?;
    let launch = helper_as(&lock, None, &["--server-name", "elsewhere.test"])?;
    refuses(&lock, launch, &["elsewhere.test", SERVER_NAME, "--server-name"]).map(drop)
}

fn no_authority() -> anyhow::Result<()> {
    let lock = with_certificates()?;
    let client = lock.etcd.tls()?.client();
    let launch = helper(&[&lock.key, "--endpoints", &lock.etcd.endpoints()])?;
    refuses(&lock, with_identity(launch, client), &["no --cacert", &lock.key]).map(drop)
}

fn no_certificate() -> anyhow::Result<()> {
    let lock = with_certificates()?;
    let launch = helper(&[&lock.key, "--endpoints", &lock.etcd.endpoints()])?;
    refuses(&lock, launch.arg("--cacert").arg(lock.etcd.tls()?.ca()), &["no --cert", &lock.key]).map(drop)
}

fn expired() -> anyhow::Result<()> {
    let lock = Lock::with(Setup { tls: true, ..Setup::default() })?;
    let authority = Authority::new()?;
    authority.add_to(lock.etcd.tls()?.ca())?;
    authority.certify(&lock.etcd, true)?;
    let launch = helper_as(&lock, None, &[])?;
    let line = ends(launch, '3', &["expired", &lock.key])?;
    ensure!(!line.contains("not signed"), "{line:?}");
    Ok(())
}

/// All of them at once, and every member started anew: each connection is a new one, to a member that shows a certificate
/// by an authority that had not been there when the holder was started.
fn replaced() -> anyhow::Result<()> {
    let lock = Lock::with(Setup { tls: true, ..Setup::default() })?;
    let holder = lock.holder(&["9"])?;
    let authority = Authority::new()?;
    authority.add_to(lock.etcd.tls()?.ca())?;
    authority.certify(&lock.etcd, false)?;
    for member in 0..MEMBERS {
        let fault = lock.etcd.member_killed(member);
        fault.inject()?.heal().with_context(|| format!("member {member}"))?;
    }
    ensure!(holder.pipe()?.is_silent(), "the lock was lost");
    holder.signal(Signal::TERM)?;
    holder.gone(GONE)?;
    lock.wait_free(GONE).context("the release over a new connection")
}
