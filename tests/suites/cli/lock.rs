//! LOCK: from the command line, from ctdb.conf, and wrong.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, ensure};
use mutex_tests::process::answer::Answer;
use mutex_tests::process::programs;

use crate::Case;
use crate::running::{fact, script};
use crate::tool::{LIMIT, answer, directory, expect_code, file_lock, objects, text, tool};

pub(crate) const CASES: &[Case] = &[
    ("LOCK in ctdb.conf is what CTDB's own program reads there", as_ctdb_reads),
    ("a ctdb.conf that CTDB ignores as a whole is told, with the line", ignored_whole),
    ("without LOCK it is read from ctdb.conf in CTDB_BASE, whichever name it has there", from_ctdb_conf),
    ("without LOCK, and without one in ctdb.conf, that is said", nowhere),
    ("LOCK is split as CTDB splits it, and quotes are warned of", split),
    ("a LOCK that CTDB cannot use is refused with what CTDB would make of it", wrong),
    ("a program is one of ours by its note, stripped or not, and no garbled file is", ours),
];

/// CTDB's reader of ctdb.conf.
fn oracle(base: &Path, name: &str) -> anyhow::Result<Option<Vec<u8>>> {
    let program = programs::packaged("/usr/libexec/ctdb/ctdb-config", "ctdb")?;
    let mut command = Command::new(program);
    command.args(["get", "cluster", name]).env("CTDB_TEST_MODE", "yes").env("CTDB_BASE", base);
    let output = command.output().context("run ctdb-config")?;
    let value = output.stdout.strip_suffix(b"\n").unwrap_or(&output.stdout);
    // An empty line is a name that is not set; where the file cannot be loaded it says so and fails.
    Ok(output.status.success().then(|| value.to_vec()))
}

