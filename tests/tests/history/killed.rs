//! A writer that is killed at random moments.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tests::figures::{print_figure, size};
use tracer_core::model::State;
use tracer_user::history::{Filter, Store, read};

use crate::harness::{assert_intact, listed, recording};

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

#[test]
fn a_writer_killed_while_it_creates_the_database_leaves_a_usable_one() {
    let program = history_writer();
    for round in 0..20 {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("history.db");
        let mut writer = start_writing(&program, &store);
        // Replaying the recordings takes some milliseconds; creating the database takes a few more.
        while !store.exists() {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_micros(round * 400));
        writer.kill().unwrap();
        writer.wait().unwrap();
        Store::open(&store).unwrap().recover().unwrap();
        assert_intact(&store);
    }
}

/// Kills a writer of builds repeatedly.
#[test]
fn a_killed_writer_loses_no_stored_build_and_damages_nothing() {
    // On a busy machine a writer can be killed before it stores a build; more rounds then follow.
    const MOST_ROUNDS: u64 = 600;
    let rounds = size(30, 300) as u64;
    let program = history_writer();
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("history.db");
    let mut stored = BTreeSet::new();
    let mut n_cut_off = 0;
    let mut round = 0;
    while round < rounds || stored.len() <= 30 {
        assert!(round < MOST_ROUNDS, "only {} builds", stored.len());
        round += 1;
        let mut writer = start_writing(&program, &store);
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        // Waits until the writer runs; then kills it at a moment that differs from round to round.
        let first = lines.next().unwrap().unwrap();
        n_cut_off += first
            .strip_prefix("cut off ")
            .unwrap()
            .parse::<usize>()
            .unwrap();
        std::thread::sleep(Duration::from_micros(500 + round * 7919 % 60_000));
        writer.kill().unwrap();
        writer.wait().unwrap();
        // The pipe still contains the writer's last output; the last line can be incomplete.
        let mut printed = String::new();
        lines.for_each(|line| printed = format!("{printed}{}\n", line.unwrap_or_default()));
        let ids = printed.lines().filter_map(|it| it.strip_prefix("stored "));
        stored.extend(ids.filter(|it| it.len() == 36).map(ToOwned::to_owned));
        assert_intact(&store);
    }
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
        assert!(shown.finished.is_some());
    }
    print_figure(
        "history: writer killed at any moment",
        format!("{round} kills"),
        format!(
            "{} builds stored, lost 0, cut off and marked {n_cut_off}; the database intact each time",
            whole.len()
        ),
    );
    Store::open(&store).unwrap().recover().unwrap();
    assert_eq!(listed(&store, &["--status", "running"]).len(), 0);
}
