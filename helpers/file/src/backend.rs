//! The storage verbs on a file.
//!
//! Every call blocks the keeper's thread for as long as the file system likes; the supervisor bounds it from the
//! other process. No future here ever waits, and that is why a proof costs one wake-up.

use std::cell::OnceCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use mutex_core::backend::{Acquired, Backend, Broken, Failure, HolderReport, HolderState, Identity, Renewed, Trouble};
use nix::errno::Errno;
use rustix::fs::{Advice, fadvise};
use serde_json::{Map, Value, json};

use crate::holder_line::{self, Line};
use crate::known;
use crate::lock::{Evidence, LockType, Owner, Taken, errno};
use crate::mount::{self, Mount};
use crate::place::{FileId, Found, Place, failure, identity};

/// File systems whose locks are all in this kernel's /proc/locks, under the device number that stat shows.
const LOCAL: [&str; 5] = ["ext2", "ext3", "ext4", "xfs", "tmpfs"];
/// File systems on a disk whose proof is known to read it. Not those that keep a small file's content with its inode, which
/// stays in memory: btrfs, as measured; GFS2 and OCFS2 are to be tried. Nor does a proof see a disk without a write cache
/// hang while nothing stands in the file.
const ON_A_DISK: [&str; 4] = ["ext2", "ext3", "ext4", "xfs"];
/// The announcing thread calls write() and little else.
const ANNOUNCE_STACK_BYTES: usize = 64 * 1024;

/// The cluster lock on a file.
pub(crate) struct FileLock {
    place: Place,
    lock_type: LockType,
    held: Option<Held>,
}

/// A lock that we took.
struct Held {
    /// The one descriptor: to close any other of this file would drop a POSIX lock.
    file: Arc<File>,
    id: FileId,
    mount: OnceCell<Option<Mount>>,
    evidence: Evidence,
}

impl Held {
    /// Its mount. Not asked for before CTDB has its answer.
    fn mount(&self) -> Option<&Mount> {
        self.mount.get_or_init(|| mount::of(&*self.file).ok()).as_ref()
    }

    /// Whether the file system is one of blocks on a disk that this machine itself reads and writes. Elsewhere the fresh
    /// look at the path asks another machine or process.
    fn is_on_a_disk(&self) -> bool {
        self.mount().is_some_and(|mount| ON_A_DISK.contains(&mount.kind.as_str()))
    }
}

impl FileLock {
    pub(crate) fn new(path: PathBuf, lock_type: LockType, required: Vec<String>) -> Self {
        Self { place: Place::new(path, required, lock_type), lock_type, held: None }
    }

    /// Whether what we hold still is what everybody else would lock.
    fn prove(&self, held: &Held) -> io::Result<Renewed> {
        // The path first: where another node has removed the file, CephFS answers questions about its locks up to 5 s late.
        match self.place.look()? {
            Found::Regular(id) if id == held.id => {}
            Found::Nothing => return Ok(Renewed::Lost("the file was removed".into())),
            Found::Regular(_) | Found::Other => return Ok(Renewed::Lost("the file was replaced".into())),
        }
        // Then the locks: that is the truth, and all else may be old. ceph-fuse answers it from its own memory for half a
        // minute after another has been given the lock.
        if !held.evidence.is_as_it_was(&held.file)? {
            return Ok(Renewed::Lost("the file system has dropped the lock, or given it to another".into()));
        }
        if held.is_on_a_disk() {
            // There all of the above is answered from memory, and so is a read of what has not reached the disk yet.
            // An error says that the disk answers: that alone costs nothing.
            let _ = held.file.sync_data();
        }
        // On MooseFS the content is a chunkserver's, which has nothing to do with the lock.
        if !held.mount().is_some_and(Mount::is_moosefs) {
            read_anew(&held.file)?;
        }
        Ok(Renewed::Kept(None))
    }

