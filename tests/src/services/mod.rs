//! Real services, started as ordinary processes with their own addresses and directories.
//!
//! Each is a type whose constructor starts it and waits until it is healthy, whose faults are methods with a twin
//! that heals, and whose `Drop` ends every process it started, also when the test failed.

mod addresses;
pub mod ceph;
pub mod cephfs;
pub mod cluster_fs;
mod command;
pub mod ctdb;
pub mod disk;
pub mod etcd;
pub mod fuse;
mod fuse_server;
pub mod gluster;
mod guard;
pub mod in_memory;
pub mod keepalived;
pub mod moosefs;
pub mod network;
mod shared;
pub mod shared_fs;
pub mod sites;
