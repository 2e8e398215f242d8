//! Many small builds at the same moment, and a check that a history contains each one with its parent and output.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::{Module, Toolchain};

/// `go generate` runs one build in this many, so that the build has a parent.
const GENERATED: usize = 10;

/// Comparison of a history with the builds that were run.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Builds that are complete and correct.
    pub complete: usize,
    /// Builds that report their own gaps.
    pub reported: usize,
    /// Silent errors: a build that is missing, duplicated or different.
    pub wrong: Vec<String>,
}

impl Comparison {
    /// Adds a build that was run, with the builds found for it. `is_wrong` checks builds that claim to be complete.
    fn add(&mut self, name: &str, found: &[&Value], is_wrong: impl Fn(&Value) -> Option<String>) {
        let [build] = found else {
            let n = found.len();
            self.wrong.push(format!("{name} matches {n} builds"));
            return;
        };
        let state = text(build, "state");
        if build["anomalies"] != 0 {
            self.reported += 1;
        } else if state != "succeeded" {
            self.wrong.push(format!("{name} {state}"));
        } else if let Some(why) = is_wrong(build) {
            self.wrong.push(format!("{name} {why}"));
        } else {
            self.complete += 1;
        }
    }

    /// Adds the counts of another comparison.
    pub fn extend(&mut self, other: Self) {
        self.complete += other.complete;
        self.reported += other.reported;
        self.wrong.extend(other.wrong);
    }
}

/// A module with many programs. A separate `go` command builds each.
#[derive(Debug)]
pub struct ParallelBuilds {
    module: Module,
    n: usize,
}

impl ParallelBuilds {
    /// # Panics
    ///
    /// If the programs cannot be written.
    pub fn new(toolchain: &Toolchain, n: usize) -> Self {
        let module = Module::copy("tiny");
        module.sandbox.make_warm(toolchain);
        let parallel = Self { module, n };
        for i in 0..n {
            let generate = if Self::is_generated(i) {
                format!(
                    "//go:generate go build -o {} .\n\n",
                    parallel.output(i).display()
                )
            } else {
                String::new()
            };
            parallel.module.write(
                &format!("many/p{i}/main.go"),
                &format!("package main\n\n{generate}func main() {{ println(\"program\", {i}) }}\n"),
            );
        }
        parallel
    }

    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Number of builds, including those of `go generate`.
    pub fn n_builds(&self) -> usize {
        self.n + (0..self.n).filter(|i| Self::is_generated(*i)).count()
    }

    /// Starts all builds and waits for all of them.
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
                // All builds need memory at once, so each tool works with one thread.
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
            assert!(status.success(), "build {i} failed: {status}");
        }
    }

    /// Compares the history with the builds that were run; `builds` is the output of `gotrace builds --format json`.
    pub fn compare(&self, builds: &[Value]) -> Comparison {
        let mut comparison = Comparison::default();
        let mut rest: Vec<&Value> = builds.iter().collect();
        for i in 0..self.n {
            let output = self.output(i).display().to_string();
            let package = format!("./many/p{i}");
            let build = if Self::is_generated(i) {
                format!("go build -o {output} .")
            } else {
                format!("go build -o {output} {package}")
            };
            let build = take(&mut rest, &build);
            comparison.add(&output, &build, |it| self.is_wrong(i, it, builds));
            if Self::is_generated(i) {
                let generate = take(&mut rest, &format!("go generate {package}"));
                comparison.add(&package, &generate, |_| None);
            }
        }
        // A tool whose start was lost becomes a build of its own.
        for build in rest {
            comparison.add("nothing that was run", &[build], |_| {
                Some("is in the history".to_owned())
            });
        }
        comparison
    }

    /// Describes the error of a build that claims to be complete.
    fn is_wrong(&self, i: usize, build: &Value, builds: &[Value]) -> Option<String> {
        let path = self.output(i);
        let size = fs::metadata(&path).map_or(0, |it| it.len());
        let target = &build["targets"][0];
        if target["path"].as_str() != path.to_str() || target["size"] != size {
            return Some(format!("has {size} bytes, not {target}"));
        }
        let parent = builds.iter().find(|it| it["id"] == build["parent"]);
        let generate = parent.map(|it| text(it, "command_line"));
        let is_right = match generate {
            Some(line) => Self::is_generated(i) && line.ends_with(&format!("generate ./many/p{i}")),
            None => !Self::is_generated(i) && build["parent"].is_null(),
        };
        (!is_right).then(|| format!("has the parent {generate:?}"))
    }

    fn is_generated(i: usize) -> bool {
        i % GENERATED == GENERATED - 1
    }

    fn output(&self, i: usize) -> PathBuf {
        self.module.sandbox.out().join(format!("p{i}"))
    }
}

/// Builds whose command line ends with this text.
fn take<'a>(builds: &mut Vec<&'a Value>, line: &str) -> Vec<&'a Value> {
    builds
        .extract_if(.., |it| text(it, "command_line").ends_with(line))
        .collect()
}

fn text<'a>(build: &'a Value, key: &str) -> &'a str {
    build[key].as_str().unwrap_or_default()
}
