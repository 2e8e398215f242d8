//! HTTP for the exporters: one request, one response, within seconds.
//!
//! A response is classified as success, permanent failure or temporary failure. Redirects are failures: credentials and
//! builds are sent only to the address in the configuration. The caller is responsible for content and retries. Error
//! messages contain no credentials and no query, and only a redacted excerpt of the response.

mod authorization;
mod tls;

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use tracer_core::redact;
use ureq::http::{HeaderMap, Response};
use ureq::{Agent, Body, Error, Timeout, http};

use crate::config::Endpoint;
use crate::render::style::escape;

pub use authorization::Authorization;
pub use ureq::http::StatusCode;

/// Time to connect, including name resolution and TLS.
const CONNECT: Duration = Duration::from_secs(3);
/// Time to the end of the response.
pub const TOTAL: Duration = Duration::from_secs(5);
/// Bytes of a response that are read by default.
const ANSWER: u64 = 64 << 10;
/// Length of the excerpt of a failed response.
const QUOTED: usize = 200;

/// A client for one endpoint.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    endpoint: Endpoint,
    authorization: Authorization,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Put,
    Post,
    Delete,
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct HttpRequest<'a> {
    pub method: Method,
    /// Appended to the path of the endpoint: empty, or `/` and the rest, URL-encoded.
    pub path: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
    /// Not sent with GET and DELETE.
    pub body: &'a [u8],
    /// Time limit of the exchange, at most [`TOTAL`].
    pub patience: Duration,
    /// Bytes of the response that are read.
    pub limit: u64,
    /// Returns true if a retry can succeed after this status. It is not called for successes.
    pub is_passing: fn(StatusCode) -> bool,
}

impl<'a> HttpRequest<'a> {
    /// A request without headers and body, with the default limits.
    pub fn new(method: Method, path: &'a str) -> Self {
        Self {
            method,
            path,
            headers: &[],
            body: &[],
            patience: TOTAL,
            limit: ANSWER,
            is_passing,
        }
    }
}

/// The result of a request. The texts are messages for the operator, without the endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Success: a 2xx status.
    Done(HttpResponse),
    /// Permanent failure: a 4xx status or a redirect.
    Refused(String),
    /// Temporary failure: no connection, a timeout, a 429 or a 5xx. `after` is the pause that the server requested.
    Later {
        why: String,
        after: Option<Duration>,
    },
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    pub body: Vec<u8>,
    /// True if the body is complete.
    pub is_whole: bool,
}

impl Client {
    /// Creates a client, without a connection. `ca_file` contains trusted certificates in PEM, besides those of the machine.
    pub fn new(
        endpoint: Endpoint,
        authorization: Authorization,
        ca_file: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let authorization = authorization.or(Authorization::of_endpoint(&endpoint));
        authorization.check()?;
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_idle_connections(1)
            .max_idle_connections_per_host(1)
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(TOTAL))
            .user_agent(concat!("gotrace/", env!("CARGO_PKG_VERSION")));
        let config = if endpoint.is_tls() {
            config.tls_config(tls::config(ca_file).context("cannot set up TLS")?)
        } else {
            config
        };
        // As in most programs, endpoints on this machine need no proxy.
        let config = if endpoint.is_loopback() {
            config.proxy(None)
        } else {
            config
        };
        Ok(Self {
            agent: config.build().new_agent(),
            endpoint,
            authorization,
        })
    }

    /// The endpoint, for messages.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Sends a request. Takes at most [`HttpRequest::patience`].
    pub fn send(&self, request: &HttpRequest<'_>) -> Outcome {
        match self.exchange(request) {
            Ok(response) => sort(response, request),
            Err(Failure::Local(why)) => Outcome::Later { why, after: None },
            Err(Failure::Http(error)) => Outcome::Later {
                why: message_of(&error),
                after: None,
            },
        }
    }

    fn exchange(&self, request: &HttpRequest<'_>) -> Result<Response<Body>, Failure> {
        let HttpRequest {
            method,
            path,
            headers,
            body,
            patience,
            limit: _,
            is_passing: _,
        } = *request;
        let mut builder = http::Request::builder()
            .method(method.as_str())
            .uri(self.endpoint.with_path(path));
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let authorization = self.authorization.header();
        if let Some(value) = authorization.map_err(|it| Failure::Local(format!("{it:#}")))? {
            builder = builder.header("authorization", value);
        }
        let patience = Some(patience.min(TOTAL));
        let sent = match method {
            Method::Get | Method::Delete => {
                let request = builder.body(()).map_err(Error::from)?;
                let request = self.agent.configure_request(request);
                self.agent.run(request.timeout_global(patience).build())
            }
            Method::Put | Method::Post => {
                let request = builder.body(body).map_err(Error::from)?;
                let request = self.agent.configure_request(request);
                self.agent.run(request.timeout_global(patience).build())
            }
        };
        Ok(sent?)
    }
}