fn base(dir: &Path, text: &[u8]) -> anyhow::Result<PathBuf> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let base = dir.join(format!("base-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir(&base)?;
    fs::write(base.join("ctdb.conf"), text)?;
    Ok(base)
}

/// Files that somebody could write. The values lead nowhere.
const FILES: &[&[u8]] = &[
    b"[cluster]\n\tcluster lock = /q/b\n",
    b"[cluster]\r\n\tcluster lock = /q/b\r\n",
    b"[cluster]\n\tcluster lock = /q/b",
    b"[cluster]\n\tcluster lock = /q/b\\\n  /c\n",
    b"[cluster]\n\tcluster lock = /q/b\\\n/c\n",
    b"[cluster]\n\tcluster lock = /q/b\\ \r\n/c\n",
    b"[cluster]\n\tcluster lock = /q/b\\",
    b"[cluster]\n\tcluster lock = /q/b \\\n\n",
    b"[cluster]\n\tcluster\\\n lock = /q/b \\\n#x\n",
    b"[ cluster ]\n\tcluster lock = /q/b\n",
    b"[cluster ]\n\tcluster lock = /q/b\n",
    b"[clus\\\nter]\n\tcluster lock = /q/b\n",
    b"[cluster] x\n\tcluster lock = /q/b\n",
    b"[cluster]\n\tcluster  \t lock = /q/b  \t c\n",
    b"[cluster]\n\tclusterlock = /q/b\n",
    b"[cluster]\n\tcluster lock  /q/b\n",
    b"[cluster]\ncluster lock=/q/b\n",
    b"[CLUSTER]\n\tcluster lock = /q/b\n",
    b"[cluster]\n\tCluster lock = /q/b\n",
    b"[cluster]\n\tcluster lock = /q/b\n[cluster]\n\tcluster lock = /q/c\n",
    b"[cluster]\n\tcluster lock = /q/b\n[database]\n[cluster]\n\tcluster lock = /q/c\n",
    b"[cluster]\n\tcluster lock = /q/b\n\tcluster lock = /q/c\n",
    b"[cluster]\n\tcluster lock = /q/b = c\n",
    b"[cluster]\n\tcluster lock = /q/b # c\n",
    b"[cluster]\n\tcluster lock = # c\n",
    b"[cluster]\n#\tcluster lock = /q/b\n;\tcluster lock = /q/b\n",
    b"[cluster]\n# goes on \\\n\tcluster lock = /q/b\n",
    b"[cluster]\n\\\n# cluster lock = /q/b\n",
    b"[cluster]\n\\\n\n# x\n cluster lock = /q/b\n",
    b"[cluster]\n\tcluster lock = \n",
    b"[cluster]\n\tcluster lock = /q\xff\xfe/b\n",
    b"[cluster]\n# \xff\xfe\n\tcluster lock = /q/b\n",
    b"[cluster]\n\tcluster lock = /q\x0b/b \x0c c\n",
    b"[cluster]\n\tcluster lock = \"/q  b\"\n",
    b"[cluster]\n\tcluster lock = q\n",
    b"[x]\ny = z\n[cluster]\n\tcluster lock = /q\n",
    b"[cluster]\n\ty = z\n\tcluster lock = /q\n",
    b"cluster lock = /q\n",
    b"cluster lock = /q\n[cluster]\n",
    b"\xef\xbb\xbf[cluster]\ncluster lock = /q\n",
    b"[cluster]\n= x\n\tcluster lock = /q\n",
    b"[cluster\n\tcluster lock = /q\n",
    b"[cluster]\n\tcluster lock = /q\n[x\n",
    b"[]\n[cluster]\n\tcluster lock = /q\n[]\n",
    b"[cluster]]\n\tcluster lock = [x]\n",
    b"[cluster]\n\tcluster lock = /q/b\0c\n",
    b"[cluster]\n\tcluster lock = /q/b \0\\\n/c\n",
    b"[cluster]\n\tcluster lock\0 = /q/b\n",
    b"[cluster]\n\tcluster lock = /q\n[x\0]\n",
    b"[cluster]\n\tcluster lock = /q\n\0= x\n\0\0",
    b"",
    b"\n\n",
];

/// What files are made of at random: whatever means something to some reader of such files.
const PIECES: &[&[u8]] = &[
    b"[cluster]\n",
    b"[Cluster]",
    b"[cluster ]\n",
    b"[x]\n",
    b"[",
    b"]",
    b"cluster lock = /q\n",
    b"cluster lock",
    b"cluster lock=/q",
    b"recovery lock = /r\n",
    b" ",
    b" ",
    b"\t",
    b"\r",
    b"\n",
    b"\n",
    b"\n",
    b"\\",
    b"\\\n",
    b"\\\r\n",
    b"\\ \n",
    b"\r\n",
    b"=",
    b"=",
    b"#",
    b";",
    b"/q",
    b"b c",
    b"\"",
    b"\x0b",
    b"\x0c",
    b"\xff",
    b"\0",
    b"node address = 127.0.0.1\n",
];

/// A file of some pieces, most with a lock in them; always the same for a number.
fn generated(number: u64) -> Vec<u8> {
    // A small generator of Marsaglia's (xorshift) is random enough, and its files are the same everywhere.
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap_or_default() % below
    };
    let mut file = Vec::new();
    if next(5) > 0 {
        file.extend(b"[cluster]\n");
    }
    for part in 0..2 {
        for _ in 0..next(6) {
            file.extend(PIECES[next(PIECES.len())]);
        }
        if part == 0 && next(4) > 0 {
            file.extend(b"cluster lock = /q");
        }
    }
    file
}

fn as_ctdb_reads() -> anyhow::Result<()> {
    const GENERATED: u64 = 300;
    let (dir, _) = directory()?;
    let all: Vec<Vec<u8>> = FILES.iter().map(|file| file.to_vec()).chain((0..GENERATED).map(generated)).collect();
    let half = all.len() / 2;
    let read =
        |files: &[Vec<u8>]| files.iter().map(|file| same_as_oracle(dir.path(), file)).sum::<anyhow::Result<usize>>();
    let (first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(|| read(&all[half..]));
        (read(&all[..half]), other.join())
    });
    let with_value = first? + second.map_err(|_| anyhow::anyhow!("a panic"))??;
    // Else this would have shown nothing.
    ensure!(with_value > all.len() / 4, "only {with_value} of {} files had a lock", all.len());
    Ok(())
}

