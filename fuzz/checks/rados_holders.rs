//! What an OSD answers about the holders of the lock, and the tokens that are made of it.

use crate::class_lock::{break_lock, holders};
use crate::holding::{broken, facts_of, named_by, token_of};

/// Any bytes are holders or none; each is named by its own token alone, and nothing is bigger than what was read.
///
/// # Panics
/// Where that is not so.
pub fn check(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        if let Some((client, cookie)) = named_by(text) {
            assert!(text.starts_with(&format!("client.{client}:")));
            assert!(break_lock(client, &cookie).ends_with(&cookie));
        }
    }
    let Some(found) = holders(data) else { return };
    // A version, a length and a number are the least that a holder takes.
    assert!(found.len() <= data.len() / 8, "{} holders in {} bytes", found.len(), data.len());
    for holder in &found {
        assert!(data.windows(holder.cookie.len().max(1)).any(|part| part == holder.cookie) || holder.cookie.is_empty());
        match token_of(holder) {
            Some(token) => assert_eq!(named_by(&token), Some((holder.client, holder.cookie.clone()))),
            None => assert!(holder.cookie.len() > 1000, "a cookie of sense makes a token"),
        }
        let facts = facts_of(holder);
        assert_eq!(facts["client"], format!("client.{}", holder.client));
        assert_eq!(facts["expires"] == "never", holder.expires.is_none());
        if let Some(address) = &holder.address {
            let (socket, nonce) = address.rsplit_once('/').expect("an address has a nonce");
            assert!(socket.parse::<std::net::SocketAddr>().is_ok() && nonce.parse::<u32>().is_ok(), "{address}");
            let said = broken(holder.client, Some(address.clone()));
            assert!(said.contains(&format!("blocklist add {address}`")) && !said.contains("add :0/0"), "{said}");
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_seed_and_its_neighbours() {
        super::super::seeds::replay("rados_holders", super::check);
    }
}
