//! The address of a central history, with credentials. No output shows the secrets in it.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};

use crate::history::central_error::CentralError;

/// Text of the form `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full&sslrootcert=FILE`, not checked yet.
///
/// The check happens at use, so that parsers of command lines and files never quote the text in an error.
#[derive(Clone, PartialEq, Eq)]
pub struct Address(String);

/// The `sslmode` of libpq: which proof of identity a server must give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsMode {
    /// No encryption.
    Disable,
    /// Encryption if the server supports it, without proof.
    Prefer,
    /// Encryption. Without a root certificate, no proof.
    Require,
    /// The certificate is signed by a root.
    VerifyCa,
    /// The certificate is signed by a root and names this host.
    VerifyFull,
}

/// Options of this module, which it reads itself.
const OWN_OPTIONS: &[&str] = &["sslmode", "sslrootcert", "password_file"];

/// Options that the client's parser reads.
const OPTIONS: &[&str] = &[
    "user",
    "password",
    "dbname",
    "options",
    "application_name",
    "sslnegotiation",
    "host",
    "hostaddr",
    "port",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "target_session_attrs",
    "channel_binding",
    "load_balance_hosts",
];

/// The option that a name probably means: the same letters, but for two.
fn close_option(name: &str) -> Option<&'static str> {
    const CLOSE: usize = 2;
    let known = OWN_OPTIONS.iter().chain(OPTIONS).copied();
    let near = known.map(|it| (distance(it.as_bytes(), name.as_bytes()), it));
    let (far, option) = near.min()?;
    (far <= CLOSE).then_some(option)
}

