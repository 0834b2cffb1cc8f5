//! One cluster for all cases of a test process that have locks of their own and do the cluster no harm.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Etcd, Setup};

/// Kept between two cases too: else it would be started for each where one case follows another.
static SHARED: Mutex<Option<Arc<Etcd>>> = Mutex::new(None);

/// The cluster, a plain one. The first who asks waits until it has started, and so does who asks meanwhile.
pub fn shared() -> anyhow::Result<Arc<Etcd>> {
    let mut shared = cell();
    if let Some(etcd) = shared.as_ref() {
        return Ok(Arc::clone(etcd));
    }
    let etcd = Arc::new(Etcd::start(Setup::default())?);
    Ok(Arc::clone(shared.insert(etcd)))
}

/// Ends it, if there is one: nothing static is dropped at the end of a process. Without this the cluster's guard does
/// it, a moment after the end.
pub fn end_shared() {
    cell().take();
}

fn cell() -> MutexGuard<'static, Option<Arc<Etcd>>> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}
