//! Waits, and runs programs that read the history.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::run_gotrace;

use crate::{Counts, add};

/// Time limit of each operation.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(20);
const NO_ENV: [(&str, &str); 0] = [];
/// SQL condition: the build ended, and its end is stored.
pub(crate) const ENDED: &str = "state NOT IN ('running', 'cut_off')";

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "no {what} in {PATIENCE:?}");
        thread::sleep(POLL);
    }
}

/// Retries a read while the history is busy. `read` returns the reason.
pub(crate) fn retry<T>(counts: &Counts, mut read: impl FnMut() -> Result<T, String>) -> T {
    let since = Instant::now();
    loop {
        match read() {
            Ok(seen) => {
                add(&counts.reads);
                return seen;
            }
            Err(why) => assert!(since.elapsed() < PATIENCE, "busy for {PATIENCE:?}: {why}"),
        }
        add(&counts.retries);
        thread::sleep(POLL);
    }
}

/// Output of a program; an error if the history was busy. Any other failure fails the test.
fn printed(output: &Output) -> Result<String, String> {
    const BUSY: [&str; 3] = [
        "database is locked",
        "database is busy",
        "is in use by others",
    ];
    let stderr = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return Ok(String::from_utf8(output.stdout.clone()).unwrap());
    }
    assert!(BUSY.iter().any(|it| stderr.contains(it)), "{output:?}");
    Err(stderr.into_owned())
}

/// `sqlite3 FILE COMMAND`.
pub(crate) fn sqlite3(counts: &Counts, file: &Path, command: &str) -> String {
    retry(counts, || sqlite3_once(file, command))
}

/// The same, tried once; an error if the history was busy.
pub(crate) fn sqlite3_once(file: &Path, command: &str) -> Result<String, String> {
    let output = Command::new("sqlite3").arg(file).arg(command).output();
    printed(&output.unwrap())
}

/// `gotrace ARGS --store STORE`.
pub(crate) fn gotrace(counts: &Counts, store: &Path, args: &[&str]) -> String {
    retry(counts, || gotrace_once(store, args))
}

/// The same, tried once; an error if the history was busy.
pub(crate) fn gotrace_once(store: &Path, args: &[&str]) -> Result<String, String> {
    let store = ["--store", store.to_str().unwrap()];
    printed(&run_gotrace([args, &store].concat(), NO_ENV))
}

/// Ids of the ended builds in a database.
pub(crate) fn ended_ids(counts: &Counts, file: &Path) -> BTreeSet<String> {
    let printed = sqlite3(counts, file, &format!("SELECT id FROM build WHERE {ENDED}"));
    distinct(printed.lines().map(ToOwned::to_owned))
}

/// Ids of the ended builds in gotrace's JSON list.
pub(crate) fn ended_in(list: &str) -> BTreeSet<String> {
    let list: Value = serde_json::from_str(list).unwrap();
    let builds = list["builds"].as_array().unwrap();
    let ended = builds
        .iter()
        .filter(|it| !matches!(it["state"].as_str(), Some("running" | "cut_off")));
    distinct(ended.map(|it| it["id"].as_str().unwrap().to_owned()))
}

fn distinct(ids: impl Iterator<Item = String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for id in ids {
        assert!(!found.contains(&id), "{id} is duplicated");
        found.insert(id);
    }
    found
}

pub(crate) fn assert_intact(counts: &Counts, file: &Path) {
    let verdict = sqlite3(counts, file, "PRAGMA integrity_check");
    assert_eq!(verdict, "ok\n", "{}", file.display());
}
