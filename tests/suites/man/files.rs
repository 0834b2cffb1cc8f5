//! The files that examples show: put there, and used as the product uses them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, bail, ensure};

use crate::needs::Needs;
use crate::running::{Environment, Holding, run};

/// The etcd helper's configuration, where it looks for it.
pub(crate) const ETCD_CONFIG: &str = "/etc/ctdb/etcd";
const CTDB_CONF: &str = "/etc/ctdb/ctdb.conf";

/// Where what an admin adds to CTDB's unit is.
const DROP_INS: &str = "/etc/systemd/system/ctdb.service.d/";

/// Puts the file there and uses it. `environment` is that of ctdbd.
pub(crate) fn show(path: &str, lines: &[String], needs: &Needs, environment: &Environment) -> anyhow::Result<()> {
    let text = needs.adapted(&(lines.join("\n") + "\n"))?;
    let dir = Path::new(path).parent().context("a file in no directory")?;
    fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    fs::write(path, &text).with_context(|| format!("write {path}"))?;
    // A password may be in it.
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    certificates(&text, needs)?;
    match path {
        CTDB_CONF => lock_of_ctdb_conf(environment),
        // What the environment says counts before what the file says, and so there is none.
        ETCD_CONFIG => ask_etcd(&Environment::new()),
        _ if path.starts_with(DROP_INS) => drop_in(&text),
        _ => bail!("{path}: the suite does not know how to try it"),
    }
}

/// Puts certificates where the file says that they are.
fn certificates(text: &str, needs: &Needs) -> anyhow::Result<()> {
    let Some(etcd) = &needs.etcd_with_tls else { return Ok(()) };
    let tls = etcd.tls()?;
    let known = [("ca_cert", tls.ca()), ("cert", &tls.client().cert), ("key", &tls.client().key)];
    let in_environment = ["CACERT", "CERT", "KEY"].map(|name| format!("Environment=ETCDCTL_{name}="));
    for line in text.lines() {
        for ((word, source), variable) in known.iter().zip(&in_environment) {
            let named = line.strip_prefix(&format!("{word} = ")).or_else(|| line.strip_prefix(variable.as_str()));
            if let Some(path) = named {
                let dir = Path::new(path).parent().context("a certificate in no directory")?;
                fs::create_dir_all(dir)?;
                fs::copy(source, path).with_context(|| format!("write {path}"))?;
            }
        }
    }
    Ok(())
}

/// Takes the lock as CTDB does.
fn lock_of_ctdb_conf(environment: &Environment) -> anyhow::Result<()> {
    let code = Holding::start("/usr/bin/ctdb-mutex hold", environment)?.interrupt()?;
    ensure!(code == 0, "the lock was taken, and not released: exit code {code}");
    Ok(())
}

fn ask_etcd(environment: &Environment) -> anyhow::Result<()> {
    run("/usr/libexec/ctdb/ctdb_mutex_etcd_helper --status ctdb/lock", environment, 0).map(drop)
}

/// Gives a helper what the unit would give to ctdbd, and with it to the helper.
fn drop_in(text: &str) -> anyhow::Result<()> {
    ensure!(text.starts_with("[Service]\n"), "a drop-in with environment has it in [Service]");
    let mut environment = Environment::new();
    for line in text.lines().skip(1).filter(|line| !line.is_empty()) {
        let setting = line.strip_prefix("Environment=").with_context(|| format!("no Environment= but {line:?}"))?;
        let setting = setting.trim_matches('"');
        ensure!(!setting.contains(' ') || line.contains('"'), "{line:?}: a value with blanks wants quotes");
        let (name, value) = setting.split_once('=').with_context(|| format!("{line:?} sets nothing"))?;
        environment.push((name.to_owned(), value.to_owned()));
    }
    let sets = |prefix: &str| environment.iter().any(|(name, _)| name.starts_with(prefix));
    if sets("ETCDCTL_") {
        ask_etcd(&environment)?;
    }
    if sets("CEPH_") {
        let line = "/usr/libexec/ctdb/ctdb_mutex_rados_helper --status ceph client.admin rbd lockctdb";
        run(line, &environment, 0)?;
    }
    ensure!(sets("ETCDCTL_") || sets("CEPH_"), "it sets nothing that a helper reads");
    Ok(())
}
