//! `cargo xtask bench history`: measures the read times and the size of a long history.
//!
//! The example `history` of `tests/` fills a history with copies of recorded builds, which takes a minute. Then the commands run in
//! turn. Medians include the start of the process. Nothing is asserted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::shell;

const ROUNDS: usize = 30;
/// One build in a hundred comes from the first recording, a cold build; the others take turns.
const RECORDINGS: [&str; 4] = [
    "build-go1.27",
    "up-to-date-go1.27",
    "compile-error-go1.27",
    "test-go1.27",
];

pub(crate) fn run(n_builds: u64) -> Result<()> {
    let gotrace = shell::gotrace()?;
    let began = Instant::now();
    let store = fill(&shell::target().join("bench-history"), n_builds)?;
    let filled = began.elapsed().as_secs_f64();
    let bytes = fs::metadata(&store)
        .with_context(|| format!("cannot read {}", store.display()))?
        .len();
    println!(
        "{n_builds} builds: {} kB, {} of each; {filled:.1} s to store them all",
        bytes / 1000,
        bytes / 1000 / n_builds.max(1)
    );
    let id = newest(&gotrace, &store)?;
    let commands: [&[&str]; 6] = [
        &["builds"],
        &["builds", "--project", "service-7"],
        &["builds", "--target", "hello", "--status", "failed"],
        &["builds", "--since", "1d", "--limit", "0"],
        &["builds", "--format", "json", "--limit", "0"],
        &["show", &id],
    ];
    let mut seconds = vec![Vec::with_capacity(ROUNDS); commands.len()];
    for _ in 0..ROUNDS {
        for (words, seconds) in commands.iter().zip(&mut seconds) {
            seconds.push(time(&gotrace, words, &store)?);
        }
    }
    println!("{:<48} {:>10} {:>10}", "gotrace", "median", "slowest");
    for (words, mut seconds) in commands.iter().zip(seconds) {
        seconds.sort_by(f64::total_cmp);
        let at = |index: usize| seconds.get(index).copied().unwrap_or(f64::NAN) * 1000.0;
        println!(
            "{:<48} {:>7.1} ms {:>7.1} ms",
            words.join(" "),
            at(ROUNDS / 2),
            at(ROUNDS - 1)
        );
    }
    Ok(())
}

/// Fills a history with this many builds, in a directory that is emptied first. Returns its path.
pub(crate) fn fill(dir: &Path, n_builds: u64) -> Result<PathBuf> {
    shell::run(shell::cargo().args([
        "build",
        "--release",
        "--package",
        "tests",
        "--example",
        "history",
    ]))?;
    if dir.exists() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    let store = dir.join("history.db");
    let recording = |name: &str| shell::root().join(format!("tests/recordings/{name}.jsonl.gz"));
    shell::run(
        Command::new(shell::target().join("release/examples/history"))
            .arg("fill")
            .arg(&store)
            .arg(n_builds.to_string())
            .args(RECORDINGS.map(recording)),
    )?;
    Ok(store)
}

fn command(gotrace: &Path, words: &[&str], store: &Path) -> Command {
    let mut command = Command::new(gotrace);
    command.args(words).arg("--store").arg(store);
    command
}

/// Id of the newest build.
fn newest(gotrace: &Path, store: &Path) -> Result<String> {
    let words = ["builds", "--format", "json", "--limit", "1"];
    let list: serde_json::Value =
        serde_json::from_str(&shell::read(&mut command(gotrace, &words, store))?)
            .context("gotrace builds did not print JSON")?;
    let id = list.pointer("/builds/0/id").and_then(|it| it.as_str());
    Ok(id.context("gotrace builds lists nothing")?.to_owned())
}

fn time(gotrace: &Path, words: &[&str], store: &Path) -> Result<f64> {
    let began = Instant::now();
    let status = command(gotrace, words, store)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("cannot run gotrace")?;
    let seconds = began.elapsed().as_secs_f64();
    if !status.success() {
        bail!("`gotrace {}` failed: {status}", words.join(" "));
    }
    Ok(seconds)
}
