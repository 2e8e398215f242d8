//! Numbers derived from a [`Trace`], for all sinks.
//!
//! This module is pure arithmetic over the model. It contains no text, units, colour or metrics, and no estimates. A sum never counts
//! the same nanosecond of CPU twice. Fields with "time in which" are unions of overlapping spans.

mod hint;
pub(crate) mod interval;
mod kind;
mod link;
mod module;
mod package;
pub mod timeline;
mod tree;

use schemars::JsonSchema;
use serde::Serialize;

use crate::event::{Ktime, ProcKey, Status, Usage};
use crate::history::unix_ns;
use crate::model::{Anomaly, Build, State, Trace};

pub(crate) use timeline::starters;

pub use hint::Hint;
pub use kind::{KindTime, Queries};
pub use link::{Gc, LinkTime};
pub use module::ModuleTime;
pub use package::PackageTime;

/// Numbers derived from a trace. [`Report::builds`] has the order of [`Trace::builds`].
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Report {
    /// Time of the first event, in nanoseconds since 1970.
    pub started_ns: i64,
    /// Time of the last event, in nanoseconds since 1970.
    pub ended_ns: i64,
    /// Time from the first to the last event.
    pub wall_ns: u64,
    /// User and system time of everything under the command.
    pub cpu_ns: u64,
    /// Average number of busy CPUs; absent if no time passed.
    pub cores_busy: Option<f64>,
    pub totals: Totals,
    pub builds: Vec<BuildReport>,
}

/// Sums over all builds of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Totals {
    pub builds: u64,
    pub builds_failed: u64,
    pub packages_compiled: u64,
    pub packages_failed: u64,
    /// Absent if unknown for a build.
    pub packages_cached: Option<u64>,
    /// Tool calls, including nested ones and queries.
    pub calls: u64,
    pub outputs: u64,
    /// Gaps and contradictions, including those of the trace.
    pub anomalies: u64,
}

/// Numbers derived from one build.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct BuildReport {
    pub process: ProcKey,
    /// State of the build. The `failure` of a failed build contains the reason.
    pub state: State,
    /// Nanoseconds since 1970.
    pub started_ns: i64,
    /// Nanoseconds since 1970. Absent if the end was not seen.
    pub ended_ns: Option<i64>,
    /// Time from the start to the end, or to the last event if the end was not seen.
    pub wall_ns: u64,
    /// CPU time as in the build's usage, without the programs run for the user.
    pub cpu_ns: u64,
    pub cores_busy: Option<f64>,
    /// CPU time of the `go` process itself: that of the build minus that of its tools.
    pub go_user_ns: u64,
    pub go_system_ns: u64,
    /// Time in which packages were being loaded.
    pub loading_ns: u64,
    /// Time in which at least one tool ran.
    pub tools_running_ns: u64,
    /// True if no tool had work.
    pub is_up_to_date: bool,
    /// Time by kind of the outermost tool, most CPU time first. Together with `queries`, this covers all tool calls.
    pub kinds: Vec<KindTime>,
    pub queries: Queries,
    /// Packages that a tool worked on, slowest first.
    pub packages: Vec<PackageTime>,
    /// Time of these packages by their module, most CPU time first.
    pub cpu_by_module: Vec<ModuleTime>,
    /// Phases of all compiler calls, summed by name, in order.
    pub compiler_phases: Vec<PhaseTime>,
    /// The longest first.
    pub links: Vec<LinkTime>,
    /// Garbage collection in all tools.
    pub gc: Gc,
    /// Index of the call with the largest resident set, in the build's calls.
    pub largest_call: Option<u32>,
    pub hints: Vec<Hint>,
}

impl BuildReport {
    /// CPU of the `go` process itself.
    pub fn go_cpu_ns(&self) -> u64 {
        self.go_user_ns.saturating_add(self.go_system_ns)
    }
}

/// A phase of a tool and how long it took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PhaseTime {
    pub name: String,
    pub ns: u64,
}

/// Derives the report of a trace.
pub fn analyze(trace: &Trace) -> Report {
    let wall_ns = trace.end.since(trace.start);
    let cpu_ns = cpu_ns(trace.usage);
    Report {
        started_ns: unix_ns(trace, trace.start),
        ended_ns: unix_ns(trace, trace.end),
        wall_ns,
        cpu_ns,
        cores_busy: ratio(cpu_ns, wall_ns),
        totals: totals(trace),
        builds: trace
            .builds
            .iter()
            .map(|build| analyze_build(build, trace))
            .collect(),
    }
}