    fn holder_of(&self, file: &File, id: FileId, mount: &Mount) -> io::Result<(HolderState, Map<String, Value>)> {
        let is_flock = self.lock_type == LockType::Flock;
        let owner = if is_flock && LOCAL.contains(&mount.kind.as_str()) {
            flock_owner(id)?.map_or(Owner::Nobody, Owner::Process)
        } else {
            match self.lock_type.anybody(file)? {
                // Another's flock does not show everywhere.
                Owner::Nobody if is_flock => return Ok((HolderState::Unknown, Map::new())),
                owner => owner,
            }
        };
        let Owner::Process(pid) = owner else { return Ok((HolderState::Free, Map::new())) };
        let line = holder_line::read(file, line_place(mount));
        // A number that is not the line's: the line is an earlier holder's, and only the number is to be trusted.
        let holder = if pid > 0 && line.get("worker_pid").and_then(Value::as_i64) != Some(pid.into()) {
            Map::from_iter([("pid".to_owned(), pid.into())])
        } else {
            line
        };
        Ok((HolderState::Held, holder))
    }
}

impl Backend for FileLock {
    async fn acquire(&mut self, _holder: &Identity) -> Result<Acquired, Failure> {
        let file = self.place.open_to_lock()?;
        let look = |error| failure("look at", error, "see its file system");
        let id = identity(&file).map_err(look)?;
        match self.lock_type.take(&file) {
            Ok(Taken::Ours) => {}
            Ok(Taken::Contended) => return Ok(Acquired::Contended),
            Err(error) => {
                return Err(failure("lock", error, "its file system must support locks (see --lock-type)"));
            }
        }
        // Ours from here on: an error below leads to `release`.
        let held =
            self.held.insert(Held { file: Arc::new(file), id, mount: OnceCell::new(), evidence: Evidence::None });
        // Between open and lock another may have replaced it: then the lock is on a file that nobody else will lock.
        if !matches!(self.place.look().map_err(look)?, Found::Regular(found) if found == id) {
            return Err(Failure::transient("lock", "it was replaced meanwhile", "see who removes the lock file"));
        }
        // Only flock has to know the mount this early.
        let witness = self.lock_type == LockType::Flock && held.mount().is_some_and(known::has_witness);
        held.evidence = self.lock_type.evidence(&held.file, witness).map_err(|error| {
            Failure::transient("ask for", error, "see whether another program has locked the whole file")
        })?;
        Ok(Acquired::Held(None))
    }

    /// In a thread of its own: a file system that hangs in write() alone must not hang the proofs.
    async fn announce(&mut self, holder: &Identity) -> Result<(), Failure> {
        let Some(held) = &self.held else { return Ok(()) };
        let (file, holder) = (Arc::clone(&held.file), holder.clone());
        let (mount, lock_type, shows) = (held.mount().cloned(), self.lock_type, held.evidence.shows());
        thread::Builder::new()
            .name("announce".into())
            .stack_size(ANNOUNCE_STACK_BYTES)
            .spawn(move || {
                // What it is on decides where the line may be written.
                let Some(mount) = mount else { return };
                if let Err(error) = holder_line::write(&file, line_place(&mount), &holder) {
                    tracing::info!("cannot write the holder into the file, the lock is held all the same: {error}");
                }
                // What nobody reads is not asked for.
                if !tracing::enabled!(tracing::Level::WARN) {
                    return;
                }
                match known::caution(&mount, lock_type) {
                    Some(caution) => tracing::warn!("{caution}"),
                    None if !shows => tracing::warn!(
                        "the file system does not show the lock: only its errors and its silence tell of a loss"
                    ),
                    None => {}
                }
            })
            .map(drop)
            .map_err(|error| Failure::transient("write the holder into", error, "the lock is held all the same"))
    }

    async fn renew(&mut self) -> Result<Renewed, Failure> {
        let Some(held) = &self.held else { return Ok(Renewed::Lost("it was released".into())) };
        match self.prove(held) {
            Ok(renewed) => Ok(renewed),
            Err(error) if means_lost(&error) => {
                Ok(Renewed::Lost(format!("the file system has let go of the file: {error}")))
            }
            Err(error) => Err(Failure::transient("prove the lock on", error, "see its file system")),
        }
    }

    async fn release(&mut self) -> Result<(), Failure> {
        if let Some(held) = self.held.take() {
            self.lock_type.drop(&held.file);
        }
        Ok(())
    }

