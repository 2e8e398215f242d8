//! The time of a build: before, in and after its actions; its critical path; how many tools ran at once.

use schemars::JsonSchema;
use serde::Serialize;

use super::critical::Critical;
use super::path::path;
use super::{ActionGraph, Step, StepKind};
use crate::byte_string::ByteString;
use crate::event::Ktime;
use crate::explain::cpu_of_actions;
use crate::model::{Build, CallKind, Outcome};
use crate::report::{interval, starters};

/// Number of equal parts of a build in [`TimeReport::parallel`].
const PARTS: usize = 60;

/// The parts of a build's time. `before`, `actions_ns` and `after_ns` add up to `wall_ns`, and the steps to `actions_ns`.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct TimeReport {
    pub wall_ns: u64,
    pub before: Before,
    /// Time from the start of the first action to the end of the last.
    pub actions_ns: u64,
    /// Time after the last action.
    pub after_ns: u64,
    /// The observed critical path; absent if the graph is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Vec<Step>>,
    /// Duration of the longest chain of dependencies. With these times of actions, no number of CPUs makes the actions faster. Absent if
    /// the graph is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub longest_chain_ns: Option<u64>,
    /// The number of actions whose imports are not known; they may have waited for further actions.
    pub n_unknown: u32,
    /// The executed actions, longest first.
    pub actions: Vec<ActionTime>,
    /// Nanoseconds in which no tool, one tool, two tools and so on ran. Nested tools and queries do not count.
    pub tools_at_once: Vec<u64>,
    /// The average number of running tools in equal parts of the build.
    pub parallel: Vec<f64>,
    /// CPU time of the `go` command and its tools.
    pub cpu_ns: u64,
    /// Time that their threads waited for a CPU although they could run, as a sum. Absent if the kernel does not keep it, or if it is not
    /// known for a process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_delay_ns: Option<u64>,
    /// Time that their threads waited for block devices, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_io_ns: Option<u64>,
}

/// Time of the `go` command before the first action.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Before {
    pub wall_ns: u64,
    /// Time in which packages were loaded. The next two are parts of it.
    pub loading_ns: u64,
    /// Time in which modules were looked up or downloaded.
    pub downloads_ns: u64,
    /// Time in which a program of version control ran.
    pub version_control_ns: u64,
}

/// The time of an executed action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ActionTime {
    /// An index into the build's actions.
    pub action: u32,
    pub mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<ByteString>,
    /// Nanoseconds since the start of the build.
    pub start_ns: u64,
    pub wall_ns: u64,
    /// CPU time of its tools.
    pub cpu_ns: u64,
    /// Time from the end of the last action that it waited for to its start. Absent if the graph is not known, as the next two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waited_ns: Option<u64>,
    /// The action can take so much longer until it lengthens the longest chain of dependencies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slack_ns: Option<u64>,
    /// The longest chain would be so much shorter if the action took no time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drag_ns: Option<u64>,
    /// True if the action is on the observed critical path.
    pub is_critical: bool,
}

impl TimeReport {
    /// `end` is the end of the build, or its last event.
    pub fn of(build: &Build, end: Ktime) -> Self {
        let graph = ActionGraph::of(build, end);
        let first = build.actions.iter().map(|it| it.start).min();
        let execute = build.stages.iter().find(|it| it.name == "execute");
        let begin = execute.map(|it| it.start).or(first).unwrap_or(end);
        let begin = first
            .map_or(begin, |it| begin.min(it))
            .clamp(build.start, end);
        let last = build.actions.iter().map(|it| it.end.unwrap_or(end)).max();
        let last = last.unwrap_or(begin).clamp(begin, end);
        let path = graph.as_ref().map(|it| path(it, build.start, begin));
        let critical = graph.as_ref().map(|it| {
            let durations = it.spans().iter().map(|(start, end)| end.since(*start));
            Critical::of(it, &durations.collect::<Vec<_>>())
        });
        let tools = tools(build, end);
        Self {
            wall_ns: end.since(build.start),
            before: before(build, begin),
            actions_ns: last.since(begin),
            after_ns: end.since(last),
            longest_chain_ns: critical.as_ref().map(|it| it.longest_ns),
            n_unknown: graph.as_ref().map_or(0, ActionGraph::n_unknown),
            actions: actions(
                build,
                graph.as_ref(),
                critical.as_ref(),
                path.as_deref(),
                begin,
            ),
            path,
            tools_at_once: interval::levels(&tools, (build.start, end)),
            parallel: interval::averages(&tools, (build.start, end), PARTS),
            cpu_ns: crate::report::cpu_ns(build.usage),
            run_delay_ns: build.usage.run_delay_ns,
            block_io_ns: build.usage.block_io_ns,
        }
    }

