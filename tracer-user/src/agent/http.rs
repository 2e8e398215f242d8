//! The agent's pages: metrics, health, and the history as JSON. They are read-only, contain no secrets and require no
//! authentication.
//!
//! The server has its own thread and runtime, so a slow client only occupies a connection. `pages` renders the responses, and
//! `query` parses the query. The address of the listener determines who can connect.

mod compress;
mod connection;
mod host;
mod pages;
mod query;
mod scraper;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::{Semaphore, watch};

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

/// The limits of an agent that is ready, or the reason why it is not ready.
#[derive(Debug)]
pub struct Readiness(Mutex<Result<Vec<String>, String>>);

/// A running server, which a drop stops.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
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
        Self(Mutex::new(Err(why.to_owned())))
    }

    pub fn set(&self, ready: Result<Vec<String>, String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = ready;
    }

    fn get(&self) -> Result<Vec<String>, String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Server {
    /// Starts a server on this listener.
    pub fn start(listener: TcpListener, served: Arc<Served>) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(READERS)
            .build()?;
        let listener = {
            let _inside = runtime.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let (stop, stopped) = watch::channel(false);
        let router = pages::router(PageContext {
            served,
            readers: Arc::new(Semaphore::new(READERS)),
        });
        let router = if address.ip().is_loopback() {
            router.layer(axum::middleware::from_fn(host::only_local))
        } else {
            // A machine that serves others may have any name.
            router
        };
        let serve = move || {
            runtime.block_on(connection::serve(listener, router, stopped, GRACE));
            runtime.shutdown_timeout(LAST);
        };
        let thread = std::thread::Builder::new()
            .name("http".to_owned())
            .spawn(serve)?;
        Ok(Self {
            address,
            stop,
            thread: Some(thread),
        })
    }

    /// The address of the listener.
    pub fn address(&self) -> SocketAddr {
        self.address
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
