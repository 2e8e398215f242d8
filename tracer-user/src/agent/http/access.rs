//! The protection of the pages: their certificate, and the tokens that they require.
//!
//! [`Rules`] are those of one moment. A running server replaces them when their files change, without a new listener.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context as _, anyhow, bail};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CONNECTION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use subtle::{Choice, ConstantTimeEq as _};
use tokio_rustls::TlsAcceptor;

use super::pages::trouble;
use crate::config::Key;
use crate::config::http::HttpSettings;

/// Maximum size of a file of certificates, a key or tokens.
const LENGTH: u64 = 1 << 20;

/// The rules in force.
#[derive(Debug, Default)]
pub struct Access(RwLock<Arc<Rules>>);

/// The certificate and the tokens of one moment. The default protects nothing.
#[derive(Default)]
pub struct Rules {
    tls: Option<TlsAcceptor>,
    /// `None` if no page requires a token.
    tokens: Option<Vec<Box<[u8]>>>,
    without_token: Vec<String>,
}

/// The reason why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    NoToken,
    WrongToken,
}

impl Access {
    pub fn new(rules: Rules) -> Self {
        Self(RwLock::new(Arc::new(rules)))
    }

    pub(in crate::agent) fn set(&self, rules: Rules) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn tls(&self) -> Option<TlsAcceptor> {
        self.rules().tls.clone()
    }
}

impl Rules {
    /// Reads the files of the settings.
    pub fn load(settings: &HttpSettings) -> anyhow::Result<Self> {
        let HttpSettings {
            tls_cert,
            tls_key,
            token_file,
            without_token,
        } = settings;
        let tls = match (tls_cert, tls_key) {
            (Some(cert), Some(key)) => Some(acceptor(cert, key)?),
            (Some(_) | None, Some(_) | None) => None,
        };
        let tokens = token_file.as_deref().map(tokens).transpose();
        Ok(Self {
            tls,
            tokens: tokens.context(Key("http.token_file"))?,
            without_token: without_token.clone(),
        })
    }

    fn check(&self, path: &str, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(tokens) = &self.tokens else {
            return Ok(());
        };
        let mut exceptions = self.without_token.iter();
        let is_open = exceptions.any(|it| it == path || it.ends_with('/') && path.starts_with(it));
        if is_open {
            return Ok(());
        }
        let given = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let given = given.and_then(bearer).ok_or(Refusal::NoToken)?;
        // The time does not depend on the position of the first different byte.
        let is_known = tokens
            .iter()
            .fold(Choice::from(0), |known, it| known | it.ct_eq(given));
        if bool::from(is_known) {
            Ok(())
        } else {
            Err(Refusal::WrongToken)
        }
    }
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rules")
    }
}

/// The token of an `Authorization` header.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = header.split_at_checked(b"Bearer ".len())?;
    let token = token.trim_ascii();
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

/// Refuses a request without a token, except for the pages that require none.
pub(super) async fn require_token(
    State(access): State<Arc<Access>>,
    request: Request,
    next: Next,
) -> Response {
    let checked = access
        .rules()
        .check(request.uri().path(), request.headers());
    let challenge = match checked {
        Ok(()) => return next.run(request).await,
        Err(Refusal::NoToken) => r#"Bearer realm="gotrace""#,
        Err(Refusal::WrongToken) => r#"Bearer realm="gotrace", error="invalid_token""#,
    };
    let mut response = trouble(
        StatusCode::UNAUTHORIZED,
        "this page requires a token: send the header `Authorization: Bearer TOKEN` with a token of http.token_file",
    );
    let headers = response.headers_mut();
    headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    // A client without a token holds no connection.
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn acceptor(cert: &Path, key: &Path) -> anyhow::Result<TlsAcceptor> {
    let (certs, key) = (certificates(cert)?, private_key(key)?);
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certs, key);
    let config = config.map_err(|error| {
        if matches!(error, rustls::Error::InconsistentKeys(_)) {
            anyhow!("it is not the key of the certificate")
        } else {
            anyhow!(error)
        }
    });
    let mut config = config.context(Key("http.tls_key"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// The certificates of a file, the server's own first.
pub(in crate::agent) fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = || {
        let pem = read(path)?;
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            Ok(_) | Err(_) => bail!("{} has no certificate in PEM", path.display()),
        }
    };
    read().context(Key("http.tls_cert"))
}

fn private_key(path: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    let read = || {
        let pem = read(path)?;
        // The error could quote a part of the key.
        PrivateKeyDer::from_pem_slice(&pem).map_err(|_| {
            anyhow!(
                "{} has no private key in PEM without a password",
                path.display()
            )
        })
    };
    read().context(Key("http.tls_key"))
}

/// The tokens of a file, one a line.
pub(in crate::agent) fn tokens(path: &Path) -> anyhow::Result<Vec<Box<[u8]>>> {
    let text = read(path)?;
    let lines = text.split(|it| *it == b'\n').map(<[u8]>::trim_ascii);
    let tokens: Vec<Box<[u8]>> = lines.filter(|it| !it.is_empty()).map(Into::into).collect();
    if tokens.is_empty() {
        bail!(
            "{} is empty: write a token into it, such as that of `openssl rand -hex 32`",
            path.display()
        );
    }
    if tokens.iter().flatten().any(|it| !it.is_ascii_graphic()) {
        bail!(
            "{} has characters that no token may have: write one token a line, in visible ASCII",
            path.display()
        );
    }
    Ok(tokens)
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|it| it.take(LENGTH).read_to_end(&mut bytes));
    read.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(bytes)
}

