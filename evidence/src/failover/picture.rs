//! Stub.
use super::measured::Record;
/// Stub.
pub fn draw(_r: &Record) -> anyhow::Result<String> {
    Ok("x".into())
}
