//! Rights of readers, reads during writes, and error messages.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use serde_json::Value;
use tests::gotrace;
use tracer_user::history::Store;

use crate::harness::{gotrace_builds, gotrace_show, listed, small_builds};

/// Runs `gotrace ARGS` as a user without write rights.
fn as_nobody(program: &Path, store: &Path) -> Output {
    Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(program)
        .args(["builds", "--format", "json", "--limit", "0", "--store"])
        .arg(store)
        .env_clear()
        .output()
        .unwrap()
}

fn allow(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_user_with_read_rights_can_read_the_file_during_writes() {
    let dir = tempfile::tempdir().unwrap();
    allow(dir.path(), 0o755);
    let program = dir.path().join("gotrace");
    fs::copy(gotrace(), &program).unwrap();
    let path = dir.path().join("history.db");
    let builds = small_builds(4);
    let count = || {
        let output = as_nobody(&program, &path);
        assert!(output.status.success(), "{output:?}");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        document["builds"].as_array().unwrap().len()
    };
    let mut store = Store::open(&path).unwrap();
    store.finish(&builds[0]).unwrap();

    let output = as_nobody(&program, &path);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(
        printed.contains("cannot be read by this user: use sudo"),
        "{printed}"
    );

    drop(store);
    allow(&path, 0o644);
    assert_eq!(count(), 1, "after the writer ended");
    let mut store = Store::open(&path).unwrap();
    store.finish(&builds[1]).unwrap();
    assert_eq!(count(), 2, "while a writer has it open");
    store.begin(&builds[2].entry).unwrap();
    assert_eq!(count(), 3);
    // The log stays, as after a kill.
    let log = dir.path().join("history.db-wal");
    let shared = dir.path().join("history.db-shm");
    let (log_bytes, shared_bytes) = (fs::read(&log).unwrap(), fs::read(&shared).unwrap());
    let database_bytes = fs::read(&path).unwrap();
    drop(store);
    for (file, bytes) in [
        (&path, database_bytes),
        (&log, log_bytes),
        (&shared, shared_bytes),
    ] {
        fs::write(file, bytes).unwrap();
        allow(file, 0o644);
    }
    assert_eq!(count(), 3, "after the writer was killed");
    let names: BTreeSet<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 4, "a reader leaves nothing: {names:?}");

    drop(Store::open(&path).unwrap());
    assert!(!log.exists());
    assert_eq!(listed(&path, &[]).len(), 3);
    assert!(
        !log.exists() && !shared.exists(),
        "a reader with write rights removes both files"
    );
}

#[test]
fn starting_and_ending_writers_do_not_disturb_a_reader() {
    let dir = tempfile::tempdir().unwrap();
    allow(dir.path(), 0o755);
    let program = dir.path().join("gotrace");
    fs::copy(gotrace(), &program).unwrap();
    let path = dir.path().join("history.db");
    let builds = small_builds(400);
    Store::open(&path).unwrap().finish(&builds[0]).unwrap();
    allow(&path, 0o644);
    let has_ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for kept in builds.iter().cycle().skip(1) {
                Store::open(&path).unwrap().finish(kept).unwrap();
                if has_ended.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let mut before = 1;
        for _ in 0..60 {
            let output = as_nobody(&program, &path);
            // Evaluated before an assertion ends this thread and leaves the other running.
            let is_well = output.status.success();
            has_ended.fetch_or(!is_well, Ordering::Relaxed);
            assert!(is_well, "{output:?}");
            let document: Value = serde_json::from_slice(&output.stdout).unwrap();
            let n = document["builds"].as_array().unwrap().len();
            has_ended.fetch_or(n < before, Ordering::Relaxed);
            assert!(n >= before, "{n} builds after {before}");
            before = n;
        }
        has_ended.store(true, Ordering::Relaxed);
    });
}

#[test]
fn errors_of_the_history_contain_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let fails = |output: Output, expected: &str| {
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let printed = String::from_utf8(output.stderr).unwrap();
        assert!(printed.contains(expected), "{printed}");
        assert_eq!(printed.lines().count(), 1, "{printed}");
    };
    fails(
        gotrace_builds(&path, &[]),
        "does not exist yet: `gotrace run --store",
    );
    for kept in small_builds(3) {
        Store::open(&path).unwrap().finish(&kept).unwrap();
    }
    fails(
        gotrace_show(&path, &["0"]),
        "has 3 builds whose ID begins with 0: give more of the ID (0000",
    );
    fails(
        gotrace_show(&path, &["f"]),
        "has no build f: `gotrace builds` lists the builds",
    );
    fails(
        gotrace_show(&path, &["latest"]),
        "a build id is made of hexadecimal digits",
    );
    let output = gotrace_builds(&path, &["--since", "yesterday"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(printed.contains("not a time: give an age"), "{printed}");

    let change = |sql: &str| Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    change("PRAGMA user_version = 99");
    fails(
        gotrace_builds(&path, &[]),
        "was written by a newer gotrace (schema 99, this gotrace supports up to 6)",
    );
    assert!(
        Store::open(&path).is_err(),
        "a newer history cannot be opened for writing"
    );
    change("PRAGMA user_version = 1; PRAGMA application_id = 7");
    fails(gotrace_builds(&path, &[]), "is not a history of gotrace");

    let other = dir.path().join("other.db");
    Connection::open(&other)
        .unwrap()
        .execute_batch("CREATE TABLE t (x)")
        .unwrap();
    assert!(format!("{:?}", Store::open(&other)).contains("Foreign"));
    let pipe = dir.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    fails(gotrace_builds(&pipe, &[]), "is not a history of gotrace");
    fails(
        gotrace_builds(dir.path(), &[]),
        "is not a history of gotrace",
    );
    assert!(Store::open(&pipe).is_err());
    let text = dir.path().join("text");
    fs::write(
        &text,
        "not a database, but long enough to be taken for one\n".repeat(40),
    )
    .unwrap();
    fails(gotrace_builds(&text, &[]), "is not a history of gotrace");
    assert!(Store::open(&text).is_err());
    assert!(
        fs::read_to_string(&text)
            .unwrap()
            .starts_with("not a database"),
        "the text file is unchanged"
    );
}

#[test]
fn a_history_is_private_to_owner_and_group_and_never_opened_through_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/history.db");
    drop(Store::open(&path).unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o640, 0o750));
    let victim = dir.path().join("victim");
    fs::write(&victim, "").unwrap();
    let link = dir.path().join("link.db");
    std::os::unix::fs::symlink(&victim, &link).unwrap();
    let error = with_causes(&Store::open(&link).unwrap_err());
    assert!(error.contains("is a symbolic link"), "{error}");
    assert_eq!(fs::metadata(&victim).unwrap().len(), 0);
}

#[test]
fn a_history_can_have_any_name() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a b?mode=rw&x#%41/\u{e4}.db");
    let builds = small_builds(2);
    Store::open(&path).unwrap().finish(&builds[0]).unwrap();
    assert_eq!(listed(&path, &[]).len(), 1, "with no writer");
    let mut store = Store::open(&path).unwrap();
    store.finish(&builds[1]).unwrap();
    assert_eq!(listed(&path, &[]).len(), 2, "with one");
}

/// An error with its causes, as gotrace prints it.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut causes = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(it) = cause {
        causes.push(it.to_string());
        cause = it.source();
    }
    causes.join(": ")
}
