//! Bad input (P7): `3` at once, exit code 3, exactly one line that names the thing, and nothing made.

use std::ffi::OsString;
use std::fs::{self, File, Permissions};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use anyhow::{Context, ensure};
use libtest_mimic::Trial;
use mutex_tests::process::launch::{Launch, Stderr};
use mutex_tests::process::programs;
use mutex_tests::roster::ANSWER_LIMIT;
use mutex_tests::services::fuse::{HungFs, Locks};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, fchown, mkfifo, pipe2};

use crate::{GONE, directory, trial};

/// A bad command line; `%` stands for the case's directory.
struct BadInput {
    name: &'static str,
    /// Makes the directory bad.
    prepare: fn(&Path) -> anyhow::Result<()>,
    arguments: &'static [&'static str],
    /// What the one line must name.
    names: &'static str,
}

const NOTHING: fn(&Path) -> anyhow::Result<()> = |_| Ok(());

const BAD_INPUTS: &[BadInput] = &[
    BadInput { name: "no arguments", prepare: NOTHING, arguments: &[], names: "FILE" },
    BadInput { name: "an empty FILE", prepare: NOTHING, arguments: &[""], names: "FILE" },
    BadInput { name: "RECHECK-SECONDS not a number", prepare: NOTHING, arguments: &["%/lock", "abc"], names: "abc" },
    BadInput {
        name: "RECHECK-SECONDS with an empty line in it",
        prepare: NOTHING,
        arguments: &["%/lock", "5\n\nUsage: 6"],
        names: "RECHECK-SECONDS",
    },
    BadInput { name: "RECHECK-SECONDS negative", prepare: NOTHING, arguments: &["%/lock", "-1"], names: "-1" },
    BadInput { name: "RECHECK-SECONDS a fraction", prepare: NOTHING, arguments: &["%/lock", "1.5"], names: "1.5" },
    BadInput {
        name: "RECHECK-SECONDS too large",
        prepare: NOTHING,
        arguments: &["%/lock", "99999999999999999999"],
        names: "99999999999999999999",
    },
    BadInput {
        name: "RECHECK-SECONDS the largest number",
        prepare: NOTHING,
        arguments: &["%/lock", "18446744073709551615"],
        names: "18446744073709551615",
    },
    BadInput {
        name: "PING-TIMEOUT-SECONDS not a number",
        prepare: NOTHING,
        arguments: &["%/lock", "5", "ten"],
        names: "ten",
    },
    BadInput {
        name: "PING-TIMEOUT-SECONDS negative",
        prepare: NOTHING,
        arguments: &["%/lock", "5", "-10"],
        names: "-10",
    },
    BadInput {
        name: "PING-TIMEOUT-SECONDS zero",
        prepare: NOTHING,
        arguments: &["%/lock", "5", "0"],
        names: "ping timeout",
    },
    BadInput {
        name: "an argument too many",
        prepare: NOTHING,
        arguments: &["%/lock", "5", "10", "surplus"],
        names: "surplus",
    },
    BadInput {
        name: "an unknown option",
        prepare: NOTHING,
        arguments: &["%/lock", "--frobnicate"],
        names: "--frobnicate",
    },
    BadInput {
        name: "an unknown lock type",
        prepare: NOTHING,
        arguments: &["%/lock", "--lock-type", "lease"],
        names: "lease",
    },
    BadInput {
        name: "--wait-seconds not a number",
        prepare: NOTHING,
        arguments: &["%/lock", "--wait-seconds", "long"],
        names: "long",
    },
    BadInput {
        name: "--acquire-timeout-seconds not a number",
        prepare: NOTHING,
        arguments: &["%/lock", "--acquire-timeout-seconds", "long"],
        names: "long",
    },
    BadInput { name: "a directory", prepare: NOTHING, arguments: &["%"], names: "%" },
    BadInput {
        name: "a directory to be, named by its dot",
        prepare: NOTHING,
        arguments: &["%/new/."],
        names: "%/new/.",
    },
    BadInput { name: "a FILE that does not begin with /", prepare: NOTHING, arguments: &["lock"], names: "lock" },
    BadInput { name: "RECHECK-SECONDS with a plus sign", prepare: NOTHING, arguments: &["%/lock", "+5"], names: "+5" },
    BadInput { name: "a device", prepare: NOTHING, arguments: &["/dev/null"], names: "/dev/null" },
    BadInput {
        name: "a FIFO",
        prepare: |dir| Ok(mkfifo(&dir.join("lock"), Mode::S_IRWXU)?),
        arguments: &["%/lock"],
        names: "%/lock",
    },
    BadInput {
        name: "a socket",
        prepare: |dir| UnixListener::bind(dir.join("lock")).map(drop).context("make a socket"),
        arguments: &["%/lock"],
        names: "%/lock",
    },
    BadInput {
        name: "a symbolic link",
        prepare: |dir| {
            File::create(dir.join("target"))?;
            Ok(symlink(dir.join("target"), dir.join("lock"))?)
        },
        arguments: &["%/lock"],
        names: "%/lock",
    },
    BadInput {
        name: "a symbolic link to nothing",
        prepare: |dir| Ok(symlink(dir.join("target"), dir.join("lock"))?),
        arguments: &["%/lock"],
        names: "%/lock",
    },
    BadInput { name: "a missing directory", prepare: NOTHING, arguments: &["%/missing/lock"], names: "%/missing/lock" },
    BadInput {
        name: "a file in the directory's place",
        prepare: |dir| File::create(dir.join("file")).map(drop).context("make a file"),
        arguments: &["%/file/lock"],
        names: "%/file/lock",
    },
    BadInput {
        name: "a world-writable directory without the sticky bit",
        prepare: |dir| Ok(fs::set_permissions(dir, Permissions::from_mode(0o777))?),
        arguments: &["%/lock"],
        names: "%",
    },
    BadInput {
        name: "--require-fs of a file system that is not mounted there",
        prepare: NOTHING,
        arguments: &["%/lock", "--require-fs", "ceph,fuse.glusterfs"],
        names: "fuse.glusterfs",
    },
    BadInput {
        name: "--require-fs without a type",
        prepare: NOTHING,
        arguments: &["%/lock", "--require-fs", ""],
        names: "--require-fs",
    },
];

