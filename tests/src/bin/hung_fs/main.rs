//! A small file system in memory that can be made to hang.
//!
//!     hung_fs MOUNTPOINT local|remote|none
//!
//! The second argument says who keeps the locks: the kernel of this machine, this server, or nobody (ENOLCK).
//! Standard input takes one command a line, each answered with `ok`: `everything`, `writes`, `reads`, `locks`,
//! `attributes` or `nothing` is held back from then on; `cache` lets the kernel answer for the server; `forget` drops every lock the server keeps; `take along PATH` names a mount that is to end with
//! this one; `figures` is answered with `ok`, how often content was read so far, and how many locks the server keeps. `ok` is also said once, when the file system is mounted. At the end of standard input it unmounts and goes.

mod gate;
mod locks;
mod tree;

use std::ffi::OsStr;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use fuser::{
    BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    InitFlags, KernelConfig, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyLock, ReplyOpen, ReplyStatfs, ReplyWrite, Request, Session, TimeOrNow,
    WriteFlags,
};
use nix::libc::F_UNLCK;
use nix::mount::{MntFlags, umount2};

use gate::{Gate, Held, Wants, lock};
use locks::{Lock, Locks};
use tree::Tree;

/// For how long the kernel may answer for the server: not at all, unless told to. A look that must be fresh has to
/// reach the server either way.
fn time_to_live() -> Duration {
    if CACHED.load(Ordering::Relaxed) { Duration::from_secs(3600) } else { Duration::ZERO }
}

/// Whether the kernel may.
static CACHED: AtomicBool = AtomicBool::new(false);

/// Requests that can hang at once; each sits in one thread. More than a test's processes ever make.
const THREADS: usize = 16;

/// Who keeps the locks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LockMode {
    Local,
    Remote,
    None,
}

struct HungFs {
    gate: Arc<Gate>,
    mode: LockMode,
    tree: Mutex<Tree>,
    locks: Arc<Mutex<Locks>>,
    /// How often content was asked for: a helper's proof does so once.
    reads: Arc<AtomicU64>,
}

impl HungFs {
    /// Runs `work` on the tree once the gate lets the request through.
    fn on_tree<T>(&self, work: impl FnOnce(&mut Tree) -> Result<T, Errno>) -> Result<T, Errno> {
        self.gate.pass(Wants::Other);
        work(&mut lock(&self.tree))
    }
}

