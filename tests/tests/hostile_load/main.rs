//! Tracing on a busy or hostile machine: probes attached and detached during links, reused process numbers, and more records than
//! the ring can hold. Build outputs do not change, builds stay separate, and every loss is counted and reported.
#![cfg(test)]

mod flood;
mod links;
mod reuse;

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tests::{Module, Toolchain};

/// Runs one test at a time: an agent observes every build on the machine, and would lose one test's records in another test's
/// flood.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A module with one small program and a warm cache.
fn module(toolchain: &Toolchain) -> Module {
    let module = Module::copy("tiny");
    module.sandbox.make_warm(toolchain);
    module
}

/// Sum of the series of `/metrics` with this prefix.
fn sum(page: &str, begin: &str) -> u64 {
    let lines = page.lines().filter(|it| it.starts_with(begin));
    let values = lines.filter_map(|it| it.rsplit_once(' ')?.1.parse::<u64>().ok());
    values.sum()
}

/// Returns whether a listed build reports that data is missing.
fn is_marked(build: &Value) -> bool {
    build["anomalies"] != 0
}
