//! Work that may never return: on a thread that nobody joins.

use std::{io, thread};

use tokio::sync::oneshot;

/// Starts it. Its outcome comes through the receiver, if ever; to drop that forgets the work and does not end it.
pub(crate) fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<oneshot::Receiver<T>> {
    let (sender, receiver) = oneshot::channel();
    thread::Builder::new().name("aside".into()).spawn(move || {
        // Nobody may be waiting any more.
        let _ = sender.send(work());
    })?;
    Ok(receiver)
}