fn totals(trace: &Trace) -> Totals {
    let mut totals = Totals {
        packages_cached: Some(0),
        anomalies: u64::try_from(anomalies(trace).count()).unwrap_or(u64::MAX),
        ..Totals::default()
    };
    for build in &trace.builds {
        totals.builds += 1;
        totals.builds_failed += u64::from(is_failed(build));
        totals.packages_compiled += u64::from(build.packages.compiled);
        totals.packages_failed += u64::from(build.packages.failed);
        totals.packages_cached = totals
            .packages_cached
            .zip(build.packages.cached)
            .map(|(sum, n)| sum + u64::from(n));
        totals.calls += len(&build.calls);
        totals.outputs += len(&build.outputs);
    }
    totals
}

fn analyze_build(build: &Build, trace: &Trace) -> BuildReport {
    let end = build.end.unwrap_or(trace.end);
    let wall_ns = end.since(build.start);
    let cpu_ns = cpu_ns(build.usage);
    let tree = tree::Tree::of(&build.calls, end);
    let tools = tree.usage_for_the_build();
    let kinds = kind::kinds(&tree);
    let links = link::links(&tree);
    let packages = package::packages(&tree);
    let mut report = BuildReport {
        process: build.process,
        state: State::of(build),
        started_ns: unix_ns(trace, build.start),
        ended_ns: build.end.map(|it| unix_ns(trace, it)),
        wall_ns,
        cpu_ns,
        cores_busy: ratio(cpu_ns, wall_ns),
        go_user_ns: build.usage.user_ns.saturating_sub(tools.user_ns),
        go_system_ns: build.usage.system_ns.saturating_sub(tools.system_ns),
        loading_ns: loading_ns(build, end),
        tools_running_ns: interval::union(tree.working().map(|it| it.interval)),
        is_up_to_date: is_up_to_date(build, &tree),
        kinds,
        queries: kind::queries(&tree),
        cpu_by_module: module::modules(&packages),
        packages,
        compiler_phases: package::compiler_phases(&tree),
        links,
        gc: link::gc(&tree),
        largest_call: tree.largest(),
        hints: Vec::new(),
    };
    report.hints = hint::hints(build, &report, &tree, trace.cpus);
    report
}

/// True if no tool had work. A C compiler without a package only answered a version query.
fn is_up_to_date(build: &Build, tree: &tree::Tree<'_>) -> bool {
    let is_success = build.status.is_some_and(Status::is_success);
    let is_dry_run = build.command.flags.iter().any(|it| it.name == "n");
    let is_idle = build.packages.compiled == 0 && !tree.working().any(tree::Node::is_of_use);
    is_success && is_idle && !is_dry_run
}

/// Time in which packages were loaded. Stages overlap, and one of them is the whole command, so only stages named `load` count.
fn loading_ns(build: &Build, end: Ktime) -> u64 {
    let loads = build.stages.iter().filter(|it| it.name == "load");
    interval::union(loads.map(|it| (it.start, it.end.unwrap_or(end))))
}

/// Every anomaly of a trace, once. A loss may concern any running build, so it is stored with each of them and with the trace.
pub fn anomalies(trace: &Trace) -> impl Iterator<Item = &Anomaly> {
    let is_of_a_build =
        |it: &&Anomaly| !matches!(it, Anomaly::Lost { .. } | Anomaly::Unreadable { .. });
    let of_builds = trace
        .builds
        .iter()
        .flat_map(|it| &it.anomalies)
        .filter(is_of_a_build);
    trace.anomalies.iter().chain(of_builds)
}

/// True if the build is known to have failed. An unseen exit is not a failure.
fn is_failed(build: &Build) -> bool {
    State::of(build) == State::Failed
}

/// User and system time together.
pub fn cpu_ns(usage: Usage) -> u64 {
    usage.user_ns.saturating_add(usage.system_ns)
}

/// `part / whole`; `None` if `whole` is zero.
#[expect(
    clippy::cast_precision_loss,
    reason = "a ratio of times needs no more than 53 bits"
)]
pub fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn len<T>(list: &[T]) -> u64 {
    u64::try_from(list.len()).unwrap_or(u64::MAX)
}

fn sum(values: impl Iterator<Item = u64>) -> u64 {
    values.fold(0, u64::saturating_add)
}

/// A half-open interval: includes its start and excludes its end.
type Interval = (Ktime, Ktime);

#[cfg(test)]
pub(crate) mod tests;
