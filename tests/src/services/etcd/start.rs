//! How a cluster comes up: in a second or two, most of which is its first election.

use std::ffi::OsString;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::Context;

use super::accounts::HASH_COST;
use super::tls::{Identity, Tls};
use super::{Block, Etcd, Guard, MEMBERS, Member, PLACE_VARIABLE, PROGRAMS, Setup, Site, Sites};
use crate::process::programs;
use crate::services::in_memory;

/// Where clients ask, and where members talk to each other.
const CLIENT_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;

/// What a cluster must find in memory, since a slow disk costs a leader its place: each member makes two files of 64 MiB for its log before it needs them.
const ROOM: u64 = 1 << 30;

impl Etcd {
    /// Starts a cluster, and waits until it answers.
    pub fn start(setup: Setup) -> anyhow::Result<Self> {
        for (path, package) in PROGRAMS {
            programs::packaged(path, package)?;
        }
        let own_network = setup.own_network.then(|| Sites::new(MEMBERS, setup.nodes.max(1))).transpose()?;
        let block = if setup.own_network { None } else { Some(Block::reserve(MEMBERS, CLIENT_PORT)?) };
        let on_hosts = |sites: &Sites| (0..MEMBERS).map(|member| sites.address(Site::Server(member))).collect();
        let on_loopback = block.as_ref().map(|block| block.all().to_vec());
        let addresses: Vec<Ipv4Addr> = own_network.as_ref().map(on_hosts).or(on_loopback).unwrap_or_default();
        let dir = in_memory::directory("mutex-etcd-", ROOM).context("make the cluster's directory")?;
        let guard = Guard::over(dir.path(), PLACE_VARIABLE)?;
        let tls = setup.tls.then(|| Tls::write(dir.path(), &addresses)).transpose()?;
        let hosts: Vec<String> = addresses.iter().map(Ipv4Addr::to_string).collect();
        let member = |number: usize| {
            let place = dir.path().join(format!("member{number}"));
            let endpoint = format!("{}://{}:{CLIENT_PORT}", scheme(tls.as_ref()), hosts[number]);
            let arguments = arguments(number, &place, &endpoint, &hosts, setup, tls.as_ref());
            Member::new(number, endpoint, arguments, place)
        };
        let etcd = Self {
            members: std::array::from_fn(member),
            setup,
            tls,
            network: own_network,
            _guard: guard,
            dir,
            _addresses: block,
        };
        match etcd.bring_up() {
            Ok(()) => Ok(etcd),
            Err(error) => Err(error.context(etcd.members_said()).context("start an etcd cluster")),
        }
    }

    fn bring_up(&self) -> anyhow::Result<()> {
        (0..MEMBERS).try_for_each(|member| self.start_member(member))?;
        self.wait_healthy()?;
        if self.setup.auth.is_some() {
            self.demand_names()?;
        }
        Ok(())
    }

    /// The last words of each member, for a message.
    fn members_said(&self) -> String {
        let said = |member: &Member| {
            let text = fs::read_to_string(member.output()).unwrap_or_default();
            format!("{}: {}; ", member.endpoint(), text.trim_end().lines().last().unwrap_or_default())
        };
        format!("its members said: {}", self.members.iter().map(said).collect::<String>())
    }
}

fn scheme(tls: Option<&Tls>) -> &'static str {
    if tls.is_some() { "https" } else { "http" }
}

fn arguments(
    number: usize,
    place: &Path,
    endpoint: &str,
    hosts: &[String],
    setup: Setup,
    tls: Option<&Tls>,
) -> Vec<OsString> {
    let name = |number: usize| format!("member{number}");
    let peer = |number: usize| format!("http://{}:{PEER_PORT}", hosts[number]);
    let all: Vec<String> = (0..MEMBERS).map(|number| format!("{}={}", name(number), peer(number))).collect();
    let mut options: Vec<(&str, OsString)> = vec![
        ("name", name(number).into()),
        ("data-dir", place.into()),
        ("listen-client-urls", endpoint.into()),
        ("advertise-client-urls", endpoint.into()),
        ("listen-peer-urls", peer(number).into()),
        ("initial-advertise-peer-urls", peer(number).into()),
        ("initial-cluster", all.join(",").into()),
        // Its copy of the interface as JSON over HTTP/1: nobody asks it here.
        ("enable-grpc-gateway", "false".into()),
    ];
    if let Some(tls) = tls {
        let Identity { cert, key } = tls.server();
        options.extend([("cert-file", cert.into()), ("key-file", key.into())]);
        options.extend([("trusted-ca-file", tls.ca().into()), ("client-cert-auth", "true".into())]);
    }
    if let Some(election) = setup.election {
        options.push(("election-timeout", election.as_millis().to_string().into()));
    }
    if let Some(quota) = setup.quota {
        options.push(("quota-backend-bytes", quota.to_string().into()));
    }
    if let Some(token) = setup.auth {
        options.push(("auth-token-ttl", token.as_secs().to_string().into()));
        options.push(("bcrypt-cost", HASH_COST.into()));
    }
    let as_argument = |(name, value): (&str, OsString)| {
        let mut argument = OsString::from(format!("--{name}="));
        argument.push(value);
        argument
    };
    options.into_iter().map(as_argument).collect()
}
