//! Runs a command under `gotrace run` and reads the trace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use tracer_core::model::{Build, Output as Made, Trace};

use crate::module::Module;
use crate::toolchain::Toolchain;

/// The result of a traced command.
#[derive(Debug)]
pub struct Traced {
    pub output: Output,
    pub trace: Trace,
}

impl Traced {
    /// The only build of the trace.
    ///
    /// # Panics
    ///
    /// If there is no build, or more than one.
    pub fn build(&self) -> &Build {
        match self.trace.builds.as_slice() {
            [build] => build,
            builds => panic!("{} builds instead of one: {builds:#?}", builds.len()),
        }
    }

    /// The build of the `go` command with this name.
    ///
    /// # Panics
    ///
    /// If there is no such build.
    pub fn named(&self, name: &str) -> &Build {
        let found = self.trace.builds.iter().find(|it| it.command.name == name);
        found.unwrap_or_else(|| panic!("no build named {name}: {:#?}", self.trace.builds))
    }

    /// Fails unless the trace is complete.
    ///
    /// # Panics
    ///
    /// If gotrace reports a gap.
    pub fn assert_complete(&self) -> &Self {
        assert_eq!(self.trace.anomalies, [], "gaps in the trace");
        for build in &self.trace.builds {
            assert_eq!(build.anomalies, [], "gaps in {:?}", build.command.argv);
        }
        self
    }

    /// Fails unless the command succeeded; shows its output.
    ///
    /// # Panics
    ///
    /// If it did not.
    pub fn assert_success(&self) -> &Self {
        let printed = String::from_utf8_lossy(&self.output.stderr);
        assert!(
            self.output.status.success(),
            "{:?}: {printed}",
            self.output.status
        );
        self
    }
}

/// Paths of outputs, sorted.
pub fn paths<'a>(outputs: impl IntoIterator<Item = &'a Made>) -> Vec<String> {
    let mut paths: Vec<String> = outputs.into_iter().map(|it| it.path.to_string()).collect();
    paths.sort();
    paths
}

/// Runs a prepared command line `gotrace run ... --` followed by `command`, and reads the trace.
///
/// # Panics
///
/// If gotrace writes no trace; the message contains gotrace's output.
pub fn trace(gotrace: &mut Command, command: &[&str], out: &Path) -> Traced {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let file: PathBuf = out.join(format!(
        "trace-{}.json",
        COUNT.fetch_add(1, Ordering::Relaxed)
    ));
    let output = gotrace
        .args(["--strict", "--quiet", "--format", "json", "--output"])
        .arg(&file)
        .arg("--")
        .args(command)
        .output()
        .unwrap_or_else(|error| panic!("cannot run gotrace: {error}"));
    let json = fs::read(&file).unwrap_or_else(|error| {
        let printed = String::from_utf8_lossy(&output.stderr);
        panic!(
            "gotrace wrote no {}: {error}; its output: {printed}",
            file.display()
        )
    });
    let trace = serde_json::from_slice(&json)
        .unwrap_or_else(|error| panic!("{} is not a trace: {error}", file.display()));
    Traced { output, trace }
}

impl Module {
    /// Runs a command in the module under `gotrace run`.
    ///
    /// # Panics
    ///
    /// If gotrace writes no trace.
    pub fn trace(&self, toolchain: &Toolchain, command: &[&str]) -> Traced {
        self.trace_with(toolchain, &[], command)
    }

    /// The same with additional environment variables.
    ///
    /// # Panics
    ///
    /// If gotrace writes no trace.
    pub fn trace_with(
        &self,
        toolchain: &Toolchain,
        env: &[(&str, &str)],
        command: &[&str],
    ) -> Traced {
        let mut gotrace = self.gotrace(toolchain, &["run"]);
        gotrace.envs(env.iter().copied());
        trace(&mut gotrace, command, &self.sandbox.out())
    }
}
