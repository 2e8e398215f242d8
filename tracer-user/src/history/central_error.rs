//! What can go wrong with a central history, and what to do then.

use std::io;
use std::path::PathBuf;

use thiserror::Error;
use tokio_postgres::error::SqlState;

/// Why a central history could not be used. No text of these holds a password; that of the server is in the source.
#[derive(Debug, Error)]
pub enum CentralError {
    #[error("has no address that can be used: {0}")]
    Address(&'static str),
    #[error(
        "cannot be reached: see that it runs and that the host, the port and the way there are right"
    )]
    Away(#[source] tokio_postgres::Error),
    #[error("did not answer in time: see what keeps it busy")]
    Slow,
    #[error(
        "does not let this user in: see the name, the password (in the address, password_file or PGPASSWORD) and its pg_hba.conf"
    )]
    Login(#[source] tokio_postgres::Error),
    #[error(
        "cannot be trusted: see sslmode and sslrootcert in the address, and the server's certificate"
    )]
    Tls(#[source] tokio_postgres::Error),
    #[error("needs root certificates: {} cannot be read", path.display())]
    Roots { path: PathBuf, source: io::Error },
    #[error("needs root certificates: {} has none; name a file of them in PEM", path.display())]
    NoRoots { path: PathBuf },
    #[error(
        "needs root certificates: name a file of them with sslrootcert=FILE, or those of this machine with sslrootcert=system"
    )]
    UnnamedRoots,
    #[error("is not asked without encryption: this gotrace cannot encrypt")]
    Crypto(#[source] rustls::Error),
    #[error("needs a password: {} cannot be read", path.display())]
    PasswordFile { path: PathBuf, source: io::Error },
    #[error(
        "has no tables for gotrace, or not for this user: let their owner run `gotrace store prepare`, and `SELECT gotrace.admit('USER', 'TENANT')` there"
    )]
    Unprepared,
    #[error(
        "has tables of an earlier form ({found}, this gotrace needs {known}): let their owner run `gotrace store prepare`"
    )]
    Older { found: i64, known: i64 },
    #[error(
        "takes this user for {}, not for {}: let the owner of the tables run `SELECT gotrace.admit('USER', 'TENANT')`",
        tenant(found),
        tenant(wanted)
    )]
    Tenant { found: String, wanted: String },
    #[error("refuses what it is asked for")]
    Refused(#[source] tokio_postgres::Error),
    #[error("cannot be asked: this machine lets gotrace start no loop for it")]
    Loop(#[source] io::Error),
}

fn tenant(name: &str) -> String {
    if name.is_empty() {
        "nobody's tenant".to_owned()
    } else {
        format!("tenant {name:?}")
    }
}

impl CentralError {
    /// Whether it is about what was sent, so that sending it again is no use.
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
            return if is_about_tls(&error) {
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

/// The client does not say it otherwise.
fn is_about_tls(error: &tokio_postgres::Error) -> bool {
    error.to_string().contains("TLS")
}

fn is_about_login(error: &tokio_postgres::Error) -> bool {
    let text = error.to_string();
    text.contains("authentication") || text.contains("invalid configuration")
}