/// Compares; 1 where CTDB found a lock.
fn same_as_oracle(dir: &Path, file: &[u8]) -> anyhow::Result<usize> {
    let base = base(dir, file)?;
    let of_ctdb = match oracle(&base, "cluster lock")? {
        Some(value) if value.is_empty() => oracle(&base, "recovery lock")?,
        found => found,
    };
    let said = tool(["status", "--json", "--timeout-seconds", "1"])?.env("CTDB_BASE", &base).answer(LIMIT)?;
    let shown = String::from_utf8_lossy(file);
    // Where CTDB does not load the file, no answer can be wrong.
    let Some(value) = of_ctdb else { return Ok(0) };
    let Ok(value) = String::from_utf8(value) else {
        ensure!(said.code == 3 && said.stderr.contains("UTF-8"), "{shown:?}: {:?}", said.stderr);
        return Ok(1);
    };
    match objects(&said)?.first() {
        // What can be no lock is refused with the text in the message.
        None if value.is_empty() => {
            ensure!(said.code == 3 && said.stderr.contains("without"), "{shown:?}: {:?}", said.stderr)
        }
        None => ensure!(
            said.stderr.contains(&format!("LOCK {value:?} ")),
            "{shown:?} is {value:?} for CTDB: {:?}",
            said.stderr
        ),
        Some(told) => ensure!(told["lock"] == *value, "{shown:?} is {value:?} for CTDB: {told}"),
    }
    fs::remove_dir_all(base)?;
    Ok(usize::from(!value.is_empty()))
}

fn ignored_whole() -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    for (line, text) in [("= x", "[cluster]\ncluster lock = /q\n= x\n"), ("[x", "[cluster]\ncluster lock = /q\n[x\n")] {
        let base = base(dir.path(), text.as_bytes())?;
        // That it does is CTDB's part.
        ensure!(oracle(&base, "cluster lock")?.is_some_and(|value| value.is_empty()), "CTDB does not ignore {text:?}");
        let said = tool(["status"])?.env("CTDB_BASE", &base).answer(LIMIT)?;
        expect_code(&said, 3)?;
        let told = said.stderr.contains(&format!("{line:?}")) && said.stderr.contains("ignores the whole file");
        ensure!(told && said.stderr.lines().count() == 1, "{:?}", said.stderr);
    }
    Ok(())
}

fn from_ctdb_conf() -> anyhow::Result<()> {
    let (dir, file) = directory()?;
    let lock = file_lock(&file)?;
    for text in [
        format!("[cluster]\n  cluster lock = {lock}\n"),
        format!("[cluster]\n  recovery lock = {lock}\n"),
        format!("[cluster]\n  recovery lock = /other\n  cluster lock = {lock}\n"),
        format!("[cluster]\n  cluster lock = {lock}\n  recovery lock = /other\n"),
    ] {
        let base = base(dir.path(), text.as_bytes())?;
        let said = tool(["status", "--json"])?.env("CTDB_BASE", &base).answer(LIMIT)?;
        expect_code(&said, 0)?;
        ensure!(objects(&said)?[0]["lock"] == *lock, "{text:?}: {:?}", objects(&said)?);
    }
    Ok(())
}

