//! The users of a cluster with authentication: who may do what.

use anyhow::Context;

use super::Etcd;

/// A user.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    /// The name.
    pub user: &'static str,
    /// The password.
    pub password: &'static str,
}

/// May do everything.
pub const ROOT: Account = Account { user: "root", password: "root-secret" };

/// May read and write below [`PREFIX`], and nothing else. The clients' certificate has this name.
pub const CTDB: Account = Account { user: "ctdb", password: "ctdb-secret" };

/// May read below [`PREFIX`], and nothing else.
pub const READER: Account = Account { user: "reader", password: "reader-secret" };

/// What the keys begin with that the two may touch.
pub const PREFIX: &str = "locks/";

/// The cheapest hash of passwords: at the default each command takes a tenth of a second more.
pub(super) const HASH_COST: &str = "4";

impl Etcd {
    /// Makes the users, and from then on demands that clients name themselves.
    pub(super) fn demand_names(&self) -> anyhow::Result<()> {
        for (account, rights) in [(ROOT, None), (CTDB, Some("readwrite")), (READER, Some("read"))] {
            let Account { user, password } = account;
            let role = format!("{user}-role");
            let mut commands = vec![vec!["user", "add", user, "--new-user-password", password]];
            if let Some(rights) = rights {
                commands.push(vec!["role", "add", &role]);
                commands.push(vec!["role", "grant-permission", &role, rights, PREFIX, "--prefix"]);
                commands.push(vec!["user", "grant-role", user, &role]);
            }
            for command in commands {
                self.etcdctl_as(None, &command).with_context(|| format!("make the user {user}"))?;
            }
        }
        // Gives root its role too.
        self.etcdctl_as(None, &["auth", "enable"]).map(drop)
    }
}
