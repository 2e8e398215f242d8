//! Toolchains that change while gotrace traces them: overwritten, replaced by rename, deleted, copied, shown through two overlays.
//! No tool crashes, no phase is reported twice, and missing data is reported.
#![cfg(test)]

mod copies;
mod in_place;
mod lease;
mod overlay;
mod verdict;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tests::agent::Agent;
use tests::{Module, Toolchain, run_gotrace};
use tracer_core::model::Build;

const NO_ENV: [(&str, &str); 0] = [];
/// Programs that a build of `tiny` runs.
const TOOLS: [&str; 3] = ["compile", "link", "asm"];

/// Runs one test at a time: the tests depend on the agent's actions at the moment of a change.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A GOROOT with changeable programs: copies of the programs that a build runs, links to the rest.
struct CopiedToolchain {
    goroot: PathBuf,
}

impl CopiedToolchain {
    fn new(original: &Toolchain, goroot: PathBuf) -> Self {
        let copied = Self { goroot };
        fs::create_dir_all(copied.goroot.join("bin")).unwrap();
        let tools = original.tool("compile");
        let tools = tools.parent().unwrap().strip_prefix(&original.goroot);
        fs::create_dir_all(copied.goroot.join(tools.unwrap())).unwrap();
        copied.become_in_place(original);
        copied
    }

    /// Overwrites the programs with those of another version, as `cp` does.
    fn become_in_place(&self, other: &Toolchain) {
        for name in ["src", "lib", "VERSION", "go.env", "pkg/include"] {
            let place = self.goroot.join(name);
            if fs::symlink_metadata(&place).is_ok() {
                fs::remove_file(&place).unwrap();
            }
            symlink(other.goroot.join(name), place).unwrap();
        }
        for (from, to) in self.programs(other) {
            fs::copy(from, to).unwrap();
        }
    }

    /// Programs of a toolchain, with their paths here.
    fn programs(&self, other: &Toolchain) -> Vec<(PathBuf, PathBuf)> {
        let mut programs = vec![other.go.clone()];
        programs.extend(TOOLS.map(|name| other.tool(name)));
        let here = |from: PathBuf| {
            let name = from.strip_prefix(&other.goroot).unwrap();
            let to = self.goroot.join(name);
            (from, to)
        };
        programs.into_iter().map(here).collect()
    }

    /// This GOROOT as a toolchain of that version.
    fn toolchain(&self, version: &Toolchain) -> Toolchain {
        Toolchain {
            version: version.version.clone(),
            go: self.goroot.join("bin/go"),
            goroot: self.goroot.clone(),
        }
    }
}

/// A module whose program differs from build to build, so that each build compiles and links.
struct Builds {
    module: Module,
    n: usize,
}

impl Builds {
    fn new(toolchains: &[&Toolchain]) -> Self {
        let module = Module::copy("tiny");
        for toolchain in toolchains {
            module.sandbox.make_warm(toolchain);
        }
        Self { module, n: 0 }
    }

    /// Makes the next build, and runs its program.
    fn next(&mut self, toolchain: &Toolchain) {
        let output = self.next_by(toolchain, |go| go.output().unwrap());
        assert!(output.status.success(), "build {}: {output:?}", self.n);
        self.assert_runs();
    }

    /// Makes the next build with a given command.
    fn next_by(
        &mut self,
        toolchain: &Toolchain,
        start: impl FnOnce(&mut Command) -> Output,
    ) -> Output {
        self.change();
        start(&mut self.module.go(toolchain, &["build", "-o", "program", "."]))
    }

    /// Changes the program for the next build.
    fn change(&mut self) {
        self.n += 1;
        let n = self.n;
        self.module.write(
            "main.go",
            &format!("package main\n\nfunc main() {{ println(\"build\", {n}) }}\n"),
        );
    }

    fn assert_runs(&self) {
        let printed = Command::new(self.module.dir().join("program"))
            .output()
            .unwrap();
        let expected = format!("build {}\n", self.n);
        assert_eq!(String::from_utf8_lossy(&printed.stderr), expected);
    }

    /// All builds in the agent's history.
    fn seen_by(&self, agent: &Agent) -> Vec<Build> {
        let listed = agent.wait_for(&self.module, self.n);
        assert_eq!(listed.len(), self.n, "{listed:#?}");
        let builds = listed.iter().map(|it| shown(&agent.store(), it));
        builds.collect()
    }
}

/// One build as `gotrace show` prints it.
fn shown(store: &Path, build: &Value) -> Build {
    let id = build["id"].as_str().unwrap();
    let args = ["show", id, "--format", "json", "--store"];
    let output = run_gotrace(args.into_iter().chain([store.to_str().unwrap()]), NO_ENV);
    assert!(output.status.success(), "{output:?}");
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    serde_json::from_value(shown["trace"]["builds"][0].clone()).unwrap()
}
