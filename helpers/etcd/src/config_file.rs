//! The configuration file: lines `key = value`, as Samba's etcd script reads, with the words of python-etcd and `endpoints`.
//!
//! What we do not know is refused by name, and so is what means nothing to us: who writes it expects something of it.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use ini::{Ini, ParseOption};

use crate::endpoint::DEFAULT_PORT;
use crate::file;
use crate::layer::Layer;

/// Words of python-etcd and of the script that mean nothing here, and what to do instead.
const MEANINGLESS: [(&str, &str); 13] = [
    ("refresh", "the renewals follow from lock_ttl; remove it"),
    ("locks_dir", "the lock's name is the argument KEY; remove it"),
    ("lock_prefix", "the lock's name is the argument KEY; remove it"),
    ("srv_domain", "name the members in endpoints"),
    ("version_prefix", "etcd's API is v3; remove it"),
    ("read_timeout", "the times follow from lock_ttl; remove it"),
    ("allow_redirect", "v3 redirects nobody; remove it"),
    ("allow_reconnect", "name all members in endpoints"),
    ("use_proxies", "name the members in endpoints"),
    ("expected_cluster_id", "see --status for the cluster's number; remove it"),
    ("per_host_pool_size", "one connection a member is enough; remove it"),
    ("cacert", "say ca_cert"),
    ("user", "say username"),
];

/// The file that is read where none is named: `etcd` in CTDB's directory. `None`: there is none.
pub(crate) fn default_path() -> Option<PathBuf> {
    let base = std::env::var_os("CTDB_BASE").filter(|base| !base.is_empty()).map(PathBuf::from);
    let path = base.unwrap_or_else(|| "/etc/ctdb".into()).join("etcd");
    // What is there and cannot be read is an error, not "none".
    match fs::symlink_metadata(&path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => None,
        _ => Some(path),
    }
}

/// Reads a file. Every error names it.
pub(crate) fn read(path: &Path) -> anyhow::Result<Layer> {
    let shown = path.display();
    let (content, about) = file::read(path)?;
    let text = String::from_utf8(content).map_err(|_| anyhow::anyhow!("{shown} is no text (UTF-8)"))?;
    let layer = parse(&text).with_context(|| format!("{shown}"))?;
    if layer.password.is_some() {
        let us = rustix::process::geteuid().as_raw();
        ensure!(about.uid() == us || about.uid() == 0, "{shown} has a password and belongs to another user; chown it");
        ensure!(about.mode() & 0o077 == 0, "{shown} has a password, and others may use it; chmod 600 {shown}");
    }
    Ok(layer)
}

/// Of a text. No error repeats a value that could be a password.
pub(crate) fn parse(text: &str) -> anyhow::Result<Layer> {
    let mut layer = Layer::default();
    let (mut host, mut port, mut protocol) = (None, None, None);
    for (number, line) in text.lines().enumerate() {
        let Some((key, value)) = pair(line).with_context(|| format!("line {}", number + 1))? else { continue };
        let key = key.as_str();
        if let Some((_, instead)) = MEANINGLESS.iter().find(|(known, _)| known == &key) {
            bail!("{key} means nothing here: {instead}");
        }
        ensure!(!value.is_empty(), "{key} has no value; remove the line");
        let place = match key {
            "endpoints" => &mut layer.endpoints,
            "host" => &mut host,
            "port" => &mut port,
            "protocol" => &mut protocol,
            "ca_cert" => &mut layer.cacert,
            "cert" => &mut layer.cert,
            "key" => &mut layer.key,
            "server_name" => &mut layer.server_name,
            "username" => &mut layer.user,
            "password" => &mut layer.password,
            "lock_ttl" => &mut layer.lease_seconds,
            _ => bail!(
                "unknown key {key}; known are endpoints (or host, port, protocol), ca_cert, cert, key, server_name, \
                 username, password, lock_ttl"
            ),
        };
        ensure!(place.replace(value).is_none(), "{key} stands there twice; remove one");
    }
    if host.is_some() || port.is_some() || protocol.is_some() {
        ensure!(layer.endpoints.is_none(), "endpoints, and host, port or protocol: say all of it in endpoints");
        let host = host.unwrap_or_else(|| "127.0.0.1".to_owned());
        let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
        ensure!(!host.contains(','), "host is one member: name several in endpoints");
        let port = port.unwrap_or_else(|| DEFAULT_PORT.to_string());
        ensure!(port.parse::<u16>().is_ok_and(|port| port > 0), "port = {port:?} is no number of a port");
        let protocol = protocol.unwrap_or_else(|| "http".to_owned());
        layer.endpoints = Some(format!("{protocol}://{host}:{port}"));
    }
    Ok(layer)
}

