//! The configuration file of the etcd helper, against a reader of its own: plain lines, no quoting.

use super::harmless::is_harmful;
use crate::config_file::parse;

/// Stands for a password. Nobody chooses it as a key or a port.
const SECRET: &str = "7bPassWordf3";

/// A file is read as its lines say, or refused without repeating what could be a password.
///
/// # Panics
/// Where a line is read in another way, or in none.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Whatever stands in a value could be it.
    let hidden: String = text.lines().map(|line| with_secret(line) + "\n").collect();
    if let Err(error) = parse(&hidden) {
        let said = format!("{error:#}");
        assert!(!said.contains(SECRET), "{said:?} for {hidden:?}");
    }
    match parse(text) {
        Ok(layer) => {
            let expected = |key: &str| {
                let mut values = pairs(text).filter(|(own, _)| *own == key).map(|(_, value)| value.to_owned());
                let value = values.next();
                assert_eq!(values.next(), None, "{key} stands there twice, and that was taken");
                value
            };
            assert_eq!(layer.password, expected("password"));
            assert_eq!(layer.user, expected("username"));
            assert_eq!(layer.cacert, expected("ca_cert"));
            assert_eq!(layer.cert, expected("cert"));
            assert_eq!(layer.key, expected("key"));
            assert_eq!(layer.server_name, expected("server_name"));
            assert_eq!(layer.lease_seconds, expected("lock_ttl"));
            let parts = ["host", "port", "protocol"].map(expected);
            if parts.iter().all(Option::is_none) {
                assert_eq!(layer.endpoints, expected("endpoints"));
            } else {
                let whole = layer.endpoints.expect("host, port or protocol make an endpoint");
                assert!(parts.iter().flatten().all(|part| whole.contains(part.as_str())), "{whole}");
            }
            const KNOWN: [&str; 11] = [
                "endpoints",
                "host",
                "port",
                "protocol",
                "ca_cert",
                "cert",
                "key",
                "server_name",
                "username",
                "password",
                "lock_ttl",
            ];
            assert!(pairs(text).all(|(key, value)| KNOWN.contains(&key) && !value.is_empty()));
        }
        Err(error) => {
            let said = format!("{error:#}");
            // What is shown of the text is a key, which is a word, or a port in quotes.
            assert!(!said.chars().any(is_harmful), "{said:?}");
        }
    }
}

/// What the lines say to who reads them.
fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    lines.filter_map(|line| {
        let at = line.find(['=', ':'])?;
        Some((line[..at].trim(), line[at + 1..].trim()))
    })
}

/// The line with a password in the place of its value; where it has no sign, of all of it. A port is no password.
fn with_secret(line: &str) -> String {
    let is_port = line.trim_start().starts_with("port");
    match line.find(['=', ':']) {
        _ if is_port || line.trim().is_empty() => line.to_owned(),
        Some(at) => format!("{}{SECRET}", &line[..=at]),
        None => format!("{SECRET} {line}"),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_seed_and_its_neighbours() {
        super::super::seeds::replay("etcd_config", super::check);
    }
}
