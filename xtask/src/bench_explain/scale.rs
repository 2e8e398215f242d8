//! Time and memory of `gotrace explain` and `gotrace advise` on a generated history: the example `history` of `tests/` writes it.

use std::fs;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::child::{self, Run, mebibytes};
use crate::shell;

const ROUNDS: usize = 5;

pub(crate) fn run(n_builds: usize, n_packages: usize) -> Result<()> {
    let gotrace = shell::gotrace()?;
    shell::run(shell::cargo().args([
        "build",
        "--release",
        "--package",
        "tests",
        "--example",
        "history",
    ]))?;
    let dir = shell::target().join("bench-explain");
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    let store = dir.join("history.db");
    let recording = shell::root().join("tests/recordings/build-go1.27.jsonl.gz");
    let began = Instant::now();
    let mut fill = Command::new(shell::target().join("release/examples/history"));
    fill.arg("keys").arg(&store);
    fill.args([n_builds.to_string(), n_packages.to_string()]);
    shell::run(fill.arg(recording))?;
    let bytes = fs::metadata(&store).context("no history")?.len();
    println!(
        "{n_builds} builds of {n_packages} packages: {} MB; {:.0} s to store them",
        bytes / 1_000_000,
        began.elapsed().as_secs_f64()
    );
    let mut list = Command::new(&gotrace);
    list.args(["builds", "--format", "json", "--limit", "2", "--store"]);
    let list: Value = serde_json::from_str(&shell::read(list.arg(&store))?)?;
    let id = |n: usize| {
        let id = list.pointer(&format!("/builds/{n}/id"));
        id.and_then(Value::as_str)
            .context("the history has too few builds")
    };
    println!("{:<32} {:>8} {:>12}", "", "median", "peak memory");
    for (name, args) in [
        ("gotrace explain, wide change", vec!["explain", id(0)?]),
        ("gotrace explain, one package", vec!["explain", id(1)?]),
        (
            "gotrace advise, all builds",
            vec!["advise", "--since", "1970-01-01"],
        ),
    ] {
        let mut command = Command::new(&gotrace);
        command.args(args).arg("--store").arg(&store);
        let runs = (0..ROUNDS).map(|_| child::run(&mut command));
        let median = child::median(&runs.collect::<Result<Vec<Run>>>()?);
        println!(
            "{name:<32} {:>6.2} s {:>8.1} MiB",
            median.seconds,
            mebibytes(median.peak)
        );
        println!("{}", first_lines(&shell::read(&mut command)?));
    }
    Ok(())
}

/// The head of an output, which shows that the command succeeded.
fn first_lines(text: &str) -> String {
    let lines = text.lines().filter(|it| !it.is_empty()).take(2);
    lines
        .map(|it| format!("    {it}"))
        .collect::<Vec<_>>()
        .join("\n")
}
