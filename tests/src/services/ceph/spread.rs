//! A cluster whose daemons have a host each, and so have its clients: whatever can be cut off from whatever can be.
//!
//! Three OSDs, each with a copy of everything, and two copies are enough to go on. What an OSD has written outlives its
//! process, so that it can be killed and started again, as often as one likes, and nothing is lost. Their wall clocks can
//! be set.
//!
//! One monitor, where a real cluster has three: it is up in 0.3 s and back as soon as it is, where three elect first, for
//! seconds, which would be the greater part of a campaign. What that leaves out is a store that goes on while a monitor is
//! gone: nobody can connect meanwhile, and no OSD that is gone is noticed. It takes nothing from what is promised, since
//! no monitor has to do with who has a lock.
//!
//! Its faults come and go one by one, and nothing is waited for: for who has several at once.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use super::{Ceph, Daemon, Setup, admin_socket, files};
use crate::services::network::Inside;
use crate::services::sites::{Site, Sites};

/// How many OSDs there are. Server `n` is OSD `n`.
pub const OSDS: usize = 3;

/// The server that is the monitor.
pub const MON: usize = OSDS;

/// How many servers there are.
pub const SERVERS: usize = OSDS + 1;

/// Times shorter than in life, so that an OSD that is frozen or cut off is replaced within a campaign: by default its
/// peers miss it after 20 s (`osd heartbeat grace`), ask it every 6 s, and who takes its place waits for 0.8 of the former
/// on top. Without `adjust` the monitor believes them later each time.
///
/// By default two OSDs on different machines must miss it, and all are on this machine; one that went down five times in
/// ten minutes gives up; clients that miss the monitor ask every 3 s, and less and less often. A client whose OSD was
/// killed and is back before anybody missed it asks where it is after 10 s without an answer (`objecter timeout`): seen
/// here, 7 s without a holder of a store that was well, whoever asked for the lock.
const CONF: &str = "osd heartbeat grace = 4
osd heartbeat interval = 1
mon osd adjust heartbeat grace = false
mon osd reporter subtree level = osd
osd max markdown count = 100000
mon osd down out interval = 0
mon client hunt interval = 0.5
mon client hunt interval max multiple = 2
objecter timeout = 1
objecter tick interval = 0.5
";

/// A daemon that runs answers a question about itself at once.
const ANSWER_LIMIT: Duration = Duration::from_millis(200);

/// The only placement group: that of the pool which every cluster has.
const PLACEMENT_GROUP: &str = "1.0";

/// A running cluster and its hosts. Every process of it ends with this value.
pub struct Spread {
    // In this order: the daemons end while their network is there.
    ceph: Ceph,
    hosts: Sites,
}

impl Spread {
    /// Starts one, with so many hosts for clients.
    pub fn start(nodes: usize) -> anyhow::Result<Self> {
        let hosts = Sites::new(SERVERS, nodes)?;
        let ceph = Ceph::start_on(&hosts, Setup { mgr: false, min_size: 2 }, OSDS, CONF)?;
        Ok(Self { ceph, hosts })
    }

    /// The cluster. Its commands are run on a host that no partition reaches.
    #[must_use]
    pub fn ceph(&self) -> &Ceph {
        &self.ceph
    }

    /// The hosts, of which partitions are made.
    #[must_use]
    pub fn hosts(&self) -> &Sites {
        &self.hosts
    }

    /// Puts this thread, and what it starts, on a client's host until the returned value ends.
    pub fn enter_node(&self, node: usize) -> anyhow::Result<Inside> {
        self.hosts.enter(Site::Node(node))
    }

    /// Stops a server where it is, as soon as the machine gets to it.
    pub fn freeze(&self, server: usize) -> anyhow::Result<()> {
        self.daemon(server)?.begin_freeze()
    }

    /// Lets it go on.
    pub fn thaw(&self, server: usize) -> anyhow::Result<()> {
        self.daemon(server)?.go_on()
    }

    /// A server's process is gone, if it was not by itself. What it had written stays.
    pub fn take_down(&self, server: usize) -> anyhow::Result<()> {
        self.daemon(server)?.end();
        Ok(())
    }

    /// Starts one that was taken down. It is back about a second later.
    pub fn bring_up(&self, server: usize) -> anyhow::Result<()> {
        self.daemon(server)?.start()
    }

    /// Starts the servers anew that have ended by themselves, as Ceph's do where they see what they do not understand.
    pub fn revive(&self) -> anyhow::Result<()> {
        self.ceph.daemons().try_for_each(Daemon::revive)
    }

