//! Credentials of the exporters. Secrets are never logged. Files of secrets are read for each request, because they rotate.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::http::HeaderValue;

use crate::config::Endpoint;

/// Maximum size of the file of a secret.
const LENGTH: u64 = 16 << 10;

/// The content of the `Authorization` header.
#[derive(Clone, PartialEq, Eq)]
pub enum Authorization {
    None,
    Basic {
        user: String,
        password_file: PathBuf,
    },
    Bearer {
        token_file: PathBuf,
    },
    /// A complete `Basic` value.
    Ready(Box<str>),
}

impl Authorization {
    /// Reads the settings: a user and a file of the password, a file of a token, or neither.
    pub fn of_files(
        user: Option<&str>,
        password_file: Option<&Path>,
        token_file: Option<&Path>,
    ) -> anyhow::Result<Self> {
        Ok(match (user, password_file, token_file) {
            (None, None, None) => Self::None,
            (Some(user), Some(file), None) if !user.contains(':') => Self::Basic {
                user: user.to_owned(),
                password_file: file.to_owned(),
            },
            (None, None, Some(file)) => Self::Bearer {
                token_file: file.to_owned(),
            },
            (Some(user), Some(_), None) if user.contains(':') => bail!("a username has no colon"),
            (Some(_), None, None) => bail!("a username needs a password_file"),
            (None, Some(_), _) => bail!("a password_file needs a username"),
            (Some(_), _, _) => bail!("give either a username or a bearer_token_file, not both"),
        })
    }

    /// Takes the user and password of an address.
    pub(super) fn of_endpoint(endpoint: &Endpoint) -> Self {
        let Some([mut user, password]) = endpoint.credentials() else {
            return Self::None;
        };
        user.push(b':');
        user.extend(password);
        Self::Ready(format!("Basic {}", STANDARD.encode(user)).into())
    }

    /// Returns `other` if this is `None`.
    pub(super) fn or(self, other: Self) -> Self {
        match self {
            Self::None => other,
            Self::Basic { .. } | Self::Bearer { .. } | Self::Ready(_) => self,
        }
    }

    /// Checks that the header can be created now.
    pub(in crate::agent::export) fn check(&self) -> anyhow::Result<()> {
        self.header().map(|_| ())
    }

    /// The header, marked as sensitive.
    pub(super) fn header(&self) -> anyhow::Result<Option<HeaderValue>> {
        let value = match self {
            Self::None => return Ok(None),
            Self::Basic {
                user,
                password_file,
            } => {
                let password = secret(password_file)?;
                format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
            }
            Self::Bearer { token_file } => format!("Bearer {}", secret(token_file)?),
            Self::Ready(value) => value.to_string(),
        };
        let mut value = HeaderValue::from_str(&value)
            .ok()
            .context("the secret has characters that no header may have")?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// Reads a secret, without the line break that editors append.
fn secret(path: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = File::open(path).and_then(|it| it.take(LENGTH).read_to_string(&mut text));
    read.with_context(|| format!("cannot read the secret in {}", path.display()))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.is_empty() {
        bail!("{} is empty: it should hold a secret", path.display());
    }
    Ok(text.to_owned())
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Basic { .. } => "Basic",
            Self::Bearer { .. } => "Bearer",
            Self::Ready(_) => "Ready",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_an_address_are_a_header() {
        let endpoint = "https://ci:s%33cret%3a@push.example.com".parse().unwrap();
        let basic = Authorization::of_endpoint(&endpoint);
        let header = basic.header().unwrap().unwrap();
        assert_eq!(header.to_str().unwrap(), "Basic Y2k6czNjcmV0Og==");
        assert!(header.is_sensitive());
    }

    #[test]
    fn secrets_come_from_files_as_they_are_now() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        let bearer = Authorization::of_files(None, None, Some(&file)).unwrap();
        let error = format!("{:#}", bearer.header().unwrap_err());
        assert!(error.contains("cannot read the secret in"), "{error}");
        for (text, expected) in [("one\n", "Bearer one"), ("two", "Bearer two")] {
            std::fs::write(&file, text).unwrap();
            let header = bearer.header().unwrap().unwrap();
            assert_eq!(header, expected);
            assert!(!format!("{header:?} {bearer:?}").contains(text.trim()));
        }
        std::fs::write(&file, "open sesame\n").unwrap();
        let basic = Authorization::of_files(Some("Aladdin"), Some(&file), None).unwrap();
        assert_eq!(
            basic.header().unwrap().unwrap(),
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        );
        for bad in ["", "\n", "a\nb"] {
            std::fs::write(&file, bad).unwrap();
            assert!(basic.header().is_err() || bad == "a\nb");
            let error = format!("{:#}", bearer.header().unwrap_err());
            assert!(!error.contains("a\nb"), "{error}");
        }
    }

    #[test]
    fn half_a_setting_is_refused() {
        let file = Some(Path::new("/x"));
        assert!(Authorization::of_files(Some("u"), None, None).is_err());
        assert!(Authorization::of_files(None, file, None).is_err());
        assert!(Authorization::of_files(Some("u"), file, file).is_err());
        assert!(Authorization::of_files(Some("u:v"), file, None).is_err());
        assert!(Authorization::of_files(None, file, file).is_err());
    }
}
