//! Protection of local pages against DNS rebinding: a web site can give its own name this machine's address. The browser
//! then sends the name of the site in the `Host` header, and the request is rejected.

use std::net::IpAddr;

use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::HOST;
use axum::middleware::Next;
use axum::response::Response;

use super::pages::trouble;

/// Accepts requests to an address or to `localhost`.
pub(super) async fn only_local(request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST);
    // HTTP/1.0 needs no `Host` header, and no browser uses it.
    let is_local = host.is_none_or(|it| it.to_str().is_ok_and(is_local));
    if is_local {
        next.run(request).await
    } else {
        trouble(
            StatusCode::MISDIRECTED_REQUEST,
            "these pages are only available on this machine: use localhost, or change the address of the agent with --listen",
        )
    }
}

/// True if a `Host` header contains an address or `localhost`.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        // The last group of a bare IPv6 address is not a port. In this case, the whole text is an address.
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
    fn addresses_and_localhost_are_accepted_and_names_are_not() {
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
