//! Hosts that can be cut off: a network namespace each, all on one switch, which is a bridge in a namespace of its own.
//!
//! No namespace has a name and none is the machine's: two clusters cannot meet, and all of it goes with the processes
//! inside and the descriptors here. Whatever is cut off, the switch loses it (`losses`): interfaces keep their carrier,
//! and what is sent is not answered by anybody, not even by a refusal. Losses overlap freely.
//!
//! A thread brings itself and whatever it starts onto a host by `let _inside = host.enter()?;`: a child is born in the
//! network of the thread that starts it, so `Launch` and `Command` need not know. The thread is put back when that value
//! ends, since the next case may get the same one; so the value cannot leave its thread.

mod losses;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Seek, Write as _};
use std::marker::PhantomData;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, anyhow};
use nix::sched::{CloneFlags, setns, unshare};

use super::command::run;
use crate::process::programs;
pub(super) use losses::Loss;
use losses::Losses;

/// How long `ip` or `nft` may take.
const LIMIT: Duration = Duration::from_secs(10);

const IP: &str = "/usr/sbin/ip";
const PACKAGE: &str = "iproute2";

/// A hardware address that nobody has: what is sent to it is lost without a word.
pub(super) const NOBODY: &str = "02:00:00:00:00:99";

/// The hosts and their switch. They go with the last process inside.
pub(super) struct Network {
    switch: Namespace,
    hosts: Vec<Namespace>,
    subnet: u8,
    losses: Losses,
}

/// A network namespace without a name: a host. It goes with the last process inside and the last of these values.
pub struct Namespace(OwnedFd);

/// This thread's stay in another network.
#[must_use = "the thread goes back when this value ends"]
pub struct Inside {
    outside: Option<OwnedFd>,
    /// Only the thread that went there can come back.
    _this_thread: PhantomData<*const ()>,
}

impl Network {
    /// Makes so many.
    pub(super) fn new(hosts: usize) -> anyhow::Result<Self> {
        let mut network = Self::switch(0)?;
        network.hosts = (0..hosts).map(|_| Namespace::new()).collect::<Result<_, _>>()?;
        let mut commands = String::new();
        for (number, host) in network.hosts.iter().enumerate() {
            // `ip` opens it by this process's descriptor.
            let netns = format!("/proc/{}/fd/{}", std::process::id(), host.0.as_raw_fd());
            writeln!(commands, "link add port{number} type veth peer name host netns {netns}")?;
            writeln!(commands, "link set port{number} master switch up")?;
        }
        network.switch.ip(&commands)?;
        for (number, host) in network.hosts.iter().enumerate() {
            host.ip(&format!("link set lo up\naddr add {}/24 dev host\nlink set host up\n", address(number)))?;
        }
        Ok(network)
    }

    /// A switch alone, to which hosts can be attached; of one host's switches each has a subnet of its own.
    pub(super) fn switch(subnet: u8) -> anyhow::Result<Self> {
        programs::packaged(IP, PACKAGE)?;
        let switch = Namespace::new()?;
        switch.ip("link add switch type bridge\nlink set switch up\n")?;
        let losses = Losses::new(&switch)?;
        Ok(Self { switch, hosts: Vec::new(), subnet, losses })
    }

    /// Gives a host that is not of this network an interface here, with the address of this number.
    pub(super) fn attach(&self, host: &Namespace, number: usize, interface: &str) -> anyhow::Result<()> {
        let netns = format!("/proc/{}/fd/{}", std::process::id(), host.0.as_raw_fd());
        let link = format!("link add port{number} type veth peer name {interface} netns {netns}");
        self.switch.ip(&format!("{link}\nlink set port{number} master switch up\n"))?;
        host.ip(&format!("addr add {}/24 dev {interface}\nlink set {interface} up\n", self.address(number)))
    }

    /// The address here of the host that was attached with this number.
    pub(super) fn address(&self, number: usize) -> Ipv4Addr {
        let [one, two, _, host] = address(number).octets();
        Ipv4Addr::new(one, two, self.subnet, host)
    }

    /// One of them.
    pub(super) fn host(&self, number: usize) -> &Namespace {
        &self.hosts[number]
    }

    /// The switch loses each of these until as many calls of [`Self::restore`] have taken it back.
    pub(super) fn lose(&self, losses: &[Loss]) -> anyhow::Result<()> {
        self.losses.add(&self.switch, losses)
    }

    /// Takes that back.
    pub(super) fn restore(&self, losses: &[Loss]) -> anyhow::Result<()> {
        self.losses.remove(&self.switch, losses)
    }

    /// Whether what one sends to the other is lost.
    pub(super) fn loses(&self, from: usize, to: usize) -> bool {
        self.losses.includes(from, to)
    }

    /// Nothing reaches it or comes from it.
    pub(super) fn cut_off(&self, number: usize) -> anyhow::Result<()> {
        self.lose(&[Loss::Of(number)])
    }

    /// Takes that back.
    pub(super) fn reconnect(&self, number: usize) -> anyhow::Result<()> {
        self.restore(&[Loss::Of(number)])
    }

    /// Its cable is pulled: its interface has no carrier.
    pub(super) fn unplug(&self, number: usize) -> anyhow::Result<()> {
        self.switch.ip(&format!("link set port{number} down\n"))
    }

    /// Takes that back.
    pub(super) fn plug(&self, number: usize) -> anyhow::Result<()> {
        self.switch.ip(&format!("link set port{number} up\n"))
    }
}

/// The address of a host.
pub(super) fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, u8::try_from(number + 1).unwrap_or(u8::MAX))
}

impl Namespace {
    /// A host without any link.
    pub fn new() -> anyhow::Result<Self> {
        // The thread that makes it stays in it, so it is one that ends.
        let made = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).context("make a network namespace (needs root)")?;
            here()
        });
        made.join().map_err(|_| anyhow!("a thread panicked"))?.map(Self)
    }

    /// The same host, for somebody else to start processes on.
    pub fn try_clone(&self) -> anyhow::Result<Self> {
        Ok(Self(self.0.try_clone().context("copy a descriptor of a network namespace")?))
    }

    /// Puts this thread there.
    ///
    /// # Errors
    /// Where it may not go there: without root.
    pub fn enter(&self) -> anyhow::Result<Inside> {
        let outside = here()?;
        setns(&self.0, CloneFlags::CLONE_NEWNET).context("enter a network namespace")?;
        Ok(Inside { outside: Some(outside), _this_thread: PhantomData })
    }

    /// Runs commands of `ip` there. The host's own interface is called `host`.
    pub(super) fn ip(&self, commands: &str) -> anyhow::Result<()> {
        let mut file = tempfile::NamedTempFile::new().context("make a file of commands")?;
        file.write_all(commands.as_bytes())?;
        file.rewind()?;
        let _inside = self.enter()?;
        run(Command::new(IP).arg("-batch").arg(file.path()), LIMIT).with_context(|| format!("ip {commands}")).map(drop)
    }
}

impl Inside {
    /// A stay where the thread is anyway.
    pub(super) fn nowhere_else() -> Self {
        Self { outside: None, _this_thread: PhantomData }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        if let Some(outside) = &self.outside {
            // It could go there: it can come back.
            let _ = setns(outside, CloneFlags::CLONE_NEWNET);
        }
    }
}

/// This thread's network.
fn here() -> anyhow::Result<OwnedFd> {
    Ok(File::open("/proc/thread-self/ns/net").context("open this thread's network namespace")?.into())
}
