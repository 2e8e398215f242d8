//! A damaged history: whether it is gotrace's own, and moving it aside so that builds can be stored again.
//!
//! Nothing is deleted and nothing is repaired. A file that does not say that it is a history stays where it is: its path may be a mistake.

use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::connect;
use super::error::{Cause, Error};

/// What `SQLite` keeps beside a database, in the order in which it is moved. The log goes first: a new database beside an old log would
/// make `SQLite` delete the log.
const PARTS: [&str; 3] = ["-wal", "-shm", ""];
/// A file of this name beside the history says that its writer found it damaged.
const MARKER: &str = "-damaged";

/// Notes that the history turned out to be damaged, for whoever opens it next.
pub(super) fn mark_damaged(path: &Path) -> io::Result<()> {
    fs::write(with_suffix(path, MARKER), "")
}

/// Moves the history aside if it is damaged and is one of gotrace's; returns its new path. For the one agent of a history, with no
/// connection to it open in this process.
///
/// `failed` says that opening it failed as it does with a damaged one. Otherwise it is checked only if its last writer suspected it, as
/// that takes as long as to read all of it.
pub fn set_aside(path: &Path, failed: bool, now_ns: i64) -> Result<Option<PathBuf>, Error> {
    set_aside_here(path, failed, now_ns).map_err(|cause| cause.at(path.display()))
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
        // What is there of an earlier one stays.
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
