//! `cargo xtask vm`: gotrace on Debian's kernels, each in an emulator: builds by the oldest and the newest Go, traced without a gap, and
//! what becomes of it where the machine is set up against it.
//!
//! Kernels before 6.1 are not among those that are run without being named: `docs/kernels.md` says what they refuse.

mod cpio;
mod expect;
mod guest;
mod kernel;
mod report;
mod root;

use std::collections::VecDeque;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, bail};
use tests::Toolchain;

use self::kernel::Kernel;
use crate::shell;

/// Guests at once: each is one busy thread and a gigabyte.
const N_GUESTS: usize = 2;

/// Runs the kernels of these names, or all of the matrix.
pub(crate) fn run(names: &[String]) -> Result<()> {
    let home = shell::target().join("vm");
    fs::create_dir_all(&home).with_context(|| format!("cannot make {}", home.display()))?;
    let kernels = kernel::fetch(names, &home)?;
    shell::run(shell::cargo().args(["build", "--quiet", "--package", "tracer-user"]))?;
    let toolchains = oldest_and_newest();
    let archive = root::build(&shell::target().join("debug/gotrace"), &toolchains, &home)?;
    let root = home.join("root.cpio");
    fs::write(&root, archive).with_context(|| format!("cannot write {}", root.display()))?;

    let waiting = Mutex::new(VecDeque::from(kernels));
    let failed = Mutex::new(Vec::new());
    let next = || {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.pop_front()
    };
    thread::scope(|scope| {
        for _ in 0..N_GUESTS {
            scope.spawn(|| {
                while let Some(kernel) = next() {
                    if !passes(&kernel, &root, &toolchains, &home) {
                        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                        failed.push(kernel.name);
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !failed.is_empty() {
        bail!(
            "not as it must be on Linux {}; what they said is in {}",
            failed.join(", "),
            home.join("guests").display()
        );
    }
    Ok(())
}

/// Runs a guest and says in one line how that went.
fn passes(kernel: &Kernel, root: &Path, toolchains: &[Toolchain], home: &Path) -> bool {
    let dir = home.join("guests").join(&kernel.name);
    let ended = match guest::run(&kernel.image, root, &dir) {
        Ok(ended) => ended,
        Err(error) => {
            println!("{:<6} FAILED: {error:#}", kernel.name);
            return false;
        }
    };
    let wrong = expect::departures(&ended, toolchains);
    let verdict = if wrong.is_empty() { "passed" } else { "FAILED" };
    println!(
        "{:<6} {verdict} in {:.0} s, {} boots before it, {}",
        kernel.name,
        ended.took.as_secs_f64(),
        ended.n_failed_boots,
        ended.report.section("kernel").said.trim(),
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
