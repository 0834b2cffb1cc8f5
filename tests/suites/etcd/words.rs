//! Members that do not answer, or not as etcd does, in words: each with its reason. Waiting may cure it, so a try is silent
//! until it gives up.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use mutex_tests::process::launch::Launch;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::etcd::Setup;
use mutex_tests::wait::wait_for;
use rustix::process::Signal;

use crate::listener::{Listener, Manner};
use crate::lock::{Lock, helper};
use crate::told::{answer, ask, ends, refuses, waits};
use crate::{Case, GONE, clusters};

pub(crate) const CASES: &[Case] = &[
    ("members that nobody can reach: silence, then 2 with one line that says of each why", no_answer),
    ("two members of three that answer are enough, wherever they stand", two_of_three),
    ("one member of three that answers may be a stranger: silence, then 2 with one line", one_of_three),
    (
        "one member of three that answers under two names counts once: silence, then 2 with one line",
        one_of_three_by_two_names,
    ),
    ("no quorum: silence, then 2 with one line that says which members are silent, and nothing taken", no_quorum),
    ("all members frozen: silence, then 2 with one line that names each, and nothing taken after the thaw", all_frozen),
    ("a full database: 2 with one line that says so, 1 for a held lock, and whoever holds one keeps it", full),
    ("http:// to members that speak TLS: silence, then 2 with one line that asks for https://", http_to_https),
    ("https:// to members without TLS: silence, then 2 with one line that asks for http://", https_to_http),
    ("a web server in etcd's place: 3 with one line that doubts the endpoint", web_server),
    ("a server that hangs up in etcd's place: silence, then 2 with one line that doubts the endpoint", || {
        no_etcd(Manner::HangsUp, &["--endpoints"])
    }),
    ("a server that says nothing in etcd's place: silence, then 2 with one line that says so", || {
        no_etcd(Manner::Silent, &["no answer"])
    }),
    ("members of two clusters: 3 with one line that says so, and nothing taken in either", two_clusters),
    ("an endpoint with an IPv6 address leads to the lock", || leads_there("::1", "[::1]")),
    ("an endpoint with a host name leads to the lock", || leads_there("127.0.0.1", "localhost")),
];

/// An address of loopback at which nobody listens.
const NOBODY: &str = "http://127.0.0.1:1";

/// The helper for this lock in an environment that leads nowhere.
fn at(lock: &Lock, endpoints: &str) -> anyhow::Result<Launch> {
    helper(&[&lock.key, "3", "--endpoints", endpoints])
}

fn no_answer() -> anyhow::Result<()> {
    let endpoints = format!("{NOBODY},http://no.such.host.invalid");
    let names = ["127.0.0.1:1: Connection refused", "http://no.such.host.invalid:2379: ", "locks/nobody", "see "];
    waits(helper(&["locks/nobody", "3", "--endpoints", &endpoints])?, &names).map(drop)
}

fn two_of_three() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let endpoints = format!("{NOBODY},{},{}", lock.etcd.endpoint(0), lock.etcd.endpoint(1));
    let holder = at(&lock, &endpoints)?.start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    ensure!(lock.is_held()?, "0 without a key");
    Ok(())
}

fn one_of_three() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let endpoints = format!("{NOBODY},http://no.such.host.invalid,{}", lock.etcd.endpoint(0));
    waits(at(&lock, &endpoints)?, &["127.0.0.1:1: ", "no.such.host.invalid", lock.etcd.endpoint(0)])?;
    ensure!(!lock.is_held()?, "something was taken");
    Ok(())
}

/// The third and the fourth endpoint are one member, so that it is one of three.
fn one_of_three_by_two_names() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let address = lock.etcd.endpoint(0);
    let (host, port) = address.trim_start_matches("http://").rsplit_once(':').context("an endpoint without a port")?;
    // The same address, as IPv6 writes it.
    let again = format!("http://[::ffff:{host}]:{port}");
    let endpoints = format!("{NOBODY},http://no.such.host.invalid,{address},{again}");
    waits(at(&lock, &endpoints)?, &["127.0.0.1:1: ", "no.such.host.invalid", address, &again])?;
    ensure!(!lock.is_held()?, "something was taken");
    Ok(())
}

fn no_quorum() -> anyhow::Result<()> {
    let lock = Lock::alone()?;
    let survivor = lock.etcd.leader()?;
    let fault = lock.etcd.quorum_frozen(survivor);
    let frozen = fault.inject()?;
    let knows = || lock.etcd.etcdctl_at(survivor, &["get", "x"]).is_err().then_some(());
    wait_for("the survivor to know that it is alone", ANSWER_LIMIT, knows)?;
    let line = waits(lock.helper(&["3"])?, &[lock.etcd.endpoint(survivor), "no leader", "no answer", &lock.key])?;
    ensure!(line.contains("etcdctl endpoint"), "{line:?} does not say where to look");
    frozen.heal()?;
    nothing_left(&lock)
}

