//! The section `[http]`: encryption of the agent's pages, and the token that they require.

use std::path::PathBuf;

use anyhow::anyhow;
use serde::Deserialize;

use super::{Key, ListenAddress};

/// The protection of the pages.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSettings {
    /// The certificate of the server and its chain, in PEM.
    pub tls_cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM.
    pub tls_key: Option<PathBuf>,
    /// Accepted tokens, one a line.
    pub token_file: Option<PathBuf>,
    /// Pages that require no token: a path, or all paths below one that ends with a slash.
    pub without_token: Vec<String>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            tls_cert: None,
            tls_key: None,
            token_file: None,
            // The health pages contain no builds, and probes of a cluster send no token.
            without_token: vec!["/-/".to_owned()],
        }
    }
}

impl HttpSettings {
    /// Fails if values contradict each other.
    pub(super) fn check(&self, listen: Option<&ListenAddress>) -> anyhow::Result<()> {
        let trouble = |key, message: &str| Err(anyhow!("{message}").context(Key(key)));
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => return trouble("http.tls_cert", "a certificate needs a tls_key"),
            (None, Some(_)) => return trouble("http.tls_key", "a key needs a tls_cert"),
            (Some(_), Some(_)) if matches!(listen, Some(ListenAddress::Unix(_))) => {
                return trouble(
                    "http.tls_cert",
                    "a Unix socket is not encrypted: remove tls_cert and tls_key, or listen on an address",
                );
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        if self.without_token.iter().any(|it| !it.starts_with('/')) {
            return trouble(
                "http.without_token",
                "each path begins with a slash, such as \"/metrics\" or \"/-/\"",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contradictions_are_refused_with_their_key() {
        let file = || Some(PathBuf::from("/x"));
        let error = |settings: HttpSettings, listen: &str| {
            let error = settings.check(Some(&listen.parse().unwrap())).unwrap_err();
            format!("{error:#}")
        };
        let only = |tls_cert, tls_key| HttpSettings {
            tls_cert,
            tls_key,
            ..HttpSettings::default()
        };
        let tcp = "127.0.0.1:1";
        assert!(error(only(file(), None), tcp).starts_with("http.tls_cert: "));
        assert!(error(only(None, file()), tcp).starts_with("http.tls_key: "));
        assert!(error(only(file(), file()), "unix:/x").contains("Unix socket"));
        only(file(), file()).check(None).unwrap();
        let relative = HttpSettings {
            without_token: vec!["metrics".to_owned()],
            ..HttpSettings::default()
        };
        assert!(error(relative, tcp).starts_with("http.without_token: "));
        HttpSettings::default().check(None).unwrap();
    }
}
