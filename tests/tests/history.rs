//! The history: what was stored stays, whoever kills the writer; what is listed and shown is what was stored; and who may only read
//! the file can read it. Builds come from the recordings, so nothing here needs a toolchain but where it says so.
#![cfg(test)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use expect_test::{expect, expect_file};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use rusqlite::Connection;
use serde_json::Value;
use tests::{gotrace, gotrace_command, run_gotrace};
use tracer_core::history::{self, Kept, Limits, State};
use tracer_core::model::Trace;
use tracer_user::history::{Counts, Filter, Store, Writer, keep, read};
use tracer_user::render::Style;

const NO_ENV: [(&str, &str); 0] = [];
const SECOND: i64 = 1_000_000_000;

fn recording(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("recordings/{name}.jsonl.gz"))
}

fn replayed(name: &str) -> Trace {
    let file = File::open(recording(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let replayed = tracer_user::driver::replay(BufReader::new(file));
    replayed
        .unwrap_or_else(|error| panic!("{name}: {error}"))
        .trace
}

/// Names of all recordings.
fn recordings() -> Vec<String> {
    let dir = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings")).unwrap();
    let names = dir.map(|it| it.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names
        .filter_map(|it| Some(it.strip_suffix(".jsonl.gz")?.to_owned()))
        .collect();
    names.sort();
    names
}

/// The same builds at another time: other builds.
fn moved(trace: &Trace, to_ns: i64) -> Trace {
    let start = i64::try_from(trace.start.0).unwrap();
    Trace {
        boot_to_wall_ns: to_ns - start,
        ..trace.clone()
    }
}

/// `n` builds a second apart, the first a second after 1970.
fn small_builds(n: i64) -> Vec<Kept> {
    let trace = replayed("up-to-date-go1.27");
    (1..=n)
        .flat_map(|n| history::builds(&moved(&trace, n * SECOND)).collect::<Vec<_>>())
        .collect()
}

fn gotrace_builds(store: &Path, args: &[&str]) -> Output {
    let store = store.to_str().unwrap();
    run_gotrace([&["builds", "--store", store], args].concat(), NO_ENV)
}

fn gotrace_show(store: &Path, args: &[&str]) -> Output {
    let store = store.to_str().unwrap();
    run_gotrace([&["show", "--store", store], args].concat(), NO_ENV)
}

fn listed(store: &Path, args: &[&str]) -> Vec<Value> {
    let output = gotrace_builds(
        store,
        &[&["--format", "json", "--limit", "0"], args].concat(),
    );
    assert!(output.status.success(), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    document["builds"].as_array().unwrap().clone()
}

fn assert_whole(store: &Path) {
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
    assert_eq!(orphans, 0, "a build is stored whole or not at all");
}

#[test]
fn every_recorded_build_is_listed_and_shown_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("history.db");
    let (mut n_builds, mut n_compared) = (0, 0);
    for name in recordings() {
        let trace = replayed(&name);
        assert_eq!(keep(&trace, &store).unwrap(), trace.builds.len(), "{name}");
        n_builds += trace.builds.len();
        for kept in history::builds(&trace) {
            let output = gotrace_show(&store, &["--color", "never", kept.entry.id.as_str()]);
            assert!(output.status.success(), "{name}: {output:?}");
            let shown = String::from_utf8(output.stdout).unwrap();
            assert!(shown.contains(kept.entry.id.as_str()), "{shown}");
            let golden = recording(&name)
                .to_str()
                .unwrap()
                .replace(".jsonl.gz", ".txt");
            if trace.builds.len() == 1 && trace.command == trace.builds[0].command.argv {
                assert!(
                    shown.starts_with(&fs::read_to_string(golden).unwrap()),
                    "{name}: {shown}"
                );
                n_compared += 1;
            }
        }
    }
    assert!(n_compared > 10, "{n_compared}");
    assert_eq!(listed(&store, &[]).len(), n_builds);
    assert_whole(&store);
}

#[test]
fn filters_leave_out_what_they_say_and_the_newest_comes_first() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("history.db");
    for name in recordings() {
        keep(&replayed(&name), &store).unwrap();
    }
    let all = listed(&store, &[]);
    let starts: Vec<i64> = all
        .iter()
        .map(|it| it["started_ns"].as_i64().unwrap())
        .collect();
    assert!(starts.is_sorted_by(|a, b| a >= b));
    let check = |args: &[&str], passes: &dyn Fn(&Value) -> bool| {
        let expected: Vec<&Value> = all.iter().filter(|it| passes(it)).collect();
        assert!(
            !expected.is_empty() && expected.len() < all.len(),
            "{args:?} tells nothing"
        );
        let found = listed(&store, args);
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{args:?}");
    };
    check(&["--status", "failed"], &|it| it["state"] == "failed");
    check(&["--project", "example.com/wasm"], &|it| {
        it["project"] == "example.com/wasm"
    });
    check(&["--project", "wasm"], &|it| {
        it["project"] == "example.com/wasm"
    });
    let has_output = |it: &Value, name: &str| {
        let targets = it["targets"].as_array().unwrap();
        targets
            .iter()
            .any(|it| it["path"].as_str().unwrap().ends_with(name))
    };
    check(&["--target", "libtwice.so"], &|it| {
        has_output(it, "/libtwice.so")
    });
    let middle = starts[starts.len() / 2];
    // Whole seconds: a date has no more.
    let middle = middle - middle.rem_euclid(SECOND);
    let date = tracer_user::history::date(middle);
    let date = date.trim_end_matches(" UTC");
    check(&["--since", date], &|it| {
        it["started_ns"].as_i64().unwrap() >= middle
    });
    check(&["--until", date], &|it| {
        it["started_ns"].as_i64().unwrap() < middle
    });
    for none in [
        ["--branch", "main"],
        ["--project", "was%"],
        ["--project", "w_sm"],
    ] {
        assert_eq!(listed(&store, &none).len(), 0, "{none:?}");
    }
    let output = gotrace_builds(&store, &["--limit", "2"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 3);
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("--limit"),
        "{output:?}"
    );
}

#[test]
fn a_list_is_easy_on_the_eye() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("history.db");
    let now = 1_795_183_500 * SECOND;
    let names = [
        "build-go1.27",
        "compile-error-go1.27",
        "test-go1.27",
        "generate-go1.27",
        "c-shared-go1.27",
        "up-to-date-go1.27",
    ];
    for (hours, name) in (1..).zip(names) {
        keep(&moved(&replayed(name), now - hours * 3600 * SECOND), &store).unwrap();
    }
    let mut writer = Store::open(&store).unwrap();
    let kept: Vec<Kept> =
        history::builds(&moved(&replayed("cgo-go1.27"), now - 90 * SECOND)).collect();
    writer.begin(&kept[0].entry).unwrap();
    let (entries, has_more) = read(&store, |it| it.list(&Filter::default())).unwrap();
    assert!(!has_more);
    let mut out = Vec::new();
    tracer_user::history::list(&entries, now, &Style::plain(100), &mut out).unwrap();
    expect![[r#"
        Id             Started     Took      Go      Build
        01a1f944-fb50  90 s ago    running   1.27.3  build example.com/cgo
        01a1f90f-6c60  60 min ago  ✔ 25.7 s  1.27.3  build example.com/wasm → hello 2.34 MB
        01a1f8d8-7de0  2 h ago     ✘ 96 ms   1.27.3  build example.com/broken compile failed
        01a1f8a1-8f60  3 h ago     ✔ 309 ms  1.27.3  test example.com/cmds
        01a1f86a-a0ec  3 h ago     ✔ 224 ms  1.27.3  run example.com/generate
        01a1f86a-a0e0  4 h ago     ✔ 238 ms  1.27.3  generate example.com/generate
        01a1f833-b260  5 h ago     ✔ 18.2 s  1.27.3  build example.com/cshared → libtwice.h 1.9 kB · libtwi…
        01a1f7fc-c3e0  6 h ago     ✔ 131 ms  1.27.3  build example.com/wasm → hello 2.34 MB
    "#]].assert_eq(&String::from_utf8(out).unwrap());
}

#[test]
fn an_output_is_compared_with_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("history.db");
    let mut trace = moved(&replayed("build-go1.27"), 1000 * SECOND);
    keep(&trace, &store).unwrap();
    let first = history::builds(&trace).next().unwrap().entry.id;
    trace = moved(&trace, 2000 * SECOND);
    let artifact = trace.builds[0].outputs[0].artifact.as_mut().unwrap();
    let before = artifact.size;
    artifact.size += before / 10;
    keep(&trace, &store).unwrap();
    let second = history::builds(&trace).next().unwrap().entry.id;
    let output = gotrace_show(&store, &["--format", "json", second.as_str()]);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["previous"][0]["build"], first.as_str());
    assert_eq!(shown["previous"][0]["size"], before);
    let output = gotrace_show(&store, &["--color", "never", second.as_str()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("(+10.0 %)") || text.contains("(+10 %)"),
        "{text}"
    );
    // Built in another way it is another thing.
    trace = moved(&trace, 3000 * SECOND);
    trace.builds[0].command.flags.clear();
    keep(&trace, &store).unwrap();
    let third = history::builds(&trace).next().unwrap().entry.id;
    let output = gotrace_show(&store, &["--format", "json", third.as_str()]);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(shown["previous"][0], Value::Null);
}

#[test]
fn storing_a_build_again_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("history.db");
    let trace = replayed("generate-go1.27");
    keep(&trace, &store).unwrap();
    let (before, dump) = (listed(&store, &[]), contents(&store));
    keep(&trace, &store).unwrap();
    for kept in history::builds(&trace) {
        Store::open(&store).unwrap().begin(&kept.entry).unwrap();
    }
    assert_eq!(Store::open(&store).unwrap().recover().unwrap(), 0);
    assert_eq!(listed(&store, &[]), before);
    assert_eq!(contents(&store), dump);
}

/// Numbers of rows of all tables.
fn contents(store: &Path) -> Vec<i64> {
    let connection = Connection::open(store).unwrap();
    let count = |table| {
        let sql = format!("SELECT count(*) FROM {table}");
        connection.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    ["build", "target", "detail"].map(count).to_vec()
}

#[test]
fn a_build_that_was_under_way_is_cut_off_or_found_again() {
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
    let said = String::from_utf8(cut_off.stdout).unwrap();
    assert!(
        said.contains("gotrace ended while this build ran"),
        "{said}"
    );
    store.finish(&builds[0]).unwrap();
    assert_eq!(listed(&path, &["--status", "cut-off"]).len(), 1);
    assert_eq!(listed(&path, &["--status", "succeeded"]).len(), 2);
    assert_whole(&path);
}

/// The example `history`, built now.
fn history_writer() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args([
            "build",
            "--quiet",
            "--package",
            "tests",
            "--example",
            "history",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(built.success());
    tests::target_dir().join("debug/examples/history")
}

fn start_writing(program: &Path, store: &Path) -> Child {
    Command::new(program)
        .arg("write")
        .arg(store)
        .args(
            [
                "up-to-date-go1.27",
                "generate-go1.27",
                "compile-error-go1.27",
            ]
            .map(recording),
        )
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Kills a writer of builds again and again.
#[test]
fn a_writer_that_is_killed_loses_no_stored_build_and_breaks_nothing() {
    const ROUNDS: u64 = 30;
    let program = history_writer();
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("history.db");
    let mut stored = BTreeSet::new();
    let mut n_cut_off = 0;
    for round in 0..ROUNDS {
        let mut writer = start_writing(&program, &store);
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        // Not before it is at work; then at a moment that differs from round to round.
        let first = lines.next().unwrap().unwrap();
        n_cut_off += first
            .strip_prefix("cut off ")
            .unwrap()
            .parse::<usize>()
            .unwrap();
        std::thread::sleep(Duration::from_micros(500 + round * 7919 % 60_000));
        writer.kill().unwrap();
        writer.wait().unwrap();
        // What it said before it died is still in the pipe; the last line may be torn.
        let mut said = String::new();
        lines.for_each(|line| said = format!("{said}{}\n", line.unwrap_or_default()));
        let ids = said.lines().filter_map(|it| it.strip_prefix("stored "));
        stored.extend(ids.filter(|it| it.len() == 36).map(ToOwned::to_owned));
        assert_whole(&store);
    }
    assert!(stored.len() > 30, "{} builds", stored.len());
    let (entries, _) = read(&store, |it| it.list(&Filter::default())).unwrap();
    let whole: BTreeSet<String> = entries
        .iter()
        .filter(|it| !matches!(it.state, State::Running | State::CutOff))
        .map(|it| it.id.to_string())
        .collect();
    let lost: Vec<&String> = stored.difference(&whole).collect();
    assert!(lost.is_empty(), "{lost:?}");
    for id in whole.iter().step_by(10) {
        let shown = read(&store, |it| it.show(&id.parse()?)).unwrap();
        assert!(shown.trace.is_some());
    }
    println!(
        "{ROUNDS} kills, {} builds stored, {n_cut_off} cut off",
        whole.len()
    );
    Store::open(&store).unwrap().recover().unwrap();
    assert_eq!(listed(&store, &["--status", "running"]).len(), 0);
}

#[test]
fn a_disk_that_does_not_answer_costs_a_bounded_queue_and_a_number() {
    const BOUND: u64 = 8;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let (writer, _) = Writer::start(&path, usize::try_from(BOUND).unwrap(), |error| {
        panic!("{error}")
    })
    .unwrap();
    let builds = small_builds(40);
    let blocker = Connection::open(&path).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    for kept in builds {
        writer.finish(kept);
    }
    let Counts {
        stored,
        dropped,
        failed,
    } = writer.counts();
    // The queue, and the one that the writer holds in its hands, or not yet.
    assert!(stored == 0 && failed == 0, "{:?}", writer.counts());
    assert!(
        (40 - BOUND - 1..=40 - BOUND).contains(&dropped),
        "{dropped}"
    );
    blocker.execute_batch("COMMIT").unwrap();
    assert!(writer.flush(Duration::from_mins(1)));
    assert_eq!(writer.counts().stored, 40 - dropped);
    drop(writer);
    assert_eq!(listed(&path, &[]).len() as u64, 40 - dropped);
}

#[test]
fn the_oldest_go_until_the_limits_hold_and_the_file_shrinks() {
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
        // The newest, without a gap; and what is under way.
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
        // Nothing goes without a reason: what is left was needed to be under the limit.
        let again = store.retain(limits, now).unwrap();
        prop_assert_eq!(again.n_deleted, 0);
        drop(store);
        assert_whole(&path);
        Ok(())
    });
    ran.unwrap();
}

/// `gotrace ARGS` as somebody with no right to write anything.
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
fn who_may_only_read_the_file_can_read_it_also_while_it_is_written() {
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
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("may not be read by you: use sudo"), "{said}");

    drop(store);
    allow(&path, 0o644);
    assert_eq!(count(), 1, "after the writer ended");
    let mut store = Store::open(&path).unwrap();
    store.finish(&builds[1]).unwrap();
    assert_eq!(count(), 2, "while a writer has it open");
    store.begin(&builds[2].entry).unwrap();
    assert_eq!(count(), 3);
    // As if it had been killed: the log stays.
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
    assert!(!log.exists() && !shared.exists(), "nor does one who could");
}

#[test]
fn a_reader_is_not_disturbed_by_writers_that_come_and_go() {
    let dir = tempfile::tempdir().unwrap();
    allow(dir.path(), 0o755);
    let program = dir.path().join("gotrace");
    fs::copy(gotrace(), &program).unwrap();
    let path = dir.path().join("history.db");
    let builds = small_builds(400);
    Store::open(&path).unwrap().finish(&builds[0]).unwrap();
    allow(&path, 0o644);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for kept in builds.iter().cycle().skip(1) {
                Store::open(&path).unwrap().finish(kept).unwrap();
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let mut before = 1;
        for _ in 0..60 {
            let output = as_nobody(&program, &path);
            // Said before an assertion can end this thread and leave the other at work.
            let is_well = output.status.success();
            is_over.fetch_or(!is_well, Ordering::Relaxed);
            assert!(is_well, "{output:?}");
            let document: Value = serde_json::from_slice(&output.stdout).unwrap();
            let n = document["builds"].as_array().unwrap().len();
            is_over.fetch_or(n < before, Ordering::Relaxed);
            assert!(n >= before, "{n} builds after {before}");
            before = n;
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let fails = |output: Output, expected: &str| {
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(expected), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    };
    fails(
        gotrace_builds(&path, &[]),
        "is not there yet: `gotrace run --store",
    );
    for kept in small_builds(3) {
        Store::open(&path).unwrap().finish(&kept).unwrap();
    }
    fails(
        gotrace_show(&path, &["0"]),
        "has 3 builds that begin with 0, which one: 00000000-",
    );
    fails(
        gotrace_show(&path, &["f"]),
        "has no build f: `gotrace builds` shows what there is",
    );
    fails(
        gotrace_show(&path, &["latest"]),
        "a build id is made of hexadecimal digits",
    );
    let output = gotrace_builds(&path, &["--since", "yesterday"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("not a time: give an age"), "{said}");

    let change = |sql: &str| Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    change("PRAGMA user_version = 99");
    fails(
        gotrace_builds(&path, &[]),
        "was written by a newer gotrace (form 99, this one knows 1)",
    );
    assert!(Store::open(&path).is_err(), "nor is it written to");
    change("PRAGMA user_version = 1; PRAGMA application_id = 7");
    fails(gotrace_builds(&path, &[]), "is some other database");

    let other = dir.path().join("other.db");
    Connection::open(&other)
        .unwrap()
        .execute_batch("CREATE TABLE t (x)")
        .unwrap();
    assert!(format!("{:?}", Store::open(&other)).contains("Foreign"));
    let text = dir.path().join("text");
    fs::write(
        &text,
        "not a database, but long enough to be taken for one\n".repeat(40),
    )
    .unwrap();
    fails(gotrace_builds(&text, &[]), "is damaged: move it");
    assert!(Store::open(&text).is_err());
    assert!(
        fs::read_to_string(&text)
            .unwrap()
            .starts_with("not a database"),
        "left alone"
    );
}

#[test]
fn a_store_is_for_root_alone_and_never_behind_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/history.db");
    drop(Store::open(&path).unwrap());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o640, 0o750));
    let victim = dir.path().join("victim");
    fs::write(&victim, "").unwrap();
    let link = dir.path().join("link.db");
    std::os::unix::fs::symlink(&victim, &link).unwrap();
    let error = said_in_full(&Store::open(&link).unwrap_err());
    assert!(error.contains("is a link"), "{error}");
    assert_eq!(fs::metadata(&victim).unwrap().len(), 0);
}

/// A Python with `jsonschema`.
fn python() -> &'static str {
    let has_judge = |python: &&str| {
        let asked = Command::new(python)
            .args(["-c", "import jsonschema"])
            .output();
        asked.is_ok_and(|it| it.status.success())
    };
    let python = ["python3", "/usr/bin/python3"].into_iter().find(has_judge);
    python.expect(
        "no python3 with jsonschema: `cargo xtask test` installs it (Debian's python3-jsonschema)",
    )
}