fn all_frozen() -> anyhow::Result<()> {
    let lock = Lock::alone()?;
    let fault = lock.etcd.all_frozen();
    let frozen = fault.inject()?;
    let endpoints = lock.etcd.endpoints();
    let names: Vec<&str> = endpoints.split(',').chain(["no answer", "etcdctl endpoint"]).collect();
    waits(lock.helper(&["3"])?, &names)?;
    frozen.heal()?;
    nothing_left(&lock)
}

/// Neither a key nor a lease. What was on its way when a try was given up may come to be for a moment.
fn nothing_left(lock: &Lock) -> anyhow::Result<()> {
    lock.etcd.wait_healthy()?;
    let nothing = || {
        let free = lock.is_held().is_ok_and(|held| !held);
        (free && lock.etcd.leases().is_ok_and(|leases| leases.is_empty())).then_some(())
    };
    wait_for("nothing to be left in etcd", ANSWER_LIMIT, nothing).map(drop)
}

fn full() -> anyhow::Result<()> {
    const QUOTA: u64 = 1 << 20;
    let lock = Lock::with(Setup { quota: Some(QUOTA), ..Setup::default() })?;
    let holder = lock.holder(&["3"])?;
    let piece = "x".repeat(100_000);
    let is_full = || lock.etcd.etcdctl(&["put", "piece", &piece]).is_err().then_some(());
    wait_for("the database to be full", ANSWER_LIMIT, is_full)?;
    let known = || lock.etcd.etcdctl(&["alarm", "list"]).is_ok_and(|list| list.contains("NOSPACE")).then_some(());
    wait_for("the alarm", ANSWER_LIMIT, known)?;

    let other = lock.another();
    waits(other.helper(&["3"])?, &["NOSPACE", "etcdctl alarm disarm", &other.key])?;
    ensure!(!other.is_held()?, "something was taken");
    let leases = lock.etcd.leases()?;
    ensure!(leases.len() == 1, "there are {} leases beside the holder's", leases.len() - 1);
    lock.helper(&["3"])?.start()?.expect('1', ANSWER_LIMIT)?;
    let health = answer(lock.helper(&["--health"])?)?;
    ensure!(health.contains("NOSPACE"), "--health does not tell of the alarm: {health:?}");

    // Longer than its lease, together with what the try took.
    holder.pipe()?.stays_silent(Duration::from_secs(2)).context("the holder")?;
    holder.signal(Signal::TERM)?;
    holder.gone(GONE)?;
    lock.wait_free(GONE)
}

fn http_to_https() -> anyhow::Result<()> {
    let lock = clusters::with_certificates()?;
    waits(at(&lock, &lock.etcd.endpoints().replace("https:", "http:"))?, &["https://?", "--endpoints"]).map(drop)
}

fn https_to_http() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let other = clusters::with_certificates()?;
    let ca: &Path = other.etcd.tls()?.ca();
    let launch = at(&lock, &lock.etcd.endpoints().replace("http:", "https:"))?.arg("--cacert").arg(ca);
    waits(launch, &["http://?", "--endpoints"]).map(drop)
}

fn no_etcd(manner: Manner, names: &[&str]) -> anyhow::Result<()> {
    let listener = Listener::start("127.0.0.1", manner)?;
    let endpoint = format!("http://127.0.0.1:{}", listener.port());
    let names: Vec<&str> = names.iter().copied().chain([endpoint.as_str()]).collect();
    waits(helper(&["locks/nobody", "3", "--endpoints", &endpoint])?, &names).map(drop)
}

fn web_server() -> anyhow::Result<()> {
    let listener = Listener::start("127.0.0.1", Manner::Says("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"))?;
    let endpoint = format!("http://127.0.0.1:{}", listener.port());
    let launch = helper(&["locks/nobody", "3", "--endpoints", &endpoint])?;
    ends(launch, '3', &[&endpoint, "etcd", "--endpoints"]).map(drop)
}

/// Two takers could have the lock at once, each in one of them.
fn two_clusters() -> anyhow::Result<()> {
    let (lock, other) = (Lock::shared()?, Lock::alone()?);
    let stranger = other.etcd.endpoint(0);
    let endpoints = format!("{},{stranger}", lock.etcd.endpoint(0));
    refuses(&lock, at(&lock, &endpoints)?, &["different etcd clusters"])?;
    ensure!(other.etcd.holders(&lock.key)?.is_empty() && other.etcd.leases()?.is_empty(), "taken in the other one");
    let (text, code, stderr) = ask(at(&lock, &endpoints)?.arg("--health"), ANSWER_LIMIT)?;
    ensure!(
        code == 3 && text.is_empty() && stderr.contains("different etcd clusters"),
        "--health: {code}, {text:?}, {stderr:?}"
    );
    Ok(())
}

fn leads_there(address: &str, host: &str) -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let member = lock.etcd.endpoint(0).strip_prefix("http://").context("no plain member")?.to_owned();
    let listener = Listener::start(address, Manner::Forwards(member))?;
    let endpoint = format!("http://{host}:{}", listener.port());
    let holder = at(&lock, &endpoint)?.start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    ensure!(lock.is_held()?, "0 without a key");
    at(&lock, &endpoint)?.start()?.expect('1', ANSWER_LIMIT)
}
