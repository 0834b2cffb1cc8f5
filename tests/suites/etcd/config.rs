//! The configuration file, the environment and the command line: what each says, and which is right.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::PathBuf;

use anyhow::{Context, ensure};
use mutex_tests::process::launch::Launch;
use mutex_tests::process::programs;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::etcd::accounts::{CTDB, ROOT};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::clusters::{with_certificates, with_users};
use crate::lock::{Lock, helper};
use crate::told::{ends, refuses, waits};
use crate::{Case, GONE};

pub(crate) const CASES: &[Case] = &[
    ("the file names the members, and the lease", endpoints_and_lease),
    ("the file of Samba's script, word for word, leads to the lock", words_of_the_script),
    ("a password in the file may hold any character", any_password),
    ("the file where none is named is etcd in CTDB_BASE", default_file),
    ("the file where CTDB_BASE is not set is /etc/ctdb/etcd", default_base),
    ("etcdctl's environment is enough", environment),
    ("the command line is right before the environment, and that before the file", order),
    ("a password is never taken for another user", password_of_another),
    ("a word that means nothing here: 3 with one line that names it and what to do", meaningless),
    ("a word that is unknown: 3 with one line that names it and the known ones", || {
        bad("host = a\ntll = 4\n", &["tll", "lock_ttl"])
    }),
    ("a word twice: 3 with one line that names it", || bad("host = a\nhost = b\n", &["host", "twice"])),
    ("a word without a value: 3 with one line that names it", || bad("host =\n", &["host"])),
    ("a section: 3 with one line that says where", || bad("host = a\n[etcd]\n", &["line 2", "section"])),
    ("a carriage return within a line: 3 with one line that says where", || {
        bad("host = a\rport = 1\n", &["line 1", "carriage return"])
    }),
    ("endpoints and host: 3 with one line that names both", || {
        bad("endpoints = a\nhost = b\n", &["endpoints", "host"])
    }),
    ("several hosts: 3 with one line that names endpoints", || bad("host = a,b\nport = 99\n", &["endpoints"])),
    ("a port that is none in the file: 3 with one line that names it", || bad("host = a\nport = http\n", &["http"])),
    ("a lease that is none in the file: 3 with one line that names it", || {
        bad("lock_ttl = ten\n", &["lock_ttl", "not a whole number"])
    }),
    ("a lease in the file that is shorter than etcd grants: 3 with one line", || {
        bad("lock_ttl = 1\n", &["lease of 1 s"])
    }),
    ("a password that stands for itself: 3 with one line without it", || {
        bad("username = a\npassword open-sesame\nhost = b\n", &["line 2"])
    }),
    ("a password whose word is misspelt: 3 with one line without it", || {
        bad("username = a\npasword = open-sesame\n", &["pasword"])
    }),
    ("a password in a word's place: 3 with one line without it", || {
        bad("username = a\npassword open-sesame = b\n", &["line 2"])
    }),
    ("a password in the URL of the file: 3 with one line without it", password_in_url),
    ("a file that is no text: 3 with one line that names it", || bad_bytes(b"host = a\xff\n", &["UTF-8"])),
    ("a file that is far too long: 3 with one line that names it", || {
        bad(&format!("host = a\n{}", "#\n".repeat(200_000)), &["longer"])
    }),
    ("a directory in the file's place: 3 with one line that names it", directory),
    ("a FIFO in the file's place: 3 with one line that names it, at once", fifo),
    ("a file that may not be read: 3 with one line that says so", unreadable),
    ("a file with a password that others may use: 3 with one line that says how to close it", open_to_others),
    ("a file with a password that belongs to another: 3 with one line that says so", of_another),
    ("a file without a password may be read by all", open_without_password),
];

/// Never to be seen in a line.
const SECRET: &str = "open-sesame";

/// A file of a case's own, which only its owner may use.
struct Config {
    _dir: TempDir,
    path: PathBuf,
}

