//! Moves a damaged history of gotrace aside, so that builds can be stored again.
//!
//! This module deletes and repairs nothing. A file without the header of a history stays in place, because its path may be a mistake.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::connect;
use super::error::{Cause, Error};

/// Suffixes of the files of a database, in the order in which they are moved. The log goes first: `SQLite` would delete an old log
/// beside a new database.
const PARTS: [&str; 3] = ["-wal", "-shm", ""];
/// Suffix of a marker file beside a history whose writer found damage.
const MARKER: &str = "-damaged";

/// Creates the marker that makes the next agent check the history.
pub(super) fn mark_damaged(path: &Path) -> io::Result<()> {
    fs::write(with_suffix(path, MARKER), "")
}

/// Moves the history aside if it is damaged and belongs to gotrace, and returns its new path. Only the one agent of a history calls
/// this, with no open connection in its process.
///
/// `failed` is true if opening the history failed with an error of a damaged file. Otherwise the history is checked only if there is
/// a marker, because a check reads the whole file.
pub fn set_aside(path: &Path, failed: bool, now_ns: i64) -> Result<Option<PathBuf>, Error> {
    set_aside_here(path, failed, now_ns).map_err(|cause| cause.at(path.display()))
}

/// True if [`set_aside`] moves this history when it is damaged: it has the header of a history.
pub fn is_movable(path: &Path) -> bool {
    connect::is_marked_as_ours(path).unwrap_or(false)
}

fn set_aside_here(path: &Path, failed: bool, now_ns: i64) -> Result<Option<PathBuf>, Cause> {
    let note = with_suffix(path, MARKER);
    let is_damaged = failed || (note.try_exists()? && connect::is_damaged(path)?);
    let aside = if is_damaged && connect::is_marked_as_ours(path)? {
        Some(move_aside(path, now_ns)?)
    } else {
        None
    };
    match fs::remove_file(note) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        Ok(()) | Err(_) => Ok(aside),
    }
}

fn move_aside(path: &Path, now_ns: i64) -> Result<PathBuf, Cause> {
    let seconds = now_ns / 1_000_000_000;
    let aside = with_suffix(path, &format!(".damaged-{seconds}"));
    for part in PARTS {
        let (from, to) = (with_suffix(path, part), with_suffix(&aside, part));
        // An existing file of an earlier history is not replaced.
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE).map_err(io::Error::from) {
            Err(error) if error.kind() == ErrorKind::NotFound && !part.is_empty() => {}
            moved => moved?,
        }
    }
    Ok(aside)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path: OsString = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}
