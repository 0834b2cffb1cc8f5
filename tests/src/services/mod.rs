//! Real services, started as ordinary processes with their own ports and directories.
//!
//! Each is a type whose constructor starts it and waits until it is healthy, whose faults are methods with a twin
//! that heals, and whose `Drop` ends every process it started, also when the test failed.

pub mod ctdb;
pub mod disk;
pub mod fuse;