impl Config {
    fn new(text: impl AsRef<[u8]>) -> anyhow::Result<Self> {
        let dir = TempDir::new()?;
        let path = dir.path().join("etcd");
        fs::write(&path, text)?;
        let config = Self { _dir: dir, path };
        config.set_mode(0o600)?;
        Ok(config)
    }

    fn set_mode(&self, mode: u32) -> anyhow::Result<()> {
        fs::set_permissions(&self.path, Permissions::from_mode(mode)).context("set the file's mode")
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// The helper for this lock with it, in an environment that leads nowhere.
    fn helper(&self, lock: &Lock, options: &[&str]) -> anyhow::Result<Launch> {
        Ok(helper(&[&lock.key])?.args(options).arg("--config").arg(&self.path))
    }
}

/// The lock's lease as it was granted, in seconds.
fn granted(lock: &Lock) -> anyhow::Result<i64> {
    let line = lock.line()?;
    let key = line.first().context("nobody holds the lock")?;
    let about = lock.etcd.etcdctl(&["lease", "timetolive", &format!("{:x}", key.lease), "--write-out", "json"])?;
    let about: serde_json::Value = serde_json::from_str(&about)?;
    about["granted-ttl"].as_i64().with_context(|| format!("no time granted: {about}"))
}

/// Takes the lock with a lease of so many seconds, and lets it go.
fn takes(lock: &Lock, launch: Launch, lease: i64) -> anyhow::Result<()> {
    let holder = launch.start()?;
    holder.expect('0', ANSWER_LIMIT)?;
    let granted = granted(lock)?;
    ensure!(granted == lease, "a lease of {granted} s, not of {lease}");
    holder.signal(Signal::TERM)?;
    holder.gone(GONE)?;
    lock.wait_free(GONE)
}

fn endpoints_and_lease() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let config = Config::new(format!("# ours\n\nendpoints = {}\nlock_ttl=5\n", lock.etcd.endpoints()))?;
    takes(&lock, config.helper(&lock, &[])?, 5)?;
    takes(&lock, config.helper(&lock, &["7"])?, 7).context("the argument is right before the file")
}

/// With certificates, and a user beside them.
fn words_of_the_script() -> anyhow::Result<()> {
    let lock = with_certificates()?;
    let tls = lock.etcd.tls()?;
    let (host, port) = lock.etcd.endpoint(0).trim_start_matches("https://").split_once(':').context("no port")?;
    let client = tls.client();
    let config = Config::new(format!(
        "host = {host}\nport = {port}\nprotocol = https\nca_cert = {}\ncert = {}\nkey = {}\nusername = {}\npassword = {}\n\
         lock_ttl = 6\n",
        tls.ca().display(),
        client.cert.display(),
        client.key.display(),
        CTDB.user,
        CTDB.password
    ))?;
    takes(&lock, config.helper(&lock, &[])?, 6)
}

fn any_password() -> anyhow::Result<()> {
    const PASSWORD: &str = "\"a # b;c = d:e, \\n 'f [g]%";
    let lock = with_users()?;
    let user = lock.key.replace('/', "-");
    lock.etcd.etcdctl(&["user", "add", &user, "--new-user-password", PASSWORD])?;
    lock.etcd.etcdctl(&["user", "grant-role", &user, "ctdb-role"])?;
    let config =
        Config::new(format!("endpoints = {}\nusername = {user}\npassword = {PASSWORD}\n", lock.etcd.endpoints()))?;
    takes(&lock, config.helper(&lock, &[])?, 9)
}