impl Method {
    fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Put => "PUT",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// The reason for a missing response.
enum Failure {
    Local(String),
    Http(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Http(error)
    }
}

/// True if most servers use this status for a temporary failure.
fn is_passing(status: StatusCode) -> bool {
    let is_ours = matches!(
        status,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
    );
    is_ours || status.is_server_error()
}

fn sort(response: Response<Body>, request: &HttpRequest<'_>) -> Outcome {
    let limit = request.limit;
    let status = response.status();
    let after = retry_after(response.headers());
    let mut body = Vec::new();
    let mut reader = response
        .into_body()
        .into_reader()
        .take(limit.saturating_add(1));
    let is_read = reader.read_to_end(&mut body).is_ok();
    let length = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_whole = is_read && body.len() <= length;
    body.truncate(length);
    if status.is_success() {
        return Outcome::Done(HttpResponse { body, is_whole });
    }
    let why = format!("the other side answered {status}{}", quoted(&body));
    if (request.is_passing)(status) {
        Outcome::Later { why, after }
    } else if status.is_redirection() {
        Outcome::Refused(format!(
            "{why}: gotrace follows no redirect, give the final address"
        ))
    } else {
        Outcome::Refused(why)
    }
}

/// An excerpt of the response on one line. The excerpt is redacted, because the response may repeat parts of the request.
pub(super) fn quoted(body: &[u8]) -> String {
    let start = body.get(..QUOTED * 4).unwrap_or(body);
    let text = redact::text(start);
    let text = String::from_utf8_lossy(&text);
    let words: Vec<&str> = text.split_whitespace().collect();
    let line: String = words.join(" ").chars().take(QUOTED).collect();
    if line.is_empty() {
        line
    } else {
        format!(": {}", escape(&line))
    }
}

/// The requested pause in seconds. Dates are ignored.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("retry-after")?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// The messages of `ureq` may contain addresses, so each kind of error has its own message.
fn message_of(error: &Error) -> String {
    match error {
        Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
            format!("no connection within {} s", CONNECT.as_secs())
        }
        Error::Timeout(_) => "no answer in time".to_owned(),
        Error::HostNotFound => "no such host".to_owned(),
        Error::Io(error) => error.to_string(),
        Error::Tls(why) => format!("TLS failed: {why}"),
        Error::Rustls(error) => format!("TLS failed: {error}"),
        Error::Protocol(_) => "the response is not HTTP".to_owned(),
        Error::ConnectProxyFailed(_) => "the proxy refused the connection".to_owned(),
        Error::InvalidProxyUrl => "the address of the proxy is not valid".to_owned(),
        Error::ConnectionFailed => "no connection".to_owned(),
        Error::Http(_) | Error::BadUri(_) => "the request is not valid HTTP".to_owned(),
        // These kinds cannot occur here, or are new: the enum can grow.
        Error::StatusCode(_)
        | Error::RedirectFailed
        | Error::BodyExceedsLimit(_)
        | Error::TooManyRedirects
        | Error::Pem(_)
        | Error::RequireHttpsOnly(_)
        | Error::LargeResponseHeader(..)
        | Error::TlsRequired
        | Error::Other(_)
        | _ => "the request failed".to_owned(),
    }
}

#[cfg(test)]
mod tests;
