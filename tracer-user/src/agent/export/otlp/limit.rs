//! The selection of the spans of a build if there are more than the limit, and the sums of the omitted ones.

use tracer_core::report::timeline::{Span, SpanRef};

/// The decision about a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Sent,
    /// Omitted because of the limit.
    Omitted,
    /// Omitted by configuration: an action that ran no tool.
    Unwanted,
}

/// Keeps the longest spans and their ancestors, up to the limit.
pub(super) fn choose(spans: &[Span], room: usize, cached_actions: bool) -> Vec<Choice> {
    // The rank of a span is the longest duration below it, so each kept span keeps its ancestors.
    let mut ranks: Vec<u64> = spans.iter().map(Span::wall_ns).collect();
    for (at, span) in spans.iter().enumerate().rev() {
        let own = ranks.get(at).copied().unwrap_or(0);
        if let Some(rank) = span.parent.and_then(|it| ranks.get_mut(it)) {
            *rank = own.max(*rank);
        }
    }
    let mut choice: Vec<Choice> = spans
        .iter()
        .map(|it| {
            if it.is_cached && !cached_actions {
                Choice::Unwanted
            } else {
                Choice::Omitted
            }
        })
        .collect();
    let mut order: Vec<(u64, usize)> = ranks.into_iter().zip(0..).collect();
    order.retain(|(_, at)| choice.get(*at) == Some(&Choice::Omitted));
    // Among equals the first is kept: a parent precedes its children.
    order.sort_by_key(|(rank, at)| (std::cmp::Reverse(*rank), *at));
    for (_, at) in order.into_iter().take(room) {
        if let Some(it) = choice.get_mut(at) {
            *it = Choice::Sent;
        }
    }
    choice
}

/// The sums of the omitted spans of a build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Omitted {
    pub(super) stages: u64,
    pub(super) actions: u64,
    pub(super) calls: u64,
    pub(super) phases: u64,
    /// Sum of the wall times. Spans overlap, and a call contains its phases.
    pub(super) wall_ns: u64,
}

impl Omitted {
    pub(super) fn count(&mut self, part: &Span) {
        match part.source {
            SpanRef::Stage(_) => self.stages += 1,
            SpanRef::Action(_) => self.actions += 1,
            SpanRef::Call(_) => self.calls += 1,
            SpanRef::Phase { .. } => self.phases += 1,
        }
        self.wall_ns = self.wall_ns.saturating_add(part.wall_ns());
    }

    pub(super) fn n(&self) -> u64 {
        self.stages + self.actions + self.calls + self.phases
    }
}
