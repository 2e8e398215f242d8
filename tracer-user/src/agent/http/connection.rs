//! Connections and their limits: number, duration, handshake, size of the header. This module does not handle the requests.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::Request;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::access::Access;
use super::listener::{AsyncListener, Stream};
use super::scraper::Peer;

/// Maximum number of open connections. At this number, a new connection replaces the oldest one without a request. If all have
/// requests, new ones wait in the listener.
const CONNECTIONS: usize = 64;
/// Time limit for the handshake of TLS. Other connections do not wait for it.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Time limit for a header, and between two requests.
const HEADER: Duration = Duration::from_secs(5);
/// Lifetime of a connection. It also limits clients that do not read the response. Other clients connect again.
const LIFE: Duration = Duration::from_secs(30);
const HEADER_BYTES: usize = 8 * 1024;
const HEADER_FIELDS: usize = 64;
/// Pause after a failed accept, when no descriptors are left.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn serve(
    listener: AsyncListener,
    router: Router,
    access: Arc<Access>,
    mut stopped: watch::Receiver<bool>,
    grace: Duration,
) {
    let mut connections = JoinSet::new();
    let mut open = VecDeque::new();
    loop {
        let is_full = connections.len() >= CONNECTIONS;
        let accepted = tokio::select! {
            _ = stopped.changed() => break,
            _ended = connections.join_next(), if is_full && !has_idle(&open) => {
                open.retain(|it: &Open| !it.task.is_finished());
                continue;
            }
            accepted = listener.accept(), if !is_full || has_idle(&open) => accepted,
            // A request makes a connection busy, so the conditions above are evaluated again soon.
            () = sleep(PAUSE), if is_full => continue,
        };
        while connections.try_join_next().is_some() {}
        open.retain(|it| !it.task.is_finished());
        match accepted {
            Ok((stream, peer)) => {
                if connections.len() >= CONNECTIONS {
                    close_idle(&mut open);
                }
                let has_request = Arc::new(AtomicBool::new(false));
                let router = router.clone().layer(Extension(Peer(peer)));
                let router = marked(router, Arc::clone(&has_request));
                let one = accepted_stream(stream, access.tls(), router, stopped.clone());
                let task = connections.spawn(async move {
                    // Invalid requests and disconnects of clients are ignored.
                    let _overdue = timeout(LIFE, one).await;
                });
                open.push_back(Open { task, has_request });
            }
            Err(_) => sleep(PAUSE).await,
        }
    }
    drop(listener);
    let all_over = async { while connections.join_next().await.is_some() {} };
    // The drop of the set aborts the remaining connections.
    let _overdue = timeout(grace, all_over).await;
}

/// An open connection. The connections are in the order of their arrival.
struct Open {
    task: AbortHandle,
    /// True after the first complete header.
    has_request: Arc<AtomicBool>,
}

impl Open {
    fn is_idle(&self) -> bool {
        !self.has_request.load(Ordering::Relaxed)
    }
}

fn has_idle(open: &VecDeque<Open>) -> bool {
    open.iter().any(Open::is_idle)
}

/// Closes the oldest connection that has sent no request. Half-open connections can therefore delay no other client.
fn close_idle(open: &mut VecDeque<Open>) {
    let idle = open.iter().position(Open::is_idle);
    if let Some(idle) = idle.and_then(|it| open.remove(it)) {
        idle.task.abort();
    }
}

/// The router of one connection. It sets the mark at each request.
fn marked(router: Router, has_request: Arc<AtomicBool>) -> Router {
    router.layer(axum::middleware::map_request(move |request: Request| {
        has_request.store(true, Ordering::Relaxed);
        std::future::ready(request)
    }))
}

/// Serves a connection, after its handshake if there is one. A Unix socket has no TLS.
async fn accepted_stream(
    stream: Stream,
    tls: Option<TlsAcceptor>,
    router: Router,
    stopped: watch::Receiver<bool>,
) {
    match (stream, tls) {
        (Stream::Unix(stream), _) => connection(stream, router, stopped).await,
        (Stream::Tcp(stream), None) => connection(stream, router, stopped).await,
        (Stream::Tcp(stream), Some(tls)) => {
            if let Ok(Ok(stream)) = timeout(HANDSHAKE, tls.accept(stream)).await {
                connection(stream, router, stopped).await;
            }
        }
    }
}

async fn connection<S>(stream: S, router: Router, mut stopped: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        .max_buf_size(HEADER_BYTES)
        .max_headers(HEADER_FIELDS)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stopped.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _closed = connection.await;
}
