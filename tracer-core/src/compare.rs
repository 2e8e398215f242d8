//! Compares two builds: time, packages, cache, causes, sizes, modules, settings, source and machine.
//!
//! The input is two finished builds, the causes of their actions and the prices of their modules; the output is plain data. Each list
//! contains only what differs, the largest difference first. An absent value is not known, or the build has no such part. The reasons why a
//! difference need not be an effect of a change come first: the [`Caveat`]s.

mod caveat;
mod change;
mod module;
mod package;
mod setting;
mod size;
mod time;

use schemars::JsonSchema;
use serde::Serialize;

use crate::explain::{Explanation, Reason};
use crate::finished::FinishedBuild;
use crate::model::CallKind;
use crate::price::Prices;

pub use caveat::{Caveat, Side};
pub use change::{BytesChange, CountChange, TextChange, TimeChange};
pub use module::ModuleChange;
pub use package::{PackageChange, PackageState, SharedPackages};
pub use size::{ProgramChange, ProgramModuleChange};
pub use time::TimePart;

/// One of the two builds.
#[derive(Clone, Copy, Debug)]
pub struct Compared<'a> {
    pub build: FinishedBuild<'a>,
    pub explanation: &'a Explanation,
    pub prices: &'a Prices,
}

/// The differences between two builds.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Comparison {
    /// Reasons why some differences need not be effects of a change, the most important first.
    pub caveats: Vec<Caveat>,
    /// Time on the clock, CPU time, waits, in a fixed order.
    pub time: Vec<TimeChange<TimePart>>,
    /// CPU time of the outermost tools by kind.
    pub tools: Vec<TimeChange<CallKind>>,
    /// Time in the phases of all compilers. Phases of several compilers add up.
    pub compiler_phases: Vec<TimeChange<String>>,
    /// Largest resident set of a single process, in bytes.
    pub memory: BytesChange,
    /// Packages by outcome.
    pub cache: Vec<CountChange>,
    /// CPU time of executed actions by the reason why they ran. Absent without the cache keys of both builds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub causes: Option<Vec<TimeChange<Reason>>>,
    /// The packages that both builds compiled.
    pub shared: SharedPackages,
    /// The packages that at least one build compiled.
    pub packages: Vec<PackageChange>,
    /// The modules of the packages that at least one build compiled, with the CPU time of their compilation.
    pub modules: Vec<ModuleChange>,
    /// The outputs, by main package.
    pub programs: Vec<ProgramChange>,
    /// Toolchain, flags, and the environment of Go.
    pub settings: Vec<TextChange>,
    /// Version control, CI, directory.
    pub source: Vec<TextChange>,
    /// Name of the machine, container, CPUs.
    pub machine: Vec<TextChange>,
}

/// Compares two builds.
pub fn compare(before: Compared<'_>, after: Compared<'_>) -> Comparison {
    let packages = package::packages(before.build, after.build);
    Comparison {
        caveats: caveat::caveats(before.build, after.build, &packages),
        time: time::parts(before.build, after.build),
        tools: time::tools(before.build.report, after.build.report),
        compiler_phases: time::compiler_phases(before.build.report, after.build.report),
        memory: BytesChange {
            name: "peak".to_owned(),
            before_bytes: before.build.build.usage.max_rss_bytes,
            after_bytes: after.build.build.usage.max_rss_bytes,
        },
        cache: package::counts(before.build.build, after.build.build),
        causes: time::causes(before, after),
        shared: SharedPackages::of(&packages),
        packages,
        modules: module::modules(before.build.report, after.build.report),
        programs: size::programs(before, after),
        settings: setting::settings(before.build.build, after.build.build),
        source: setting::source(before.build.entry, after.build.entry),
        machine: setting::machine(before.build, after.build),
    }
}

#[cfg(test)]
mod tests;
