//! The times of both builds: on the clock and of CPUs, by part of the build, by tool, by phase and by cause.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::change::times;
use super::{Compared, TimeChange};
use crate::explain::Reason;
use crate::finished::FinishedBuild;
use crate::model::CallKind;
use crate::report::BuildReport;
use crate::schedule::TimeReport;

/// A time of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimePart {
    /// From the start to the end of the build.
    Wall,
    /// CPU time of the build, without the programs that it ran for the user.
    Cpu,
    /// CPU time of the `go` command itself.
    GoCommandCpu,
    /// From the start of the build to its first action.
    BeforeActions,
    /// Time in which packages were loaded, a part of it; so are the next two.
    Loading,
    /// Time in which modules were looked up or downloaded.
    Downloads,
    /// Time in which a program of version control ran.
    VersionControl,
    /// From the start of the first action to the end of the last.
    Actions,
    /// Time on the observed critical path in which no action on it ran. Absent if the graph is not known, like the next part.
    WaitingToStart,
    /// The longest chain of dependencies.
    LongestChain,
    /// From the last action to the end of the build.
    AfterActions,
    /// Time that threads waited for a CPU, as a sum. Absent if the kernel does not keep it, like the next part.
    WaitingForCpu,
    /// Time that threads waited for block devices, as a sum.
    WaitingForDisks,
}

impl TimePart {
    const ALL: [Self; 13] = [
        Self::Wall,
        Self::Cpu,
        Self::GoCommandCpu,
        Self::BeforeActions,
        Self::Loading,
        Self::Downloads,
        Self::VersionControl,
        Self::Actions,
        Self::WaitingToStart,
        Self::LongestChain,
        Self::AfterActions,
        Self::WaitingForCpu,
        Self::WaitingForDisks,
    ];

    fn of(self, report: &BuildReport, times: &TimeReport) -> Option<u64> {
        match self {
            Self::Wall => Some(report.wall_ns),
            Self::Cpu => Some(report.cpu_ns),
            Self::GoCommandCpu => Some(report.go_cpu_ns()),
            Self::BeforeActions => Some(times.before.wall_ns),
            Self::Loading => Some(times.before.loading_ns),
            Self::Downloads => Some(times.before.downloads_ns),
            Self::VersionControl => Some(times.before.version_control_ns),
            Self::Actions => Some(times.actions_ns),
            Self::WaitingToStart => times.waiting_ns(),
            Self::LongestChain => times.longest_chain_ns,
            Self::AfterActions => Some(times.after_ns),
            Self::WaitingForCpu => times.run_delay_ns,
            Self::WaitingForDisks => times.block_io_ns,
        }
    }
}

/// All parts, in order.
pub(super) fn parts(
    before: FinishedBuild<'_>,
    after: FinishedBuild<'_>,
) -> Vec<TimeChange<TimePart>> {
    let first = TimeReport::of(before.build, before.end());
    let second = TimeReport::of(after.build, after.end());
    let parts = TimePart::ALL.iter().map(|it| TimeChange {
        name: *it,
        before_ns: it.of(before.report, &first),
        after_ns: it.of(after.report, &second),
    });
    parts.collect()
}

/// CPU time by kind of the outermost tool.
pub(super) fn tools(before: &BuildReport, after: &BuildReport) -> Vec<TimeChange<CallKind>> {
    let of = |report: &BuildReport| -> Vec<(CallKind, u64)> {
        let kinds = report.kinds.iter();
        kinds.map(|it| (it.kind, it.cpu_ns())).collect()
    };
    times(of(before), of(after))
}

pub(super) fn compiler_phases(
    before: &BuildReport,
    after: &BuildReport,
) -> Vec<TimeChange<String>> {
    let of = |report: &BuildReport| -> Vec<(String, u64)> {
        let phases = report.compiler_phases.iter();
        phases.map(|it| (it.name.clone(), it.ns)).collect()
    };
    times(of(before), of(after))
}

/// CPU time by reason. Absent without keys; a build that executed nothing needs none.
pub(super) fn causes(before: Compared<'_>, after: Compared<'_>) -> Option<Vec<TimeChange<Reason>>> {
    let of = |it: Compared<'_>| {
        let explanation = it.explanation;
        let is_known = explanation.has_keys || it.build.report.is_up_to_date;
        is_known.then(|| {
            let mut sums: BTreeMap<Reason, u64> = BTreeMap::new();
            for (action, reason) in explanation.actions.iter().zip(explanation.reasons()) {
                let sum = sums.entry(reason).or_default();
                *sum = sum.saturating_add(action.cpu_ns);
            }
            sums
        })
    };
    Some(times(of(before)?, of(after)?))
}
