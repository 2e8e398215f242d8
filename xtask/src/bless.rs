//! `cargo xtask bless`: tests rewrite their expected output (`expect-test`).
//!
//! Runs the tests inside the crates, and only those live tests that contain expected output.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::shell;

pub(crate) fn run() -> Result<()> {
    let bless = |args: &[&str]| {
        shell::run(
            shell::cargo()
                .arg("test")
                .args(args)
                .env("UPDATE_EXPECT", "1"),
        )
    };
    bless(&["--lib", "--bins"])?;
    for entry in fs::read_dir(shell::root()).context("cannot list the root")? {
        let dir = entry.context("cannot list the root")?.path().join("tests");
        for test in tests_with_expected_output(&dir)? {
            bless(&["--test", &test])?;
        }
    }
    shell::run(
        Command::new("git")
            .args(["diff", "--stat"])
            .current_dir(shell::root()),
    )
}

/// Names of the test programs in a folder whose source mentions `expect-test`: single files or folders.
fn tests_with_expected_output(dir: &Path) -> Result<Vec<String>> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for path in entries(dir)? {
        let sources = if path.join("main.rs").is_file() {
            entries(&path)?
        } else {
            vec![path.clone()]
        };
        let sources = sources
            .iter()
            .filter(|source| source.extension() == Some(OsStr::new("rs")));
        for source in sources {
            let text = fs::read_to_string(source)
                .with_context(|| format!("cannot read {}", source.display()))?;
            if text.contains("expect_test") {
                names.extend(path.file_stem().and_then(OsStr::to_str).map(str::to_owned));
                break;
            }
        }
    }
    names.sort();
    Ok(names)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let describe = || format!("cannot list {}", dir.display());
    let entries = fs::read_dir(dir).with_context(describe)?;
    entries
        .map(|entry| Ok(entry.with_context(describe)?.path()))
        .collect()
}
