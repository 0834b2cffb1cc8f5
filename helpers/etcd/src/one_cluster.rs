//! In which etcd cluster the lock is taken: that of most of the members named.
//!
//! A member that was set up anew, with an empty cluster of its own, would give the lock to us beside the holder in the real
//! one. So before a try each member says which cluster it is of; no quorum is needed for that. More than half of those named
//! decide. Half of them are enough when the others have been silent for a moment, or refuse: with two members, one may be
//! down.

use futures_util::stream::{FuturesUnordered, StreamExt};
use mutex_core::backend::Failure;
use tokio::time::sleep;

use crate::ask::Members;
use crate::trouble::{self, Refusal};

/// Finds the cluster; from then on a member of another one is none of ours.
pub(crate) async fn agree(members: &Members, operation: &str) -> Result<(), Failure> {
    members.begin();
    let each = members.iter().map(|member| {
        member.connection.ask();
        async { (&member.connection, member.cluster().await) }
    });
    let mut asked: FuturesUnordered<_> = each.collect();
    let named = asked.len();
    let mut shown: Vec<u64> = Vec::new();
    let agreed = loop {
        let undisputed = shown.first().filter(|first| shown.iter().all(|cluster| cluster == *first));
        let undisputed = undisputed.filter(|_| 2 * shown.len() >= named).copied();
        let (connection, answer) = tokio::select! {
            biased;
            Some(answer) = asked.next() => answer,
            () = sleep(members.patience()), if undisputed.is_some() && !asked.is_empty() => break undisputed,
            else => break undisputed,
        };
        match answer {
            Ok(cluster) => {
                connection.refused(Refusal::of_cluster(cluster));
                shown.push(cluster);
                if 2 * shown.iter().filter(|other| **other == cluster).count() > named {
                    break Some(cluster);
                }
            }
            Err(refusal) => connection.refused(refusal),
        }
    };
    let differ = shown.windows(2).any(|pair| matches!(pair, [one, other] if one != other));
    match agreed {
        Some(cluster) => members.iter().for_each(|member| member.connection.access.cluster.set(Some(cluster))),
        None if differ => return Err(trouble::different_clusters(operation, members.iter())),
        None if shown.is_empty() => return Err(trouble::failure(operation, members.iter())),
        None => return Err(trouble::too_few(operation, members.iter())),
    }
    Ok(())
}
