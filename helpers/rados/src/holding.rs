//! One holding of the lock: its name for `--break`, and what is said of it.

use std::time::UNIX_EPOCH;

use mutex_core::token;
use serde_json::{Map, Value};

use crate::class_lock::Holder;

/// What names one holding: the client and its cookie.
pub(crate) fn token_of(holder: &Holder) -> Option<String> {
    token::join(&[format!("{CLIENT}{}", holder.client).as_bytes(), &holder.cookie])
}

/// The client and the cookie in a token; `None` where it is none of ours.
pub(crate) fn named_by(token: &str) -> Option<(u64, Vec<u8>)> {
    let [client, cookie] = token::split(token)?;
    let digits = std::str::from_utf8(&client).ok()?.strip_prefix(CLIENT)?;
    let number: u64 = digits.parse().ok()?;
    // Digits alone: `parse` would take a plus sign, and zeros in front.
    Some((number, cookie)).filter(|(number, _)| number.to_string() == digits)
}

/// What is left to do.
pub(crate) fn broken(client: u64, address: Option<String>) -> String {
    let taken = format!("the lock of {CLIENT}{client} was taken away");
    let Some(address) = address else { return taken };
    // With port and nonce: without them Ceph takes no IPv6 address.
    let host = address.rsplit_once(':').map_or("", |(host, _)| host);
    format!(
        "{taken}; a holder that only sleeps is kept out of Ceph by `ceph osd blocklist add {address}`, \
         and all clients of its host by `ceph osd blocklist add {host}:0/0`"
    )
}

/// How Ceph names a client, with its number behind it.
pub(crate) const CLIENT: &str = "client.";

pub(crate) fn facts_of(holder: &Holder) -> Map<String, Value> {
    let expires = match holder.expires.and_then(|time| UNIX_EPOCH.checked_add(time)) {
        Some(time) => humantime::format_rfc3339_millis(time).to_string(),
        None => "never".to_owned(),
    };
    let mut facts = Map::new();
    facts.insert("client".into(), format!("{CLIENT}{}", holder.client).into());
    facts.extend(holder.address.clone().map(|address| ("address".to_owned(), address.into())));
    facts.insert("cookie".into(), String::from_utf8_lossy(&holder.cookie).into());
    facts.insert("expires".into(), expires.into());
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_shut_out_by_an_address_that_ceph_takes() {
        for (address, host) in [("10.0.0.7:0/77", "10.0.0.7:0/0"), ("[fd00::7]:0/77", "[fd00::7]:0/0")] {
            let said = broken(4123, Some(address.to_owned()));
            assert!(said.contains(&format!("blocklist add {address}`")), "{said}");
            assert!(said.contains(&format!("blocklist add {host}`")), "{said}");
        }
    }

    #[test]
    fn a_token_names_a_client_and_its_cookie_and_nothing_else_is_one() {
        let holder = Holder { client: 4123, cookie: b"\xff:".to_vec(), expires: None, address: None };
        assert_eq!(token_of(&holder).as_deref(), Some("client.4123:%ff%3a"));
        assert_eq!(named_by("client.4123:%ff%3a"), Some((4123, b"\xff:".to_vec())));
        for text in ["", "client.4123", "client.+4:c", "client.04:c", "client.:c", "mon.1:c", "client.-1:c", "4123:c"] {
            assert_eq!(named_by(text), None, "{text}");
        }
    }
}
