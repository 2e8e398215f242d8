//! Many small builds at the same moment, and what a history must have of each: it, its parent, its output.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::{Module, Toolchain};

/// One in so many is run by `go generate`, so that it has a parent.
const GENERATED: usize = 10;

/// A module with many programs. Each is built by a `go` command of its own.
#[derive(Debug)]
pub struct Crowd {
    module: Module,
    n: usize,
}

impl Crowd {
    /// # Panics
    ///
    /// If the programs cannot be written.
    pub fn new(toolchain: &Toolchain, n: usize) -> Self {
        let module = Module::copy("tiny");
        module.sandbox.make_warm(toolchain);
        let crowd = Self { module, n };
        for i in 0..n {
            let generate = if Self::is_generated(i) {
                format!(
                    "//go:generate go build -o {} .\n\n",
                    crowd.output(i).display()
                )
            } else {
                String::new()
            };
            crowd.module.write(
                &format!("many/p{i}/main.go"),
                &format!("package main\n\n{generate}func main() {{ println(\"program\", {i}) }}\n"),
            );
        }
        crowd
    }

    pub fn module(&self) -> &Module {
        &self.module
    }

    /// How many builds that makes, those of `go generate` included.
    pub fn n_builds(&self) -> usize {
        self.n + (0..self.n).filter(|i| Self::is_generated(*i)).count()
    }

    /// Starts all and waits for all.
    ///
    /// # Panics
    ///
    /// If one cannot be started or fails.
    pub fn run(&self, toolchain: &Toolchain) {
        let go = toolchain.go.parent().unwrap_or(&toolchain.go).display();
        let started: Vec<Child> = (0..self.n)
            .map(|i| {
                let package = format!("./many/p{i}");
                let output = self.output(i).display().to_string();
                let words = if Self::is_generated(i) {
                    vec!["generate", &package]
                } else {
                    vec!["build", "-o", &output, &package]
                };
                let mut command = self.module.go(toolchain, &words);
                // Memory for all of them at once: each tool works with one thread.
                command
                    .env("GOMAXPROCS", "1")
                    .env("PATH", format!("{go}:/usr/bin:/bin"))
                    .stdin(Stdio::null())
                    .stderr(Stdio::null());
                command
                    .spawn()
                    .unwrap_or_else(|error| panic!("cannot start go {words:?}: {error}"))
            })
            .collect();
        for (i, mut child) in started.into_iter().enumerate() {
            let status = child.wait();
            let status = status.unwrap_or_else(|error| panic!("cannot wait: {error}"));
            assert!(status.success(), "build {i} of the crowd failed: {status}");
        }
    }

    /// What is wrong with what a history has of them; `builds` as `gotrace builds --format json` lists them. Nothing: each is there
    /// once and whole, below its parent, with the output that is on disk.
    pub fn complaints(&self, builds: &[Value]) -> Vec<String> {
        let mut complaints = Vec::new();
        let mut by_output: BTreeMap<&str, Vec<&Value>> = BTreeMap::new();
        for build in builds {
            let path = build.pointer("/targets/0/path").and_then(Value::as_str);
            by_output
                .entry(path.unwrap_or_default())
                .or_default()
                .push(build);
            let line = text(build, "command_line");
            if text(build, "state") != "succeeded" {
                complaints.push(format!("{line}: {}", text(build, "state")));
            }
            if build["anomalies"] != 0 {
                complaints.push(format!("{line}: {} gaps", build["anomalies"]));
            }
        }
        if builds.len() != self.n_builds() {
            let n = self.n_builds();
            complaints.push(format!(
                "{} builds in the history, {n} were run",
                builds.len()
            ));
        }
        for i in 0..self.n {
            let path = self.output(i);
            let found = by_output.get(path.to_str().unwrap_or_default());
            let Some([build]) = found.map(Vec::as_slice) else {
                let n = found.map_or(0, Vec::len);
                complaints.push(format!("{} was made by {n} builds", path.display()));
                continue;
            };
            let size = fs::metadata(&path).map_or(0, |it| it.len());
            if build["targets"][0]["size"] != size {
                let said = &build["targets"][0]["size"];
                complaints.push(format!("{} has {size} bytes, not {said}", path.display()));
            }
            let parent = builds.iter().find(|it| it["id"] == build["parent"]);
            let generate = parent.map(|it| text(it, "command_line"));
            let is_right = match generate {
                Some(line) => {
                    Self::is_generated(i) && line.ends_with(&format!("generate ./many/p{i}"))
                }
                None => !Self::is_generated(i) && build["parent"].is_null(),
            };
            if !is_right {
                complaints.push(format!("{} has the parent {generate:?}", path.display()));
            }
        }
        complaints
    }

    fn is_generated(i: usize) -> bool {
        i % GENERATED == GENERATED - 1
    }

    fn output(&self, i: usize) -> PathBuf {
        self.module.sandbox.out().join(format!("p{i}"))
    }
}

fn text<'a>(build: &'a Value, key: &str) -> &'a str {
    build[key].as_str().unwrap_or_default()
}
