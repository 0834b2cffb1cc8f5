//! Command lines that are refused (P7): `3` at once, and one line that names the thing.

use anyhow::ensure;

use crate::Case;
use crate::lock::{Lock, helper};
use crate::told::refuses;

/// Never to be seen in a line.
const SECRET: &str = "open-sesame";

pub(crate) const CASES: &[Case] = &[
    ("no arguments: 3 with one line", || refused(&[], "KEY")),
    ("an empty KEY: 3 with one line", || refused(&[""], "KEY")),
    ("LEASE-SECONDS not a number: 3 with one line", || refused(&["%", "ten"], "ten")),
    ("LEASE-SECONDS negative: 3 with one line", || refused(&["%", "-4"], "-4")),
    ("LEASE-SECONDS a fraction: 3 with one line", || refused(&["%", "4.5"], "4.5")),
    ("LEASE-SECONDS with a plus sign: 3 with one line", || refused(&["%", "+4"], "+4")),
    ("LEASE-SECONDS 0: 3 with one line", || refused(&["%", "0"], "lease of 0 s")),
    ("LEASE-SECONDS shorter than etcd grants: 3 with one line", || refused(&["%", "1"], "lease of 1 s")),
    ("LEASE-SECONDS longer than a day: 3 with one line", || refused(&["%", "86401"], "86401")),
    ("LEASE-SECONDS the largest number: 3 with one line", || {
        refused(&["%", "18446744073709551615"], "18446744073709551615")
    }),
    ("one argument too many: 3 with one line", || refused(&["%", "4", "more"], "more")),
    ("an unknown option: 3 with one line", || refused(&["%", "--leese"], "--leese")),
    ("a password among the arguments: 3 with one line without it", || {
        refused(&["%", "--user", "root:open-sesame"], "a name alone")
    }),
    ("a user without a password: 3 with one line", || {
        refused(&["%", "--user", "somebody"], "no password for the user somebody")
    }),
    ("an empty user: 3 with one line", || refused(&["%", "--user", ""], "--user")),
    ("an empty server name: 3 with one line", || refused(&["%", "--server-name", ""], "--server-name")),
    ("an empty file name: 3 with one line", || refused(&["%", "--cacert", ""], "--cacert")),
    ("a key without a certificate: 3 with one line", || refused(&["%", "--key", "/some/key"], "--cert")),
    ("no endpoint: 3 with one line", || refused(&["%", "--endpoints", ""], "--endpoints")),
    ("a comma too many in the endpoints: 3 with one line", || refused(&["%", "--endpoints", "a,,b"], "\"\" is no URL")),
    ("an endpoint twice: 3 with one line", || {
        refused(&["%", "--endpoints", "http://a,b,a:2379"], "http://a:2379 stands there twice")
    }),
    ("an endpoint twice, in two spellings: 3 with one line", || {
        refused(&["%", "--endpoints", "http://a.invalid,A.INVALID"], "http://a.invalid:2379 stands there twice")?;
        refused(
            &["%", "--endpoints", "http://[2001:db8::1],[2001:db8:0::1]"],
            "http://[2001:db8::1]:2379 stands there twice",
        )
    }),
    ("--endpoints twice: 3 with one line", || refused(&["%", "--endpoints", "a", "--endpoints", "b"], "--endpoints")),
    ("an endpoint with a password: 3 with one line without it", || {
        refused(&["%", "--endpoints", "http://root:open-sesame@a"], "names no user")
    }),
    ("an endpoint with a password with a comma: 3 with one line without it", || {
        refused(&["%", "--endpoints", "http://root:open-sesame,1@a"], "names no user")
    }),
    ("an endpoint of another scheme: 3 with one line", || refused(&["%", "--endpoints", "ftp://a"], "ftp://a")),
    ("an endpoint that is a socket: 3 with one line", || {
        refused(&["%", "--endpoints", "unix:///run/a"], "unix:///run/a")
    }),
    ("an endpoint with a path: 3 with one line", || refused(&["%", "--endpoints", "http://a/v2"], "http://a/v2")),
    ("an endpoint with a port that is too large: 3 with one line", || {
        refused(&["%", "--endpoints", "http://a:99999"], "http://a:99999")
    }),
    ("an endpoint with brackets in its name: 3 with one line", || {
        refused(&["%", "--endpoints", "a[]"], "\"a[]\" is no URL")
    }),
    ("an endpoint with port 0: 3 with one line", || refused(&["%", "--endpoints", "http://a:0"], "http://a:0")),
    ("an endpoint with a port that is no number: 3 with one line", || {
        refused(&["%", "--endpoints", "http://a:http"], "http://a:http")
    }),
    ("an IPv6 address without brackets: 3 with one line that shows some", || {
        refused(&["%", "--endpoints", "::1"], "http://[2001:db8::1]:2379")
    }),
    ("a certificate for an endpoint without TLS: 3 with one line", || {
        refused(&["%", "--endpoints", "http://a", "--cacert", "/some/ca"], "https://")
    }),
    ("a configuration file that does not exist: 3 with one line", || refused(&["%", "-c", "/no/file"], "/no/file")),
    ("--status with --health: 3 with one line", || refused(&["%", "--status", "--health"], "--health")),
    ("--json without --status: 3 with one line", || refused(&["%", "--json"], "--status")),
    ("--wait-seconds not a number: 3 with one line", || refused(&["%", "--wait-seconds", "long"], "long")),
];

/// In an environment that leads to a cluster where everything may be taken. `%` stands for a lock that nobody has.
fn refused(arguments: &[&str], names: &str) -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let arguments: Vec<&str> =
        arguments.iter().map(|&argument| if argument == "%" { &lock.key } else { argument }).collect();
    let launch =
        lock.etcd.environment().into_iter().fold(helper(&arguments)?, |launch, (name, value)| launch.env(name, value));
    let line = refuses(&lock, launch, &[names])?;
    ensure!(!line.contains(SECRET), "the line {line:?} shows the password");
    Ok(())
}