fn nowhere() -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    let expect = |said: &Answer, words: &[&str]| -> anyhow::Result<()> {
        expect_code(said, 3)?;
        let all = words.iter().all(|word| said.stderr.contains(word)) && said.stderr.lines().count() == 1;
        ensure!(all, "not {words:?}: {:?}", said.stderr);
        Ok(())
    };
    let missing = dir.path().join("missing");
    let said = tool(["status"])?.env("CTDB_BASE", &missing).answer(LIMIT)?;
    expect(&said, &["no LOCK given", "missing/ctdb.conf", "CTDB_BASE"])?;
    let without = base(dir.path(), b"[cluster]\n  node address = 127.0.0.1\n")?;
    let said = tool(["status"])?.env("CTDB_BASE", &without).answer(LIMIT)?;
    expect(&said, &["no LOCK given", "ctdb.conf", "cluster lock", "without"])?;
    let empty = base(dir.path(), b"[cluster]\n  cluster lock =\n")?;
    let said = tool(["status"])?.env("CTDB_BASE", &empty).answer(LIMIT)?;
    expect(&said, &["ctdb.conf", "no value", "does not start"])
}

fn split() -> anyhow::Result<()> {
    let (dir, _) = directory()?;
    let words = dir.path().join("words");
    let helper = script(dir.path(), "helper", &format!("printf '%s\\n' \"$@\" > {}\nprintf 1", words.display()))?;
    let expect = |rest: &str, wanted: &str, warns_of: Option<&str>| -> anyhow::Result<()> {
        let said = answer(["hold".to_owned(), format!(" !{rest}").replace('@', &helper.to_string_lossy())])?;
        expect_code(&said, 1)?;
        let split = fs::read_to_string(&words)?;
        ensure!(split == wanted, "{rest:?} is {split:?}");
        match warns_of {
            None => ensure!(said.stderr.is_empty(), "{rest:?}: {:?}", said.stderr),
            Some(word) => ensure!(
                said.stderr.lines().count() == 1 && said.stderr.contains("warning") && said.stderr.contains(word),
                "{rest:?}: {:?}",
                said.stderr
            ),
        }
        Ok(())
    };
    expect("@ a  b\tc \t d ", "a\nb\nc\nd\n", None)?;
    expect(" \t@ a", "a\n", None)?;
    expect("@ $HOME *\\ ~ %s", "$HOME\n*\\\n~\n%s\n", None)?;
    expect("@ 'a b' \"c\"", "'a\nb'\n\"c\"\n", Some("'a"))?;
    expect("@ a # b", "a\n#\nb\n", Some("#"))?;

    // A file's name is never split.
    let file = dir.path().join("a lock");
    let said = tool(["status", "--json"])?.arg(&file).answer(LIMIT)?;
    expect_code(&said, 0)?;
    let told = &objects(&said)?[0];
    ensure!(told["object"] == *file.to_string_lossy() && said.stderr.contains("one file"), "{told}, {:?}", said.stderr);
    Ok(())
}

fn wrong() -> anyhow::Result<()> {
    let (dir, file) = directory()?;
    let dir = dir.path();
    let started = dir.join("started");
    let runs = format!("echo > {}", started.display());
    let plain = script(dir, "plain", &runs)?;
    fs::set_permissions(&plain, Permissions::from_mode(0o644))?;
    let headless = dir.join("headless");
    fs::write(&headless, &runs)?;
    fs::set_permissions(&headless, Permissions::from_mode(0o755))?;
    let orphan = script(dir, "orphan", "")?;
    fs::write(&orphan, "#!/no/such/shell\n")?;
    let samba = "/usr/libexec/ctdb/ctdb_mutex_fcntl_helper";

    let cases = [
        ("".to_owned(), "is empty"),
        ("!".to_owned(), "names no helper"),
        ("! \t ".to_owned(), "names no helper"),
        ("!/no/such/helper x".to_owned(), "No such file"),
        ("!helper x".to_owned(), "not an absolute path"),
        ("!./helper x".to_owned(), "not an absolute path"),
        (format!("!{} x", dir.display()), "not a file"),
        (format!("!{}", plain.display()), "not executable"),
        (format!("!{}", headless.display()), "nor with #!"),
        (format!("!{}", orphan.display()), "nor with #!"),
        (format!("!\"{samba}\" {}", file.display()), "no quoting"),
        (format!("\"!{samba} {}\"", file.display()), "no ! in front"),
        (format!("{samba} {}", file.display()), "no ! in front"),
        (format!("'{}'", file.display()), "no quoting"),
        ("relative/lock".to_owned(), "whole path"),
        ("--status".to_owned(), "whole path"),
        (format!("!{} {0}", file.display()), "No such file"),
    ];
    for (lock, words) in cases {
        for command in ["hold", "status"] {
            // Behind -- an option is a LOCK too.
            let said = tool([command, "--", &lock])?.in_directory(dir).answer(LIMIT)?;
            ensure!(said.code == 3, "{command} {lock:?}: exit code {}, {:?}", said.code, said.stderr);
            let lines = said.stderr.lines().count();
            ensure!(
                lines == 1 && said.stderr.contains(words),
                "{command} {lock:?}: {:?} has no {words:?}",
                said.stderr
            );
            ensure!(said.stdout.is_empty(), "{command} {lock:?}: {:?}", text(&said));
        }
    }
    ensure!(!started.exists(), "one of them was started");
    ensure!(!file.exists(), "one of them made the file");
    Ok(())
}

