//! `cargo xtask bench reliability`: runs the fault tests in their long forms, one after another, and prints a table of their
//! counts.
//!
//! The tests assert the results. The command lists failed tests below the table, and fails. `docs/reliability.md` explains each
//! row.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use tests::figures::{LONG, MARK};

use crate::{setup, shell};

/// Test programs, with filters for the tests that print figures; no filter selects all tests.
const TESTS: [(&str, &[&str]); 12] = [
    ("hostile_outputs", &["race::"]),
    ("hostile_tools", &[]),
    ("hostile_load", &[]),
    ("hostile_store", &[]),
    ("hostile_names", &[]),
    ("hostile_labels", &[]),
    ("live_agent", &["many_builds_at_once"]),
    ("history", &["killed_writer_loses_no_stored_build"]),
    ("history_rounds", &[]),
    ("history_postgres", &["outage::"]),
    ("malformed", &[]),
    ("planted_secrets", &[]),
];

struct Figure {
    case: String,
    tries: String,
    seen: String,
}

pub(crate) fn run() -> Result<()> {
    if !shell::is_root()? {
        bail!("cannot run the fault tests: tracing needs root (run as root)");
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
        if !collect_figures(&mut test, &mut rows)? {
            failed.push(file);
        }
    }
    print(&rows);
    println!("{:.0} s in all", began.elapsed().as_secs_f64());
    if !failed.is_empty() {
        bail!("failed: {}; their output is above", failed.join(", "));
    }
    Ok(())
}

/// Runs tests and collects their figures; returns whether they passed.
fn collect_figures(test: &mut Command, rows: &mut Vec<Figure>) -> Result<bool> {
    let mut child = test
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {test:?}"))?;
    let printed = child.stdout.take().context("no stdout of the tests")?;
    for line in BufReader::new(printed).lines() {
        let line = line.context("cannot read the output of the tests")?;
        // libtest's own output precedes the figure on the line.
        let Some((_, figure)) = line.split_once(MARK) else {
            continue;
        };
        eprintln!("{}", figure.replace('\t', ": "));
        let mut columns = figure.split('\t').map(ToOwned::to_owned);
        let mut next = || columns.next().unwrap_or_default();
        rows.push(Figure {
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

/// Prints Markdown, because a document quotes the table.
fn print(rows: &[Figure]) {
    println!("\n| case | tried | seen |\n|---|---|---|");
    for Figure { case, tries, seen } in rows {
        println!("| {case} | {tries} | {seen} |");
    }
}