/// Number of bytes to insert, remove or replace.
fn distance(from: &[u8], to: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (n, own) in from.iter().enumerate() {
        let (mut above_left, mut left) = (n, n + 1);
        for (other, cell) in to.iter().zip(row.iter_mut().skip(1)) {
            let replaced = above_left + usize::from(own != other);
            above_left = *cell;
            left = replaced.min(left + 1).min(*cell + 1);
            *cell = left;
        }
        if let Some(first) = row.first_mut() {
            *first = n + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// A parsed address.
#[derive(Debug)]
pub(super) struct ParsedAddress {
    /// Debug hides the password.
    pub(super) config: Config,
    pub(super) proof: TlsMode,
    pub(super) root: Option<PathBuf>,
    /// The first line of this file is the password, unless the address contains one.
    password_file: Option<PathBuf>,
}

impl Address {
    /// The address, if the text begins like a URL. Any other text is a path. A scheme other than `postgres` fails in [`Self::check`].
    pub fn of(text: &str) -> Option<Self> {
        let (scheme, _) = text.split_once("://")?;
        let is_scheme = scheme.starts_with(|it: char| it.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || b"+-.".contains(&it));
        is_scheme.then(|| Self(text.to_owned()))
    }

    /// Fails if the address is invalid. Uses no network.
    pub fn check(&self) -> Result<(), CentralError> {
        self.meant().map(|_| ())
    }

    pub(super) fn meant(&self) -> Result<ParsedAddress, CentralError> {
        if !["postgres://", "postgresql://"]
            .iter()
            .any(|it| self.0.starts_with(it))
        {
            return Err(CentralError::Address(
                "a history is a file, or a database whose address begins with postgres://",
            ));
        }
        // A question mark before the @ is part of the password.
        let start = self.0.find('@').map_or(0, |it| it + 1);
        let rest = self.0.get(start..).unwrap_or_default();
        if rest.contains('@') {
            return Err(CentralError::Address(
                "write @ in a name or password as %40",
            ));
        }
        let (address, question) = match rest.split_once('?') {
            Some((_, question)) => {
                let end = self.0.len() - question.len() - 1;
                (self.0.get(..end).unwrap_or_default(), question)
            }
            None => (self.0.as_str(), ""),
        };
        let (mut proof, mut root, mut password_file) = (None, None, None);
        let mut others = Vec::new();
        for pair in question.split('&').filter(|it| !it.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decode_str(value).decode_utf8();
            let value = value.map_err(|_| {
                CentralError::Address("the part after the question mark is not valid UTF-8")
            })?;
            match name {
                "sslmode" => proof = Some(TlsMode::named(&value)?),
                "sslrootcert" => root = Some(PathBuf::from(&*value)),
                "password_file" => password_file = Some(PathBuf::from(&*value)),
                _ if OPTIONS.contains(&name) => others.push(pair),
                _ => return Err(CentralError::Option(close_option(name))),
            }
        }
        // The parser's message may quote a password that was not encoded.
        let parsed = format!("{address}?{}", others.join("&")).parse::<Config>();
        let mut config = parsed.map_err(|_| {
            CentralError::Address(
                "the form is postgres://USER@HOST:PORT/DATABASE?sslmode=verify-full",
            )
        })?;
        let is_local = |it: &Host| matches!(it, Host::Unix(_));
        let is_local = config.get_hosts().iter().all(is_local);
        let proof = match proof.unwrap_or(TlsMode::Prefer) {
            // A local socket needs no encryption and has no host name.
            TlsMode::Disable | TlsMode::Prefer if is_local => TlsMode::Disable,
            proof @ (TlsMode::Disable
            | TlsMode::Prefer
            | TlsMode::Require
            | TlsMode::VerifyCa
            | TlsMode::VerifyFull) => proof,
        };
        config.ssl_mode(match proof {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
        });
        if config.get_application_name().is_none() {
            config.application_name("gotrace");
        }
        Ok(ParsedAddress {
            config,
            proof,
            root,
            password_file,
        })
    }
}

impl ParsedAddress {
    /// Adds the password of the file or of PGPASSWORD, if the address has none.
    pub(super) fn with_password(mut self) -> Result<Self, CentralError> {
        if self.config.get_password().is_some() {
            return Ok(self);
        }
        if let Some(file) = &self.password_file {
            let text = fs::read_to_string(file).map_err(|source| CentralError::PasswordFile {
                path: file.clone(),
                source,
            })?;
            self.config
                .password(text.lines().next().unwrap_or_default());
        } else if let Some(password) = std::env::var_os("PGPASSWORD") {
            self.config.password(password.as_encoded_bytes());
        }
        Ok(self)
    }
}

impl TlsMode {
    fn named(name: &str) -> Result<Self, CentralError> {
        match name {
            "disable" => Ok(Self::Disable),
            "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            _ => Err(CentralError::Address(
                "sslmode must be disable, prefer, require, verify-ca or verify-full",
            )),
        }
    }
}

/// Shows host, port and database only. An invalid address is not shown, because any part may belong to a password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(ParsedAddress { config, .. }) = self.meant() else {
            let scheme = self.0.split_once("://").map_or("postgres", |(it, _)| it);
            return write!(f, "{scheme}://...");
        };
        f.write_str("postgres://")?;
        for (n, host) in config.get_hosts().iter().enumerate() {
            let comma = if n > 0 { "," } else { "" };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}")?,
                Host::Unix(path) => write!(f, "{comma}{}", path.display())?,
            }
        }
        if let [port] = config.get_ports() {
            write!(f, ":{port}")?;
        }
        match config.get_dbname() {
            Some(name) => write!(f, "/{name}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::of(text).unwrap()
    }

    #[test]
    fn no_secret_is_shown() {
        for text in [
            "postgres://u:hunter2@db.example:5433/history?sslmode=require",
            "postgres://u:hunter2@db.example:5433/history?hunter2=hunter2",
            "postgres://u:hun/ter2@db.example/history",
            "postgres://u:x@hunter2@db.example/history",
            "postgres://u:hunter2?x@db.example/history",
            "postgres://u:hunter2",
            "postgres://u:5432:hunter2/x",
        ] {
            let address = address(text);
            let trouble = address.check().map_err(|it| format!("{it} {it:?}"));
            let meant = address
                .meant()
                .map_or(String::new(), |it| format!("{it:?}"));
            let shown = format!("{address} {address:?} {trouble:?} {meant}");
            assert!(!shown.contains("hunter2"), "{text}: {shown}");
            assert!(!shown.contains("ter2"), "{text}: {shown}");
        }
    }

    #[test]
    fn a_mistyped_option_is_named() {
        let error = |question: &str| {
            let address = address(&format!("postgres://u@h/d?{question}"));
            address.check().unwrap_err().to_string()
        };
        for (question, meant) in [
            ("sslmod=require", "did you mean sslmode?"),
            ("ssl_mode=require", "did you mean sslmode?"),
            ("sslrootcrt=/a", "did you mean sslrootcert?"),
            ("passwordfile=/a", "did you mean password_file?"),
            ("keepalive=1", "did you mean keepalives?"),
            ("x=1", "use sslmode, sslrootcert, password_file"),
        ] {
            assert!(error(question).contains(meant), "{}", error(question));
        }
    }

    #[test]
    fn addresses_are_parsed() {
        let text = "postgresql://me:a%40b@db.example:5433/history?sslmode=verify-full&sslrootcert=/a%20b&connect_timeout=1";
        let meant = address(text).meant().unwrap();
        assert_eq!(meant.proof, TlsMode::VerifyFull);
        assert_eq!(meant.root.as_deref(), Some("/a b".as_ref()));
        assert_eq!(meant.config.get_password(), Some(&b"a@b"[..]));
        assert_eq!(meant.config.get_ssl_mode(), SslMode::Require);
        assert_eq!(
            address(text).to_string(),
            "postgres://db.example:5433/history"
        );
        assert!(address("postgres://h/d?sslmode=on").check().is_err());
        for path in ["/var/lib/history.db", "./a://b", "://x", "1://x"] {
            assert!(Address::of(path).is_none(), "{path}");
        }
        let unknown = address("mysql://u:hunter2@h/d");
        assert_eq!(unknown.to_string(), "mysql://...");
        let error = unknown.check().unwrap_err().to_string();
        assert!(error.contains("begins with postgres://"), "{error}");
        assert!(
            address("postgres://h/d?user=a&port=1&keepalives=0")
                .check()
                .is_ok()
        );
        let local = address("postgres:///d?host=/run/postgresql")
            .meant()
            .unwrap();
        assert_eq!(local.proof, TlsMode::Disable);
    }
}
