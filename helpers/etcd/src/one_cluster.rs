//! In which etcd cluster the lock is taken: that of most of the members named.
//!
//! A member that was set up anew, with an empty cluster of its own, would give the lock to us beside the holder in the real
//! one. So before a try each member says which cluster it is of; no quorum is needed for that. More than half of those named
//! decide, and one that was named twice, by its name and by its address say, is one of them: it says who it is, too. Half of them are enough when the others have been silent for a moment, or refuse: with two members, one may be
//! down.

use futures_util::stream::{FuturesUnordered, StreamExt};
use mutex_core::backend::Failure;
use tokio::time::sleep;

use crate::ask::Members;
use crate::member::Identity;
use crate::trouble::{self, Refusal};

/// Finds the cluster; from then on a member of another one is none of ours.
pub(crate) async fn agree(members: &Members, operation: &str) -> Result<(), Failure> {
    members.begin();
    let each = members.iter().map(|member| {
        member.connection.ask();
        async { (&member.connection, member.identity().await) }
    });
    let mut asked: FuturesUnordered<_> = each.collect();
    let mut shown = Shown { named: asked.len(), members: Vec::new() };
    let agreed = loop {
        let undisputed = shown.undisputed();
        let (connection, answer) = tokio::select! {
            biased;
            Some(answer) = asked.next() => answer,
            () = sleep(members.patience()), if undisputed.is_some() && !asked.is_empty() => break undisputed,
            else => break undisputed,
        };
        match answer {
            Ok(member) => {
                connection.refused(Refusal::of_cluster(member.cluster));
                shown.count(member);
                if shown.is_most(member.cluster) {
                    break Some(member.cluster);
                }
            }
            Err(refusal) => connection.refused(refusal),
        }
    };
    match agreed {
        Some(cluster) => members.iter().for_each(|member| member.connection.access.cluster.set(Some(cluster))),
        None if shown.differ() => return Err(trouble::different_clusters(operation, members.iter())),
        None if shown.members.is_empty() => return Err(trouble::failure(operation, members.iter())),
        None => return Err(trouble::too_few(operation, members.iter())),
    }
    Ok(())
}

/// What the members have said so far.
struct Shown {
    /// How many members the list names, as far as is known: less than it has endpoints where two have shown the same member.
    named: usize,
    /// Each once.
    members: Vec<Identity>,
}

impl Shown {
    fn count(&mut self, member: Identity) {
        if self.members.contains(&member) {
            self.named = self.named.saturating_sub(1);
        } else {
            self.members.push(member);
        }
    }

    fn is_most(&self, cluster: u64) -> bool {
        2 * self.members.iter().filter(|member| member.cluster == cluster).count() > self.named
    }

    /// The cluster that at least half of the members have shown, and none another.
    fn undisputed(&self) -> Option<u64> {
        let first = self.members.first().filter(|_| !self.differ() && 2 * self.members.len() >= self.named);
        first.map(|member| member.cluster)
    }

    fn differ(&self) -> bool {
        self.members.windows(2).any(|pair| matches!(pair, [one, other] if one.cluster != other.cluster))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(named: usize, members: &[(u64, u64)]) -> Shown {
        let mut shown = Shown { named, members: Vec::new() };
        members.iter().for_each(|&(cluster, member)| shown.count(Identity { cluster, member }));
        shown
    }

    #[test]
    fn a_member_under_two_names_counts_once() {
        assert!(shown(3, &[(1, 1), (1, 2)]).is_most(1));
        // Of four names two are its own, so that three members are named.
        let twice = shown(4, &[(1, 1), (1, 1)]);
        assert!(!twice.is_most(1));
        assert_eq!(twice.undisputed(), None);
        assert_eq!(shown(4, &[(1, 1), (1, 2)]).undisputed(), Some(1));
    }

    #[test]
    fn all_names_may_be_of_one_member() {
        assert!(shown(3, &[(1, 1), (1, 1), (1, 1)]).is_most(1));
    }

    #[test]
    fn members_of_two_clusters_may_have_the_same_number() {
        let two = shown(2, &[(1, 1), (2, 1)]);
        assert!(two.differ() && !two.is_most(1) && !two.is_most(2) && two.undisputed().is_none());
    }
}
