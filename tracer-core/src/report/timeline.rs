//! A build as one tree of spans: stages, the actions of each stage, the tool calls of each action, the phases of each call.
//!
//! Only this module resolves the parents of calls, by the identity of processes. The spans exclude queries (`compile -V=full`).

use std::collections::{BTreeMap, HashMap};

use crate::event::{Ktime, ProcKey};
use crate::model::{Action, Build, Outcome, Phase, State, ToolCall};

/// Mode of an action that reads the build cache and runs no tool (Go 1.26 and later).
const CHECK_CACHE: &str = "build check cache";

/// A span of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Index of the parent span; `None` means the build itself.
    pub parent: Option<usize>,
    pub source: SpanRef,
    pub start: Ktime,
    /// End of the span, or of its parent if the end was not seen.
    pub end: Ktime,
    /// True if the span made the build fail. A successful build has no such span, whatever the exit codes of its tools.
    pub made_it_fail: bool,
    /// True for an action that ran no tool because of the build cache.
    pub is_cached: bool,
}

/// Reference to the part of the build that a span shows, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanRef {
    Stage(usize),
    Action(usize),
    Call(usize),
    /// A phase of a call.
    Phase {
        call: usize,
        phase: usize,
    },
}

/// The part of a build that a span shows.
#[derive(Clone, Copy, Debug)]
pub enum SpanSource<'a> {
    Stage(&'a Phase),
    Action(&'a Action),
    Call(&'a ToolCall),
    Phase(&'a Phase),
}

impl SpanRef {
    /// Resolves the reference in the build of the timeline.
    pub fn of(self, build: &Build) -> Option<SpanSource<'_>> {
        match self {
            Self::Stage(at) => build.stages.get(at).map(SpanSource::Stage),
            Self::Action(at) => build.actions.get(at).map(SpanSource::Action),
            Self::Call(at) => build.calls.get(at).map(SpanSource::Call),
            Self::Phase { call, phase } => {
                let phases = &build.calls.get(call)?.phases;
                phases.get(phase).map(SpanSource::Phase)
            }
        }
    }
}

impl Span {
    pub fn wall_ns(&self) -> u64 {
        self.end.since(self.start)
    }
}

fn is_cached(action: &Action) -> bool {
    let is_unchanged = action.outcome == Outcome::Cached || action.mode == CHECK_CACHE;
    action.calls.is_empty() && is_unchanged
}

/// For each call, the index of the call whose process started it. Calls are in order of their start, so it comes earlier.
pub(crate) fn starters(calls: &[ToolCall]) -> Vec<Option<usize>> {
    let mut latest: HashMap<ProcKey, usize> = HashMap::new();
    let starter = |(index, call): (usize, &ToolCall)| {
        let starter = call.started_by.and_then(|it| latest.get(&it).copied());
        // A process that executes again is a new call.
        latest.insert(call.process, index);
        starter
    };
    calls.iter().enumerate().map(starter).collect()
}

/// All spans of a build; each comes after its parent. `end` is the end of the build, or its last event.
pub fn timeline(build: &Build, end: Ktime) -> Vec<Span> {
    let has_failed = State::of(build) == State::Failed;
    let span = |parent, source, start: Ktime, own_end: Option<Ktime>, outer: Ktime| Span {
        parent,
        source,
        start,
        end: own_end.unwrap_or(outer).max(start),
        made_it_fail: false,
        is_cached: false,
    };
    let stages = build.stages.iter().enumerate();
    let mut spans: Vec<Span> = stages
        .map(|(at, it)| span(None, SpanRef::Stage(at), it.start, it.end, end))
        .collect();
    let n_stages = spans.len();
    let mut action_of: BTreeMap<usize, usize> = BTreeMap::new();
    for (at, action) in build.actions.iter().enumerate() {
        let calls = action.calls.iter();
        let calls = calls.filter_map(|it| usize::try_from(*it).ok());
        action_of.extend(calls.map(|it| (it, spans.len())));
        let stage = spans.iter().take(n_stages).rposition(|it| {
            it.start <= action.start && action.end.unwrap_or(action.start) <= it.end
        });
        let outer = stage.and_then(|it| spans.get(it)).map_or(end, |it| it.end);
        let own = span(stage, SpanRef::Action(at), action.start, action.end, outer);
        spans.push(Span {
            made_it_fail: has_failed && action.outcome == Outcome::Failed,
            is_cached: is_cached(action),
            ..own
        });
    }
    let culprit = build.failure.as_ref();
    let culprit = culprit.filter(|it| it.class.is_by_process());
    let culprit = culprit.and_then(|it| it.process);
    let mut span_of: Vec<Option<usize>> = vec![None; build.calls.len()];
    for (index, (call, starter)) in build.calls.iter().zip(starters(&build.calls)).enumerate() {
        if call.is_query {
            continue;
        }
        let starter = starter.and_then(|it| span_of.get(it).copied().flatten());
        let parent = starter.or_else(|| action_of.get(&index).copied());
        let outer = parent.and_then(|it| spans.get(it)).map_or(end, |it| it.end);
        let own = span(parent, SpanRef::Call(index), call.start, call.end, outer);
        let at = spans.len();
        if let Some(span) = span_of.get_mut(index) {
            *span = Some(at);
        }
        let decides = call.is_decisive(build.process) || culprit == Some(call.process);
        spans.push(Span {
            made_it_fail: has_failed && decides,
            ..own
        });
        for (n, phase) in call.phases.iter().enumerate() {
            let source = SpanRef::Phase {
                call: index,
                phase: n,
            };
            spans.push(span(Some(at), source, phase.start, phase.end, own.end));
        }
    }
    spans
}