/// An error with its causes, as gotrace says it.
fn said_in_full(error: &dyn std::error::Error) -> String {
    let mut causes = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(it) = cause {
        causes.push(it.to_string());
        cause = it.source();
    }
    causes.join(": ")
}

fn published(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../schema/{name}"))
}

#[test]
fn the_published_schemas_are_current_and_what_is_written_obeys_them() {
    let schemas = [
        (
            "gotrace.builds.v1.json",
            tracer_user::history::builds_schema(),
        ),
        ("gotrace.build.v1.json", tracer_user::history::show_schema()),
    ];
    for (name, schema) in &schemas {
        let text = serde_json::to_string_pretty(schema).unwrap() + "\n";
        expect_file![published(name)].assert_eq(&text);
    }
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("history.db");
    for name in ["build-go1.27", "generate-go1.27", "compile-error-go1.27"] {
        keep(&replayed(name), &store).unwrap();
    }
    let judge = |name: &str, document: &[u8]| {
        let file = dir.path().join("document.json");
        fs::write(&file, document).unwrap();
        let judged = Command::new(python())
            .args([
                "-c",
                "import json, sys, jsonschema\n\
                schema, document = (json.load(open(it)) for it in sys.argv[1:])\n\
                jsonschema.validators.validator_for(schema)(schema).validate(document)",
            ])
            .args([&published(name), &file])
            .output()
            .unwrap();
        assert!(
            judged.status.success(),
            "{}",
            String::from_utf8_lossy(&judged.stderr)
        );
    };
    let output = gotrace_builds(&store, &["--format", "json"]);
    judge("gotrace.builds.v1.json", &output.stdout);
    for build in listed(&store, &[]) {
        let output = gotrace_show(&store, &["--format", "json", build["id"].as_str().unwrap()]);
        judge("gotrace.build.v1.json", &output.stdout);
    }
}

/// Traced for real.
#[test]
fn run_stores_its_builds() {
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
