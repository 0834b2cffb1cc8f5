//! Every message between supervisor and worker, in both directions.

use super::harmless::assert_one_line;
use crate::stderr::escape;
use crate::wire::{Order, Report, TEXT_MAX};

/// Any bytes are a message or none, and what a message means is what it means after it was sent on.
///
/// # Panics
/// Where that is not so.
pub fn check(data: &[u8]) {
    if let Some(report) = Report::from_bytes(data) {
        let sent = report.to_bytes();
        assert!(sent.len() <= 1 + TEXT_MAX, "{} bytes are too much for a datagram", sent.len());
        let again = Report::from_bytes(&sent).expect("a report that was sent is a report");
        // A byte that is no text counts as three, so that only what was text fits for sure.
        if data.len() <= TEXT_MAX / 3 || std::str::from_utf8(&data[1..]).is_ok_and(|text| text.len() <= TEXT_MAX) {
            assert_eq!(again, report);
        }
        match &report {
            // A time is eight bytes, and any other length one that has passed.
            Report::Held(Some(time)) | Report::Renewed(Some(time)) if data.len() != 9 => assert_eq!(time.as_nanos(), 0),
            // What has no deadline says so with all eight.
            Report::Held(None) | Report::Renewed(None) => assert_eq!(&data[1..], [0xff; 8]),
            Report::Held(_) | Report::Renewed(_) => assert_eq!(sent, data),
            Report::Retrying(text) | Report::Lost(text) | Report::Failed(text) => assert_one_line(&escape(text)),
            Report::Answer(text) | Report::NotHeld(text) if data.len() <= TEXT_MAX => {
                assert_eq!(*text, String::from_utf8_lossy(&data[1..]));
            }
            Report::Answer(_) | Report::NotHeld(_) => {}
            Report::Waiting | Report::Contended | Report::Releasing => assert_eq!(sent, data),
        }
    }
    if let Some(order) = Order::from_bytes(data) {
        assert_eq!(order.to_bytes(), data);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_seed_and_its_neighbours() {
        super::super::seeds::replay("wire", super::check);
    }
}
