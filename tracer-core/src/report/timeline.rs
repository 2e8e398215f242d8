//! A build as one tree of spans: stages, the actions of each stage, the runs of tools of each action, the phases of each run.
//!
//! Parents are resolved here, by the identity of processes, and nowhere else. Runs that only answered a question (`compile -V=full`) are
//! not part of the tree.

use std::collections::BTreeMap;

use crate::event::{Ktime, ProcKey};
use crate::model::{Action, Build, Outcome, Phase, State, ToolCall};

/// Mode of an action that reads the build cache and runs no tool (Go 1.26 and later).
const CHECK_CACHE: &str = "build check cache";

/// A span of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Index of the span around it; the build itself if absent.
    pub parent: Option<usize>,
    pub source: SpanRef,
    pub start: Ktime,
    /// If its end was not seen, that of the span around it.
    pub end: Ktime,
    /// Whether it made the build fail. A build that succeeded has none, whatever its tools exited with.
    pub made_it_fail: bool,
    /// Whether it is an action that ran no tool, because of the build cache.
    pub is_cached: bool,
}

/// What a span is of, by its place in the build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanRef {
    Stage(usize),
    Action(usize),
    Call(usize),
    /// Of a call.
    Phase {
        call: usize,
        phase: usize,
    },
}

/// The part of a build that a span is of.
#[derive(Clone, Copy, Debug)]
pub enum SpanSource<'a> {
    Stage(&'a Phase),
    Action(&'a Action),
    Call(&'a ToolCall),
    Phase(&'a Phase),
}

impl SpanRef {
    /// The part of the build that the timeline was made of.
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

/// All spans of a build; each stands after the span around it. `end`: of the build, or the last that was seen of it.
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
    // Calls are in order of start, so the one that started another is met first.
    let mut call_of: BTreeMap<ProcKey, usize> = BTreeMap::new();
    for (index, call) in build.calls.iter().enumerate() {
        if call.is_query {
            continue;
        }
        let starter = call.started_by.and_then(|it| call_of.get(&it));
        let parent = starter.or_else(|| action_of.get(&index)).copied();
        let outer = parent.and_then(|it| spans.get(it)).map_or(end, |it| it.end);
        let own = span(parent, SpanRef::Call(index), call.start, call.end, outer);
        let at = spans.len();
        call_of.insert(call.process, at);
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
