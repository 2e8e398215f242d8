//! The HTTP address of a receiver. Its credentials are stored separately and never shown.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Deserializer};
use ureq::http::Uri;

/// An `http` or `https` URL. `Display` and `Debug` omit user, password, query and fragment.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    is_tls: bool,
    /// Host and port.
    authority: String,
    /// Path without a final slash.
    path: String,
    /// Query with its question mark, or empty.
    query: String,
    /// User and password, as written before the host.
    user: Option<Box<str>>,
}

/// Error of a text that is no endpoint. It never quotes the text, which may contain a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEndpoint {
    #[error("an address begins with http:// or https://")]
    Scheme,
    #[error("the address has no host")]
    Host,
    #[error("the address is not a valid URL")]
    Form,
    #[error("an @ after the host: write / and @ in a password as %2F and %40")]
    At,
}

impl FromStr for Endpoint {
    type Err = BadEndpoint;

    fn from_str(text: &str) -> Result<Self, BadEndpoint> {
        let (scheme, rest) = text.split_once("://").ok_or(BadEndpoint::Scheme)?;
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(BadEndpoint::Scheme),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (before, after) = rest.split_at(end);
        let (user, authority) = match before.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, before),
        };
        // Without this, the start of a password could be taken for the host, and its rest for the path, which is shown.
        if after.contains('@') {
            return Err(BadEndpoint::At);
        }
        if authority.is_empty() || authority.starts_with(':') {
            return Err(BadEndpoint::Host);
        }
        let after = after.split('#').next().unwrap_or_default();
        let uri: Uri = format!("{}{authority}{after}", scheme_of(is_tls))
            .parse()
            .map_err(|_| BadEndpoint::Form)?;
        let port = authority.strip_prefix(uri.host().unwrap_or_default());
        if port != Some("") && uri.port_u16().is_none() {
            return Err(BadEndpoint::Form);
        }
        Ok(Self {
            is_tls,
            authority: authority.to_owned(),
            path: uri.path().trim_end_matches('/').to_owned(),
            query: uri.query().map_or_else(String::new, |it| format!("?{it}")),
            user: user.map(Into::into),
        })
    }
}

/// Not derived: the derive would treat the `'static` of the scheme as borrowed from the text.
impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Endpoint {
    /// The URL of a request: the address with `path` appended, without user and password.
    pub(crate) fn with_path(&self, path: &str) -> String {
        let Self {
            is_tls,
            authority,
            path: own,
            query,
            user: _,
        } = self;
        format!("{}{authority}{own}{path}{query}", scheme_of(*is_tls))
    }

    /// User and password of the address.
    pub(crate) fn credentials(&self) -> Option<[Vec<u8>; 2]> {
        let user = self.user.as_deref()?;
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        Some([name, password].map(|it| percent_decode_str(it).collect()))
    }

    pub(crate) fn is_tls(&self) -> bool {
        self.is_tls
    }

    pub(crate) fn is_loopback(&self) -> bool {
        let host = match self.authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => host,
            Some(_) | None => &self.authority,
        };
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || address.parse().is_ok_and(|it: IpAddr| it.is_loopback())
    }
}

fn scheme_of(is_tls: bool) -> &'static str {
    if is_tls { "https://" } else { "http://" }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{}{}",
            scheme_of(self.is_tls),
            self.authority,
            self.path
        )
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(text: &str) -> Endpoint {
        text.parse().unwrap()
    }

    #[test]
    fn credentials_are_split_off_and_never_shown() {
        for text in [
            "https://ci:s3cret@push.example.com:9091/base/?token=s3cret#s3cret",
            "HTTPS://ci:p@s3cret@push.example.com/",
            "http://s3cret@push.example.com",
        ] {
            let endpoint = endpoint(text);
            let shown = format!("{endpoint} {endpoint:?}");
            assert!(!shown.contains("s3cret"), "{shown}");
            let (_, rest) = shown.split_once("://").unwrap();
            assert!(rest.starts_with("push.example.com"), "{shown}");
        }
    }

    #[test]
    fn a_path_is_appended_to_the_path_of_the_address() {
        let endpoint = endpoint("http://ci:x@[::1]:9091/base/?a=b");
        assert_eq!(endpoint.with_path("/m"), "http://[::1]:9091/base/m?a=b");
        assert_eq!(endpoint.to_string(), "http://[::1]:9091/base");
    }

    #[test]
    fn loopback_addresses_are_recognised() {
        for (text, expected) in [
            ("http://localhost:1", true),
            ("http://127.0.0.9", true),
            ("http://[::1]", true),
            ("http://[::1]:80", true),
            ("http://10.0.0.1", false),
            ("http://localhost.example.com", false),
        ] {
            assert_eq!(endpoint(text).is_loopback(), expected, "{text}");
        }
    }

    #[test]
    fn errors_do_not_quote_the_address() {
        for (text, expected) in [
            ("", BadEndpoint::Scheme),
            ("push.example.com:9091", BadEndpoint::Scheme),
            ("ftp://s3cret@x", BadEndpoint::Scheme),
            ("http://", BadEndpoint::Host),
            ("http://s3cret@/x", BadEndpoint::Host),
            ("http://:9091", BadEndpoint::Host),
            ("http://a b/s3cret", BadEndpoint::Form),
            ("http://a:port/s3cret", BadEndpoint::Form),
            ("http://a:99999999", BadEndpoint::Form),
            ("http://a:", BadEndpoint::Form),
            ("http://ci:p@s3cret/x@a", BadEndpoint::At),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert_eq!(error, expected, "{text}");
            assert!(!error.to_string().contains("s3cret"));
        }
    }
}
