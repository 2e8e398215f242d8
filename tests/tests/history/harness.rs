//! Builds from the recordings, with any time, and `gotrace` commands that read a history.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::Output;

use rusqlite::Connection;
use serde_json::Value;
use tests::run_gotrace;
use tracer_core::finished::FinishedTrace;
use tracer_core::history::{self, Kept};
use tracer_core::model::Trace;

pub(crate) const NO_ENV: [(&str, &str); 0] = [];
pub(crate) const SECOND: i64 = 1_000_000_000;

pub(crate) fn recording(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("recordings/{name}.jsonl.gz"))
}

pub(crate) fn replayed(name: &str) -> Trace {
    let file = File::open(recording(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let replayed = tracer_user::driver::replay(BufReader::new(file));
    replayed
        .unwrap_or_else(|error| panic!("{name}: {error}"))
        .trace
}

/// Names of all recordings.
pub(crate) fn recordings() -> Vec<String> {
    let dir = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings")).unwrap();
    let names = dir.map(|it| it.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names
        .filter_map(|it| Some(it.strip_suffix(".jsonl.gz")?.to_owned()))
        .collect();
    names.sort();
    names
}

/// Copies the builds to another time, with other ids.
pub(crate) fn moved(trace: &Trace, to_ns: i64) -> Trace {
    let start = i64::try_from(trace.start.0).unwrap();
    Trace {
        boot_to_wall_ns: to_ns - start,
        ..trace.clone()
    }
}

/// `n` builds a second apart, the first a second after 1970.
pub(crate) fn small_builds(n: i64) -> Vec<Kept> {
    let trace = replayed("up-to-date-go1.27");
    (1..=n)
        .flat_map(|n| {
            history::builds(&FinishedTrace::of(moved(&trace, n * SECOND))).collect::<Vec<_>>()
        })
        .collect()
}

pub(crate) fn gotrace_builds(store: &Path, args: &[&str]) -> Output {
    let store = store.to_str().unwrap();
    run_gotrace([&["builds", "--store", store], args].concat(), NO_ENV)
}

pub(crate) fn gotrace_show(store: &Path, args: &[&str]) -> Output {
    let store = store.to_str().unwrap();
    run_gotrace([&["show", "--store", store], args].concat(), NO_ENV)
}

pub(crate) fn gotrace_explain(store: &Path, args: &[&str]) -> Output {
    let store = store.to_str().unwrap();
    run_gotrace([&["explain", "--store", store], args].concat(), NO_ENV)
}

pub(crate) fn listed(store: &Path, args: &[&str]) -> Vec<Value> {
    let output = gotrace_builds(
        store,
        &[&["--format", "json", "--limit", "0"], args].concat(),
    );
    assert!(output.status.success(), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    document["builds"].as_array().unwrap().clone()
}

pub(crate) fn assert_intact(store: &Path) {
    let connection = Connection::open(store).unwrap();
    let says: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(says, "ok");
    let orphans: i64 = connection
        .query_row(
            "SELECT (SELECT count(*) FROM target WHERE build_id NOT IN (SELECT id FROM build)) \
             + (SELECT count(*) FROM detail WHERE build_id NOT IN (SELECT id FROM build)) \
             + (SELECT count(*) FROM build WHERE state NOT IN ('running', 'cut_off') \
                AND id NOT IN (SELECT build_id FROM detail))",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(orphans, 0, "a build is stored completely or not at all");
}