pub(crate) fn trials() -> Vec<Trial> {
    let of = |bad: &'static BadInput| trial(format!("{}: 3 with one line, nothing made", bad.name), || refused(bad));
    let mut trials: Vec<Trial> = BAD_INPUTS.iter().map(of).collect();
    trials.push(trial("a read-only file system: 3 with one line, nothing made", read_only));
    trials.push(trial("--require-fs of a file that is mounted there from elsewhere: 3 with one line", mounted_file));
    trials.push(trial("a file system without locks: 3 with one line", || without_locks("posix")));
    trials.push(trial("a file system without locks, flock: 3 with one line", || without_locks("flock")));
    trials.push(trial("no descriptor to spare: 3 with one line", no_descriptors));
    trials.push(trial("standard error a pipe of another user: 3 with one line", pipe_of_another));
    trials.push(trial("an ofd lock on FUSE: 3 with one line, nothing made", ofd_on_fuse));
    trials
}

fn refused(bad: &BadInput) -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    (bad.prepare)(dir.path()).context("prepare the directory")?;
    let place = dir.path().display().to_string();
    let arguments = bad.arguments.iter().map(|argument| OsString::from(argument.replace('%', &place)));
    let before = listing(dir.path())?;
    let launch = Launch::new(programs::helper("ctdb_mutex_file_helper")?, arguments).in_directory(dir.path());
    ensure_refused(launch, &bad.names.replace('%', &place))?;
    let after = listing(dir.path())?;
    ensure!(before == after, "the directory held {before:?} and now holds {after:?}");
    Ok(())
}

fn ensure_refused(launch: Launch, names: &str) -> anyhow::Result<()> {
    let mut helper = launch.start()?;
    helper.expect('3', ANSWER_LIMIT)?;
    helper.end(GONE)?;
    let code = helper.exit_code(GONE)?;
    ensure!(code == 3, "exit code {code}");
    let line = helper.one_line()?;
    ensure!(line.contains(names), "the line {line:?} does not name {names:?}");
    Ok(())
}

