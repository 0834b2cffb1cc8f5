//! The members' URLs, as an admin may write them.

use super::harmless::is_harmful;
use crate::endpoint::urls;

/// A list becomes URLs that mean themselves, or is refused without a password in it.
///
/// # Panics
/// Where a URL is none, or says something else when it is read again.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for tls in [false, true] {
        let list = match urls(text, tls) {
            Ok(list) => list,
            Err(error) => {
                let said = format!("{error:#}");
                assert!(!text.contains('@') || !said.contains(text), "{said}");
                // Said as Debug shows it.
                assert!(!said.chars().any(is_harmful), "{said:?}");
                continue;
            }
        };
        assert_eq!(list.len(), text.split(',').count());
        assert_eq!(urls(&list.join(","), tls).expect("they are URLs"), list);
        for url in &list {
            assert!(url.bytes().all(|byte| byte.is_ascii_graphic()), "{url}");
            let (scheme, rest) = url.split_once("://").expect("a scheme");
            assert!(scheme == "https" || (scheme == "http" && !tls), "{url}");
            let (host, port) = rest.rsplit_once(':').expect("a port");
            assert!(
                port.parse::<u16>().is_ok_and(|port| port > 0 && port.to_string() == rest[host.len() + 1..]),
                "{url}"
            );
            assert!(!host.is_empty() && !host.contains(['/', '@', '?', '#']), "{url}");
            let address = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
            assert_eq!(address.is_some(), host.contains(['[', ']', ':']), "{url}");
            // What a name service or /etc/hosts can know.
            let is_name = |host: &str| host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
            assert!(address.is_some() || is_name(host), "{url}");
            // One member, one spelling.
            let spelled = address.map(|text| text.parse::<std::net::Ipv6Addr>().map(|address| address.to_string()));
            assert!(spelled.is_none_or(|spelled| spelled.as_deref() == Ok(address.unwrap_or_default())), "{url}");
            // What the client makes of it.
            let uri: http::Uri = url.parse().expect("the client reads it");
            assert_eq!((uri.host(), uri.port_u16().map(|port| port.to_string())), (Some(host), Some(port.to_owned())));
        }
        let mut names: Vec<String> = list.iter().map(|url| url.to_lowercase()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), list.len(), "a member stands twice in {text:?}");
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_seed_and_its_neighbours() {
        super::super::seeds::replay("endpoints", super::check);
    }
}
