//! The trace and span IDs of builds.
//!
//! IDs are computed, not random: a build always has the same IDs, and an ID leads to the build in the history. This
//! module does not decide which spans are sent.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use tracer_core::event::ProcKey;
use tracer_core::finished::{FinishedBuild, FinishedTrace};
use tracer_core::history::BuildId;
use tracer_core::model::Build;
use tracer_core::origin::{Ci, SpanId, TraceContext, TraceId};

use crate::config::otlp::ParentSpan;

/// The position of a build's span.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SpanPosition {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) parent: Option<Parent>,
    /// True if the spans are exported.
    pub(super) is_sampled: bool,
    /// `tracestate` of the joined trace.
    pub(super) state: Option<String>,
}

/// The parent span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) span: SpanId,
    /// True if another program exports the parent.
    pub(super) is_remote: bool,
}

/// The positions of all builds of a trace, in the order of the trace.
pub(super) fn places(
    finished: &FinishedTrace,
    parent: ParentSpan,
) -> Vec<(FinishedBuild<'_>, SpanPosition)> {
    let by_process: BTreeMap<ProcKey, FinishedBuild<'_>> =
        finished.builds().map(|it| (it.build.process, it)).collect();
    finished
        .builds()
        .map(|build| {
            let above = lineage(build.build, &by_process);
            (build, place(build, &above, parent))
        })
        .collect()
}

/// The enclosing builds with a span, innermost first. The number is limited, because a damaged recording may contain a cycle.
fn lineage<'a>(
    build: &Build,
    by_process: &BTreeMap<ProcKey, FinishedBuild<'a>>,
) -> Vec<FinishedBuild<'a>> {
    let above = |build: &Build| by_process.get(&build.parent?).copied();
    let all = std::iter::successors(above(build), |it| above(it.build));
    let above = all.take_while(|it| it.build.process != build.process);
    above.take(by_process.len()).collect()
}

fn place(
    build: FinishedBuild<'_>,
    above: &[FinishedBuild<'_>],
    parent: ParentSpan,
) -> SpanPosition {
    let outermost = above.last().copied().unwrap_or(build);
    let root = Root::of(outermost.build, &outermost.entry.id, parent);
    let parent = match above.first() {
        Some(parent) => Some(Parent {
            span: span_of_build(&parent.entry.id),
            is_remote: false,
        }),
        None => root.parent.map(|span| Parent {
            span,
            is_remote: true,
        }),
    };
    SpanPosition {
        span: span_of_build(&build.entry.id),
        trace: root.trace,
        parent,
        is_sampled: root.is_sampled,
        state: root.state,
    }
}

/// The trace and parent of an outermost build.
struct Root {
    trace: TraceId,
    parent: Option<SpanId>,
    is_sampled: bool,
    state: Option<String>,
}

impl Root {
    fn of(build: &Build, id: &BuildId, parent: ParentSpan) -> Self {
        if let Some(context) = &build.trace_context {
            let TraceContext {
                trace,
                span,
                is_sampled,
                state,
            } = context.clone();
            return Self {
                trace,
                parent: Some(span),
                is_sampled,
                state,
            };
        }
        let run = match parent {
            ParentSpan::Ci => build.ci.as_ref().and_then(github_run),
            ParentSpan::Build => None,
        };
        let (trace, parent) = match run {
            Some((trace, span)) => (trace, Some(span)),
            None => (TraceId::derived(bytes(id)), None),
        };
        Self {
            trace,
            parent,
            is_sampled: true,
            state: None,
        }
    }
}

/// The trace and the root span that the GitHub receiver of the OpenTelemetry collector makes of a run of a workflow
/// (`newTraceID`, `newParentSpanID` in `receiver/githubreceiver/trace_event_handling.go` of opentelemetry-collector-contrib 0.151).
///
/// Spans of jobs and steps are not joined: their IDs depend on the number of the check run, which no variable contains.
fn github_run(ci: &Ci) -> Option<(TraceId, SpanId)> {
    if ci.system != "github" {
        return None;
    }
    let number = |it: &Option<String>| it.as_ref()?.parse::<u64>().ok();
    let (run, attempt) = (number(&ci.run)?, number(&ci.attempt)?);
    let digest = |what: &str| Sha256::digest(format!("{run}{attempt}{what}"));
    let trace = TraceId::new(part(&digest("t"), 0))?;
    let span = SpanId::new(part(&digest("s"), 8))?;
    Some((trace, span))
}

/// The last 16 digits of the build's ID, by which the build can be found. They begin with the variant of the UUID and are
/// thus not zero.
fn span_of_build(id: &BuildId) -> SpanId {
    SpanId::derived(part(&bytes::<16>(id), 8))
}

/// The span ID of the part with this number, counted over all parts of the build.
pub(super) fn span_of_part(id: &BuildId, n: usize) -> SpanId {
    let digest = Sha256::new()
        .chain_update(id.as_str())
        .chain_update(n.to_le_bytes())
        .finalize();
    SpanId::derived(part(&digest, 0))
}

/// The digits of a build's ID, without dashes.
fn bytes<const N: usize>(id: &BuildId) -> [u8; N] {
    let mut bytes = [0; N];
    let digits = id.as_str().bytes().filter_map(|it| {
        let digit = char::from(it).to_digit(16)?;
        u8::try_from(digit).ok()
    });
    for (at, digit) in digits.enumerate() {
        if let Some(byte) = bytes.get_mut(at / 2) {
            *byte = *byte << 4 | digit;
        }
    }
    bytes
}

fn part<const N: usize>(of: &[u8], from: usize) -> [u8; N] {
    let mut part = [0; N];
    for (to, byte) in part.iter_mut().zip(of.iter().skip(from)) {
        *to = *byte;
    }
    part
}
