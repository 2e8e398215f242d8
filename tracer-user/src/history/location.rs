//! The location of a history, and the rights with which its file is opened under sudo.
//!
//! A file in directories that only root can change is opened with root's rights. Any other file of the command line is opened with the
//! rights of the user who called sudo. So root opens nothing in a directory where another user could have placed a link or a file.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};
use tracer_core::finished::FinishedTrace;

use super::causes::Explained;
use super::central::{self, Address};
use super::error::{Cause, Error};
use super::read::{self, Reader};
use super::store::Store;
use crate::launch::caller::Caller;

/// The location of a history: a file, or the central database of a fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    File(PathBuf),
    Central(Address),
}

impl Location {
    /// Opens and queries the history. `query` is called again if the file changed in a way that invalidates the first result.
    pub fn read<T>(&self, query: impl Fn(&Reader<'_>) -> Result<T, Cause>) -> Result<T, Error> {
        match self {
            Self::File(path) => read::read(path, query),
            Self::Central(address) => central::read(address, query),
        }
    }

    /// Fails if builds cannot be stored there, as far as this is known without a network. Creates a missing file.
    pub fn prepare(&self, caller: Option<&Caller>) -> Result<(), Error> {
        match self {
            Self::File(path) => as_whom(path, caller, || Store::open(path)).map(|_| ()),
            Self::Central(address) => address.check().map_err(|it| Cause::from(it).at(address)),
        }
    }

    /// Copies the history into a new file, even while it is written.
    pub fn back_up(&self, to: &Path, caller: Option<&Caller>) -> Result<(), Error> {
        match self {
            Self::File(path) => read::back_up(path, to, |copy| as_whom(to, caller, copy)),
            Self::Central(address) => Err(Cause::NotAFile.at(address)),
        }
    }

    /// Stores every build of a finished trace and returns the causes of each.
    pub fn store_builds(
        &self,
        finished: &FinishedTrace,
        caller: Option<&Caller>,
    ) -> Result<Vec<Explained>, Error> {
        match (self, caller) {
            (Self::File(path), _) => as_whom(path, caller, || super::store_builds(finished, path)),
            // Files in the address are opened with the rights of the user who named them.
            (Self::Central(address), Some(caller)) => {
                caller.with_rights(|| central::store_builds(finished, address))
            }
            (Self::Central(address), None) => central::store_builds(finished, address),
        }
    }
}

/// Any text is a location. An invalid address fails when it is used, with an error that quotes no secret.
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

/// Shows no secret.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Central(address) => address.fmt(f),
        }
    }
}

/// Runs `f` with the rights that the path requires.
fn as_whom<T>(path: &Path, caller: Option<&Caller>, f: impl FnOnce() -> T) -> T {
    match caller {
        Some(caller) if !is_roots_alone(path) => caller.with_rights(f),
        Some(_) | None => f(),
    }
}

/// True if only root can change each existing directory of the path.
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
    fn a_path_that_others_may_write_is_not_roots_alone() {
        assert!(is_roots_alone(Path::new("/usr/lib/history.db")));
        assert!(is_roots_alone(Path::new(
            "/usr/lib/no-such-directory/history.db"
        )));
        assert!(!is_roots_alone(Path::new("/tmp/history.db")));
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_roots_alone(&dir.path().join("history.db")));
    }
}
