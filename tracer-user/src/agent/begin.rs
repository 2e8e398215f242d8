//! What an agent has before it follows the first build: its history to itself, the numbers of before, pages and outputs.

use std::fs::{File, TryLockError};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::config::{Central, Config};
use super::export::outputs::Surroundings;
use super::http::{Served, Server};
use super::metrics::Metrics;
use crate::clock;
use crate::history::{ForwardConfig, Forwarder, Store};

/// How long a history may still be written by the keeper of an agent that was killed: it has [`super::END`] to end.
const OVERLAP: Duration = Duration::from_millis(5500);
const POLL: Duration = Duration::from_millis(20);

/// The metrics go on where they were; what cannot be read is told and missing.
pub(super) fn restore(metrics: &Metrics, store: &mut Store, tell: fn(&str)) -> anyhow::Result<()> {
    let tally = store.counters()?;
    let restored = store.read(|it| Ok(metrics.restore(&tally, it, clock::wall_ns())))?;
    if let Err(error) = restored {
        tell(&format!(
            "not everything of before is in the metrics: {error}"
        ));
    }
    Ok(())
}

/// Something that belongs to this history.
pub(super) fn beside(store: &Path, suffix: &str) -> PathBuf {
    let mut path = store.as_os_str().to_owned();
    path.push(suffix);
    PathBuf::from(path)
}

/// Only one agent writes a history: another would mark the builds of this one as cut off.
pub(super) fn lock(store: &Path) -> anyhow::Result<File> {
    let path = beside(store, "-agent");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    let until = Instant::now() + OVERLAP;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(POLL),
            Err(TryLockError::WouldBlock) => bail!(
                "another agent writes {}; end that one, or give this one a --store of its own",
                store.display()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
    }
}

pub(super) fn forward(
    central: &Central,
    config: &Config,
    tell: fn(&str),
) -> anyhow::Result<Forwarder> {
    let order = ForwardConfig {
        spool: config.store.clone(),
        limits: config.limits,
        address: central.address.clone(),
        settings: central.settings.clone(),
    };
    Ok(Forwarder::start(order, tell)?)
}

pub(super) fn surroundings(
    config: &Config,
    metrics: &Arc<Metrics>,
    tell: fn(&str),
) -> Surroundings {
    Surroundings {
        metrics: Arc::clone(metrics),
        store: config.store.clone(),
        target_ttl: config.target_ttl,
        tell,
    }
}

pub(super) fn listen(address: SocketAddr, served: &Arc<Served>) -> anyhow::Result<Server> {
    let started = TcpListener::bind(address).and_then(|it| Server::start(it, Arc::clone(served)));
    started.with_context(|| {
        format!(
            "cannot serve pages on {address}; give another place with --listen, or --listen none"
        )
    })
}
