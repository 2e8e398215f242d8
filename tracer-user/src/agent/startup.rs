//! The steps before the first build: lock the history, restore the metrics, start pages and deliveries.

use std::fs::{File, TryLockError};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::fs::Access;

use super::config::{Central, Config};
use super::export::outputs::OutputContext;
use super::http::{self, Listener, Rules, Served, Server};
use super::metrics::Metrics;
use crate::clock;
use crate::config::ListenAddress;
use crate::config::http::HttpSettings;
use crate::history::{self, ForwardConfig, Forwarder, Location, Store};
use crate::log::Log;

/// Time to wait for the storage process of a killed agent. That process has [`super::SHUTDOWN_LIMIT`] to end.
const OVERLAP: Duration = Duration::from_millis(5500);
const POLL: Duration = Duration::from_millis(20);

/// Restores the metrics of earlier agents. Unreadable parts are logged and missing.
pub(super) fn restore(metrics: &Metrics, store: &mut Store, log: &Log) -> anyhow::Result<()> {
    let tally = store.counters()?;
    let restored = store.read(|it| Ok(metrics.restore(&tally, it, clock::wall_ns())))?;
    if let Err(error) = restored {
        log.warn(format_args!(
            "cannot restore all metrics from the history: {error}"
        ));
    }
    Ok(())
}

/// A path next to the history.
pub(super) fn beside(store: &Path, suffix: &str) -> PathBuf {
    let mut path = store.as_os_str().to_owned();
    path.push(suffix);
    PathBuf::from(path)
}

/// Locks the history. A second agent would mark the builds of the first one as cut off.
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
                "another agent writes {}: stop that agent, or give this one its own --store",
                store.display()
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
    }
}

/// Fails if an existing history cannot be continued. A damaged one is moved aside at the start, so it is no failure.
pub(super) fn check_store(store: &Path) -> anyhow::Result<()> {
    if store.is_dir() {
        bail!("{} is a directory: name a file", store.display());
    }
    let parents = store.ancestors().skip(1).map(Path::metadata);
    if let Some(Ok(parent)) = parents.into_iter().find(Result::is_ok)
        && !parent.is_dir()
    {
        bail!("{} is below a file: name another path", store.display());
    }
    // A user without the right to read the history can still check a configuration.
    let is_unreadable = rustix::fs::access(store, Access::READ_OK).is_err();
    // The start turns an empty file into a history.
    if is_unreadable || store.metadata().is_ok_and(|it| it.len() == 0) {
        return Ok(());
    }
    match Location::File(store.to_owned()).read(|_| Ok(())) {
        Err(error) if !(error.is_damaged() && history::is_movable(store)) => Err(error.into()),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Fails if this machine has no such address, or if no socket can be created there. Another process may use the address: a running agent
/// does.
pub(super) fn check_address(address: &ListenAddress) -> anyhow::Result<()> {
    match address {
        ListenAddress::None => Ok(()),
        ListenAddress::Tcp(tcp) => UdpSocket::bind((tcp.ip(), 0))
            .map(drop)
            .with_context(|| unserved(address)),
        ListenAddress::Unix(path) => http::check_socket(path).with_context(|| unserved(address)),
    }
}

pub(super) fn forward(central: &Central, config: &Config, log: &Log) -> anyhow::Result<Forwarder> {
    let order = ForwardConfig {
        spool: config.store.clone(),
        limits: config.limits,
        address: central.address.clone(),
        settings: central.settings.clone(),
    };
    Ok(Forwarder::start(order, log.clone())?)
}

pub(super) fn output_context(config: &Config, metrics: &Arc<Metrics>, log: &Log) -> OutputContext {
    OutputContext {
        metrics: Arc::clone(metrics),
        store: config.store.clone(),
        target_ttl: config.target_ttl,
        log: log.clone(),
    }
}

/// Starts the pages. `None` if the configuration has none.
pub(super) fn listen(
    config: &Config,
    served: &Arc<Served>,
    log: &Log,
) -> anyhow::Result<Option<Server>> {
    let rules = Rules::load(&config.http)?;
    if let Some(warning) = unprotected(config) {
        log.warn(warning);
    }
    let address = &config.listen;
    let listener = match address {
        ListenAddress::None => return Ok(None),
        ListenAddress::Tcp(tcp) => TcpListener::bind(tcp)
            .map(Listener::Tcp)
            .with_context(|| unserved(address))?,
        ListenAddress::Unix(path) => {
            let (listener, file) = http::create_socket(path).with_context(|| unserved(address))?;
            Listener::Unix(listener, file)
        }
    };
    let started = Server::start(listener, Arc::clone(served), rules);
    started.map(Some).with_context(|| unserved(address))
}

fn unserved(address: &ListenAddress) -> String {
    format!(
        "cannot serve pages on {address}: choose another address with --listen, or use --listen none"
    )
}

/// The warning about tokens that anyone on the network can read.
fn unprotected(config: &Config) -> Option<String> {
    let HttpSettings {
        tls_cert,
        token_file,
        ..
    } = &config.http;
    match &config.listen {
        ListenAddress::Tcp(address)
            if token_file.is_some() && tls_cert.is_none() && !address.ip().is_loopback() =>
        {
            Some(format!(
                "clients send their tokens to {address} without encryption: set http.tls_cert and http.tls_key, or use a proxy"
            ))
        }
        ListenAddress::Tcp(_) | ListenAddress::Unix(_) | ListenAddress::None => None,
    }
}
