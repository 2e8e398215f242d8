//! What a busy or hostile machine does to tracing: probes that come and go during links, numbers of processes that are used again, and
//! more records than there is room for. Builds come out as they would have, each is kept apart from the others, and every loss is
//! counted and said.
#![cfg(test)]

mod flood;
mod links;
mod reuse;

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tests::{Module, Toolchain};

/// One test at a time: an agent follows the builds of everybody, and what one floods it with another would lose.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A module of one small program, with a warm cache.
fn module(toolchain: &Toolchain) -> Module {
    let module = Module::copy("tiny");
    module.sandbox.make_warm(toolchain);
    module
}

/// The sum of the series of `/metrics` that begin so.
fn sum(page: &str, begin: &str) -> u64 {
    let lines = page.lines().filter(|it| it.starts_with(begin));
    let values = lines.filter_map(|it| it.rsplit_once(' ')?.1.parse::<u64>().ok());
    values.sum()
}

/// Whether a build in a list says that something of it is missing.
fn is_marked(build: &Value) -> bool {
    build["anomalies"] != 0
}