fn default_file() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let config = Config::new(format!("endpoints = {}\nlock_ttl = 5\n", lock.etcd.endpoints()))?;
    let base = config.path.parent().context("no directory")?.as_os_str();
    let launch = || Ok::<_, anyhow::Error>(helper(&[&lock.key])?.env("CTDB_BASE", base));
    takes(&lock, launch()?, 5)?;
    // Another that is named is right instead of it, and whole.
    let other = Config::new(format!("endpoints = {}\n", lock.etcd.endpoints()))?;
    takes(&lock, launch()?.arg("-c").arg(&other.path), 9)?;
    // One that is there and wrong is not passed over.
    fs::write(&config.path, "tll = 4\n")?;
    let launch = launch()?.args(&["--endpoints", &lock.etcd.endpoints()]);
    ends(launch, '3', &[&config.shown(), "tll"]).map(drop)
}

/// In a mount namespace of its own, which ends with the helper.
fn default_base() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let config = Config::new(format!("endpoints = {}\nlock_ttl = 5\n", lock.etcd.endpoints()))?;
    let script = r#"mount --bind "$0" /etc/ctdb && unset CTDB_BASE && exec "$1" "$2""#;
    let launch = Launch::new(programs::packaged("/usr/bin/unshare", "util-linux")?, ["-m", "/bin/sh", "-c", script])
        .arg(config.path.parent().context("no directory")?)
        .arg(programs::helper("ctdb_mutex_etcd_helper")?)
        .arg(&lock.key);
    takes(&lock, launch, 5)
}

fn environment() -> anyhow::Result<()> {
    let lock = with_users()?;
    let launch = helper(&[&lock.key])?.env("ETCDCTL_ENDPOINTS", lock.etcd.endpoints());
    let both = format!("{}:{}", CTDB.user, CTDB.password);
    takes(&lock, launch.env("ETCDCTL_USER", both), 9)?;
    let other = lock.another();
    let launch = helper(&[&other.key])?.env("ETCDCTL_ENDPOINTS", lock.etcd.endpoints());
    takes(&other, launch.env("ETCDCTL_USER", CTDB.user).env("ETCDCTL_PASSWORD", CTDB.password), 9)
}

fn order() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let right = lock.etcd.endpoints();
    let (nowhere, elsewhere) = ("http://127.0.0.1:1", "http://127.0.0.1:2");
    let file = Config::new(format!("endpoints = {nowhere}\n"))?;
    takes(&lock, file.helper(&lock, &[])?.env("ETCDCTL_ENDPOINTS", &right), 9)?;
    let lock = lock.another();
    let launch = file.helper(&lock, &["--endpoints", &right])?.env("ETCDCTL_ENDPOINTS", elsewhere);
    takes(&lock, launch, 9)?;
    let file = Config::new(format!("endpoints = {right}\n"))?;
    let line = waits(file.helper(&lock, &["3"])?.env("ETCDCTL_ENDPOINTS", elsewhere), &[elsewhere])?;
    ensure!(!line.contains(&right), "{line:?}");
    // What is empty says nothing.
    takes(&lock, file.helper(&lock, &[])?.env("ETCDCTL_ENDPOINTS", ""), 9)
}

fn password_of_another() -> anyhow::Result<()> {
    let lock = with_users()?;
    let endpoints = lock.etcd.endpoints();
    let config = Config::new(format!("endpoints = {endpoints}\nusername = {}\npassword = {SECRET}\n", ROOT.user))?;
    let line = refuses(&lock, config.helper(&lock, &["--user", CTDB.user])?, &["no password for the user ctdb"])?;
    ensure!(!line.contains(SECRET), "{line:?}");
    // A password alone is that of whoever is named elsewhere.
    let config = Config::new(format!("endpoints = {endpoints}\npassword = {}\n", CTDB.password))?;
    takes(&lock, config.helper(&lock, &["--user", CTDB.user])?, 9)?;
    refuses(&lock.another(), config.helper(&lock, &[])?, &["--user", "username"]).map(drop)
}

