//! One instance for all cases of a test process that have locks of their own and do it no harm.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{MooseFs, Setup};

/// Kept between two cases too: else it would be started for each where one case follows another.
static SHARED: Mutex<Option<Arc<MooseFs>>> = Mutex::new(None);

/// The instance, a plain one. The first who asks waits until it has started, and so does who asks meanwhile.
pub fn shared() -> anyhow::Result<Arc<MooseFs>> {
    let mut shared = cell();
    if let Some(fs) = shared.as_ref() {
        return Ok(Arc::clone(fs));
    }
    let fs = Arc::new(MooseFs::start(Setup::default())?);
    Ok(Arc::clone(shared.insert(fs)))
}

/// Ends it, if there is one: nothing static is dropped at the end of a process. Without this the instance's guard does
/// it, a moment after the end.
pub fn end_shared() {
    cell().take();
}

fn cell() -> MutexGuard<'static, Option<Arc<MooseFs>>> {
    SHARED.lock().unwrap_or_else(PoisonError::into_inner)
}
