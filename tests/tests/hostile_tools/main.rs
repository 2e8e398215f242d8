//! Toolchains that are changed under a gotrace that watches them: written over, renamed over, deleted, copied, shown through two
//! overlays. No tool dies of it, no phase is told twice, and what is missing is said.
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
/// What a build with `tiny` runs.
const TOOLS: [&str; 3] = ["compile", "link", "asm"];

/// One test at a time: what an agent does in the moment in which a program changes is what is tested.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A GOROOT whose programs may be changed: copies of those that a build runs, links to the rest.
struct Copied {
    goroot: PathBuf,
}

impl Copied {
    fn new(original: &Toolchain, goroot: PathBuf) -> Self {
        let copied = Self { goroot };
        fs::create_dir_all(copied.goroot.join("bin")).unwrap();
        let tools = original.tool("compile");
        let tools = tools.parent().unwrap().strip_prefix(&original.goroot);
        fs::create_dir_all(copied.goroot.join(tools.unwrap())).unwrap();
        copied.become_in_place(original);
        copied
    }

    /// Becomes another version: what is a program is written over, as `cp` does it.
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

    /// Programs of a toolchain, and where they are here.
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

    /// It, as that version.
    fn toolchain(&self, version: &Toolchain) -> Toolchain {
        Toolchain {
            version: version.version.clone(),
            go: self.goroot.join("bin/go"),
            goroot: self.goroot.clone(),
        }
    }
}

/// A module whose program differs from build to build, so that each compiles and links.
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

    /// The next one; its program runs.
    fn next(&mut self, toolchain: &Toolchain) {
        let output = self.next_by(toolchain, |go| go.output().unwrap());
        assert!(output.status.success(), "build {}: {output:?}", self.n);
        self.assert_runs();
    }

    /// The next one, started by someone.
    fn next_by(
        &mut self,
        toolchain: &Toolchain,
        start: impl FnOnce(&mut Command) -> Output,
    ) -> Output {
        self.change();
        start(&mut self.module.go(toolchain, &["build", "-o", "program", "."]))
    }

    /// The next one is about to be started.
    fn change(&mut self) {
        self.n += 1;
        let n = self.n;
        self.module.write(
            "main.go",
            &format!("package main\n\nfunc main() {{ println(\"build\", {n}) }}\n"),
        );
    }

    fn assert_runs(&self) {
        let said = Command::new(self.module.dir().join("program"))
            .output()
            .unwrap();
        let expected = format!("build {}\n", self.n);
        assert_eq!(String::from_utf8_lossy(&said.stderr), expected);
    }

    /// All of them, as the agent has them.
    fn seen_by(&self, agent: &Agent) -> Vec<Build> {
        let listed = agent.wait_for(&self.module, self.n);
        assert_eq!(listed.len(), self.n, "{listed:#?}");
        let builds = listed.iter().map(|it| shown(&agent.store(), it));
        builds.collect()
    }
}

/// One build as `gotrace show` has it.
fn shown(store: &Path, build: &Value) -> Build {
    let id = build["id"].as_str().unwrap();
    let args = ["show", id, "--format", "json", "--store"];
    let output = run_gotrace(args.into_iter().chain([store.to_str().unwrap()]), NO_ENV);
    assert!(output.status.success(), "{output:?}");
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    serde_json::from_value(shown["trace"]["builds"][0].clone()).unwrap()
}
