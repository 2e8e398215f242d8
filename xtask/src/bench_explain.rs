//! `cargo xtask bench explain`: builds a module, changes something, builds it again, and checks the cause that `gotrace explain` prints for
//! each executed action.
//!
//! Two oracles decide. The bench made the change, so it expects the inputs at the roots. The `go` command prints each line of each key
//! (`GODEBUG=gocachehash=1`), so the lines that differ from those of the named earlier build are the inputs that changed. The command fails
//! if a cause is wrong. `--scale` measures time and memory on a generated history instead, `--storage` the size of keys.

mod change;
mod oracle;
mod scale;
mod storage;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;
use tests::{Module, Toolchain, gotrace_command, toolchains};

use self::change::{CHANGES, Change};
use self::oracle::{Executed, Verdict};
use crate::shell;

pub(crate) use self::scale::run as scale;
pub(crate) use self::storage::run as storage;

/// The file that `-debug-actiongraph` writes.
const GRAPH: &str = "graph.json";

/// A module with the builds so far.
struct Bench<'a> {
    module: &'a Module,
    store: PathBuf,
    /// That of the next build.
    toolchain: &'a Toolchain,
    /// Another release.
    other: Option<&'a Toolchain>,
    /// Directory of the builds.
    dir: PathBuf,
    /// The executed actions of each build.
    past: BTreeMap<String, Executed>,
}

/// Numbers of actions.
#[derive(Default)]
struct Tally {
    right: usize,
    unresolved: usize,
    wrong: Vec<String>,
}

pub(crate) fn run(minors: &[String]) -> Result<()> {
    if !shell::is_root()? {
        bail!("tracing needs root: run this command as root");
    }
    let all = toolchains();
    let is_meant =
        |it: &&Toolchain| minors.is_empty() || minors.contains(&format!("1.{}", it.minor()));
    let meant: Vec<&Toolchain> = all.iter().filter(is_meant).collect();
    if meant.is_empty() {
        bail!("no toolchain of these versions: run `cargo xtask setup`");
    }
    println!(
        "{:<8} {:<24} {:>7} {:>7} {:>10}",
        "Go", "change", "right", "wrong", "unresolved"
    );
    let mut sum = Tally::default();
    for toolchain in meant {
        // The release that an upgrade leads to.
        let other = all.iter().find(|it| it.version != toolchain.version);
        of_release(toolchain, other, &mut sum)
            .with_context(|| format!("with Go {}", toolchain.version))?;
    }
    print_row("all", "", &sum);
    for wrong in &sum.wrong {
        println!("wrong: {wrong}");
    }
    if !sum.wrong.is_empty() {
        bail!("{} causes are wrong", sum.wrong.len());
    }
    Ok(())
}

fn print_row(version: &str, change: &str, tally: &Tally) {
    println!(
        "{version:<8} {change:<24} {:>7} {:>7} {:>10}",
        tally.right,
        tally.wrong.len(),
        tally.unresolved
    );
}

fn of_release(toolchain: &Toolchain, other: Option<&Toolchain>, sum: &mut Tally) -> Result<()> {
    for change in &CHANGES {
        let module = Module::copy("layers");
        module.sandbox.make_warm(toolchain);
        let mut bench = Bench {
            module: &module,
            store: module.sandbox.path().join("history.db"),
            toolchain,
            other,
            dir: module.dir().to_owned(),
            past: BTreeMap::new(),
        };
        let mut tally = Tally::default();
        bench.build(&[], &[], &mut tally)?;
        bench.change(change, &mut tally)?;
        print_row(&toolchain.version, change.name, &tally);
        sum.right += tally.right;
        sum.unresolved += tally.unresolved;
        sum.wrong.extend(tally.wrong);
    }
    Ok(())
}

impl Bench<'_> {
    /// Makes the change, builds twice, and checks both. The second of these builds has nothing to do.
    fn change(&mut self, change: &Change, tally: &mut Tally) -> Result<()> {
        (change.make)(self)?;
        let roots = self.build(change.args, change.env, tally)?;
        let about = format!("{}, Go {}", change.name, self.toolchain.version);
        if change.expected.is_empty() != roots.is_empty() {
            tally.wrong.push(format!("{about}: roots {roots:?}"));
        }
        for root in &roots {
            if !change.expected.iter().any(|it| root.contains(it)) {
                tally.wrong.push(format!("{about}: unexpected root {root}"));
            }
        }
        for expected in change.expected.iter().take(1) {
            if !roots.iter().any(|it| it.contains(expected)) {
                tally
                    .wrong
                    .push(format!("{about}: no root {expected}: {roots:?}"));
            }
        }
        let again = self.build(change.args, change.env, tally)?;
        if !again.is_empty() {
            tally.wrong.push(format!("{about}, built again: {again:?}"));
        }
        Ok(())
    }

    /// Builds, and compares the causes with the keys that `go` printed. Returns the roots.
    fn build(
        &mut self,
        args: &[&str],
        env: &[(&str, &str)],
        tally: &mut Tally,
    ) -> Result<Vec<String>> {
        let store = self.store.display().to_string();
        let go = self.toolchain.go.display().to_string();
        let graph = format!("-debug-actiongraph={GRAPH}");
        let own = [
            "run",
            "--detail",
            "cache-key",
            "--store",
            &store,
            "--output",
            "/dev/null",
            "--",
            &go,
            "build",
            "-o",
            "out",
            &graph,
        ];
        let args = [&own[..], args, &["."]].concat();
        let mut build = gotrace_command(self.module.sandbox.env(self.toolchain));
        build.args(args).current_dir(&self.dir);
        build
            .envs(env.iter().copied())
            .env("GODEBUG", "gocachehash=1");
        let output = build.output().context("cannot run gotrace")?;
        let printed = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            let lines: Vec<&str> = printed
                .lines()
                .filter(|it| !it.starts_with("HASH"))
                .collect();
            bail!("the build failed: {}", lines.join("\n"));
        }
        let list = self.read(&["builds", "--format", "json", "--limit", "1"])?;
        let id = list.pointer("/builds/0/id").and_then(Value::as_str);
        let id = id.context("the build is not in the history")?.to_owned();
        let executed = Executed::of(&printed, &self.dir.join(GRAPH))?;
        let explained = self.read(&["explain", "--format", "json", &id])?;
        let actions = explained
            .pointer("/explanation/actions")
            .and_then(Value::as_array);
        for (about, verdict) in executed.check(actions.map_or(&[], Vec::as_slice), &self.past) {
            match verdict {
                Verdict::Right => tally.right += 1,
                Verdict::Unresolved => tally.unresolved += 1,
                Verdict::Wrong(why) => {
                    let version = &self.toolchain.version;
                    tally.wrong.push(format!("{about}, Go {version}: {why}"));
                }
            }
        }
        self.past.insert(id, executed);
        let roots = explained
            .pointer("/explanation/roots")
            .and_then(Value::as_array);
        Ok(roots.into_iter().flatten().map(Value::to_string).collect())
    }

    fn read(&self, args: &[&str]) -> Result<Value> {
        let mut command: Command = gotrace_command([("", ""); 0]);
        command.args(args).arg("--store").arg(&self.store);
        let text = shell::read(&mut command)?;
        serde_json::from_str(&text).with_context(|| format!("gotrace {args:?} did not print JSON"))
    }

    /// Removes the program, so that `go` has to link.
    fn remove_program(&self) -> Result<()> {
        fs::remove_file(self.dir.join("out")).context("cannot remove the program")
    }
}
