//! Connections and their bounds: how many, how long, how much header. What is asked over them is not known here.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// At the same time. Others wait to be accepted.
const CONNECTIONS: usize = 64;
/// For a client to send its header, and between two requests.
const HEADER: Duration = Duration::from_secs(5);
/// A connection is closed after that, whatever it does: a client that does not read its answer holds a place no longer. Those who
/// come again connect again.
const LIFE: Duration = Duration::from_secs(30);
const HEADER_BYTES: usize = 8 * 1024;
const HEADER_FIELDS: usize = 64;
/// Before it is tried again, when there are no descriptors left.
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
            Ok((stream, _)) => {
                let one = connection(stream, router.clone(), stopped.clone());
                connections.spawn(async move {
                    // A client that says nothing sensible, or goes away, is no trouble of ours.
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
    // What goes on is cut off when the set is dropped.
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
