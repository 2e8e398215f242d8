//! What happened in a build as a tree: stages and actions under the build, tool runs under their actions or the tool that started
//! them, phases under the runs. And, where there is more than may be sent, which of it is.
//!
//! Runs that only answered a question (`compile -V=full`) did nothing and are no part of it.

use std::collections::BTreeMap;

use tracer_core::event::{Ktime, ProcKey};
use tracer_core::model::{Action, Build, Phase, ToolCall};

/// A part of a build.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    /// Index of the part that it lies in; the build itself if absent.
    pub(super) parent: Option<usize>,
    pub(super) what: What<'a>,
    pub(super) start: Ktime,
    /// If its end was not seen, that of what it lies in.
    pub(super) end: Ktime,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum What<'a> {
    Stage(&'a Phase),
    Action(&'a Action),
    Call(&'a ToolCall),
    Phase(&'a Phase),
}

impl Part<'_> {
    pub(super) fn wall_ns(&self) -> u64 {
        self.end.since(self.start)
    }
}

/// All parts; a parent stands before what lies in it. `end`: of the build, or the last that was seen of it.
pub(super) fn parts(build: &Build, end: Ktime) -> Vec<Part<'_>> {
    let part = |parent, what, start: Ktime, own_end: Option<Ktime>, outer: Ktime| Part {
        parent,
        what,
        start,
        end: own_end.unwrap_or(outer).max(start),
    };
    let mut parts: Vec<Part<'_>> = build
        .stages
        .iter()
        .map(|it| part(None, What::Stage(it), it.start, it.end, end))
        .collect();
    let mut action_of: BTreeMap<usize, usize> = BTreeMap::new();
    for action in &build.actions {
        let calls = action
            .calls
            .iter()
            .filter_map(|it| usize::try_from(*it).ok());
        action_of.extend(calls.map(|it| (it, parts.len())));
        let what = What::Action(action);
        parts.push(part(None, what, action.start, action.end, end));
    }
    // Calls are in order of start, so the one that started another is met first.
    let mut part_of: BTreeMap<ProcKey, usize> = BTreeMap::new();
    for (index, call) in build.calls.iter().enumerate() {
        if call.is_query {
            continue;
        }
        let starter = call.parent.and_then(|it| part_of.get(&it));
        let parent = starter.or_else(|| action_of.get(&index)).copied();
        let outer = parent.and_then(|it| parts.get(it)).map_or(end, |it| it.end);
        let own = part(parent, What::Call(call), call.start, call.end, outer);
        let at = parts.len();
        part_of.insert(call.process, at);
        parts.push(own);
        for phase in &call.phases {
            let what = What::Phase(phase);
            parts.push(part(Some(at), what, phase.start, phase.end, own.end));
        }
    }
    parts
}

/// Which of the parts stay if there is room for so many: the longest, and all that they lie in.
pub(super) fn longest(parts: &[Part<'_>], room: usize) -> Vec<bool> {
    if parts.len() <= room {
        return vec![true; parts.len()];
    }
    // A part counts for as long as the longest in it, so none is kept without what it lies in.
    let mut ranks: Vec<u64> = parts.iter().map(Part::wall_ns).collect();
    for (at, part) in parts.iter().enumerate().rev() {
        let own = ranks.get(at).copied().unwrap_or(0);
        if let Some(rank) = part.parent.and_then(|it| ranks.get_mut(it)) {
            *rank = own.max(*rank);
        }
    }
    let mut order: Vec<(u64, usize)> = ranks.into_iter().zip(0..).collect();
    // Of equals the first stays: a parent stands before what lies in it.
    order.sort_by_key(|(rank, at)| (std::cmp::Reverse(*rank), *at));
    let mut stays = vec![false; parts.len()];
    for (_, at) in order.into_iter().take(room) {
        if let Some(it) = stays.get_mut(at) {
            *it = true;
        }
    }
    stays
}

/// What was left out of a build, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Omitted {
    pub(super) stages: u64,
    pub(super) actions: u64,
    pub(super) calls: u64,
    pub(super) phases: u64,
    /// Their wall times. They overlap, and a call's contains its phases'.
    pub(super) wall_ns: u64,
}

impl Omitted {
    pub(super) fn count(&mut self, part: &Part<'_>) {
        match part.what {
            What::Stage(_) => self.stages += 1,
            What::Action(_) => self.actions += 1,
            What::Call(_) => self.calls += 1,
            What::Phase(_) => self.phases += 1,
        }
        self.wall_ns = self.wall_ns.saturating_add(part.wall_ns());
    }

    pub(super) fn n(&self) -> u64 {
        self.stages + self.actions + self.calls + self.phases
    }
}