fn ours() -> anyhow::Result<()> {
    let (dir, file) = directory()?;
    let own = programs::helper("ctdb_mutex_file_helper")?;
    let code = |program: &Path| -> anyhow::Result<i32> {
        let said = answer(["status".to_owned(), format!("!{} {}", program.display(), file.display())])?;
        let panicked = said.stderr.contains("panicked") || said.code > 100;
        ensure!(!panicked, "{}: exit code {}, {:?}", program.display(), said.code, said.stderr);
        if said.code == 3 {
            ensure!(said.stderr.contains("not a helper of this suite"), "{}: {:?}", program.display(), said.stderr);
            ensure!(fact(text(&said).trim(), "state")? == "unknown", "{:?}", text(&said));
        }
        Ok(said.code)
    };
    ensure!(code(&own)? == 0, "ours is not known");
    let stripped = dir.path().join("stripped");
    let strip = Command::new("strip").arg("-o").arg(&stripped).arg(&own).status().context("run strip (binutils)")?;
    ensure!(strip.success() && code(&stripped)? == 0, "ours, stripped, is not known");
    let samba = programs::packaged("/usr/libexec/ctdb/ctdb_mutex_fcntl_helper", "ctdb")?;
    ensure!(code(&samba)? == 3, "Samba's is taken for ours");
    ensure!(code(&script(dir.path(), "script", "# ctdb-mutex")?)? == 3, "a script is taken for ours");

    // Its parts are cut off or overwritten; none of these files can be started, so none must be taken for ours.
    let bytes = fs::read(&own)?;
    let sections = usize::try_from(u64::from_le_bytes(bytes[0x28..0x30].try_into()?))?;
    let garbled = dir.path().join("garbled");
    let mut broken: Vec<Vec<u8>> =
        [4, 15, 16, 40, 63, 64, 65, 1000, sections - 1].iter().map(|&length| bytes[..length].to_vec()).collect();
    // Where the sections begin, how many there are, and their names.
    for (at, length) in [(0x28, 8), (0x3a, 2), (0x3c, 2), (0x3e, 2)] {
        for value in [0xff, 0x7f, 0x01] {
            let mut bytes = bytes.clone();
            bytes[at..at + length].fill(value);
            broken.push(bytes);
        }
    }
    broken.push([&bytes[..sections], &vec![0xff; bytes.len() - sections][..]].concat());
    for (number, bytes) in broken.iter().enumerate() {
        fs::write(&garbled, bytes)?;
        fs::set_permissions(&garbled, Permissions::from_mode(0o755))?;
        let code = code(&garbled).with_context(|| format!("garbled in way {number}"))?;
        ensure!(code == 3 || number >= 9, "cut off at {}: exit code {code}", bytes.len());
    }
    Ok(())
}
