//! Many small builds at the same moment, and what a history must have of each: it, its parent, its output.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::{Module, Toolchain};

/// One in so many is run by `go generate`, so that it has a parent.
const GENERATED: usize = 10;

/// What a history has of a crowd.
#[derive(Debug, Default)]
pub struct Judgement {
    /// Builds of which all is there and right.
    pub whole: usize,
    /// Builds that say themselves that something of them is missing.
    pub told: usize,
    /// What should not be: a build that is not there, or twice, or not as it was, without a word.
    pub wrong: Vec<String>,
}

impl Judgement {
    /// One that was run, as it was found; what is wrong with it if it says that it is whole.
    fn add(&mut self, name: &str, found: &[&Value], is_wrong: impl Fn(&Value) -> Option<String>) {
        let [build] = found else {
            let n = found.len();
            self.wrong.push(format!("{name} was made by {n} builds"));
            return;
        };
        let state = text(build, "state");
        if build["anomalies"] != 0 {
            self.told += 1;
        } else if state != "succeeded" {
            self.wrong.push(format!("{name} {state}"));
        } else if let Some(why) = is_wrong(build) {
            self.wrong.push(format!("{name} {why}"));
        } else {
            self.whole += 1;
        }
    }

    /// Takes in another.
    pub fn extend(&mut self, other: Self) {
        self.whole += other.whole;
        self.told += other.told;
        self.wrong.extend(other.wrong);
    }
}

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

    /// How what a history has of them stands beside what was run; `builds` as `gotrace builds --format json` lists them.
    pub fn judge(&self, builds: &[Value]) -> Judgement {
        let mut judgement = Judgement::default();
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
            judgement.add(&output, &build, |it| self.is_wrong(i, it, builds));
            if Self::is_generated(i) {
                let generate = take(&mut rest, &format!("go generate {package}"));
                judgement.add(&package, &generate, |_| None);
            }
        }
        // Tools whose start was lost stand by themselves.
        for build in rest {
            judgement.add("nothing that was run", &[build], |_| {
                Some("is in the history".to_owned())
            });
        }
        judgement
    }

    /// What is wrong with a build of which nothing should be missing.
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

/// Those with a command line that ends so.
fn take<'a>(builds: &mut Vec<&'a Value>, line: &str) -> Vec<&'a Value> {
    builds
        .extract_if(.., |it| text(it, "command_line").ends_with(line))
        .collect()
}

fn text<'a>(build: &'a Value, key: &str) -> &'a str {
    build[key].as_str().unwrap_or_default()
}