    /// Time on the critical path in which the next action waited, although all known dependencies had ended. `None` if the path is not known.
    pub fn waiting_ns(&self) -> Option<u64> {
        let steps = self.path.as_ref()?.iter();
        let waits = steps.filter(|it| matches!(it.kind, StepKind::Waiting { .. }));
        Some(waits.map(|it| it.wall_ns).sum())
    }

    /// The average number of tools that ran at once between the first and the last action.
    pub fn average(&self) -> Option<f64> {
        let busy = (0_u64..)
            .zip(&self.tools_at_once)
            .map(|(n, ns)| n * ns)
            .sum();
        crate::report::ratio(busy, self.actions_ns)
    }
}

fn before(build: &Build, begin: Ktime) -> Before {
    let until = |start: Ktime, end: Option<Ktime>| (start, end.unwrap_or(begin).min(begin));
    let stages = |names: &'static [&'static str]| {
        let stages = build
            .stages
            .iter()
            .filter(|it| names.contains(&it.name.as_str()));
        interval::union(stages.map(|it| until(it.start, it.end)))
    };
    let vcs = build.calls.iter().filter(|it| it.kind == CallKind::Vcs);
    Before {
        wall_ns: begin.since(build.start),
        loading_ns: stages(&["load"]),
        downloads_ns: stages(&["download", "query_proxy"]),
        version_control_ns: interval::union(vcs.map(|it| until(it.start, it.end))),
    }
}

/// The intervals of the outermost tools with work.
fn tools(build: &Build, end: Ktime) -> Vec<(Ktime, Ktime)> {
    let calls = build.calls.iter().zip(starters(&build.calls));
    let outermost = calls.filter(|(call, starter)| starter.is_none() && !call.is_query);
    outermost
        .map(|(call, _)| (call.start, call.end.unwrap_or(end)))
        .collect()
}

fn actions(
    build: &Build,
    graph: Option<&ActionGraph>,
    critical: Option<&Critical>,
    path: Option<&[Step]>,
    begin: Ktime,
) -> Vec<ActionTime> {
    let cpu = cpu_of_actions(build);
    let on_path: std::collections::BTreeSet<u32> = path
        .into_iter()
        .flatten()
        .filter_map(|it| match it.kind {
            StepKind::Action { action } => Some(action),
            StepKind::Waiting { .. } => None,
        })
        .collect();
    let executed = (0u32..).zip(&build.actions);
    let executed =
        executed.filter(|(_, it)| matches!(it.outcome, Outcome::Executed | Outcome::Failed));
    let time = |(index, action): (u32, &crate::model::Action)| {
        let at = index as usize;
        let share = critical.and_then(|it| it.actions.get(at));
        let span = graph.and_then(|it| it.spans().get(at));
        let ready = graph.map(|graph| {
            let ends = graph.below(at).iter();
            let ends = ends.filter_map(|it| graph.spans().get(*it as usize));
            ends.map(|(_, end)| *end).max().unwrap_or(begin)
        });
        ActionTime {
            action: index,
            mode: action.mode.clone(),
            package: action.package.clone(),
            start_ns: action.start.since(build.start),
            wall_ns: span.map_or_else(
                || action.end.map_or(0, |it| it.since(action.start)),
                |(start, end)| end.since(*start),
            ),
            cpu_ns: cpu.get(&index).copied().unwrap_or(0),
            waited_ns: ready.map(|it| action.start.since(it)),
            slack_ns: share.map(|it| it.slack_ns),
            drag_ns: share.map(|it| it.drag_ns),
            is_critical: on_path.contains(&index),
        }
    };
    let mut times: Vec<ActionTime> = executed.map(time).collect();
    times.sort_by_key(|it| (std::cmp::Reverse(it.wall_ns), it.action));
    times
}
