//! An agent logs and counts the builds that it deletes from its history. A limit of zero does not empty the history.
#![cfg(test)]

use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use tests::agent::Agent;
use tests::run_gotrace;
use tracer_core::finished::FinishedTrace;
use tracer_core::model::Trace;
use tracer_user::history::{Filter, read, store_builds};

const HOUR_NS: i64 = 60 * 60 * 1_000_000_000;
/// Directory of the recorded build.
const DIR: &str = "/src/wasm";
const SENTENCE: &str =
    "0 would delete everything: give a number from 1, or 'unlimited' for no limit";

/// Stores builds of one recording, started this many hours ago.
fn fill(store: &Path, hours: &[i64]) {
    let name = "recordings/up-to-date-go1.27.jsonl.gz";
    let file = File::open(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let trace = tracer_user::driver::replay(BufReader::new(file)).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now_ns = i64::try_from(now.as_nanos()).unwrap();
    let start = i64::try_from(trace.trace.start.0).unwrap();
    for ago in hours {
        let moved = Trace {
            boot_to_wall_ns: now_ns - ago * HOUR_NS - start,
            ..trace.trace.clone()
        };
        assert_eq!(
            store_builds(&FinishedTrace::of(moved.clone()), store)
                .unwrap()
                .len(),
            1
        );
    }
}

/// Number of the stored builds. An agent observes all other builds on the machine, too.
fn n_builds(store: &Path) -> usize {
    let (entries, _) = read(store, |it| it.list(&Filter::default())).unwrap();
    let filled = entries.iter().filter(|it| it.dir.as_deref() == Some(DIR));
    filled.count()
}

#[test]
fn a_limit_of_zero_is_refused_everywhere_and_deletes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("history.db");
    fill(&store, &[1, 2, 3]);
    let place = store.to_str().unwrap();
    for (flag, variable) in [
        ("--keep-days", "GOTRACE_KEEP_DAYS"),
        ("--keep-megabytes", "GOTRACE_KEEP_MEGABYTES"),
        ("--forget-targets", "GOTRACE_FORGET_TARGETS_HOURS"),
    ] {
        let agent = ["agent", "--listen", "none", "--store", place];
        let by_flag = run_gotrace([&agent[..], &[flag, "0"]].concat(), [("", ""); 0]);
        let by_variable = run_gotrace(agent, [(variable, "0")]);
        for output in [by_flag, by_variable] {
            assert_eq!(output.status.code(), Some(2), "{output:?}");
            let printed = String::from_utf8(output.stderr).unwrap();
            assert!(
                printed.contains(flag) && printed.contains(SENTENCE),
                "{printed}"
            );
        }
    }
    let file = dir.path().join("gotrace.toml");
    for (line, text) in [
        (1, "keep_days = 0\n"),
        (1, "keep_megabytes = 0\n"),
        (2, "[central]\nkeep_days = 0\n"),
    ] {
        fs::write(&file, text).unwrap();
        let name = file.to_str().unwrap();
        for args in [
            &["config", "check", name][..],
            &["agent", "--store", place, "--config", name],
        ] {
            let output = run_gotrace(args, [("", ""); 0]);
            assert_eq!(output.status.code(), Some(2), "{output:?}");
            let printed = String::from_utf8(output.stderr).unwrap();
            let (key, _) = text.lines().last().unwrap().split_once(' ').unwrap();
            let sentence = format!("{name}:{line}: {key}: {SENTENCE}");
            assert!(printed.contains(&sentence), "{printed}");
        }
    }
    assert_eq!(n_builds(&store), 3);
}

#[test]
fn deleted_builds_are_logged_in_one_line_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("history.db");
    fill(&store, &[1, 30, 50, 70]);
    let mut agent = Agent::start_in(dir, &["--keep-days", "1"]);
    let line = agent.wait_for_log("retention deleted");
    let counts = "retention deleted 3 builds (3 by age, 0 by size); the history takes ";
    assert!(line.contains(counts), "{line}");
    let deleted = "gotrace_history_builds_deleted_total{reason=";
    agent.wait_for_page("/metrics", &format!("{deleted}\"age\"}} 3\n"));
    let page = agent.page("/metrics");
    assert!(page.contains(&format!("{deleted}\"size\"}} 0\n")), "{page}");
    let value = |name: &str| -> f64 {
        let line = page.lines().find_map(|it| it.strip_prefix(name));
        let value = line.unwrap_or_else(|| panic!("no {name}: {page}"));
        value.trim().parse().unwrap()
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let age = now.as_secs_f64() - value("gotrace_history_oldest_build_timestamp_seconds ");
    assert!((3_500.0..4_500.0).contains(&age), "{age}");
    assert!(value("gotrace_history_size_bytes ") >= 4096.0);
    assert!(value("gotrace_history_free_bytes ") > 0.0);

    assert_eq!(n_builds(&agent.store()), 1);
    agent.stop();
}

#[test]
fn without_a_limit_nothing_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("history.db");
    fill(&store, &[1, 200 * 24]);
    let file = dir.path().join("gotrace.toml");
    let printed = "keep_days = \"unlimited\"\nkeep_megabytes = \"unlimited\"\n";
    fs::write(&file, printed).unwrap();
    let config = file.to_str().unwrap();
    let mut agent = Agent::start_in(dir, &["--config", config]);
    let age = "gotrace_history_builds_deleted_total{reason=\"age\"} ";
    agent.wait_for_page(
        "/metrics",
        "gotrace_history_oldest_build_timestamp_seconds ",
    );

    // A reload with zero keeps the running configuration; one with a limit deletes at once.
    fs::write(&file, "keep_days = 0\n").unwrap();
    agent.signal("HUP");
    let refused =
        agent.wait_for_log("cannot reload the configuration, the previous one stays active");
    assert!(refused.contains(SENTENCE), "{refused}");
    agent.wait_for_page("/metrics", &format!("{age}0\n"));
    assert_eq!(n_builds(&agent.store()), 2);
    fs::write(&file, "keep_days = 100\n").unwrap();
    agent.signal("HUP");
    agent.wait_for_log("retention deleted 1 builds (1 by age, 0 by size)");
    agent.wait_for_page("/metrics", &format!("{age}1\n"));
    assert_eq!(n_builds(&agent.store()), 1);
    agent.stop();
}
