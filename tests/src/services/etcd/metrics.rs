//! What the members count: every request that reaches one, on its page for Prometheus.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, ensure};

use super::Etcd;

const LIMIT: Duration = Duration::from_secs(2);

impl Etcd {
    /// How many messages of this gRPC method all members together have received so far. One that follows passes a keepalive
    /// on to the leader by HTTP, so it is counted once. The cluster must be a plain one that is well.
    pub fn received(&self, method: &str) -> anyhow::Result<u64> {
        self.members.iter().try_fold(0, |sum, member| Ok(sum + received_by(member.endpoint(), method)?))
    }
}

fn received_by(endpoint: &str, method: &str) -> anyhow::Result<u64> {
    let page = page(endpoint).with_context(|| format!("read {endpoint}/metrics"))?;
    let of_method =
        |line: &&str| line.starts_with("grpc_server_msg_received_total{") && line.contains(&format!("\"{method}\""));
    let counts = page.lines().filter(of_method).filter_map(|line| line.rsplit(' ').next());
    // A method that nobody has used yet has no line.
    counts.map(|count| Ok(count.parse::<f64>()? as u64)).sum()
}

fn page(endpoint: &str) -> anyhow::Result<String> {
    let address = endpoint.strip_prefix("http://").context("no plain member")?;
    let mut connection = TcpStream::connect(address)?;
    connection.set_read_timeout(Some(LIMIT))?;
    connection.write_all(b"GET /metrics HTTP/1.0\r\n\r\n")?;
    let mut page = String::new();
    connection.read_to_string(&mut page)?;
    ensure!(page.starts_with("HTTP/1.0 200"), "{:?}", page.lines().next());
    Ok(page)
}
