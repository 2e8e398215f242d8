//! Checks whether gotrace can trace on this machine, and gives advice if not. Features are tested, never guessed from a version.
//!
//! Inputs are the kernel's answers and the toolchains of the machine. The output is an [`Examination`], plain data, and its two forms.
//! The machine is not changed: everything that was loaded for a test is unloaded.

pub mod bundle;
mod machine;
mod privilege;
mod reader;
mod self_test;
mod service;
mod show;
mod tool;

use serde::Serialize;

use crate::bpf::{Config, Ring, Tracer};
use crate::toolchain::{self, SearchHint};

pub use self::privilege::limits;
pub use self::show::text;
use self::tool::Toolchain;

/// Version of the JSON form.
pub const SCHEMA: &str = "gotrace.doctor/v1";

/// The results of all checks.
#[derive(Clone, Debug, Serialize)]
pub struct Examination {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Version of gotrace.
    pub gotrace: &'static str,
    /// SHA-256 of the BPF object in it.
    pub bpf_object: &'static str,
    pub checks: Vec<Check>,
    /// The exit code of the error that prevents loading all programs.
    #[serde(skip)]
    pub refused: Option<u8>,
    pub toolchains: Vec<Toolchain>,
}

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Short, stable name.
    pub name: &'static str,
    pub verdict: Verdict,
    /// The finding.
    pub found: String,
    /// The remedy, if one is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// The effect of a finding on tracing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Fine,
    /// Tracing works, but with less data.
    Limited,
    /// Tracing does not work.
    Broken,
}

impl Check {
    fn fine(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Fine,
            found: found.into(),
            advice: None,
        }
    }

    fn limited(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Limited,
            found: found.into(),
            advice: Some(advice.into()),
        }
    }

    fn broken(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Broken,
            found: found.into(),
            advice: Some(advice.into()),
        }
    }
}

impl Examination {
    /// The worst of all verdicts.
    pub fn verdict(&self) -> Verdict {
        let checks = self.checks.iter().map(|check| check.verdict);
        let toolchains = self.toolchains.iter().map(Toolchain::verdict);
        checks.chain(toolchains).max().unwrap_or(Verdict::Fine)
    }
}

/// Runs all checks. Must be called while this process has only one thread.
pub fn examine(hint: &SearchHint) -> Examination {
    let mut checks = machine::checks();
    let mut toolchains = tool::toolchains(hint);
    let mut refused = None;
    let loaded = Tracer::load(&Config::default(), &toolchain::table());
    let by_perf_events = match &loaded {
        Ok((tracer, _)) => tracer.has_probes() && !tracer.has_multi_links(),
        Err(_) => !crate::bpf::knows_multi_links(),
    };
    checks.extend(privilege::checks(by_perf_events));
    match loaded {
        Ok((mut tracer, ring)) => {
            checks.push(programs(&tracer));
            tool::try_probes(&mut tracer, &mut toolchains);
            checks.push(traced(&mut tracer, ring));
        }
        Err(error) => {
            refused = Some(error.exit_code());
            checks.push(Check::broken(
                "programs",
                "cannot load the BPF programs",
                error_chain(&error),
            ));
        }
    }
    checks.push(reader::check());
    checks.push(tool::check(&toolchains));
    checks.extend(service::checks());
    Examination {
        schema: SCHEMA,
        gotrace: env!("CARGO_PKG_VERSION"),
        bpf_object: crate::bpf::object_digest(),
        checks,
        refused,
        toolchains,
    }
}

fn programs(tracer: &Tracer) -> Check {
    match tracer.notes() {
        [] => Check::fine(
            "programs",
            "loaded and attached: fork, exec and exit by BTF tracepoints, renames, ring buffer",
        ),
        notes => Check::limited(
            "programs",
            "loaded and attached: fork, exec and exit by BTF tracepoints, ring buffer",
            notes.join("; "),
        ),
    }
}

fn traced(tracer: &mut Tracer, ring: Ring) -> Check {
    match self_test::trace_true(tracer, ring) {
        Ok(()) => Check::fine(
            "self-test",
            "traced a command: observed its exec and its exit",
        ),
        Err(why) => Check::broken(
            "self-test",
            why,
            "report it with the output of `gotrace doctor --format json`",
        ),
    }
}

/// An error with its causes, in one line.
fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
