//! One service for all cases of a test process that have locks of their own and do it no harm.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Kept between two cases too: else it would be started for each where one case follows another.
pub(super) struct Shared<T>(Mutex<Option<Arc<T>>>);

impl<T> Shared<T> {
    /// None yet.
    pub(super) const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// The service. The first who asks waits until it has started, and so does who asks meanwhile.
    pub(super) fn get(&self, start: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<Arc<T>> {
        let mut cell = self.cell();
        if let Some(service) = cell.as_ref() {
            return Ok(Arc::clone(service));
        }
        let service = Arc::new(start()?);
        Ok(Arc::clone(cell.insert(service)))
    }

    /// Ends it, if there is one: nothing static is dropped at the end of a process. Without this the service's guard does
    /// it, a moment after the end.
    pub(super) fn end(&self) {
        self.cell().take();
    }

    fn cell(&self) -> MutexGuard<'_, Option<Arc<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
