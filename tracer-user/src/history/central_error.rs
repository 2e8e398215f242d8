//! Errors of a central history, each with the next step for the user.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use rustls::CertificateError;
use thiserror::Error;
use tokio_postgres::error::SqlState;

/// The cause of an error of a central history. No message contains a password. The server's own message is the source.
#[derive(Debug, Error)]
pub enum CentralError {
    #[error("has an invalid address: {0}")]
    Address(&'static str),
    /// The unknown name is not kept, because it may belong to a password.
    #[error("has an invalid address: an option after the question mark is unknown; {}", option_hint(*.0))]
    Option(Option<&'static str>),
    #[error(
        "cannot be reached: check that the server runs, and check the host, the port and the network"
    )]
    Away(#[source] tokio_postgres::Error),
    #[error("did not answer in time: check what keeps the server busy")]
    Slow,
    #[error(
        "rejects this user: check its name, its password (address, password_file or PGPASSWORD) and the server's pg_hba.conf"
    )]
    Login(#[source] tokio_postgres::Error),
    #[error(
        "cannot be trusted: check sslmode and sslrootcert in the address, and the server's certificate"
    )]
    Tls(#[source] tokio_postgres::Error),
    #[error("cannot be trusted: {why}")]
    Certificate {
        why: &'static str,
        source: tokio_postgres::Error,
    },
    #[error("needs root certificates: {} cannot be read", path.display())]
    Roots { path: PathBuf, source: io::Error },
    #[error("needs root certificates: {} contains none; name a PEM file", path.display())]
    NoRoots { path: PathBuf },
    #[error(
        "needs root certificates: name a PEM file with sslrootcert=FILE, or use those of this machine with sslrootcert=system"
    )]
    UnnamedRoots,
    #[error("cannot be reached: gotrace cannot set up TLS")]
    Crypto(#[source] rustls::Error),
    #[error("needs a password: {} cannot be read", path.display())]
    PasswordFile { path: PathBuf, source: io::Error },
    #[error(
        "has no tables for gotrace, or this user cannot read them: the owner must run `gotrace store prepare` and admit the user"
    )]
    Unprepared,
    #[error(
        "has tables of an older schema ({found}, this gotrace needs {known}): their owner must run `gotrace store prepare`"
    )]
    Older { found: i64, known: i64 },
    #[error(
        "assigns this user to {}, not to {}: the owner of the tables must run `SELECT gotrace.admit('USER', 'TENANT')`",
        tenant(found),
        tenant(wanted)
    )]
    Tenant { found: String, wanted: String },
    #[error("rejected the request")]
    Refused(#[source] tokio_postgres::Error),
    #[error("cannot be reached: gotrace cannot start a network loop on this machine")]
    Loop(#[source] io::Error),
}

fn option_hint(close: Option<&str>) -> String {
    close.map_or_else(
        || {
            "use sslmode, sslrootcert, password_file, connect_timeout or application_name"
                .to_owned()
        },
        |it| format!("did you mean {it}?"),
    )
}

fn tenant(name: &str) -> String {
    if name.is_empty() {
        "no tenant".to_owned()
    } else {
        format!("tenant {name:?}")
    }
}

impl CentralError {
    /// True if the error concerns the sent build, so that sending it again is useless.
    pub(in crate::history) fn is_about_a_build(&self) -> bool {
        let Self::Refused(error) = self else {
            return false;
        };
        // Data exceptions, violated constraints, limits of the program.
        let classes = ["22", "23", "54"];
        error
            .code()
            .is_some_and(|it| classes.iter().any(|class| it.code().starts_with(class)))
    }
}

impl From<tokio_postgres::Error> for CentralError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(code) = error.code() else {
            return if let Some(why) = certificate_fault(&error) {
                Self::Certificate { why, source: error }
            } else if is_about_tls(&error) {
                Self::Tls(error)
            } else if is_about_login(&error) {
                Self::Login(error)
            } else {
                Self::Away(error)
            };
        };
        let is_shutdown = code.code().starts_with("57P") || code.code().starts_with("08");
        if code.code().starts_with("28") {
            Self::Login(error)
        } else if *code == SqlState::QUERY_CANCELED {
            Self::Slow
        } else if is_shutdown || *code == SqlState::TOO_MANY_CONNECTIONS {
            Self::Away(error)
        } else if [SqlState::UNDEFINED_TABLE, SqlState::INSUFFICIENT_PRIVILEGE].contains(code) {
            Self::Unprepared
        } else {
            Self::Refused(error)
        }
    }
}

/// The fault of the server's certificate in words, with the next step.
fn certificate_fault(error: &tokio_postgres::Error) -> Option<&'static str> {
    let cause = error.source()?.downcast_ref::<io::Error>()?.get_ref()?;
    let rustls::Error::InvalidCertificate(fault) = cause.downcast_ref()? else {
        return None;
    };
    in_words(fault)
}

fn in_words(fault: &CertificateError) -> Option<&'static str> {
    use CertificateError as Fault;

    let is_of_another_host = matches!(
        fault,
        Fault::NotValidForName | Fault::NotValidForNameContext { .. }
    );
    let has_expired = matches!(fault, Fault::Expired | Fault::ExpiredContext { .. });
    let is_too_new = matches!(fault, Fault::NotValidYet | Fault::NotValidYetContext { .. });
    if *fault == Fault::UnknownIssuer {
        Some(
            "no root in sslrootcert signed its certificate; if it is self-signed, name its own file",
        )
    } else if is_of_another_host {
        Some("its certificate is for another host; use a host name in it, or sslmode=verify-ca")
    } else if has_expired {
        Some("its certificate has expired; renew it, or correct the clock of this machine")
    } else if is_too_new {
        Some("its certificate is not valid yet; correct the clock of this machine")
    } else if format!("{fault:?}").contains("CaUsedAsEndEntity") {
        // The verifier has no variant for this, only a text: a self-signed certificate with CA:TRUE.
        Some(
            "its certificate is that of an authority (CA:TRUE); create one with CA:FALSE, or use sslmode=require",
        )
    } else {
        None
    }
}

/// The client has no code for this error, only a text.
fn is_about_tls(error: &tokio_postgres::Error) -> bool {
    error.to_string().contains("TLS")
}

fn is_about_login(error: &tokio_postgres::Error) -> bool {
    let text = error.to_string();
    text.contains("authentication") || text.contains("invalid configuration")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_a_certificate_are_words() {
        let words = |fault| in_words(&fault).unwrap_or_default();
        assert!(words(CertificateError::UnknownIssuer).contains("self-signed"));
        assert!(words(CertificateError::NotValidForName).contains("another host"));
        assert!(words(CertificateError::Expired).contains("expired"));
        assert_eq!(in_words(&CertificateError::BadSignature), None);
    }
}
