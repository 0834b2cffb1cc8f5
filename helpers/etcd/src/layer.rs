//! What one place says about how to reach etcd: the command line, the environment or the file.

/// It need not say all.
#[derive(Default)]
pub(crate) struct Layer {
    pub(crate) endpoints: Option<String>,
    pub(crate) cacert: Option<String>,
    pub(crate) cert: Option<String>,
    pub(crate) key: Option<String>,
    pub(crate) server_name: Option<String>,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) lease_seconds: Option<String>,
}
