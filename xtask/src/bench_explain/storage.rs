//! Size of cache keys in a history: of a cold build, of builds after the change of one file, and of builds with nothing to do.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use tests::{Module, Toolchain, gotrace_command, toolchains};

use crate::shell;

/// Number of builds of each kind but the first. Pages of the database are large, so one build alone shows little.
const ROUNDS: u64 = 20;
/// Tables whose pages and index pages belong to keys.
const TABLES: &str = "'build_key', 'unit', 'action_run', 'rebuild_cause'";

/// Sizes in bytes.
#[derive(Clone, Copy)]
struct Sizes {
    /// Pages of keys, of the rows of actions and causes, and of their indexes.
    keys: u64,
    /// All pages.
    whole: u64,
    /// Packed keys alone.
    packed: u64,
    n_actions: u64,
}

pub(crate) fn run() -> Result<()> {
    if !shell::is_root()? {
        bail!("tracing needs root: run this command as root");
    }
    let all = toolchains();
    let toolchain = all
        .last()
        .context("no toolchain: run `cargo xtask setup`")?;
    let module = Module::copy("hello");
    module.sandbox.make_cold();
    let store = module.sandbox.path().join("history.db");
    println!(
        "{:<28} {:>8} {:>12} {:>12} {:>14}",
        "build", "actions", "packed keys", "all of keys", "whole history"
    );
    // Creates the tables, whose first pages are empty.
    build(&module, toolchain, &store, "phase")?;
    let empty = Sizes::of(&store)?;
    module.sandbox.make_cold();
    build(&module, toolchain, &store, "cache-key")?;
    let cold = Sizes::of(&store)?;
    cold.since(empty).print("cold, in a new history", 1);
    for n in 0..ROUNDS {
        module.append("internal/page/page.go", &format!("\n// Change {n}.\n"));
        build(&module, toolchain, &store, "cache-key")?;
    }
    let changed = Sizes::of(&store)?;
    changed.since(cold).print("one file changed", ROUNDS);
    for _ in 0..ROUNDS {
        build(&module, toolchain, &store, "cache-key")?;
    }
    Sizes::of(&store)?
        .since(changed)
        .print("nothing to do", ROUNDS);
    Ok(())
}

fn build(module: &Module, toolchain: &Toolchain, store: &Path, detail: &str) -> Result<()> {
    let mut command = gotrace_command(module.sandbox.env(toolchain));
    command.args(["run", "--detail", detail, "--output", "/dev/null"]);
    command
        .arg("--store")
        .arg(store)
        .arg("--")
        .arg(&toolchain.go);
    command.args(["build", "-o", "out", "."]);
    shell::run(command.current_dir(module.dir()))
}

impl Sizes {
    fn of(store: &Path) -> Result<Self> {
        let sql = format!(
            "SELECT sum(pgsize) FROM dbstat WHERE name IN (SELECT name FROM sqlite_schema WHERE tbl_name IN ({TABLES})); \
             SELECT sum(pgsize) FROM dbstat; SELECT coalesce(sum(length(packed)), 0) FROM build_key; SELECT count(*) FROM action_run"
        );
        let text = shell::read(Command::new("sqlite3").arg(store).arg(sql))?;
        let numbers = text.lines().map(str::parse::<u64>);
        let numbers: Vec<u64> = numbers.collect::<Result<_, _>>()?;
        let [keys, whole, packed, n_actions] = numbers.as_slice() else {
            bail!("sqlite3 printed {text:?}");
        };
        Ok(Self {
            keys: *keys,
            whole: *whole,
            packed: *packed,
            n_actions: *n_actions,
        })
    }

    fn since(self, before: Self) -> Self {
        Self {
            keys: self.keys.saturating_sub(before.keys),
            whole: self.whole.saturating_sub(before.whole),
            packed: self.packed.saturating_sub(before.packed),
            n_actions: self.n_actions.saturating_sub(before.n_actions),
        }
    }

    /// The mean of `n` builds.
    fn print(self, name: &str, n: u64) {
        let kilobytes = |bytes: u64| format!("{}.{} kB", bytes / n / 1000, bytes / n / 100 % 10);
        println!(
            "{name:<28} {:>8} {:>12} {:>12} {:>14}",
            self.n_actions / n,
            kilobytes(self.packed),
            kilobytes(self.keys),
            kilobytes(self.whole)
        );
    }
}
