//! Storage of builds, and retention.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rusqlite::Connection;
use tests::gotrace_command;
use tracer_core::finished::FinishedTrace;
use tracer_core::history::{self, Limits};
use tracer_core::model::State;
use tracer_user::history::{Filter, Store, WriteCounts, Writer, read, store_builds};
use tracer_user::log::Log;

use crate::harness::{SECOND, assert_intact, gotrace_show, listed, replayed, small_builds};

#[test]
fn storing_a_build_again_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("history.db");
    let trace = replayed("generate-go1.27");
    store_builds(&FinishedTrace::of(trace.clone()), &store).unwrap();
    let (before, dump) = (listed(&store, &[]), contents(&store));
    store_builds(&FinishedTrace::of(trace.clone()), &store).unwrap();
    for kept in history::builds(&FinishedTrace::of(trace.clone())) {
        Store::open(&store).unwrap().begin(&kept.entry).unwrap();
    }
    assert_eq!(Store::open(&store).unwrap().recover().unwrap(), 0);
    assert_eq!(listed(&store, &[]), before);
    assert_eq!(contents(&store), dump);
}

/// Row counts of all tables.
fn contents(store: &Path) -> Vec<i64> {
    let connection = Connection::open(store).unwrap();
    let count = |table| {
        let sql = format!("SELECT count(*) FROM {table}");
        connection.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    ["build", "target", "detail"].map(count).to_vec()
}

#[test]
fn a_running_build_is_marked_cut_off_or_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let builds = small_builds(3);
    let mut store = Store::open(&path).unwrap();
    store.begin(&builds[0].entry).unwrap();
    store.begin(&builds[1].entry).unwrap();
    store.finish(&builds[2]).unwrap();
    assert_eq!(listed(&path, &["--status", "running"]).len(), 2);
    drop(store);
    let mut store = Store::open(&path).unwrap();
    assert_eq!(store.recover().unwrap(), 2);
    let cut_off = gotrace_show(&path, &["--color", "never", builds[1].entry.id.as_str()]);
    let printed = String::from_utf8(cut_off.stdout).unwrap();
    assert!(
        printed.contains("gotrace ended while this build ran"),
        "{printed}"
    );
    store.finish(&builds[0]).unwrap();
    assert_eq!(listed(&path, &["--status", "cut-off"]).len(), 1);
    assert_eq!(listed(&path, &["--status", "succeeded"]).len(), 2);
    assert_intact(&path);
}

#[test]
fn a_hanging_disk_fills_a_bounded_queue_and_is_counted() {
    const BOUND: u64 = 8;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let (writer, _) = Writer::start(
        &path,
        usize::try_from(BOUND).unwrap(),
        Log::to(|it| panic!("{it}")),
    )
    .unwrap();
    let builds = small_builds(40);
    let blocker = Connection::open(&path).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    for kept in builds {
        writer.finish(kept);
    }
    let WriteCounts {
        stored,
        dropped,
        failed,
        waiting,
    } = writer.counts();
    assert_eq!(waiting, 40 - dropped);
    // The queue, plus one build that the writer may already hold.
    assert!(stored == 0 && failed == 0, "{:?}", writer.counts());
    assert!(
        (40 - BOUND - 1..=40 - BOUND).contains(&dropped),
        "{dropped}"
    );
    blocker.execute_batch("COMMIT").unwrap();
    assert!(writer.flush(Duration::from_mins(1)));
    assert_eq!(writer.counts().stored, 40 - dropped);
    assert_eq!(writer.counts().waiting, 0);
    drop(writer);
    assert_eq!(listed(&path, &[]).len() as u64, 40 - dropped);
}

#[test]
fn a_writer_deletes_builds_that_are_too_old() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let (writer, _) = Writer::start(&path, 64, Log::to(|it| panic!("{it}"))).unwrap();
    for kept in small_builds(20) {
        writer.finish(kept);
    }
    let limits = Limits {
        max_age_ns: Some(5 * SECOND.unsigned_abs()),
        max_bytes: None,
    };
    writer.retain(limits, 20 * SECOND);
    // The writer finishes its queue before it ends.
    drop(writer);
    assert!((5..=6).contains(&listed(&path, &[]).len()));
}

