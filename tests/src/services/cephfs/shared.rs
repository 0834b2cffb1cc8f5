//! One file system for all cases of a test process that have locks of their own and do the file system no harm.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{CephFs, Setup};

/// Kept between two cases too: else it would be started for each where one case follows another.
static SHARED: Mutex<Option<Arc<CephFs>>> = Mutex::new(None);

/// The file system, a plain one. The first who asks waits until it has started, and so does who asks meanwhile.
pub fn shared() -> anyhow::Result<Arc<CephFs>> {
    let mut shared = cell();
    if let Some(fs) = shared.as_ref() {
        return Ok(Arc::clone(fs));
    }
    let fs = Arc::new(CephFs::start(Setup::default())?);
    Ok(Arc::clone(shared.insert(fs)))
}

/// Ends it, if there is one: nothing static is dropped at the end of a process. Without this the cluster's guard does
/// it, a moment after the end.
pub fn end_shared() {
    cell().take();
}

fn cell() -> MutexGuard<'static, Option<Arc<CephFs>>> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}
