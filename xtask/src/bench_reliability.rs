//! `cargo xtask bench reliability`: the tests of faults and hostile neighbours in their long forms, one after another, and one table of
//! what they counted.
//!
//! The tests judge: one that fails is named below the table, and is a failure. What each row means is in `docs/reliability.md`.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use tests::figures::{LONG, MARK};

use crate::{setup, shell};

/// A file of tests, and which of them have figures; all where none is named.
const TESTS: [(&str, &[&str]); 12] = [
    ("hostile_outputs", &["race::"]),
    ("hostile_tools", &[]),
    ("hostile_load", &[]),
    ("hostile_store", &[]),
    ("hostile_names", &[]),
    ("hostile_labels", &[]),
    ("live_agent", &["many_builds_at_once"]),
    ("history", &["killed_loses_no_stored_build"]),
    ("history_rounds", &[]),
    ("history_postgres", &["outage::"]),
    ("malformed", &[]),
    ("planted_secrets", &[]),
];

struct Row {
    case: String,
    tries: String,
    seen: String,
}

pub(crate) fn run() -> Result<()> {
    if !shell::is_root()? {
        bail!("builds of others are traced: run as root");
    }
    setup::for_tests()?;
    let gotrace = shell::gotrace()?;
    let began = Instant::now();
    let (mut rows, mut failed) = (Vec::new(), Vec::new());
    for (file, filters) in TESTS {
        let mut test = shell::cargo();
        test.args(["test", "--quiet", "--package", "tests", "--no-fail-fast"])
            .args(["--test", file, "--"])
            .args(["--nocapture", "--test-threads=1"])
            .args(filters)
            .env(LONG, "1")
            .env("GOTRACE_BIN", &gotrace)
            .env("GOTRACE_TOOLCHAINS", tests::toolchain_dir());
        if !told(&mut test, &mut rows)? {
            failed.push(file);
        }
    }
    print(&rows);
    println!("{:.0} s in all", began.elapsed().as_secs_f64());
    if !failed.is_empty() {
        bail!("failed: {}; what they said is above", failed.join(", "));
    }
    Ok(())
}

/// Runs tests and takes their figures; whether they passed.
fn told(test: &mut Command, rows: &mut Vec<Row>) -> Result<bool> {
    let mut child = test
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {test:?}"))?;
    let said = child.stdout.take().context("tests without an output")?;
    for line in BufReader::new(said).lines() {
        let line = line.context("cannot read what the tests say")?;
        // What libtest says of the test stands before it.
        let Some((_, figure)) = line.split_once(MARK) else {
            continue;
        };
        eprintln!("{}", figure.replace('\t', ": "));
        let mut columns = figure.split('\t').map(ToOwned::to_owned);
        let mut next = || columns.next().unwrap_or_default();
        rows.push(Row {
            case: next(),
            tries: next(),
            seen: next(),
        });
    }
    let status = child
        .wait()
        .with_context(|| format!("cannot wait for {test:?}"))?;
    Ok(status.success())
}

/// As Markdown, since it is quoted.
fn print(rows: &[Row]) {
    println!("\n| case | tried | seen |\n|---|---|---|");
    for Row { case, tries, seen } in rows {
        println!("| {case} | {tries} | {seen} |");
    }
}
