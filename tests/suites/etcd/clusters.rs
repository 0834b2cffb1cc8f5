//! Two more clusters that all cases share who do them no harm: one with users, and one with certificates and users.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mutex_tests::process::launch::Launch;
use mutex_tests::services::etcd::accounts::Account;
use mutex_tests::services::etcd::{Etcd, Setup};

use crate::lock::{Lock, helper};

/// Longer than a run: who needs tokens that end has a cluster of its own.
const TOKEN: Duration = Duration::from_secs(3600);

static USERS: Mutex<Option<Arc<Etcd>>> = Mutex::new(None);
static CERTIFICATES: Mutex<Option<Arc<Etcd>>> = Mutex::new(None);

/// A lock where clients have to name themselves.
pub(crate) fn with_users() -> anyhow::Result<Lock> {
    shared(&USERS, Setup { auth: Some(TOKEN), ..Setup::default() })
}

/// A lock where clients have to show a certificate too, in the name of a user or beside it.
pub(crate) fn with_certificates() -> anyhow::Result<Lock> {
    shared(&CERTIFICATES, Setup { tls: true, auth: Some(TOKEN), ..Setup::default() })
}

fn shared(cell: &Mutex<Option<Arc<Etcd>>>, setup: Setup) -> anyhow::Result<Lock> {
    let mut cell = cell.lock().unwrap_or_else(PoisonError::into_inner);
    let etcd = match cell.as_ref() {
        Some(etcd) => Arc::clone(etcd),
        None => Arc::clone(cell.insert(Arc::new(Etcd::start(setup)?))),
    };
    Ok(Lock::on(etcd))
}

/// Ends them, where they have been started.
pub(crate) fn end() {
    for cell in [&USERS, &CERTIFICATES] {
        cell.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// The helper about to be started by this user, or by one without a name. Its certificate is there where one is needed.
pub(crate) fn helper_as(lock: &Lock, account: Option<Account>, options: &[&str]) -> anyhow::Result<Launch> {
    let launch = helper(&[&lock.key])?.args(options);
    Ok(lock.etcd.environment_as(account).into_iter().fold(launch, |launch, (name, value)| launch.env(name, value)))
}
