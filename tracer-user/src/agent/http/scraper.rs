//! The reader of the metrics, by the address of the client and the headers that it sends.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::time::Duration;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::agent::metrics::{ClientId, Reader};

/// Prometheus and compatible scrapers send this header with the time limit of the scrape.
const SCRAPE_TIMEOUT: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

/// Address of the client; `None` on a Unix socket. Every request of a connection has it as an extension.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) Option<IpAddr>);

/// The reader that sent this request. `at` is the time of the request.
pub(super) fn reader(request: &Request, at: Duration) -> Reader {
    let headers = request.headers();
    let mut hash = DefaultHasher::new();
    request
        .extensions()
        .get()
        .map(|Peer(it)| it)
        .hash(&mut hash);
    // A request for the head alone reads no counter, so it is another reader.
    (request.method() == Method::HEAD).hash(&mut hash);
    // A parameter in a scraper's configuration distinguishes it from others.
    request.uri().query().hash(&mut hash);
    for name in [header::USER_AGENT, header::ACCEPT] {
        value(headers, &name).hash(&mut hash);
    }
    Reader::Client {
        id: ClientId(hash.finish()),
        is_scraper: headers.contains_key(SCRAPE_TIMEOUT),
        at,
    }
}

fn value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    headers.get(name).map(HeaderValue::as_bytes)
}