fn answer_entry(reply: ReplyEntry, result: Result<FileAttr, Errno>) {
    match result {
        Ok(attributes) => reply.entry(&time_to_live(), &attributes, Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn answer_attributes(reply: ReplyAttr, result: Result<FileAttr, Errno>) {
    match result {
        Ok(attributes) => reply.attr(&time_to_live(), &attributes),
        Err(error) => reply.error(error),
    }
}

fn answer_empty(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

/// An offset or a size as this machine counts; what does not fit is refused by the caller's arithmetic on it.
fn count(number: u64) -> Result<usize, Errno> {
    usize::try_from(number).map_err(|_| Errno::EFBIG)
}

impl Filesystem for HungFs {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        if self.mode != LockMode::Local {
            let wanted = InitFlags::FUSE_POSIX_LOCKS | InitFlags::FUSE_FLOCK_LOCKS;
            config
                .add_capabilities(wanted)
                .map_err(|missing| std::io::Error::other(format!("the kernel's FUSE lacks {missing:?}")))?;
        }
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        answer_entry(
            reply,
            self.on_tree(|tree| {
                let inode = tree.find(parent.0, name)?;
                tree.attributes(inode)
            }),
        );
    }

    fn getattr(&self, _req: &Request, inode: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        self.gate.pass(Wants::Attributes);
        answer_attributes(reply, self.on_tree(|tree| tree.attributes(inode.0)));
    }

    fn setattr(
        &self,
        _req: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        // A changed size changes content: held back with the writes.
        self.gate.pass(if size.is_some() { Wants::Write } else { Wants::Other });
        answer_attributes(
            reply,
            self.on_tree(|tree| {
                let node = tree.node(inode.0)?;
                if let Some(mode) = mode {
                    node.set_permissions(mode);
                }
                if let Some(size) = size {
                    node.resize(count(size)?);
                }
                tree.attributes(inode.0)
            }),
        );
    }

    fn mkdir(&self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        answer_entry(
            reply,
            self.on_tree(|tree| {
                let owner = (req.uid(), req.gid());
                let inode = tree.add(parent.0, name, FileType::Directory, mode & !umask, owner)?;
                tree.attributes(inode)
            }),
        );
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer_empty(reply, self.on_tree(|tree| tree.remove(parent.0, name)));
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer_empty(reply, self.on_tree(|tree| tree.remove(parent.0, name)));
    }

    fn rename(
        &self,
        _req: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        _flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        answer_empty(reply, self.on_tree(|tree| tree.rename((parent.0, name), (new_parent.0, new_name))));
    }

    fn open(&self, _req: &Request, inode: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        match self.on_tree(|tree| tree.attributes(inode.0)) {
            Ok(_) => reply.opened(FileHandle(0), FopenFlags::empty()),
            Err(error) => reply.error(error),
        }
    }

    fn create(
        &self,
        req: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let made = self.on_tree(|tree| {
            let owner = (req.uid(), req.gid());
            let inode = tree.add(parent.0, name, FileType::RegularFile, mode & !umask, owner)?;
            tree.attributes(inode)
        });
        match made {
            Ok(attributes) => {
                reply.created(&time_to_live(), &attributes, Generation(0), FileHandle(0), FopenFlags::empty());
            }
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _req: &Request,
        inode: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.gate.pass(Wants::Read);
        let content = self.on_tree(|tree| {
            let (offset, size) = (count(offset)?, count(u64::from(size))?);
            Ok(tree.node(inode.0)?.read(offset, size).to_vec())
        });
        match content {
            Ok(content) => reply.data(&content),
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _req: &Request,
        inode: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        self.gate.pass(Wants::Write);
        let written = self.on_tree(|tree| {
            let offset = count(offset)?;
            tree.node(inode.0)?.write(offset, data);
            u32::try_from(data.len()).map_err(|_| Errno::EFBIG)
        });
        match written {
            Ok(size) => reply.written(size),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _req: &Request, inode: INodeNo, _fh: FileHandle, owner: LockOwner, reply: ReplyEmpty) {
        self.gate.pass(Wants::Other);
        lock(&self.locks).drop_all_of(inode.0, owner);
        reply.ok();
    }

    fn release(
        &self,
        _req: &Request,
        inode: INodeNo,
        _fh: FileHandle,
        _flags: OpenFlags,
        flock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.gate.pass(Wants::Other);
        if let Some(owner) = flock_owner {
            lock(&self.locks).drop_all_of(inode.0, owner);
        }
        reply.ok();
    }

    fn fsync(&self, _req: &Request, _inode: INodeNo, _fh: FileHandle, _data: bool, reply: ReplyEmpty) {
        self.gate.pass(Wants::Write);
        reply.ok();
    }

    fn fsyncdir(&self, _req: &Request, _inode: INodeNo, _fh: FileHandle, _data: bool, reply: ReplyEmpty) {
        self.gate.pass(Wants::Write);
        reply.ok();
    }

    fn readdir(&self, _req: &Request, inode: INodeNo, _fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let entries = self.on_tree(|tree| {
            if !tree.node(inode.0)?.is_directory() {
                return Err(Errno::ENOTDIR);
            }
            let names = tree.node(inode.0)?.names.clone();
            let mut entries = Vec::new();
            for (name, child) in names {
                entries.push((child, tree.node(child)?.kind(), name));
            }
            Ok(entries)
        });
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => return reply.error(error),
        };
        for (next, (child, kind, name)) in (1..).zip(entries) {
            if next > offset && reply.add(INodeNo(child), next, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _req: &Request, _inode: INodeNo, reply: ReplyStatfs) {
        self.gate.pass(Wants::Other);
        reply.statfs(1 << 20, 1 << 19, 1 << 19, 1 << 20, 1 << 19, 4096, 255, 4096);
    }

    fn getlk(
        &self,
        _req: &Request,
        inode: INodeNo,
        _fh: FileHandle,
        owner: LockOwner,
        start: u64,
        end: u64,
        kind: i32,
        pid: u32,
        reply: ReplyLock,
    ) {
        self.gate.pass(Wants::Lock);
        if self.mode == LockMode::None {
            return reply.error(Errno::ENOLCK);
        }
        let wanted = Lock { inode: inode.0, owner, start, end, kind, pid };
        match lock(&self.locks).in_the_way_of(&wanted) {
            Some(held) => reply.locked(held.start, held.end, held.kind, held.pid),
            None => reply.locked(start, end, F_UNLCK, 0),
        }
    }

    fn setlk(
        &self,
        _req: &Request,
        inode: INodeNo,
        _fh: FileHandle,
        owner: LockOwner,
        start: u64,
        end: u64,
        kind: i32,
        pid: u32,
        sleep: bool,
        reply: ReplyEmpty,
    ) {
        self.gate.pass(Wants::Lock);
        if self.mode == LockMode::None {
            return reply.error(Errno::ENOLCK);
        }
        // A helper never waits inside a lock call: it could not be cancelled.
        if sleep {
            return reply.error(Errno::EDEADLK);
        }
        answer_empty(reply, lock(&self.locks).set(Lock { inode: inode.0, owner, start, end, kind, pid }));
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(mount_point), Some(mode), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        anyhow::bail!("usage: hung_fs MOUNTPOINT local|remote|none");
    };
    let mode = match mode.to_str() {
        Some("local") => LockMode::Local,
        Some("remote") => LockMode::Remote,
        Some("none") => LockMode::None,
        _ => anyhow::bail!("lock mode {}: not one of local, remote, none", mode.to_string_lossy()),
    };

    let gate = Arc::new(Gate::new());
    let locks = Arc::new(Mutex::new(Locks::default()));
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("hung_fs".into()), MountOption::DefaultPermissions];
    config.n_threads = Some(THREADS);
    let reads = Arc::new(AtomicU64::new(0));
    let fs = HungFs {
        gate: Arc::clone(&gate),
        mode,
        tree: Mutex::new(Tree::new()),
        locks: Arc::clone(&locks),
        reads: Arc::clone(&reads),
    };
    let session = Session::new(fs, &mount_point, &config)
        .and_then(Session::spawn)
        .with_context(|| format!("mount {} (package fuse3, device /dev/fuse)", mount_point.to_string_lossy()))?;

    let mut taken_along = Vec::new();
    let mut answers = std::io::stdout();
    writeln!(answers, "ok")?;
    for command in std::io::stdin().lock().lines() {
        match command?.as_str() {
            "everything" => gate.set(Held::Everything),
            "writes" => gate.set(Held::Writes),
            "locks" => gate.set(Held::Locks),
            "reads" => gate.set(Held::Reads),
            "attributes" => gate.set(Held::Attributes),
            "cache" => CACHED.store(true, Ordering::Relaxed),
            "nothing" => gate.set(Held::Nothing),
            "forget" => lock(&locks).forget(),
            "figures" => {
                writeln!(answers, "ok {} {}", reads.load(Ordering::Relaxed), lock(&locks).count())?;
                continue;
            }
            other => match other.strip_prefix("take along ") {
                Some(path) => taken_along.push(PathBuf::from(path)),
                None => anyhow::bail!("command {other:?}: not one that this knows"),
            },
        }
        writeln!(answers, "ok")?;
    }

    // Whoever started this is dead, else it had ended us: nothing may hang on the way out, and helpers that still have
    // files open must not keep the mount.
    gate.set(Held::Nothing);
    for place in taken_along.into_iter().chain([PathBuf::from(mount_point)]) {
        let _ = umount2(&place, MntFlags::MNT_DETACH);
        let _ = std::fs::remove_dir(&place);
    }
    drop(session);
    Ok(())
}
