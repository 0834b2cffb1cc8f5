//! A member's URL.

use std::net::Ipv6Addr;

use anyhow::{Context, bail, ensure};
use http::Uri;

/// etcd's port for clients.
pub(crate) const DEFAULT_PORT: u16 = 2379;

/// The URLs of the members from a list with commas. `tls` as for [`url`].
pub(crate) fn urls(list: &str, tls: bool) -> anyhow::Result<Vec<String>> {
    // Said without the text: it may hold a password.
    ensure!(!list.contains('@'), "an endpoint names no user: take --user, and ETCDCTL_PASSWORD or the file");
    let urls = list.split(',').map(|text| url(text.trim(), tls)).collect::<Result<Vec<_>, _>>()?;
    if let Some((_, twice)) =
        urls.iter().enumerate().find(|(place, url)| urls.iter().take(*place).any(|other| other == *url))
    {
        bail!("the endpoint {twice} stands there twice; remove one");
    }
    Ok(urls)
}

/// The URL of one member from `text`, which may leave out scheme and port. `tls`: whether anything is set that only TLS
/// needs, so that nobody believes in an encryption that is not there.
fn url(text: &str, tls: bool) -> anyhow::Result<String> {
    let whole = match text.contains("://") {
        true => text.to_owned(),
        false => format!("{}://{text}", if tls { "https" } else { "http" }),
    };
    let uri: Uri = whole.parse().with_context(|| bad(text))?;
    let scheme = uri.scheme_str().unwrap_or_default();
    let host = uri.host().unwrap_or_default();
    ensure!(!host.is_empty(), bad(text));
    ensure!(matches!(uri.path(), "" | "/") && uri.query().is_none(), "the endpoint {text:?} has a path: etcd has none");
    match (scheme, tls) {
        ("https", _) | ("http", false) => {}
        ("http", true) => bail!("the endpoint {text:?} is without TLS, but a certificate is set: say https://"),
        _ => bail!("the endpoint {text:?} is neither http:// nor https://"),
    }
    // Not the parser's, which drops one that is too large.
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let port = match authority.strip_prefix(host).unwrap_or_default() {
        "" => DEFAULT_PORT,
        port => port
            .strip_prefix(':')
            .and_then(|port| port.parse().ok())
            .filter(|port| *port > 0)
            .with_context(|| bad(text))?,
    };
    let host = spelled(host).with_context(|| bad(text))?;
    Ok(format!("{scheme}://{host}:{port}"))
}

/// The one spelling of a host, so that an endpoint that stands there twice is seen: names know no case, and an IPv6 address
/// can be written in many ways. A member with two names is not: that one is found by what it answers. `None` for what is neither: the parser takes every character that a URL may have.
fn spelled(host: &str) -> Option<String> {
    match host.strip_prefix('[') {
        Some(address) => Some(format!("[{}]", address.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?)),
        None => {
            let is_of_names = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            host.bytes().all(is_of_names).then(|| host.to_ascii_lowercase())
        }
    }
}

fn bad(text: &str) -> String {
    format!(
        "the endpoint {text:?} is no URL; as in: https://host:2379, http://192.0.2.1:2379, http://[2001:db8::1]:2379"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_and_port_may_be_left_out() {
        assert_eq!(url("a", false).unwrap(), "http://a:2379");
        assert_eq!(url("a:1", true).unwrap(), "https://a:1");
        assert_eq!(url("http://[::1]", false).unwrap(), "http://[::1]:2379");
        assert_eq!(url("https://[::1]:7/", false).unwrap(), "https://[::1]:7");
    }

    #[test]
    fn what_is_no_endpoint_is_refused() {
        for bad in [
            "",
            "http://",
            "unix://a",
            "http://a/v2",
            "http://a?b",
            "::1",
            "http://a:x",
            "http://a:",
            "http://a:0",
            "http://a:99999",
            "http://[::1]x",
            "http://[::x]",
            "http://[a]",
            "a[]",
            "a;b",
            "http://a%41",
            "a b",
        ] {
            assert!(url(bad, false).is_err(), "{bad:?}");
        }
        assert!(url("http://a", true).is_err());
    }

    #[test]
    fn a_member_stands_there_once() {
        assert_eq!(urls("a, b", false).unwrap(), ["http://a:2379", "http://b:2379"]);
        assert!(urls("a,b,a:2379", false).is_err());
        assert!(urls("a,,b", false).is_err());
        // Names know no case, and an address has many spellings.
        assert!(urls("a.example,A.EXAMPLE", false).is_err());
        assert!(urls("[::1],[0:0::1]", false).is_err());
    }

    #[test]
    fn a_password_in_an_endpoint_is_refused_and_not_repeated() {
        let said = format!("{:#}", urls("http://root:se,cret@a", false).unwrap_err());
        assert!(!said.contains("cret"), "{said}");
    }
}
