//! Whether gotrace can trace on this machine, and what to do where it cannot. Features are asked for, never guessed from a version.
//!
//! In come the kernel's answers and the toolchains that are found; out comes an [`Examination`], plain data, and its two forms.
//! Nothing is changed: what was loaded to try it is unloaded again.

mod machine;
mod privilege;
mod reader;
mod self_test;
mod show;
mod tool;

use serde::Serialize;

use crate::bpf::{Config, Ring, Tracer};
use crate::toolchain::{self, SearchHint};

pub use self::show::{json, text};
use self::tool::Toolchain;

/// Version of the JSON form.
pub const SCHEMA: &str = "gotrace.doctor/v1";

/// All that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Examination {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Version of gotrace.
    pub gotrace: &'static str,
    /// SHA-256 of the BPF object in it.
    pub bpf_object: &'static str,
    pub checks: Vec<Check>,
    /// The exit code for what keeps all programs from being loaded.
    #[serde(skip)]
    pub refused: Option<u8>,
    pub toolchains: Vec<Toolchain>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Short and stable.
    pub name: &'static str,
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do, where something is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// What a check means for tracing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Fine,
    /// Tracing works, with less to see.
    Limited,
    /// Nothing can be traced.
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

/// Looks at everything. To be called while this process has one thread only.
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
                "the kernel programs cannot be loaded",
                error_chain(&error),
            ));
        }
    }
    checks.push(reader::check());
    checks.push(tool::check(&toolchains));
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
            "a command was traced: its exec and its exit were seen",
        ),
        Err(why) => Check::broken(
            "self-test",
            why,
            "please report it with the output of `gotrace doctor --format json`",
        ),
    }
}

/// An error with its causes, as one sentence.
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
