//! One volume for all cases of a test process that have lock files of their own and do the volume no harm.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Gluster, Setup};

/// Kept between two cases too: else it would be started for each where one case follows another.
static SHARED: Mutex<Option<Arc<Gluster>>> = Mutex::new(None);

/// The volume, as we recommend it. The first who asks waits until it has started, and so does who asks meanwhile.
pub fn shared() -> anyhow::Result<Arc<Gluster>> {
    let mut shared = cell();
    if let Some(gluster) = shared.as_ref() {
        return Ok(Arc::clone(gluster));
    }
    let gluster = Arc::new(Gluster::start(Setup::default())?);
    Ok(Arc::clone(shared.insert(gluster)))
}

/// Ends it, if there is one: nothing static is dropped at the end of a process. Without this the volume's guard does it,
/// a moment after the end.
pub fn end_shared() {
    cell().take();
}

fn cell() -> MutexGuard<'static, Option<Arc<Gluster>>> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}