fn meaningless() -> anyhow::Result<()> {
    let words = [
        ("refresh", "lock_ttl"),
        ("locks_dir", "KEY"),
        ("lock_prefix", "KEY"),
        ("srv_domain", "endpoints"),
        ("version_prefix", "v3"),
        ("read_timeout", "lock_ttl"),
        ("allow_redirect", "remove it"),
        ("allow_reconnect", "endpoints"),
        ("use_proxies", "endpoints"),
        ("expected_cluster_id", "--status"),
        ("per_host_pool_size", "remove it"),
        ("cacert", "ca_cert"),
        ("user", "username"),
    ];
    words.into_iter().try_for_each(|(word, instead)| bad(&format!("host = a\n{word} = {SECRET}\n"), &[word, instead]))
}

fn bad(text: &str, names: &[&str]) -> anyhow::Result<()> {
    bad_bytes(text.as_bytes(), names)
}

/// Refused, with a line that names these, and no password.
fn bad_bytes(text: &[u8], names: &[&str]) -> anyhow::Result<()> {
    let config = Config::new(text)?;
    config_is_refused(&config, names)
}

fn password_in_url() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let config = Config::new(format!("endpoints = http://root:{SECRET}@127.0.0.1:1\n"))?;
    let line = refuses(&lock, config.helper(&lock, &[])?, &["names no user"])?;
    ensure!(!line.contains(SECRET), "the line {line:?} shows the password");
    Ok(())
}

/// In an environment that leads to a cluster, so far as the file does not say otherwise.
fn config_is_refused(config: &Config, names: &[&str]) -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let launch = config.helper(&lock, &[])?.env("ETCDCTL_ENDPOINTS", lock.etcd.endpoints());
    let line = refuses(&lock, launch, names)?;
    ensure!(!line.contains(SECRET), "the line {line:?} shows the password");
    Ok(())
}

fn directory() -> anyhow::Result<()> {
    let config = Config::new("")?;
    fs::remove_file(&config.path)?;
    fs::create_dir(&config.path)?;
    config_is_refused(&config, &[&config.shown()])
}

fn fifo() -> anyhow::Result<()> {
    let config = Config::new("")?;
    fs::remove_file(&config.path)?;
    mkfifo(&config.path, Mode::S_IRWXU)?;
    config_is_refused(&config, &[&config.shown()])
}

fn unreadable() -> anyhow::Result<()> {
    let config = Config::new("endpoints = a\n")?;
    let setpriv = programs::packaged("/usr/bin/setpriv", "util-linux")?;
    let helper = programs::helper("ctdb_mutex_etcd_helper")?.display().to_string();
    let launch =
        Launch::new(setpriv, ["--reuid=65534", "--clear-groups", &helper, "locks/nobody", "-c"]).arg(&config.path);
    ends(launch, '3', &[&config.shown(), "Permission denied"]).map(drop)
}

fn with_password() -> anyhow::Result<Config> {
    Config::new(format!("username = a\npassword = {SECRET}\n"))
}

fn open_to_others() -> anyhow::Result<()> {
    let config = with_password()?;
    for mode in [0o640, 0o604, 0o620, 0o602, 0o666] {
        config.set_mode(mode)?;
        config_is_refused(&config, &[&format!("chmod 600 {}", config.shown())]).with_context(|| format!("{mode:o}"))?;
    }
    let lock = Lock::shared()?;
    for mode in [0o600, 0o400] {
        config.set_mode(mode)?;
        takes(&lock, config.helper(&lock, &["--endpoints", &lock.etcd.endpoints()])?, 9)?;
    }
    Ok(())
}

fn of_another() -> anyhow::Result<()> {
    let config = with_password()?;
    chown(&config.path, Some(65534), None)?;
    config_is_refused(&config, &["another user", &config.shown()])
}

fn open_without_password() -> anyhow::Result<()> {
    let lock = Lock::shared()?;
    let config = Config::new(format!("endpoints = {}\n", lock.etcd.endpoints()))?;
    config.set_mode(0o644)?;
    takes(&lock, config.helper(&lock, &[])?, 9)
}