    /// The OSD that answers for the objects of the pool, as it says itself; `None` where none does at the moment.
    #[must_use]
    pub fn primary(&self) -> Option<usize> {
        self.answering().map(|(osd, _)| osd)
    }

    /// Whether every OSD is there and has a copy of everything.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let active = |osd: &Daemon| {
            let status = self.ask(osd, &json!({ "prefix": "status" }))?;
            (status.get("state")?.as_str()? == "active").then_some(())
        };
        self.ceph.mon.is_well()
            && self.ceph.osds.iter().all(|osd| active(osd).is_some())
            && self.answering().is_some_and(|(_, state)| state == "active+clean")
    }

    /// The OSD that answers, and how the placement group is.
    fn answering(&self) -> Option<(usize, String)> {
        // Only who answers for the placement group answers this question.
        let state = |osd: &Daemon| {
            let group = self.ask(osd, &json!({ "prefix": "query", "pgid": PLACEMENT_GROUP }))?;
            let state = group.get("state")?.as_str()?.to_owned();
            state.starts_with("active").then_some(state)
        };
        self.ceph.osds.iter().enumerate().find_map(|(number, osd)| Some((number, state(osd)?)))
    }

    fn ask(&self, osd: &Daemon, question: &Value) -> Option<Value> {
        if !osd.is_well() {
            return None;
        }
        let socket = files::admin_socket_of(self.ceph.dir.path(), &format!("osd.{}", osd.id()));
        serde_json::from_str(&admin_socket::ask(&socket, question, ANSWER_LIMIT).ok()?).ok()
    }

    fn daemon(&self, server: usize) -> anyhow::Result<&Daemon> {
        let mon = [&self.ceph.mon];
        self.ceph.osds.iter().chain(mon).nth(server).with_context(|| format!("there is no server {server}"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{MON, OSDS, Spread};
    use crate::services::ceph::{in_pool, lock};
    use crate::services::sites::Site;
    use crate::wait::wait_for;

    /// Twice the grace, and what a busy machine adds.
    const LIMIT: Duration = Duration::from_secs(30);

    #[test]
    fn an_osd_is_replaced_and_comes_back_and_the_lock_stays() {
        let start = Instant::now();
        let spread = Spread::start(1).unwrap();
        eprintln!("up in {:?}", start.elapsed());
        let whole = || wait_for("a whole cluster", LIMIT, || spread.is_whole().then_some(())).unwrap().1;
        eprintln!("whole after {:?}", whole());
        let get = ["lock", "get", "object", lock::NAME, "--lock-cookie", "mine", "--lock-type", "exclusive"];
        spread.ceph().rados(&[&in_pool(None), &get[..]].concat()).unwrap();
        let holder = || spread.ceph().lock_info(None, "object").ok().flatten().map(|info| info.client);
        let before = holder().unwrap();
        let primary = spread.primary().unwrap();
        let next = |what: &str| {
            let other = || spread.primary().filter(|&other| other != primary);
            let (other, took) = wait_for("another to answer", LIMIT, other).unwrap();
            assert_eq!(wait_for("the lock there", LIMIT, holder).unwrap().0, before, "{what}");
            eprintln!("{what}: OSD {other} answers after {took:?}");
        };
        spread.take_down(primary).unwrap();
        next("killed");
        spread.bring_up(primary).unwrap();
        eprintln!("whole after {:?}", whole());
        // By the grace, half a minute in all.
        if std::env::var_os("SLOW").is_some() {
            spread.freeze(primary).unwrap();
            next("frozen");
            spread.thaw(primary).unwrap();
            eprintln!("whole after {:?}", whole());
            let osd = [Site::Server(primary)];
            let others: Vec<_> = spread.hosts().all().into_iter().filter(|site| *site != osd[0]).collect();
            let cut_off = spread.hosts().apart("OSD cut off", &osd, &others);
            let cut_off = cut_off.inject().unwrap();
            // It does not know yet: its own word does not count.
            let not_whole =
                || spread.ceph().ceph(&["osd", "stat"]).is_ok_and(|stat| stat.contains("2 up")).then_some(());
            eprintln!("cut off: down after {:?}", wait_for("it to be down", LIMIT, not_whole).unwrap().1);
            assert_eq!(wait_for("the lock elsewhere", LIMIT, holder).unwrap().0, before);
            cut_off.heal().unwrap();
            eprintln!("whole after {:?}", whole());
        }
        (0..OSDS).chain([MON]).for_each(|server| spread.take_down(server).unwrap());
        (0..OSDS).chain([MON]).for_each(|server| spread.bring_up(server).unwrap());
        eprintln!("all killed: whole after {:?}", whole());
        assert_eq!(holder(), Some(before));
    }
}