/// What one line says, if anything. Its text is not part of any error: it may be a password whose key is missing. The lines
/// are parsed one by one, as the parser would take what stands before a missing `=` for the beginning of the next key.
fn pair(line: &str) -> anyhow::Result<Option<(String, String)>> {
    let line = line.trim();
    // The parser takes one for a line's end, and what is behind it would be another pair, which nobody reads.
    ensure!(!line.contains('\r'), "a carriage return stands in the line; begin a new line there, or remove it");
    // A password may hold any of these characters.
    let as_it_stands = ParseOption { enabled_quote: false, enabled_escape: false, ..ParseOption::default() };
    let parsed = Ini::load_from_str_opt(line, as_it_stands);
    let parsed = parsed.map_err(|_| anyhow::anyhow!("every line is key = value, or begins with #"))?;
    ensure!(parsed.sections().flatten().next().is_none(), "sections mean nothing here; remove the line");
    let pair = parsed.general_section().iter().next().map(|(key, value)| (key.to_owned(), value.to_owned()));
    let is_comment = line.is_empty() || line.starts_with(['#', ';']);
    ensure!(pair.is_some() || is_comment, "every line is key = value, or begins with #");
    let is_word = |key: &str| key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    ensure!(pair.iter().all(|(key, _)| is_word(key)), "what stands before = is no word that we know");
    Ok(pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        format!("{:#}", parse(text).map(drop).unwrap_err())
    }

    #[test]
    fn the_words_of_the_script_are_read() {
        let text = "# a comment\nhost = ::1\n  port=99\nprotocol = https\ncert=/a\nca_cert = /b\nusername = u\n\
                    password = \"p # \\t =\nlock_ttl = 4\n";
        let layer = parse(text).unwrap();
        assert_eq!(layer.endpoints.as_deref(), Some("https://[::1]:99"));
        assert_eq!((layer.cert.as_deref(), layer.cacert.as_deref()), (Some("/a"), Some("/b")));
        assert_eq!((layer.user.as_deref(), layer.password.as_deref()), (Some("u"), Some("\"p # \\t =")));
        assert_eq!(layer.lease_seconds.as_deref(), Some("4"));
    }

    #[test]
    fn what_is_unknown_or_means_nothing_is_refused_by_name() {
        assert!(refused("tll = 4").contains("unknown key tll;"));
        for (word, instead) in MEANINGLESS {
            let said = refused(&format!("{word} = 1"));
            assert!(said.contains(word) && said.contains(instead), "{said}");
        }
    }

    #[test]
    fn a_password_without_its_key_or_sign_is_refused_and_not_repeated() {
        for text in
            ["password secret\nhost = a", "secret", "the secret = 1", "[secret", "= secret", "password =\n  secret"]
        {
            let said = refused(text);
            assert!(!said.contains("secret"), "{said}");
        }
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for text in [
            "endpoints = a\nhost = b",
            "host = a\nhost = b",
            "[etcd]\nhost = a",
            "host",
            "host =",
            "host = a\nport = http",
            "host = a,b",
            "port = 0",
        ] {
            refused(text);
        }
    }

    #[test]
    fn a_carriage_return_ends_a_line_only_with_it() {
        assert_eq!(parse("host = a\r\nport = 1\r\n").unwrap().endpoints.as_deref(), Some("http://a:1"));
        assert!(refused("host = a\rport = 1").contains("line 1: a carriage return"));
        assert!(!refused("host = a\n# x\rpassword = secret").contains("secret"));
    }
}
