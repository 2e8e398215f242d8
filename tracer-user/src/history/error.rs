//! Errors of a history, each with the next step for the user.

use std::fmt;
use std::io;

use rusqlite::ErrorCode;
use thiserror::Error;
use tracer_core::history::{InvalidBuildId, UnpackError};

use super::central_error::CentralError;

/// An error of the history at a location.
#[derive(Debug, Error)]
#[error("the history {location}")]
pub struct Error {
    /// A path, or the address of a database, without secrets.
    location: String,
    #[source]
    pub cause: Cause,
}

/// The cause of an error.
#[derive(Debug, Error)]
pub enum Cause {
    #[error(
        "does not exist yet: `gotrace run --store FILE -- go build` creates one, `--store FILE` reads another one"
    )]
    Missing,
    #[error("cannot be read by this user: use sudo, or ask root for the right to read it")]
    Denied,
    #[error("cannot be written by this user: name a file of your own")]
    NotYours(#[source] io::Error),
    #[error("is a symbolic link: name the file itself")]
    Link,
    #[error(
        "has no directory, and gotrace cannot create it: create the directory, or name another file"
    )]
    Dir(#[source] io::Error),
    #[error(
        "is not a history of gotrace, or its first page is damaged: gotrace does not change the file; name another file"
    )]
    Foreign,
    #[error(
        "was written by a newer gotrace (schema {found}, this gotrace supports up to {known}): install or use the newer gotrace"
    )]
    Newer { found: i64, known: i64 },
    #[error("is damaged: move it and its -wal file away; the next build creates a new one")]
    Damaged(#[source] rusqlite::Error),
    #[error("is a PostgreSQL database: back it up with pg_dump")]
    NotAFile,
    #[error("already exists: name a new file")]
    Exists,
    #[error("is a copy of a damaged history ({0}): gotrace deleted the copy")]
    BadCopy(String),
    #[error("is in constant use by other processes: try again")]
    Busy,
    #[error("has no space left on its disk: free some, or lower `keep_days` or `keep_megabytes`")]
    Full(#[source] rusqlite::Error),
    #[error("cannot be opened or written: check that its disk works and is mounted for writing")]
    Unwritable(#[source] rusqlite::Error),
    #[error("has no build {id}: `gotrace builds` lists the builds")]
    NoSuchBuild { id: String },
    #[error("has no successful build {which}{}", like.as_ref().map_or_else(String::new, |it| format!(" with this project and the command `{it}`")))]
    NoneMatches { which: String, like: Option<String> },
    #[error("has {n} builds whose ID begins with {id}: give more of the ID ({examples})")]
    Ambiguous {
        id: String,
        n: usize,
        examples: String,
    },
    #[error("has no build with this ID")]
    Id(#[from] InvalidBuildId),
    #[error("contains a build that cannot be decoded")]
    Unpackable(#[from] UnpackError),
    #[error("contains an invalid row: {0}")]
    Row(&'static str),
    #[error("cannot be used")]
    Io(#[from] io::Error),
    #[error("cannot convert a build to or from JSON")]
    Json(#[from] serde_json::Error),
    #[error("cannot be migrated to the current schema")]
    Migration(#[from] rusqlite_migration::Error),
    #[error(transparent)]
    Central(#[from] CentralError),
    #[error("cannot be used")]
    Sqlite(#[source] rusqlite::Error),
}

impl Error {
    /// True if the file itself is damaged or foreign.
    pub fn is_damaged(&self) -> bool {
        matches!(self.cause, Cause::Damaged(_) | Cause::Foreign)
    }

    /// The error and its sources, in one line.
    pub(super) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut next = std::error::Error::source(self);
        while let Some(reason) = next {
            text.push_str(": ");
            text.push_str(&reason.to_string());
            next = reason.source();
        }
        text
    }
}

impl Cause {
    pub(super) fn at(self, location: impl fmt::Display) -> Error {
        Error {
            location: location.to_string(),
            cause: self,
        }
    }
}

impl From<rusqlite::Error> for Cause {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::NotADatabase) => Self::Foreign,
            Some(ErrorCode::DatabaseCorrupt) => Self::Damaged(error),
            Some(ErrorCode::DiskFull) => Self::Full(error),
            Some(ErrorCode::ReadOnly | ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => {
                Self::Unwritable(error)
            }
            _ => Self::Sqlite(error),
        }
    }
}
