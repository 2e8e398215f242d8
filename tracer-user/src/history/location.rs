//! Where a history is, and with whose rights a file is written under sudo.
//!
//! A history that root keeps for itself is root's. Any other file that the command line names belongs to the user who called sudo,
//! and root opens nothing in a directory where others could have laid a link or a file for it.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};
use tracer_core::finished::FinishedTrace;

use super::central::{self, Address};
use super::error::{Cause, Error};
use super::read::{self, Reader};
use super::store::Store;
use crate::launch::caller::Caller;

/// Where a history is: in a file, or in the central database of a fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    File(PathBuf),
    Central(Address),
}

impl Location {
    /// Opens the history and asks it. `ask` may be called again, if it changed in a way that makes the first answer doubtful.
    pub fn read<T>(&self, query: impl Fn(&Reader<'_>) -> Result<T, Cause>) -> Result<T, Error> {
        match self {
            Self::File(path) => read::read(path, query),
            Self::Central(address) => central::read(address, query),
        }
    }

    /// Whether builds can be stored there, as far as that can be known without waiting for a network. Makes a file that is not there.
    pub fn prepare(&self, caller: Option<&Caller>) -> Result<(), Error> {
        match self {
            Self::File(path) => as_whom(path, caller, || Store::open(path)).map(|_| ()),
            Self::Central(address) => address.check().map_err(|it| Cause::from(it).at(address)),
        }
    }

    /// Copies the history into a new file, also while it is written.
    pub fn back_up(&self, to: &Path, caller: Option<&Caller>) -> Result<(), Error> {
        match self {
            Self::File(path) => read::back_up(path, to, |copy| as_whom(to, caller, copy)),
            Self::Central(address) => Err(Cause::NotAFile.at(address)),
        }
    }

    /// Stores every build of a trace that is over; returns how many.
    pub fn store_builds(
        &self,
        finished: &FinishedTrace,
        caller: Option<&Caller>,
    ) -> Result<usize, Error> {
        match (self, caller) {
            (Self::File(path), _) => as_whom(path, caller, || super::store_builds(finished, path)),
            // Files that the address names are opened with the rights of whoever named them.
            (Self::Central(address), Some(caller)) => {
                caller.with_rights(|| central::store_builds(finished, address))
            }
            (Self::Central(address), None) => central::store_builds(finished, address),
        }
    }
}

/// Anything is a place: what an address lacks is said when it is used, by whoever knows not to show it.
impl From<OsString> for Location {
    fn from(text: OsString) -> Self {
        let address = text.to_str().and_then(Address::of);
        address.map_or_else(|| Self::File(text.into()), Self::Central)
    }
}

impl<'de> Deserialize<'de> for Location {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let location = Self::from(OsString::from(String::deserialize(deserializer)?));
        if let Self::Central(address) = &location {
            address.check().map_err(serde::de::Error::custom)?;
        }
        Ok(location)
    }
}

/// Without a secret.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Central(address) => address.fmt(f),
        }
    }
}

/// Does `f` with the rights that the place asks for.
fn as_whom<T>(path: &Path, caller: Option<&Caller>, f: impl FnOnce() -> T) -> T {
    match caller {
        Some(caller) if !is_roots_alone(path) => caller.with_rights(f),
        Some(_) | None => f(),
    }
}

/// Whether only root can change any directory on the way to it. Those that are not there yet do not count.
fn is_roots_alone(path: &Path) -> bool {
    const OTHERS_MAY_WRITE: u32 = 0o022;
    let Some(dir) = path.ancestors().skip(1).find_map(|it| {
        let it = if it == Path::new("") {
            Path::new(".")
        } else {
            it
        };
        it.canonicalize().ok()
    }) else {
        return false;
    };
    dir.ancestors().all(|it| {
        fs::symlink_metadata(it).is_ok_and(|it| it.uid() == 0 && it.mode() & OTHERS_MAY_WRITE == 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_others_may_write_is_not_roots_alone() {
        assert!(is_roots_alone(Path::new("/usr/lib/history.db")));
        assert!(is_roots_alone(Path::new(
            "/usr/lib/no-such-directory/history.db"
        )));
        assert!(!is_roots_alone(Path::new("/tmp/history.db")));
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_roots_alone(&dir.path().join("history.db")));
    }
}