    async fn holder(&mut self) -> Result<HolderReport, Failure> {
        let (file, mount) = self.place.open_to_look()?;
        let mut store = Map::from_iter([
            ("file_system".to_owned(), mount.kind.clone().into()),
            ("mount_point".to_owned(), mount.point.clone().into()),
        ]);
        let Some(file) = file else {
            return Ok(HolderReport { state: HolderState::Free, holder: Map::new(), token: None, store });
        };
        let id = identity(&file).map_err(|error| failure("look at", error, "see its file system"))?;
        store.insert("device".to_owned(), format!("{}:{}", id.device.0, id.device.1).into());
        store.insert("inode".to_owned(), json!(id.inode));
        let (state, holder) = self
            .holder_of(&file, id, &mount)
            .map_err(|error| failure("ask for the holder of", error, "see its file system"))?;
        Ok(HolderReport { state, holder, token: None, store })
    }

    /// No token names a holding, and no call takes a lock from another process.
    async fn break_lock(&mut self, _token: &str) -> Result<Broken, Failure> {
        let found = self.holder().await.map(|report| report.holder).unwrap_or_default();
        let of = |key: &str| found.get(key).map(|value| value.as_str().map_or(value.to_string(), str::to_owned));
        let whose = match (of("pid"), of("host")) {
            (Some(pid), Some(host)) => format!(" (process {pid} on {host})"),
            (Some(pid), None) => format!(" (process {pid})"),
            _ => String::new(),
        };
        let cause = format!("a file lock belongs to its holder's process{whose} and goes with it alone");
        let remedy = "end that process, or have the cluster file system evict that host's client";
        Err(Failure::permanent("break the lock on", cause, remedy))
    }

    async fn health(&mut self) -> Result<String, Failure> {
        let (file, mount) = self.place.open_to_look()?;
        let ask = |error| failure("use", error, "see its file system");
        if let Some(file) = &file {
            if !mount.is_moosefs() {
                read_anew(file).map_err(ask)?;
            }
            self.lock_type.anybody(file).map_err(ask)?;
        }
        let what = if file.is_some() { "the file and its lock" } else { "the directory (no file yet)" };
        let caution = known::caution(&mount, self.lock_type).map(|caution| format!("; {caution}")).unwrap_or_default();
        Ok(format!("{what}, on {} ({}){caution}", mount.kind, mount.point))
    }

    /// Never said: a call that hangs, hangs the keeper's thread.
    fn silence(&self) -> Trouble {
        Trouble::new("reach", "its file system does not answer", "see whether it works (`stat -f`)")
    }
}

/// Reads from the file system, not from this machine's memory.
fn read_anew(file: &File) -> io::Result<()> {
    fadvise(file, 0, None, Advice::DontNeed)?;
    file.read_at(&mut [0], 0).map(drop)
}

/// Where the holder's line stands.
fn line_place(mount: &Mount) -> Line {
    if mount.is_moosefs() { Line::Attribute } else { Line::Content }
}

/// Who has flock's lock on the file, as far as this machine knows: `1: FLOCK  ADVISORY  WRITE 123 fe:00:456 0 EOF`
/// (proc(5)), the device in hexadecimal.
fn flock_owner(id: FileId) -> io::Result<Option<i32>> {
    let file = format!("{:02x}:{:02x}:{}", id.device.0, id.device.1, id.inode);
    let locks = std::fs::read_to_string("/proc/locks")?;
    Ok(locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        match fields.as_slice() {
            [_, "FLOCK", _, "WRITE", pid, of, ..] if *of == file => pid.parse().ok(),
            _ => None,
        }
    }))
}

/// What a cluster file system answers for a file whose locks it has dropped: the client was evicted or the mount's
/// daemon is gone (FACTS C3: EIO on CephFS and NFS, EBADFD on GlusterFS, ENOTCONN, ESHUTDOWN, ECONNABORTED on FUSE; EBADF
/// from a ceph-fuse that has connected anew, as measured: our own descriptor is open).
fn means_lost(error: &io::Error) -> bool {
    matches!(
        errno(error),
        Errno::EIO
            | Errno::ESTALE
            | Errno::EBADFD
            | Errno::EBADF
            | Errno::ENODEV
            | Errno::ENXIO
            | Errno::ENOTCONN
            | Errno::ESHUTDOWN
            | Errno::ECONNABORTED
    )
}
