//! One mount: a client of the store, with its gate.

use std::ffi::OsStr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyLock, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use nix::libc::{self, F_UNLCK};

use crate::gate::{Gate, Wants};
use crate::locks::{Lock, Owner};
use crate::store::{Kept, LockMode, Store};

/// A lock that is waited for is asked for so often.
const ASK_AGAIN: Duration = Duration::from_millis(10);

/// A connection of a mount to the store. The handle of an open file is the session in which it was opened.
pub(crate) struct Client {
    pub(crate) store: Arc<Store>,
    pub(crate) mount: usize,
    /// Set when the connection is no more.
    pub(crate) gone: Arc<AtomicBool>,
}

impl Client {
    fn gate(&self) -> &Gate {
        &self.store.gates[self.mount]
    }

    /// Has the store do something, once the gate lets the request through; back once it lets the answer through.
    fn ask<T>(
        &self,
        wants: Wants,
        handle: Option<FileHandle>,
        work: impl FnOnce(&mut Kept, u64) -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let passed = self.gate().pass(wants, &self.gone);
        let done = passed.and_then(|()| self.store.serve(self.mount, &self.gone, handle.map(|handle| handle.0), work));
        self.gate().pass_back(&self.gone);
        done
    }

    fn answer_entry(&self, reply: ReplyEntry, result: Result<FileAttr, Errno>) {
        match result {
            Ok(attributes) => reply.entry(&self.store.time_to_live(), &attributes, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn answer_attributes(&self, reply: ReplyAttr, result: Result<FileAttr, Errno>) {
        match result {
            Ok(attributes) => reply.attr(&self.store.time_to_live(), &attributes),
            Err(error) => reply.error(error),
        }
    }

    /// Refuses lock calls where nobody keeps locks.
    fn keeps_locks(&self) -> Result<(), Errno> {
        if self.store.mode == LockMode::None { Err(Errno::ENOLCK) } else { Ok(()) }
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

impl Filesystem for Client {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        if self.store.mode != LockMode::Local {
            let wanted = InitFlags::FUSE_POSIX_LOCKS | InitFlags::FUSE_FLOCK_LOCKS;
            config
                .add_capabilities(wanted)
                .map_err(|missing| std::io::Error::other(format!("the kernel's FUSE lacks {missing:?}")))?;
        }
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.ask(Wants::Other, None, |kept, _| {
            let inode = kept.tree.find(parent.0, name)?;
            kept.tree.attributes(inode)
        });
        self.answer_entry(reply, found);
    }

    fn getattr(&self, _req: &Request, inode: INodeNo, handle: Option<FileHandle>, reply: ReplyAttr) {
        let attributes = self.ask(Wants::Attributes, handle, |kept, _| kept.tree.attributes(inode.0));
        self.answer_attributes(reply, attributes);
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
        handle: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        // A changed size changes content: held back with the writes.
        let wants = if size.is_some() { Wants::Write } else { Wants::Other };
        let changed = self.ask(wants, handle, |kept, _| {
            let node = kept.tree.node(inode.0)?;
            if let Some(mode) = mode {
                node.set_permissions(mode);
            }
            if let Some(size) = size {
                node.resize(count(size)?);
            }
            kept.tree.attributes(inode.0)
        });
        self.answer_attributes(reply, changed);
    }

    fn mkdir(&self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let made = self.ask(Wants::Other, None, |kept, _| {
            let owner = (req.uid(), req.gid());
            let inode = kept.tree.add(parent.0, name, FileType::Directory, mode & !umask, owner)?;
            kept.tree.attributes(inode)
        });
        self.answer_entry(reply, made);
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer_empty(reply, self.ask(Wants::Other, None, |kept, _| kept.tree.remove(parent.0, name)));
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer_empty(reply, self.ask(Wants::Other, None, |kept, _| kept.tree.remove(parent.0, name)));
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
        let renamed =
            self.ask(Wants::Other, None, |kept, _| kept.tree.rename((parent.0, name), (new_parent.0, new_name)));
        answer_empty(reply, renamed);
    }

    fn open(&self, _req: &Request, inode: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        match self.ask(Wants::Other, None, |kept, session| kept.tree.attributes(inode.0).map(|_| session)) {
            Ok(session) => reply.opened(FileHandle(session), FopenFlags::empty()),
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
        let made = self.ask(Wants::Other, None, |kept, session| {
            let owner = (req.uid(), req.gid());
            let inode = kept.tree.add(parent.0, name, FileType::RegularFile, mode & !umask, owner)?;
            kept.tree.attributes(inode).map(|attributes| (attributes, session))
        });
        match made {
            Ok((attributes, session)) => {
                let (ttl, handle) = (self.store.time_to_live(), FileHandle(session));
                reply.created(&ttl, &attributes, Generation(0), handle, FopenFlags::empty());
            }
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _req: &Request,
        inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let content = self.ask(Wants::Read, Some(handle), |kept, _| {
            kept.reads += 1;
            let (offset, size) = (count(offset)?, count(u64::from(size))?);
            Ok(kept.tree.node(inode.0)?.read(offset, size).to_vec())
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
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.ask(Wants::Write, Some(handle), |kept, _| {
            let offset = count(offset)?;
            kept.tree.node(inode.0)?.write(offset, data);
            u32::try_from(data.len()).map_err(|_| Errno::EFBIG)
        });
        match written {
            Ok(size) => reply.written(size),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _req: &Request, inode: INodeNo, handle: FileHandle, owner: LockOwner, reply: ReplyEmpty) {
        let closed = self.ask(Wants::Close, Some(handle), |kept, session| {
            kept.locks.drop_all_of(inode.0, Owner { session, owner });
            Ok(())
        });
        answer_empty(reply, closed);
    }

    fn release(
        &self,
        _req: &Request,
        inode: INodeNo,
        handle: FileHandle,
        _flags: OpenFlags,
        flock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        let closed = self.ask(Wants::Close, Some(handle), |kept, session| {
            if let Some(owner) = flock_owner {
                kept.locks.drop_all_of(inode.0, Owner { session, owner });
            }
            Ok(())
        });
        answer_empty(reply, closed);
    }

    fn fsync(&self, _req: &Request, _inode: INodeNo, handle: FileHandle, _data: bool, reply: ReplyEmpty) {
        answer_empty(reply, self.ask(Wants::Write, Some(handle), |_, _| Ok(())));
    }

    fn fsyncdir(&self, _req: &Request, _inode: INodeNo, _fh: FileHandle, _data: bool, reply: ReplyEmpty) {
        answer_empty(reply, self.ask(Wants::Write, None, |_, _| Ok(())));
    }

    fn readdir(&self, _req: &Request, inode: INodeNo, _fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let entries = self.ask(Wants::Other, None, |Kept { tree, .. }, _| {
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
        match self.ask(Wants::Other, None, |_, _| Ok(())) {
            Ok(()) => reply.statfs(1 << 20, 1 << 19, 1 << 19, 1 << 20, 1 << 19, 4096, 255, 4096),
            Err(error) => reply.error(error),
        }
    }

    fn getlk(
        &self,
        _req: &Request,
        inode: INodeNo,
        handle: FileHandle,
        owner: LockOwner,
        start: u64,
        end: u64,
        kind: i32,
        pid: u32,
        reply: ReplyLock,
    ) {
        let found = self.ask(Wants::Lock, Some(handle), |kept, session| {
            self.keeps_locks()?;
            let owner = Owner { session, owner };
            Ok(kept.locks.in_the_way_of(&Lock { inode: inode.0, owner, start, end, kind, pid }))
        });
        match found {
            Ok(Some(held)) => reply.locked(held.start, held.end, held.kind, held.pid),
            Ok(None) => reply.locked(start, end, F_UNLCK, 0),
            Err(error) => reply.error(error),
        }
    }

    fn setlk(
        &self,
        _req: &Request,
        inode: INodeNo,
        handle: FileHandle,
        owner: LockOwner,
        start: u64,
        end: u64,
        kind: i32,
        pid: u32,
        sleep: bool,
        reply: ReplyEmpty,
    ) {
        let set = || {
            self.ask(Wants::Lock, Some(handle), |kept, session| {
                self.keeps_locks()?;
                kept.locks.set(Lock { inode: inode.0, owner: Owner { session, owner }, start, end, kind, pid })
            })
        };
        // Ours never waits inside a lock call; Samba's helper does. Who is killed meanwhile is gone when the lock is free.
        let mut done = set();
        while sleep && done.as_ref().is_err_and(|&error| i32::from(error) == libc::EAGAIN) {
            std::thread::sleep(ASK_AGAIN);
            done = set();
        }
        answer_empty(reply, done);
    }
}
