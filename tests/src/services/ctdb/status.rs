//! What a node tells about the cluster.

/// The answer to `ctdb status`:
///
/// ```text
/// Number of nodes:3
/// pnn:0 127.1.2.1       OK (THIS NODE)
/// pnn:1 127.1.2.2       DISCONNECTED|UNHEALTHY|INACTIVE
/// …
/// Recovery mode:NORMAL (0)
/// Leader:2
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Status {
    /// The nodes that this one finds nothing wrong with, itself included.
    pub ok_nodes: usize,
    /// Whether it is in recovery.
    pub in_recovery: bool,
    /// Whom it calls the leader.
    pub leader: Option<usize>,
}

impl Status {
    pub(super) fn parse(text: &str) -> Self {
        let is_ok = |line: &&str| line.starts_with("pnn:") && line.split_whitespace().nth(2) == Some("OK");
        Self {
            ok_nodes: text.lines().filter(is_ok).count(),
            in_recovery: !text.lines().any(|line| line.starts_with("Recovery mode:NORMAL")),
            leader: text.lines().find_map(|line| line.strip_prefix("Leader:")?.parse().ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Status;

    #[test]
    fn a_healthy_cluster_is_read() {
        let text = "Number of nodes:2\npnn:0 127.1.2.1       OK (THIS NODE)\npnn:1 127.1.2.2       OK\n\
                    Generation:1\nRecovery mode:NORMAL (0)\nLeader:1\n";
        assert_eq!(Status::parse(text), Status { ok_nodes: 2, in_recovery: false, leader: Some(1) });
    }

    #[test]
    fn a_cluster_in_trouble_is_read() {
        let text = "Number of nodes:2\npnn:0 127.1.2.1       OK (THIS NODE)\npnn:1 127.1.2.2       UNHEALTHY\n\
                    Recovery mode:RECOVERY (1)\nLeader:UNKNOWN\n";
        assert_eq!(Status::parse(text), Status { ok_nodes: 1, in_recovery: true, leader: None });
    }
}