fn listing(dir: &Path) -> anyhow::Result<Vec<OsString>> {
    let mut names = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// In a mount namespace of its own, which ends with the helper.
fn read_only() -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    let script = r#"mount -t tmpfs -o ro none "$0" && exec "$1" "$0/lock""#;
    let helper = programs::helper("ctdb_mutex_file_helper")?;
    let launch = Launch::new(programs::packaged("/usr/bin/unshare", "util-linux")?, ["-m", "/bin/sh", "-c", script])
        .arg(dir.path())
        .arg(helper);
    ensure_refused(launch, &dir.path().join("lock").display().to_string())
}

/// The directory is on a file system of the required kind, and the file is not.
fn mounted_file() -> anyhow::Result<()> {
    let (dir, elsewhere) = directory()?;
    File::create(&elsewhere)?;
    let place = dir.path().join("mounted");
    fs::create_dir(&place)?;
    let script = r#"mount -t tmpfs none "$0" && touch "$0/lock" && mount --bind "$2" "$0/lock" &&
        exec "$1" "$0/lock" --require-fs tmpfs"#;
    let helper = programs::helper("ctdb_mutex_file_helper")?;
    let launch = Launch::new(programs::packaged("/usr/bin/unshare", "util-linux")?, ["-m", "/bin/sh", "-c", script])
        .arg(&place)
        .arg(helper)
        .arg(&elsewhere);
    ensure_refused(launch, &place.join("lock").display().to_string())
}

fn without_locks(lock_type: &str) -> anyhow::Result<()> {
    let fs = HungFs::mount(Locks::None)?;
    let file = fs.path().join("lock");
    let launch = crate::helper(&file)?.args(&["--lock-type", lock_type]);
    ensure_refused(launch, &file.display().to_string())
}

/// Not even for writing the line.
fn no_descriptors() -> anyhow::Result<()> {
    let (_dir, file) = directory()?;
    // Without those that whoever runs the tests may have left open: the loader needs one.
    let script = r#"exec 3<&- 4<&- 5<&- 6<&- 7<&- 8<&- 9<&-; exec "$0" --nofile=4 "$@""#;
    let launch = Launch::new("/bin/sh", ["-c", script])
        .arg(programs::packaged("/usr/bin/prlimit", "util-linux")?)
        .arg(programs::helper("ctdb_mutex_file_helper")?)
        .arg(&file);
    ensure_refused(launch, "see the limits")
}

/// Root without its power over other users' files may write to the pipe, but not open it again.
fn pipe_of_another() -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    fchown(&writer, Some(Uid::from_raw(65534)), Some(Gid::from_raw(65534)))?;
    let missing = dir.path().join("missing/lock");
    let mut helper = Launch::new(
        programs::packaged("/usr/bin/setpriv", "util-linux")?,
        ["--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"],
    )
    .arg(programs::helper("ctdb_mutex_file_helper")?)
    .arg(&missing)
    .stderr(Stderr::Into(writer))
    .start()?;
    helper.expect('3', ANSWER_LIMIT)?;
    let code = helper.exit_code(GONE)?;
    ensure!(code == 3, "exit code {code}");
    let mut said = Vec::new();
    File::from(reader).read_to_end(&mut said).context("the line")?;
    let said = String::from_utf8_lossy(&said).into_owned();
    ensure!(said.lines().count() == 1 && said.contains(&missing.display().to_string()), "it said {said:?}");
    Ok(())
}

/// A killed holder would leave it behind.
fn ofd_on_fuse() -> anyhow::Result<()> {
    let fs = HungFs::mount(Locks::Remote)?;
    let file = fs.path().join("lock");
    ensure_refused(crate::helper(&file)?.args(&["--lock-type", "ofd"]), "use --lock-type posix")?;
    ensure!(!file.exists(), "{} was made", file.display());
    Ok(())
}
