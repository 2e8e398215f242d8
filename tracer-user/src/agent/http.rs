//! The agent's pages: metrics, health, and the history as JSON. They are read-only and contain no secrets.
//!
//! The server has its own thread and runtime, so a slow client only occupies a connection. `pages` renders the responses, and
//! `query` parses the query. The address of the listener determines who can connect, and `access` who may read.

mod access;
mod compress;
mod connection;
mod host;
mod listener;
mod pages;
mod query;
mod scraper;
mod socket;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::middleware::{from_fn, from_fn_with_state};
use tokio::runtime::Builder;
use tokio::sync::{Semaphore, watch};

pub use self::access::{Access, Rules};
pub(super) use self::access::{AccessFiles, certificates, tokens};
pub use self::listener::Listener;
pub(super) use self::socket::{check as check_socket, create as create_socket};
use super::OBSERVER_TIMEOUT;
use super::metrics::Metrics;
use crate::history::ReadPool;

/// Maximum number of concurrent reads of the history.
const READERS: usize = 2;
/// Time for the running requests when the server stops.
const GRACE: Duration = Duration::from_secs(2);
/// Additional time for a running read of the history.
const LAST: Duration = Duration::from_secs(1);

/// The served data.
pub struct Served {
    pub metrics: Arc<Metrics>,
    /// The history of this machine.
    pub history: ReadPool,
    pub readiness: Readiness,
}

/// The limits of an agent that is ready, or the reason why it is not ready. A report of an observer that hangs expires.
#[derive(Debug)]
pub struct Readiness(Mutex<Report>);

/// The last report of the observer.
#[derive(Debug)]
struct Report {
    /// `None` before the first report.
    at: Option<Instant>,
    ready: Result<Vec<String>, String>,
}

/// A running server, which a drop stops.
#[derive(Debug)]
pub struct Server {
    /// `None` for a Unix socket.
    address: Option<SocketAddr>,
    /// Path of the Unix socket.
    socket: Option<PathBuf>,
    access: Arc<Access>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// The shared state of the handlers.
struct PageContext {
    served: Arc<Served>,
    readers: Arc<Semaphore>,
}

impl Readiness {
    /// Creates the state "not ready" with a reason.
    pub fn not_yet(why: &str) -> Self {
        let ready = Err(why.to_owned());
        Self(Mutex::new(Report { at: None, ready }))
    }

    /// Sets the report that the observer sent now.
    pub fn set(&self, ready: Result<Vec<String>, String>) {
        let at = Some(Instant::now());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Report { at, ready };
    }

    /// The limits, or the reason why the agent was not ready, at this instant.
    fn get(&self, now: Instant) -> Result<Vec<String>, String> {
        self.alive(now)?;
        let report = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        report.ready.clone()
    }

    /// The reason why the observer hangs, if it does.
    fn alive(&self, now: Instant) -> Result<(), String> {
        let report = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = report.at.map(|it| now.saturating_duration_since(it));
        match silent.filter(|it| *it > OBSERVER_TIMEOUT) {
            Some(silent) => Err(format!(
                "the process that traces builds has not reported for {} s: restart the agent",
                silent.as_secs()
            )),
            None => Ok(()),
        }
    }
}

impl Server {
    /// Starts a server on this listener.
    pub fn start(
        listener: impl Into<Listener>,
        served: Arc<Served>,
        rules: Rules,
    ) -> io::Result<Self> {
        let listener: Listener = listener.into();
        let address = listener.address()?;
        let socket = listener.socket().map(Path::to_owned);
        let access = Arc::new(Access::new(rules));
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(READERS)
            .build()?;
        let listener = {
            let _inside = runtime.enter();
            listener.into_async()?
        };
        let (stop, stopped) = watch::channel(false);
        let router = pages::router(PageContext {
            served,
            readers: Arc::new(Semaphore::new(READERS)),
        });
        let router = router.layer(from_fn_with_state(
            Arc::clone(&access),
            access::require_token,
        ));
        let router = if address.is_some_and(|it| it.ip().is_loopback()) {
            router.layer(from_fn(host::only_local))
        } else {
            // A machine that serves others may have any name, and no browser connects to a Unix socket.
            router
        };
        let of_thread = Arc::clone(&access);
        let serve = move || {
            runtime.block_on(connection::serve(
                listener, router, of_thread, stopped, GRACE,
            ));
            runtime.shutdown_timeout(LAST);
        };
        let thread = std::thread::Builder::new()
            .name("http".to_owned())
            .spawn(serve)?;
        Ok(Self {
            address,
            socket,
            access,
            stop,
            thread: Some(thread),
        })
    }

    /// The address of the port. `None` for a Unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// The URL of a path. For a Unix socket, the socket and the path.
    pub(super) fn url(&self, path: &str) -> String {
        match (self.address, &self.socket) {
            (Some(address), _) if self.access.tls().is_some() => format!("https://{address}{path}"),
            (Some(address), _) => format!("http://{address}{path}"),
            (None, socket) => {
                let socket = socket.as_deref().unwrap_or(Path::new(""));
                format!("{path} of unix:{}", socket.display())
            }
        }
    }

    /// Replaces the rules of access. Open connections keep their encryption, and need a new token.
    pub fn set_rules(&self, rules: Rules) {
        self.access.set(rules);
    }

    /// Stops accepting connections, waits for running requests, and aborts them after [`GRACE`].
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The receiver is gone if the thread ended by itself.
        let _gone = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            // The panic hook has already reported a panic of the thread.
            let _panicked = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_of_an_observer_that_hangs_expires() {
        let readiness = Readiness::not_yet("probes are being attached");
        let now = Instant::now();
        let later = now + OBSERVER_TIMEOUT + Duration::from_secs(30);
        // Start can take long: without a report, the observer does not count as hanging.
        assert_eq!(readiness.alive(later), Ok(()));
        assert_eq!(
            readiness.get(later).unwrap_err(),
            "probes are being attached"
        );
        readiness.set(Ok(Vec::new()));
        assert_eq!(readiness.get(now + OBSERVER_TIMEOUT), Ok(Vec::new()));
        for why in [
            readiness.get(later).unwrap_err(),
            readiness.alive(later).unwrap_err(),
        ] {
            assert!(why.contains("has not reported for"), "{why}");
        }
    }
}
