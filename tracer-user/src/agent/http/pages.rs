//! The content of the pages. Each error is a JSON object with one message that contains a remedy.

use std::iter;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::time::timeout;

use super::{PageContext, compress, query, scraper};
use crate::agent::metrics::Format;
use crate::clock;
use crate::history::{self, Cause, Error, Reader};
use crate::render::{AdviceView, Layout};

/// Time limit of a read of the history.
const PATIENCE: Duration = Duration::from_secs(10);
const NO_QUERY: &str = "the query is not a list of name=value: URL-encode it";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text";

pub(super) fn router(shared: PageContext) -> Router {
    // `get` also handles HEAD.
    Router::new()
        .route("/metrics", get(metrics))
        .route("/-/healthy", get(healthy))
        .route("/-/ready", get(ready))
        .route("/api/v1/builds", get(builds))
        .route("/api/v1/builds/{id}", get(build))
        .route("/api/v1/advice", get(advice))
        .fallback(no_page)
        .method_not_allowed_fallback(no_method)
        .with_state(Arc::new(shared))
}

async fn metrics(State(shared): State<Arc<PageContext>>, request: Request) -> Response {
    let format = format(request.headers());
    let reader = scraper::reader(&request, Duration::from_nanos(clock::boot_ns()));
    match shared.served.metrics.page(format, clock::wall_ns(), reader) {
        Ok(page) => {
            let packed = compress::accepts_gzip(request.headers())
                .then(|| compress::gzip(page.as_bytes()).ok())
                .flatten();
            let is_packed = packed.is_some();
            let page = packed.unwrap_or_else(|| page.into_bytes());
            let mut response = fine(format.content_type(), page);
            let headers = response.headers_mut();
            headers.insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
            if is_packed {
                headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
            response
        }
        Err(error) => trouble(
            StatusCode::INTERNAL_SERVER_ERROR,
            &format!("cannot render the metrics, please report this as a bug in gotrace: {error}"),
        ),
    }
}

async fn healthy(State(shared): State<Arc<PageContext>>) -> Response {
    match shared.served.readiness.alive(Instant::now()) {
        Ok(()) => fine(TEXT, "gotrace is alive\n".to_owned()),
        Err(why) => trouble(StatusCode::SERVICE_UNAVAILABLE, &why),
    }
}

async fn ready(State(shared): State<Arc<PageContext>>) -> Response {
    match shared.served.readiness.get(Instant::now()) {
        Ok(limits) => {
            let limits = limits.iter().flat_map(|it| ["limited: ", it, "\n"]);
            let page: String = iter::once("gotrace follows builds\n")
                .chain(limits)
                .collect();
            fine(TEXT, page)
        }
        Err(why) => trouble(StatusCode::SERVICE_UNAVAILABLE, &why),
    }
}

async fn builds(
    State(shared): State<Arc<PageContext>>,
    words: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Response {
    let Ok(Query(words)) = words else {
        return trouble(StatusCode::BAD_REQUEST, NO_QUERY);
    };
    let filter = match query::filter(&words, clock::wall_ns()) {
        Ok(filter) => filter,
        Err(why) => return trouble(StatusCode::BAD_REQUEST, &why),
    };
    read(&shared, move |reader| {
        let (entries, has_more) = reader.list(&filter)?;
        let mut page = Vec::new();
        history::builds_json(&entries, has_more, &mut page)?;
        Ok(page)
    })
    .await
}

async fn advice(
    State(shared): State<Arc<PageContext>>,
    words: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Response {
    let now_ns = clock::wall_ns();
    let filter = match words {
        Ok(Query(words)) => query::advice(&words, now_ns),
        Err(_) => Err(NO_QUERY.to_owned()),
    };
    let filter = match filter {
        Ok(filter) => filter,
        Err(why) => return trouble(StatusCode::BAD_REQUEST, &why),
    };
    read(&shared, move |reader| {
        let advice = reader.advise(&filter, now_ns)?;
        let view = AdviceView {
            advice: &advice,
            cpu_hour_price: None,
        };
        let mut page = Vec::new();
        history::advice_json(&view, Layout::Indented, &mut page)?;
        Ok(page)
    })
    .await
}

async fn build(State(shared): State<Arc<PageContext>>, Path(id): Path<String>) -> Response {
    let prefix = match id.parse() {
        Ok(prefix) => prefix,
        Err(error) => {
            return trouble(
                StatusCode::BAD_REQUEST,
                &format!("{id:?} is not the ID of a build: {error}"),
            );
        }
    };
    read(&shared, move |reader| {
        let mut page = Vec::new();
        history::show_json(&reader.show(&prefix)?, Layout::Indented, &mut page)?;
        Ok(page)
    })
    .await
}

async fn no_page() -> Response {
    trouble(
        StatusCode::NOT_FOUND,
        "this page does not exist: use /metrics, /-/healthy, /-/ready, /api/v1/builds, /api/v1/builds/ID or /api/v1/advice",
    )
}

async fn no_method() -> Response {
    let mut response = trouble(
        StatusCode::METHOD_NOT_ALLOWED,
        "all pages are read-only: use GET or HEAD",
    );
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

/// Reads the history on a thread that may wait for the disk.
async fn read(
    shared: &PageContext,
    ask: impl Fn(&Reader<'_>) -> Result<Vec<u8>, Cause> + Send + 'static,
) -> Response {
    let served = Arc::clone(&shared.served);
    let readers = Arc::clone(&shared.readers);
    let asked = async move {
        // The semaphore is never closed.
        let place = readers.acquire_owned().await.ok();
        let read = tokio::task::spawn_blocking(move || {
            // The permit is held until the end of the read, even after a timeout.
            let _place = place;
            served.history.read(ask)
        });
        read.await
    };
    match timeout(PATIENCE, asked).await {
        Ok(Ok(Ok(page))) => fine(JSON, page),
        Ok(Ok(Err(error))) => trouble(status(&error.cause), &message(&error)),
        Ok(Err(_)) => trouble(
            StatusCode::INTERNAL_SERVER_ERROR,
            "cannot read the history: see the log, and please report this as a bug in gotrace",
        ),
        Err(_) => trouble(
            StatusCode::SERVICE_UNAVAILABLE,
            "reading the history took too long: retry with a smaller limit",
        ),
    }
}

fn status(cause: &Cause) -> StatusCode {
    match cause {
        Cause::NoSuchBuild { .. } | Cause::NoneMatches { .. } => StatusCode::NOT_FOUND,
        Cause::Ambiguous { .. } | Cause::Id(_) => StatusCode::BAD_REQUEST,
        Cause::Missing | Cause::Busy | Cause::Central(_) => StatusCode::SERVICE_UNAVAILABLE,
        Cause::Denied
        | Cause::NotYours(_)
        | Cause::Link
        | Cause::Dir(_)
        | Cause::Foreign
        | Cause::Newer { .. }
        | Cause::Damaged(_)
        | Cause::Exists
        | Cause::NotAFile
        | Cause::BadCopy(_)
        | Cause::Full(_)
        | Cause::Unwritable(_)
        | Cause::Unpackable(_)
        | Cause::Row(_)
        | Cause::Io(_)
        | Cause::Json(_)
        | Cause::Migration(_)
        | Cause::Sqlite(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The message of an error, without the path of the history.
fn message(error: &Error) -> String {
    format!("the history {}", error.cause)
}

/// Returns `OpenMetrics` if the client accepts it, unless with a quality of zero.
fn format(headers: &HeaderMap) -> Format {
    let ranges = headers.get_all(ACCEPT).iter();
    let ranges = ranges.filter_map(|it| it.to_str().ok());
    let mut ranges = ranges.flat_map(|it| it.split(','));
    let is_wanted = ranges.any(|range| {
        let mut parts = range.split(';').map(|it| it.trim().to_ascii_lowercase());
        parts.next().as_deref() == Some(OPENMETRICS)
            && parts.all(|it| {
                let quality = it.strip_prefix("q=").map(str::parse::<f64>);
                let is_refused = matches!(quality, Some(Ok(q)) if q <= 0.0);
                let is_other = it.strip_prefix("version=").is_some_and(|it| it != "1.0.0");
                !is_refused && !is_other
            })
    });
    if is_wanted {
        Format::OpenMetrics
    } else {
        Format::Text
    }
}

fn fine(content_type: &'static str, page: impl Into<axum::body::Body>) -> Response {
    respond(StatusCode::OK, content_type, page.into())
}

pub(super) fn trouble(status: StatusCode, sentence: &str) -> Response {
    let page = serde_json::json!({ "error": sentence }).to_string() + "\n";
    respond(status, JSON, page.into())
}

fn respond(status: StatusCode, content_type: &'static str, page: axum::body::Body) -> Response {
    let headers: [(HeaderName, &str); 3] = [
        (CONTENT_TYPE, content_type),
        (CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
    ];
    (status, headers, page).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_sent_on_request() {
        let of = |accept: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
            format(&headers)
        };
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        assert_eq!(of(prometheus), Format::OpenMetrics);
        assert_eq!(of("application/openmetrics-text"), Format::OpenMetrics);
        for accept in [
            "*/*",
            "text/plain",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text; version=0.0.1",
            "",
        ] {
            assert_eq!(of(accept), Format::Text, "{accept}");
        }
    }
}
