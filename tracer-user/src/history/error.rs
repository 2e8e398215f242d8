//! What can go wrong with a history, and what to do then.

use std::fmt;
use std::io;

use rusqlite::ErrorCode;
use thiserror::Error;
use tracer_core::history::{InvalidBuildId, UnpackError};

use super::central_error::CentralError;

/// Something could not be done with the history in this place.
#[derive(Debug, Error)]
#[error("the history {location}")]
pub struct Error {
    /// A path, or where a database is; without a secret.
    location: String,
    #[source]
    pub cause: Cause,
}

/// Why not.
#[derive(Debug, Error)]
pub enum Cause {
    #[error(
        "is not there yet: `gotrace run --store FILE -- go build` begins one, `--store FILE` shows one elsewhere"
    )]
    Missing,
    #[error("may not be read by you: use sudo, or let root give you the right to read it")]
    Denied,
    #[error("may not be written by you: name a file of your own")]
    NotYours(#[source] io::Error),
    #[error("is a link: name the file itself")]
    Link,
    #[error("has no directory, and none can be made: make it first, or name another file")]
    Dir(#[source] io::Error),
    #[error(
        "is not a history of gotrace, or its first page is damaged: gotrace leaves the file alone, name another one"
    )]
    Foreign,
    #[error(
        "was written by a newer gotrace (form {found}, this one knows {known}): use that one, or install it here"
    )]
    Newer { found: i64, known: i64 },
    #[error("is damaged: move it and its -wal file away, and the next build begins a new one")]
    Damaged(#[source] rusqlite::Error),
    #[error("is a PostgreSQL database: back it up with pg_dump")]
    NotAFile,
    #[error("is there already: name a new file")]
    Exists,
    #[error("was copied while it was damaged ({0}): the copy is deleted")]
    BadCopy(String),
    #[error("is in use by others all the time: try again")]
    Busy,
    #[error(
        "has no room: free some on its disk, or let it keep less (`keep_days`, `keep_megabytes`)"
    )]
    Full(#[source] rusqlite::Error),
    #[error("cannot be opened or written: see that its disk works and is mounted for writing")]
    Unwritable(#[source] rusqlite::Error),
    #[error("has no build {id}: `gotrace builds` shows what there is")]
    NoSuchBuild { id: String },
    #[error("has {n} builds that begin with {id}, which one: {examples}")]
    Ambiguous {
        id: String,
        n: usize,
        examples: String,
    },
    #[error("has no build of this name")]
    Id(#[from] InvalidBuildId),
    #[error("holds a build that cannot be shown")]
    Unpackable(#[from] UnpackError),
    #[error("holds a row that makes no sense: {0}")]
    Row(&'static str),
    #[error("cannot be used")]
    Io(#[from] io::Error),
    #[error("cannot take a build that is no JSON")]
    Json(#[from] serde_json::Error),
    #[error("cannot be used")]
    Migration(#[from] rusqlite_migration::Error),
    #[error(transparent)]
    Central(#[from] CentralError),
    #[error("cannot be used")]
    Sqlite(#[source] rusqlite::Error),
}

impl Error {
    /// Whether the file itself is at fault.
    pub fn is_damaged(&self) -> bool {
        matches!(self.cause, Cause::Damaged(_) | Cause::Foreign)
    }

    /// With its reasons, in one line.
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
