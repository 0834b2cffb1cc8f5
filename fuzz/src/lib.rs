//! Fuzz targets for everything that the suite reads and did not write a moment ago.
//!
//! A target is a check in `checks/`: a function over bytes that says what must be true of them, whatever they are. It is used
//! twice: here, by libFuzzer (`targets/`, `make fuzz`), and as a unit test of the crate that it is about, over `seeds/` and what
//! is next to them, with every `make test`. So a check cannot rot, and needs no nightly compiler to say so.
//! One is not: `ctdb_conf_oracle` starts a program of CTDB's, which is not wherever the suite is built.
//!
//! Helpers are programs: nothing of theirs can be linked. The modules that read something are taken here by their path, as
//! they stand, and a check names them by `crate::`, which is this crate here and the helper there. So the product has no door
//! of its own for this, but in mutex-core: that one is linked, and its `fuzz` is there with `--cfg fuzzing` alone, which
//! `cargo fuzz` sets. Rejected: a library in each helper (its functions would be public, and the packages would have to know
//! it), and starting the programs (a thousandth of the speed).

// Of a helper's module only what reads is used here, and each group of checks has its own copy of what they share.
#![allow(dead_code, unreachable_pub, clippy::duplicate_mod)]

macro_rules! modules {
    ($($name:ident: $path:literal,)*) => { $(#[path = $path] mod $name;)* };
}

macro_rules! checks {
    ($($name:ident: $path:literal,)*) => { $(#[path = $path] pub mod $name;)* };
}

modules! {
    holder_line: "../../helpers/file/src/holder_line.rs",
    mount: "../../helpers/file/src/mount.rs",
}
modules! {
    class_lock: "../../helpers/rados/src/class_lock.rs",
    holding: "../../helpers/rados/src/holding.rs",
    service_dump: "../../helpers/rados/src/service_dump.rs",
}
modules! {
    config_file: "../../helpers/etcd/src/config_file.rs",
    endpoint: "../../helpers/etcd/src/endpoint.rs",
    file: "../../helpers/etcd/src/file.rs",
    layer: "../../helpers/etcd/src/layer.rs",
    lock_key: "../../helpers/etcd/src/lock_key.rs",
}
modules! {
    conf: "../../helpers/cli/src/conf.rs",
    holder: "../../helpers/cli/src/holder.rs",
    lock: "../../helpers/cli/src/lock.rs",
    ours: "../../helpers/cli/src/ours.rs",
    say: "../../helpers/cli/src/say.rs",
}

checks! {
    for_cli: "../checks/cli.rs",
    for_etcd: "../checks/etcd.rs",
    for_file: "../checks/file.rs",
    for_rados: "../checks/rados.rs",
}

#[cfg(fuzzing)]
pub use mutex_core::fuzz as for_core;
