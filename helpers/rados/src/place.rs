//! Where the lock is: cluster, user, pool, namespace, object; and how to get there.

use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use mutex_core::backend::Failure;
use nix::errno::Errno;

use crate::aside::aside;
use crate::librados::{Cluster, Pool};
use crate::trouble;

/// How long librados may try to reach the monitors before it says so; then another try begins. Whole seconds, and
/// less than the 5 s of a question (`--status`), so that the answer has these words.
const CONNECT_SECONDS: &CStr = c"3";
/// How long librados may wait for a map of the OSDs, and for the service map, which a manager that is dead never sends
/// (`--status` then does without). Whole seconds.
const MONITOR_SECONDS: &CStr = c"2";

/// A request that is not answered for so long makes librados ask the monitors for a newer map. When an OSD is gone it asks
/// for the next map, and for no more: where that one is of something else, only this finds the OSD that is back.
/// Ceph's default of 10 s is longer than a lease.
const ASK_FOR_MAP: &CStr = c"1";
/// How often librados looks for such requests; 5 s by default.
const LOOK_FOR_LATE: &CStr = c"0.5";

/// The lock's address.
#[derive(Clone)]
pub(crate) struct Place {
    /// The cluster's name, by which its configuration is found.
    pub(crate) cluster: String,
    /// With its type: `client.admin`.
    pub(crate) user: String,
    pub(crate) pool: String,
    pub(crate) namespace: Option<String>,
    pub(crate) object: String,
    /// The configuration file, where it is not the cluster's usual one.
    pub(crate) conf: Option<PathBuf>,
}

/// A connection to the lock's pool.
#[derive(Clone, Copy)]
pub(crate) struct Session {
    pub(crate) cluster: Cluster,
    pub(crate) pool: Pool,
}

impl Place {
    /// As messages name it: `pool/object`, `pool/namespace/object`.
    pub(crate) fn name(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{}/{namespace}/{}", self.pool, self.object),
            None => format!("{}/{}", self.pool, self.object),
        }
    }

    /// Connects. May take for ever, whatever time librados was told.
    pub(crate) fn connect(&self) -> Result<Session, Failure> {
        let cluster = Cluster::new(&self.cluster, &self.user).map_err(|error| {
            Failure::permanent("make a Ceph client for", error, "see CLUSTER and USER, as in: ceph client.admin")
        })?;
        let found = self.configure(cluster).and_then(|()| {
            cluster.connect().map_err(|error| trouble::connect(error, self, cluster))?;
            let pool = cluster.pool(&self.pool, self.namespace.as_deref());
            pool.map_err(|error| trouble::open_pool(error, self))
        });
        match found {
            Ok(pool) => Ok(Session { cluster, pool }),
            Err(failure) => {
                // Its threads go, if it can be ended; one more try, one more client.
                let _ = aside(move || cluster.shut_down());
                Err(failure)
            }
        }
    }

    fn configure(&self, cluster: Cluster) -> Result<(), Failure> {
        let path = self.conf.as_ref().and_then(|path| CString::new(path.as_os_str().as_bytes()).ok());
        let read = cluster.read_conf(path.as_deref());
        cluster.read_environment().map_err(|error| {
            Failure::permanent("read CEPH_ARGS for", error, "it must hold options as Ceph's programs take them")
        })?;
        match read {
            Ok(()) => {}
            // CEPH_ARGS alone may say all that is needed.
            Err(Errno::ENOENT) if self.conf.is_none() && !cluster.option(c"mon_host").is_empty() => {}
            Err(error) => return Err(trouble::read_conf(error, self)),
        }
        let options = [
            (c"client_mount_timeout", CONNECT_SECONDS),
            (c"rados_mon_op_timeout", MONITOR_SECONDS),
            // A helper that ends in an instant would leave it behind, at every try.
            (c"admin_socket", c""),
            // librados waits for whoever reads it (`-v`).
            (c"log_to_stderr", c"false"),
            (c"err_to_stderr", c"false"),
        ];
        for (option, value) in options {
            cluster.set_option(option, value).map_err(|error| {
                Failure::permanent("configure the Ceph client for", error, "see the version of librados")
            })?;
        }
        for (option, value) in [(c"objecter_timeout", ASK_FOR_MAP), (c"objecter_tick_interval", LOOK_FOR_LATE)] {
            // For developers, says Ceph: a librados without them is slower, and no worse.
            if let Err(error) = cluster.set_option(option, value) {
                tracing::info!("librados does not take {}: {error}", option.to_string_lossy());
            }
        }
        Ok(())
    }
}
