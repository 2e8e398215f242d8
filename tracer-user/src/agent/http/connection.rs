//! Connections and their limits: number, duration, size of the header. This module does not handle the requests.

use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::scraper::Peer;

/// Maximum number of open connections. Others wait in the listener.
const CONNECTIONS: usize = 64;
/// Time limit for a header, and between two requests.
const HEADER: Duration = Duration::from_secs(5);
/// Lifetime of a connection. It also limits clients that do not read the response. Other clients connect again.
const LIFE: Duration = Duration::from_secs(30);
const HEADER_BYTES: usize = 8 * 1024;
const HEADER_FIELDS: usize = 64;
/// Pause after a failed accept, when no descriptors are left.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    mut stopped: watch::Receiver<bool>,
    grace: Duration,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            _ = stopped.changed() => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let router = router.clone().layer(Extension(Peer(peer.ip())));
                let one = connection(stream, router, stopped.clone());
                connections.spawn(async move {
                    // Invalid requests and disconnects of clients are ignored.
                    let _overdue = timeout(LIFE, one).await;
                    drop(place);
                });
            }
            Err(_) => sleep(PAUSE).await,
        }
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    let all_over = async { while connections.join_next().await.is_some() {} };
    // The drop of the set aborts the remaining connections.
    let _overdue = timeout(grace, all_over).await;
}

async fn connection(stream: TcpStream, router: Router, mut stopped: watch::Receiver<bool>) {
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
