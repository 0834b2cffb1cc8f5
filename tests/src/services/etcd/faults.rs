//! What can be done to a cluster.

use super::{Etcd, MEMBERS, Member, Site};
use crate::fault::Fault;

impl Etcd {
    /// Nothing answers; what is asked for meanwhile may happen after the thaw.
    pub fn all_frozen(&self) -> Fault<'_> {
        self.frozen("frozen", self.members.iter().collect())
    }

    /// This member does not answer; the others go on, under another leader if it was that.
    pub fn member_frozen(&self, member: usize) -> Fault<'_> {
        self.frozen("member frozen", vec![&self.members[member]])
    }

    /// This member alone is not frozen: it answers, but nothing can be agreed on.
    pub fn quorum_frozen(&self, survivor: usize) -> Fault<'_> {
        self.frozen("quorum frozen", self.all_but(survivor))
    }

    /// This member's process is gone. Healed by a start on what it had written; waits until it is one of them again.
    pub fn member_killed(&self, member: usize) -> Fault<'_> {
        self.killed("member killed", vec![member])
    }

    /// Only this member's process is left: it answers, but nothing can be agreed on. Healed as [`Self::member_killed`].
    pub fn quorum_killed(&self, survivor: usize) -> Fault<'_> {
        self.killed("quorum killed", (0..MEMBERS).filter(|&member| member != survivor).collect())
    }

    /// Stops one where it is. Its twin is [`Self::thaw_member`].
    pub fn freeze_member(&self, member: usize) -> anyhow::Result<()> {
        self.members[member].freeze()
    }

    /// Lets it go on.
    pub fn thaw_member(&self, member: usize) -> anyhow::Result<()> {
        self.members[member].go_on()
    }

    /// This member's process goes, and nothing waits for what that brings about: for who has several
    /// faults at once. Its twin is [`Self::bring_up_member`].
    pub fn take_down_member(&self, member: usize) {
        self.members[member].kill();
    }

    /// Starts one that was taken down.
    pub fn bring_up_member(&self, member: usize) -> anyhow::Result<()> {
        self.start_member(member)
    }

    /// No process is left: every port refuses. Healed as [`Self::member_killed`].
    pub fn all_killed(&self) -> Fault<'_> {
        self.killed("all members killed", (0..MEMBERS).collect())
    }

    /// Nothing reaches this member or comes from it, and nobody is told. What was sent meanwhile is sent again for
    /// seconds after the healing, as TCP does.
    pub fn member_cut_off(&self, member: usize) -> Fault<'_> {
        self.cut_off("member cut off", Site::Server(member))
    }

    /// This member and the others do not hear of each other; clients reach them all.
    pub fn member_alone(&self, member: usize) -> Fault<'_> {
        let others: Vec<_> = (0..MEMBERS).filter(|&other| other != member).map(Site::Server).collect();
        let name = "member cut off from the others";
        match self.hosts() {
            Ok(hosts) => hosts.apart(name, &[Site::Server(member)], &others),
            Err(_) => Fault::new(name, || self.hosts().map(drop), || Ok(())),
        }
    }

    /// Nothing reaches the clients' first host or comes from it: see [`Etcd::enter`].
    pub fn clients_cut_off(&self) -> Fault<'_> {
        self.cut_off("clients cut off", Site::Node(0))
    }

    /// The indices of the members that run, are not frozen, and hear another and are heard by it.
    #[must_use]
    pub fn well(&self) -> Vec<usize> {
        let has_peers = |member| self.network.as_ref().is_none_or(|network| network.peers_of(member) > 0);
        (0..MEMBERS).filter(|&member| self.members[member].is_well() && has_peers(member)).collect()
    }

    fn cut_off(&self, name: &'static str, site: Site) -> Fault<'_> {
        Fault::new(name, move || self.hosts()?.cut_off(site), move || self.hosts()?.reconnect(site))
    }

    fn all_but(&self, survivor: usize) -> Vec<&Member> {
        let others = self.members.iter().enumerate().filter(|&(number, _)| number != survivor);
        others.map(|(_, member)| member).collect()
    }

    fn frozen<'a>(&self, name: &'static str, members: Vec<&'a Member>) -> Fault<'a> {
        let again = members.clone();
        Fault::new(
            name,
            move || members.iter().try_for_each(|member| member.freeze()),
            move || again.iter().try_for_each(|member| member.go_on()),
        )
    }

    fn killed(&self, name: &'static str, members: Vec<usize>) -> Fault<'_> {
        let again = members.clone();
        Fault::new(
            name,
            move || {
                members.iter().for_each(|&member| self.members[member].kill());
                Ok(())
            },
            move || {
                again.iter().try_for_each(|&member| self.start_member(member))?;
                self.wait_healthy()
            },
        )
    }

    pub(super) fn start_member(&self, member: usize) -> anyhow::Result<()> {
        let host = self.network.as_ref().map(|network| network.host(Site::Server(member))).transpose()?;
        self.members[member].start(host)
    }
}
