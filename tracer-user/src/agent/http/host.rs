//! Pages for this machine alone are not for a web site that gives its own name this machine's address (DNS rebinding): a browser
//! sends that name along, and nobody here calls us so.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::HOST;
use axum::middleware::Next;
use axum::response::Response;

use super::answer::trouble;

/// Lets through what was asked of an address or of `localhost`.
pub(super) async fn only_local(request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST);
    // Of HTTP/1.0 there may be none; no browser speaks it.
    let is_local = host.is_none_or(|it| it.to_str().is_ok_and(is_local));
    if is_local {
        next.run(request).await
    } else {
        trouble(
            StatusCode::MISDIRECTED_REQUEST,
            "these pages are for this machine alone: ask localhost, or give the agent another place with --listen",
        )
    }
}

/// Whether a `Host` header names an address, or this machine by the name that every machine has for itself.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        // What is behind the last colon of a bare IPv6 address is no port, but then the whole is an address.
        Some((name, port)) if port.bytes().all(|it| it.is_ascii_digit()) => name,
        Some(_) | None => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let name = name.to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || bare.parse::<IpAddr>().is_ok()
        || host.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_localhost_are_ours_and_names_are_not() {
        for host in [
            "localhost",
            "LOCALHOST:10127",
            "gotrace.localhost:80",
            "127.0.0.1:10127",
            "127.0.0.1",
            "[::1]:10127",
            "[::1]",
            "10.0.0.7:10127",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "evil.example:10127",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "",
            ":10127",
            "a:b:c",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }
}
