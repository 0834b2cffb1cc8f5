//! What can be done to a cluster.

use anyhow::Context;

use super::{Etcd, Hosts, MEMBERS, Member};
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

    /// No process is left: every port refuses. Healed as [`Self::member_killed`].
    pub fn all_killed(&self) -> Fault<'_> {
        self.killed("all members killed", (0..MEMBERS).collect())
    }

    /// Nothing reaches this member or comes from it, and nobody is told. What was sent meanwhile is sent again for
    /// seconds after the healing, as TCP does.
    pub fn member_cut_off(&self, member: usize) -> Fault<'_> {
        let note = move |cut_off| self.members[member].set_cut_off(cut_off);
        Fault::new(
            "member cut off",
            move || self.network()?.cut_off(member).map(|()| note(true)),
            move || self.network()?.reconnect(member).map(|()| note(false)),
        )
    }

    /// This member and the others do not hear of each other; clients reach them all.
    pub fn member_alone(&self, member: usize) -> Fault<'_> {
        let note = move |cut_off| self.members[member].set_cut_off(cut_off);
        Fault::new(
            "member cut off from the others",
            move || self.network()?.separate(member).map(|()| note(true)),
            move || self.network()?.unite(member).map(|()| note(false)),
        )
    }

    /// Nothing reaches the clients' host or comes from it: see [`Etcd::enter`].
    pub fn clients_cut_off(&self) -> Fault<'_> {
        Fault::new("clients cut off", || self.network()?.cut_off_clients(), || self.network()?.reconnect_clients())
    }

    /// Nothing reaches a host that was attached with this number, or comes from it, on the members' network.
    pub fn attached_cut_off(&self, number: usize) -> Fault<'_> {
        Fault::new(
            "cut off from the store",
            move || self.network()?.cut_off_attached(number),
            move || self.network()?.reconnect_attached(number),
        )
    }

    /// The indices of the members that run and are neither frozen nor cut off.
    #[must_use]
    pub fn well(&self) -> Vec<usize> {
        (0..MEMBERS).filter(|&member| self.members[member].is_well()).collect()
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
        self.members[member].start(self.network.as_ref().map(|network| network.member(member)))
    }

    fn network(&self) -> anyhow::Result<&Hosts> {
        self.network.as_ref().context("the members of this cluster have no network of their own")
    }
}
