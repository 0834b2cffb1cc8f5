//! The directory tree: inodes in a table, nothing ever freed (a test's file system lives for seconds).

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::time::SystemTime;

use fuser::{Errno, FileAttr, FileType, INodeNo};

/// The inode of the mount point itself.
pub(crate) const ROOT: u64 = 1;

/// A file or a directory.
pub(crate) struct Node {
    kind: FileType,
    permissions: u16,
    links: u32,
    owner: (u32, u32),
    changed: SystemTime,
    /// A file's content.
    pub(crate) data: Vec<u8>,
    /// A directory's names.
    pub(crate) names: BTreeMap<OsString, u64>,
}

/// The whole tree.
pub(crate) struct Tree {
    nodes: HashMap<u64, Node>,
    next: u64,
}

impl Tree {
    pub(crate) fn new() -> Self {
        let mut tree = Self { nodes: HashMap::new(), next: ROOT };
        tree.insert(FileType::Directory, 0o755, (0, 0));
        tree
    }

    fn insert(&mut self, kind: FileType, permissions: u16, owner: (u32, u32)) -> u64 {
        let inode = self.next;
        self.next += 1;
        self.nodes.insert(
            inode,
            Node {
                kind,
                permissions,
                links: 1,
                owner,
                changed: SystemTime::now(),
                data: Vec::new(),
                names: BTreeMap::new(),
            },
        );
        inode
    }

    pub(crate) fn node(&mut self, inode: u64) -> Result<&mut Node, Errno> {
        self.nodes.get_mut(&inode).ok_or(Errno::ESTALE)
    }

    pub(crate) fn find(&mut self, parent: u64, name: &OsStr) -> Result<u64, Errno> {
        self.node(parent)?.names.get(name).copied().ok_or(Errno::ENOENT)
    }

    pub(crate) fn add(
        &mut self,
        parent: u64,
        name: &OsStr,
        kind: FileType,
        mode: u32,
        owner: (u32, u32),
    ) -> Result<u64, Errno> {
        if self.node(parent)?.names.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        // The mask leaves twelve bits.
        let inode = self.insert(kind, u16::try_from(mode & 0o7777).unwrap_or(0o600), owner);
        self.node(parent)?.names.insert(name.to_owned(), inode);
        Ok(inode)
    }

    /// Takes a name away; the inode stays for those that have it open.
    pub(crate) fn remove(&mut self, parent: u64, name: &OsStr) -> Result<(), Errno> {
        let inode = self.find(parent, name)?;
        if !self.node(inode)?.names.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.node(parent)?.names.remove(name);
        let node = self.node(inode)?;
        node.links = node.links.saturating_sub(1);
        Ok(())
    }

    pub(crate) fn rename(
        &mut self,
        (parent, name): (u64, &OsStr),
        (new_parent, new_name): (u64, &OsStr),
    ) -> Result<(), Errno> {
        let inode = self.find(parent, name)?;
        if let Ok(replaced) = self.find(new_parent, new_name) {
            let node = self.node(replaced)?;
            node.links = node.links.saturating_sub(1);
        }
        self.node(parent)?.names.remove(name);
        self.node(new_parent)?.names.insert(new_name.to_owned(), inode);
        Ok(())
    }

    pub(crate) fn attributes(&mut self, inode: u64) -> Result<FileAttr, Errno> {
        let node = self.node(inode)?;
        let size = node.data.len() as u64;
        Ok(FileAttr {
            ino: INodeNo(inode),
            size,
            blocks: size.div_ceil(512),
            atime: node.changed,
            mtime: node.changed,
            ctime: node.changed,
            crtime: node.changed,
            kind: node.kind,
            perm: node.permissions,
            nlink: node.links,
            uid: node.owner.0,
            gid: node.owner.1,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        })
    }
}

impl Node {
    pub(crate) fn is_directory(&self) -> bool {
        self.kind == FileType::Directory
    }

    pub(crate) fn kind(&self) -> FileType {
        self.kind
    }

    pub(crate) fn set_permissions(&mut self, mode: u32) {
        self.permissions = u16::try_from(mode & 0o7777).unwrap_or(self.permissions);
        self.changed = SystemTime::now();
    }

    pub(crate) fn resize(&mut self, size: usize) {
        self.data.resize(size, 0);
        self.changed = SystemTime::now();
    }

    pub(crate) fn write(&mut self, offset: usize, data: &[u8]) {
        let end = offset + data.len();
        if self.data.len() < end {
            self.data.resize(end, 0);
        }
        self.data[offset..end].copy_from_slice(data);
        self.changed = SystemTime::now();
    }

    pub(crate) fn read(&self, offset: usize, size: usize) -> &[u8] {
        let start = offset.min(self.data.len());
        let end = (start + size).min(self.data.len());
        &self.data[start..end]
    }
}