/// Detects changes of the files.
#[derive(Debug)]
pub(in crate::agent) struct AccessFiles {
    settings: HttpSettings,
    loaded: Vec<Option<FileState>>,
    /// A change that may be incomplete: the certificate and its key are two files.
    pending: Option<Vec<Option<FileState>>>,
}

/// Device, inode, size and time of the last change of a file.
type FileState = (u64, u64, u64, i64, i64);

impl AccessFiles {
    /// Must be called before the files are read.
    pub(in crate::agent) fn of(settings: &HttpSettings) -> Self {
        Self {
            settings: settings.clone(),
            loaded: states(settings),
            pending: None,
        }
    }

    /// Reads the files again if they have changed, and did not change since the last call.
    pub(in crate::agent) fn changed(&mut self) -> Option<anyhow::Result<Rules>> {
        let now = states(&self.settings);
        if now == self.loaded {
            self.pending = None;
            return None;
        }
        if self.pending.as_ref() != Some(&now) {
            self.pending = Some(now);
            return None;
        }
        self.loaded = now;
        self.pending = None;
        Some(Rules::load(&self.settings))
    }
}

fn states(settings: &HttpSettings) -> Vec<Option<FileState>> {
    let HttpSettings {
        tls_cert,
        tls_key,
        token_file,
        without_token: _,
    } = settings;
    let files = [tls_cert, tls_key, token_file].into_iter().flatten();
    let state = |path: &Path| {
        let it = path.metadata().ok()?;
        Some((it.dev(), it.ino(), it.size(), it.ctime(), it.ctime_nsec()))
    };
    files.map(|it| state(it)).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn settings(token_file: &Path, without_token: &[&str]) -> HttpSettings {
        HttpSettings {
            token_file: Some(token_file.to_owned()),
            without_token: without_token.iter().map(|it| (*it).to_owned()).collect(),
            ..HttpSettings::default()
        }
    }

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        headers
    }

    #[test]
    fn a_page_requires_one_of_the_tokens() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        fs::write(&file, "new-token\r\n\n old-token \n").unwrap();
        let rules = Rules::load(&settings(&file, &["/metrics", "/-/"])).unwrap();
        let of = |path: &str, value: &str| rules.check(path, &headers(value));
        for value in ["Bearer new-token", "bearer old-token", "BEARER  old-token"] {
            assert_eq!(of("/api/v1/builds", value), Ok(()), "{value}");
        }
        for value in [
            "Bearer new-toke",
            "Bearer new-tokenx",
            "Bearer ",
            "Bearer new-token old-token",
        ] {
            assert_eq!(of("/api/v1/builds", value), Err(Refusal::WrongToken));
        }
        for value in ["Basic new-token", "new-token", "Bearer"] {
            assert_eq!(of("/api/v1/builds", value), Err(Refusal::NoToken));
        }
        let none = HeaderMap::new();
        for path in ["/metrics", "/-/ready", "/-/"] {
            assert_eq!(rules.check(path, &none), Ok(()), "{path}");
        }
        for path in ["/metrics/x", "/metricsx", "/-", "/", "/api/v1/builds/-/"] {
            assert_eq!(rules.check(path, &none), Err(Refusal::NoToken), "{path}");
        }
        assert_eq!(Rules::default().check("/api/v1/builds", &none), Ok(()));
    }

    #[test]
    fn a_file_without_a_token_is_refused_and_no_token_is_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        for text in ["", "\n\n", "hunter2 hunter3\n", "hunter2\u{e9}"] {
            fs::write(&file, text).unwrap();
            let error = format!("{:#}", Rules::load(&settings(&file, &[])).unwrap_err());
            assert!(error.starts_with("http.token_file: "), "{error}");
            assert!(!error.contains("hunter"), "{error}");
        }
    }

    #[test]
    fn changed_files_are_read_when_they_are_complete() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        fs::write(&file, "one").unwrap();
        let mut files = AccessFiles::of(&settings(&file, &[]));
        assert!(files.changed().is_none());
        fs::write(&file, "other").unwrap();
        assert!(files.changed().is_none(), "the change may be incomplete");
        let rules = files.changed().unwrap().unwrap();
        assert_eq!(rules.check("/", &headers("Bearer other")), Ok(()));
        assert!(files.changed().is_none());
        fs::remove_file(&file).unwrap();
        assert!(files.changed().is_none());
        assert!(files.changed().unwrap().is_err());
        assert!(files.changed().is_none(), "an error is reported once");
    }
}
