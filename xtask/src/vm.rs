//! `cargo xtask vm`: runs gotrace on Debian's kernels, each in an emulator. The oldest and the newest Go make builds, which must be
//! traced without gaps. Other runs restrict the machine or lock down the kernel.
//!
//! No kernel must support a feature that `docs/kernels.md` excludes for it.

mod cpio;
mod expect;
mod guest;
mod kernel;
mod report;
mod root;
mod task;

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, bail};
use tests::Toolchain;

use self::kernel::Kernels;
use self::task::Task;
use crate::shell;

/// Parallel guests: each uses one processor and a gigabyte.
const N_GUESTS: usize = 2;

/// Runs the named guests, or the whole matrix.
pub(crate) fn run(names: &[String]) -> Result<()> {
    let home = shell::target().join("vm");
    fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
    let kernels = Kernels::list(&home)?;
    let mut tasks = VecDeque::new();
    for (name, series, checks) in task::plan(names, &kernels.series())? {
        let image = kernels.image(series)?;
        tasks.push_back(Task {
            name,
            image,
            checks,
        });
    }
    let gotrace = shell::tested_gotrace()?;
    shell::run(shell::cargo().args([
        "build",
        "--quiet",
        "--package",
        "tests",
        "--example",
        "usage",
    ]))?;
    let toolchains = oldest_and_newest();
    let archive = root::build(&gotrace, &toolchains, &home)?;
    let root = home.join("root.cpio");
    fs::write(&root, archive).with_context(|| format!("cannot write {}", root.display()))?;

    let waiting = Mutex::new(tasks);
    let failed = Mutex::new(Vec::new());
    let next = || {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.pop_front()
    };
    thread::scope(|scope| {
        for _ in 0..N_GUESTS {
            scope.spawn(|| {
                while let Some(task) = next() {
                    if !passes(&task, &root, &toolchains, &home) {
                        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                        failed.push(task.name);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !failed.is_empty() {
        bail!(
            "unexpected results on Linux {}; the logs are in {}",
            failed.join(", "),
            home.join("guests").display()
        );
    }
    Ok(())
}

/// Runs a guest and prints its result in one line.
fn passes(task: &Task, root: &Path, toolchains: &[Toolchain], home: &Path) -> bool {
    let dir = home.join("guests").join(&task.name);
    let ended = match guest::run(task, root, &dir) {
        Ok(ended) => ended,
        Err(error) => {
            println!("{:<20} FAILED: {error:#}", task.name);
            return false;
        }
    };
    let wrong = expect::departures(&ended, task.checks, toolchains);
    let verdict = if wrong.is_empty() { "passed" } else { "FAILED" };
    println!(
        "{:<20} {verdict} in {:.0} s, {} failed boots, {}",
        task.name,
        ended.took.as_secs_f64(),
        ended.n_failed_boots,
        ended.report.section("kernel").stdout.trim(),
    );
    for sentence in &wrong {
        println!("       {sentence}");
    }
    wrong.is_empty()
}

fn oldest_and_newest() -> Vec<Toolchain> {
    let mut all = tests::toolchains();
    let newest = all.pop();
    all.truncate(1);
    all.extend(newest);
    all
}
