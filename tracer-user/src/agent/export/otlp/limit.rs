//! Which spans of a build are sent where there are more than may be, and what the others add up to.

use tracer_core::report::timeline::{Span, SpanRef};

/// What becomes of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    Sent,
    /// There was no room for it.
    Omitted,
    /// Nobody asked for it: an action that ran no tool.
    Unwanted,
}

/// The longest stay, and the spans around them, if there is room for so many.
pub(super) fn choose(spans: &[Span], room: usize, cached_actions: bool) -> Vec<Choice> {
    // A span counts for as long as the longest in it, so none is kept without the span around it.
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
    // Of equals the first stays: a span stands after the one around it.
    order.sort_by_key(|(rank, at)| (std::cmp::Reverse(*rank), *at));
    for (_, at) in order.into_iter().take(room) {
        if let Some(it) = choice.get_mut(at) {
            *it = Choice::Sent;
        }
    }
    choice
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
