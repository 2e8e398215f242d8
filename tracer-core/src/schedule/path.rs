//! The critical path as it was observed. It goes back from the end of the last action. Of the actions that an action waited for, the one
//! that ended last comes before it.

use schemars::JsonSchema;
use serde::Serialize;

use super::ActionGraph;
use crate::event::Ktime;

/// A part of the observed critical path. Each begins where the one before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Step {
    #[serde(flatten)]
    pub kind: StepKind,
    /// Nanoseconds since the start of the build.
    pub start_ns: u64,
    pub wall_ns: u64,
}

/// The kind of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum StepKind {
    /// An action ran: an index into the build's actions.
    Action { action: u32 },
    /// All actions that this one is known to wait for had ended, but it had not started. Mostly, each worker of the `go` command was busy.
    Waiting { action: u32 },
}

/// The steps from `begin` to the end of the last action. `start` is the start of the build.
pub(super) fn path(graph: &ActionGraph, start: Ktime, begin: Ktime) -> Vec<Step> {
    let spans = graph.spans();
    let last = (0..spans.len()).max_by_key(|it| spans.get(*it).map(|(_, end)| *end));
    let mut steps: Vec<Step> = Vec::new();
    let mut next = last;
    // The path is complete from here on.
    let mut until = last.and_then(|it| spans.get(it)).map(|(_, end)| *end);
    while let (Some(index), Some(end)) = (next, until) {
        let Some((own, _)) = spans.get(index).copied() else {
            break;
        };
        let below = graph.below(index).iter().map(|it| *it as usize);
        let latest = below.max_by_key(|it| spans.get(*it).map(|(_, end)| *end));
        let ready = latest.and_then(|it| spans.get(it));
        let ready = ready.map_or(begin, |(_, end)| *end).min(end);
        let action = u32::try_from(index).unwrap_or(u32::MAX);
        let mut push = |kind, from: Ktime, to: Ktime| {
            if from < to {
                steps.push(Step {
                    kind,
                    start_ns: from.since(start),
                    wall_ns: to.since(from),
                });
            }
        };
        // The ends of two spans can be observed in another order than they took place.
        let own = own.clamp(ready, end);
        push(StepKind::Action { action }, own, end);
        push(StepKind::Waiting { action }, ready, own);
        next = latest;
        until = Some(ready);
    }
    steps.reverse();
    steps
}
