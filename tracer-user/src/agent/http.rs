//! The agent's pages: metrics, whether it is well, and the history as JSON. Read-only, nothing secret, no user is told from another.
//!
//! One thread of its own with an own runtime, so that a slow client costs a place among its connections and nothing else. What a
//! page says is `answer`'s, what the words of a question mean is `question`'s. Who may connect is the listener's to say.

mod answer;
mod connection;
mod host;
mod question;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::{Semaphore, watch};

use super::metrics::Metrics;
use crate::history::ReadPool;

/// Histories that are read at the same time.
const READERS: usize = 2;
/// How long requests have that are under way when the server is stopped.
const GRACE: Duration = Duration::from_secs(2);
/// How long a read of the history that is under way may hold up the end after that.
const LAST: Duration = Duration::from_secs(1);

/// What is served.
pub struct Served {
    pub metrics: Arc<Metrics>,
    /// The history of this machine.
    pub history: ReadPool,
    pub readiness: Readiness,
}

/// Whether the agent does its work yet; if not, a sentence why.
#[derive(Debug)]
pub struct Readiness(Mutex<Result<(), String>>);

/// A server at work. Dropping it stops it.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<()>>,
}

/// What the handlers share.
struct PageContext {
    served: Arc<Served>,
    readers: Arc<Semaphore>,
}

impl Readiness {
    /// Not ready, for this reason.
    pub fn not_yet(why: &str) -> Self {
        Self(Mutex::new(Err(why.to_owned())))
    }

    pub fn set(&self, ready: Result<(), String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = ready;
    }

    fn get(&self) -> Result<(), String> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Server {
    /// Serves whoever connects to the listener, from now on.
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
        let router = answer::router(PageContext {
            served,
            readers: Arc::new(Semaphore::new(READERS)),
        });
        let router = if address.ip().is_loopback() {
            router.layer(axum::middleware::from_fn(host::only_local))
        } else {
            // Who listens for others may be called by any name.
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

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, lets requests under way end, and cuts off what has not ended after [`GRACE`].
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nobody is there if the thread ended by itself.
        let _gone = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            // A panic there was told by the panic itself.
            let _panicked = thread.join();
        }
    }
}