#[test]
fn retention_deletes_the_oldest_builds_until_the_limits_hold_and_shrinks_the_file() {
    let builds = small_builds(120);
    let now = 200 * SECOND;
    let strategy = (
        prop::option::of(0u64..200),
        prop::option::of(60_000u64..1_500_000),
        0usize..120,
    );
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 12,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let ran = runner.run(&strategy, |(age, max_bytes, running)| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history.db");
        let mut store = Store::open(&path).unwrap();
        for (n, kept) in builds.iter().enumerate() {
            if n == running {
                store.begin(&kept.entry).unwrap();
            } else {
                store.finish(kept).unwrap();
            }
        }
        let limits = Limits {
            max_age_ns: age.map(|it| it * SECOND.unsigned_abs()),
            max_bytes,
        };
        let retained = store.retain(limits, now).unwrap();
        let (left, _) = read(&path, |it| it.list(&Filter::default())).unwrap();
        prop_assert_eq!(left.len() + retained.n_deleted, builds.len());
        // The newest builds without a gap, and the running builds, stay.
        let expected = builds.iter().rev().map(|it| &it.entry.id);
        let is_running = |id: &&_| *id == &builds[running].entry.id;
        let over: Vec<_> = left
            .iter()
            .map(|it| &it.id)
            .filter(|it| !is_running(it))
            .collect();
        let newest: Vec<_> = expected
            .filter(|it| !is_running(it))
            .take(over.len())
            .collect();
        prop_assert_eq!(&over, &newest);
        prop_assert_eq!(left.len(), over.len() + 1);
        if let Some(age) = limits.max_age_ns {
            let oldest = now - i64::try_from(age).unwrap();
            prop_assert!(
                left.iter()
                    .all(|it| it.state == State::Running || it.started_ns >= oldest)
            );
        }
        let bytes = fs::metadata(&path).unwrap().len();
        if let Some(limit) = max_bytes {
            prop_assert!(bytes <= limit || over.is_empty(), "{bytes} of {limit}");
        }
        if retained.n_deleted > 0 {
            prop_assert_eq!(bytes, retained.bytes);
        }
        // Each remaining build is needed to reach the limit: retention deletes no more than necessary.
        let again = store.retain(limits, now).unwrap();
        prop_assert_eq!(again.n_deleted, 0);
        drop(store);
        assert_intact(&path);
        Ok(())
    });
    ran.unwrap();
}

/// Uses a real trace.
#[test]
fn gotrace_run_stores_its_builds() {
    let toolchain = tests::toolchain("1.27");
    let module = tests::Module::copy("hello");
    module.sandbox.make_warm(&toolchain);
    let store = module.sandbox.out().join("history.db");
    let output = gotrace_command(module.sandbox.env(&toolchain))
        .args(["run", "--quiet", "--store"])
        .arg(&store)
        .args([
            "--",
            "sh",
            "-c",
            "go build -o out . && ! go build ./no/such/dir 2>/dev/null",
        ])
        .current_dir(module.dir())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut error = String::new();
    output.stderr.as_slice().read_to_string(&mut error).unwrap();
    assert_eq!(error, "");
    let builds = listed(&store, &[]);
    let states: Vec<&str> = builds
        .iter()
        .map(|it| it["state"].as_str().unwrap())
        .collect();
    assert_eq!(states, ["failed", "succeeded"]);
    let size = fs::metadata(module.dir().join("out")).unwrap().len();
    assert_eq!(builds[1]["targets"][0]["size"], size);
    assert_eq!(builds[1]["project"], "example.com/hello");
}

#[test]
fn a_history_made_under_sudo_belongs_to_the_caller_and_is_refused_in_a_root_owned_directory() {
    const NOBODY: u32 = 65_534;
    let dir = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let run = |store: &Path| {
        let ids = NOBODY.to_string();
        gotrace_command([("SUDO_UID", &ids), ("SUDO_GID", &ids)])
            .args(["run", "--quiet", "--store"])
            .arg(store)
            .args(["--", "true"])
            .output()
            .unwrap()
    };
    let mine = dir.path().join("mine/history.db");
    let output = run(&mine);
    assert!(output.status.success() && mine.exists(), "{output:?}");
    assert_eq!(fs::metadata(&mine).unwrap().uid(), NOBODY);
    let roots = dir.path().join("roots");
    fs::create_dir(&roots).unwrap();
    // A root-owned directory in a directory of another user: its owner can replace it.
    let output = run(&roots.join("history.db"));
    assert!(
        output.status.success(),
        "the command runs nevertheless: {output:?}"
    );
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(
        printed.contains("cannot be written by this user"),
        "{printed}"
    );
    assert_eq!(fs::read_dir(&roots).unwrap().count(), 0);
}
