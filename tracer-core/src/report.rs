//! Numbers derived from a [`Trace`]: what every sink wants to say and none should compute for itself.
//!
//! Pure arithmetic over the model: nothing here knows about text, units, colour or metrics, and nothing is estimated. A sum never
//! counts the same nanosecond of CPU twice, and a span that overlaps another is given as the union of both where that is said.

mod hint;
mod interval;
mod kind;
mod link;
mod package;
pub mod timeline;
mod tree;

use schemars::JsonSchema;
use serde::Serialize;

use crate::event::{Ktime, ProcKey, Status, Usage};
use crate::model::{Anomaly, Build, State, Trace};

pub use hint::Hint;
pub use kind::{KindTime, Queries};
pub use link::{Gc, LinkTime};
pub use package::PackageTime;

/// What follows from a trace. [`Report::builds`] stands in the order of [`Trace::builds`].
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Report {
    /// From the first to the last event.
    pub wall_ns: u64,
    /// User and system time of everything under the command.
    pub cpu_ns: u64,
    /// CPUs busy on average; absent where no time passed.
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
    /// Absent if it is not known of every build.
    pub packages_cached: Option<u64>,
    /// Runs of tools, nested ones and queries included.
    pub calls: u64,
    pub outputs: u64,
    /// Gaps and contradictions, those of the trace included.
    pub anomalies: u64,
}

/// What follows from one build.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct BuildReport {
    pub process: ProcKey,
    /// How it ended. If it failed, the build's `failure` says why.
    pub state: State,
    /// From its start to its end, or to the last event where its end was not seen.
    pub wall_ns: u64,
    /// As in the build's usage: without the programs that it ran for the user.
    pub cpu_ns: u64,
    pub cores_busy: Option<f64>,
    /// CPU of the `go` process itself: what is left of the build's after its tools.
    pub go_user_ns: u64,
    pub go_system_ns: u64,
    /// Time in which packages were being loaded.
    pub loading_ns: u64,
    /// Time in which at least one tool ran.
    pub tools_running_ns: u64,
    /// Whether no tool had anything to do.
    pub is_up_to_date: bool,
    /// By kind of the outermost tool, most CPU first. With `queries` these are all the runs there were.
    pub kinds: Vec<KindTime>,
    pub queries: Queries,
    /// Packages that a tool worked on, slowest first.
    pub packages: Vec<PackageTime>,
    /// Phases of all runs of the Go compiler, added up by name, in order.
    pub compiler_phases: Vec<PhaseTime>,
    /// Longest first.
    pub links: Vec<LinkTime>,
    /// Garbage collection in all tools together.
    pub gc: Gc,
    /// The run with the largest resident set: an index into the build's calls.
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

/// Derives everything there is to say in numbers.
pub fn analyze(trace: &Trace) -> Report {
    let wall_ns = trace.end.since(trace.start);
    let cpu_ns = cpu_ns(trace.usage);
    Report {
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

/// A C compiler that runs for no package was only asked what it is.
fn is_up_to_date(build: &Build, tree: &tree::Tree<'_>) -> bool {
    let is_success = build.status.is_some_and(Status::is_success);
    let is_dry_run = build.command.flags.iter().any(|it| it.name == "n");
    let is_idle = build.packages.compiled == 0 && !tree.working().any(tree::Node::is_of_use);
    is_success && is_idle && !is_dry_run
}

/// Stages overlap and one of them is the whole command: only those of this name are loading.
fn loading_ns(build: &Build, end: Ktime) -> u64 {
    let loads = build.stages.iter().filter(|it| it.name == "load");
    interval::union(loads.map(|it| (it.start, it.end.unwrap_or(end))))
}

/// Every gap of a trace once. A loss can be of any build that ran meanwhile, and stands with each of them as well as with the trace.
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

/// Whether the build is known to have failed; one whose exit was not seen is not.
fn is_failed(build: &Build) -> bool {
    State::of(build) == State::Failed
}

/// User and system time together.
pub fn cpu_ns(usage: Usage) -> u64 {
    usage.user_ns.saturating_add(usage.system_ns)
}

/// `part / whole`; absent where there is no whole.
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

/// Half-open: from the first to, but without, the second.
type Interval = (Ktime, Ktime);

#[cfg(test)]
mod tests;
