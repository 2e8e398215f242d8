//! The spans of a build: its own, and one for each part. Span names have a low cardinality; details are in attributes.

use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::{Event, SpanKind};
use tracer_core::byte_string::ByteString;
use tracer_core::event::Ktime;
use tracer_core::finished::{self, FinishedBuild};
use tracer_core::model::{Action, Outcome, Output, ToolCall, Trace};
use tracer_core::origin::SpanId;
use tracer_core::report::timeline::{self, SpanSource};

use super::attribute::Attributes;
use super::build;
use super::id::{self, SpanPosition};
use super::limit::{self, Choice, Omitted};
use super::request::SpanContent;
use crate::render::metrics::label;

/// Maximum number of outputs in a span.
const OUTPUTS: usize = 64;
/// `flags` of a span: the next bit is valid; the parent is remote.
const KNOWS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;
const SAMPLED: u32 = 1;

/// Returns at most the configured number of spans, and at least one: first the span of the build, then the longest of
/// the others with their ancestors.
pub(super) fn spans(
    finished: FinishedBuild<'_>,
    place: &SpanPosition,
    wanted: SpanContent,
) -> Vec<Span> {
    let all = finished.timeline;
    let limit = wanted.spans_per_build.saturating_sub(1);
    let choice = limit::choose(all, limit, wanted.cached_actions);
    let mut omitted = Omitted::default();
    let id = |at: usize| id::span_of_part(&finished.entry.id, at);
    let mut inner = Vec::new();
    for (at, (span, choice)) in all.iter().zip(&choice).enumerate() {
        match choice {
            Choice::Sent => {
                let parent = span.parent.map_or(place.span, id);
                inner.extend(of_part(finished, place, span, id(at), parent));
            }
            Choice::Omitted => omitted.count(span),
            Choice::Unwanted => {}
        }
    }
    let mut spans = vec![of_build(finished, place, omitted, wanted.argv)];
    spans.append(&mut inner);
    spans
}

fn of_build(
    finished: FinishedBuild<'_>,
    place: &SpanPosition,
    omitted: Omitted,
    argv: bool,
) -> Span {
    let (trace, build) = (finished.trace, finished.build);
    let mut attributes = build::attributes(finished, argv);
    add_omitted(&mut attributes, omitted);
    let queries = build.calls.iter().filter(|it| it.is_query).count();
    attributes.number("go.build.queries", count(queries));
    let outputs = build.outputs.iter().take(OUTPUTS);
    let n_omitted_outputs = build.outputs.len().saturating_sub(OUTPUTS);
    let parent = place
        .parent
        .map_or(Vec::new(), |it| it.span.bytes().to_vec());
    let is_remote = place.parent.is_some_and(|it| it.is_remote);
    Span {
        parent_span_id: parent,
        flags: KNOWS_REMOTE | SAMPLED | if is_remote { IS_REMOTE } else { 0 },
        name: build::name(build),
        attributes: attributes.into_inner(),
        events: outputs.map(|it| artifact(trace, it)).collect(),
        dropped_events_count: u32::try_from(n_omitted_outputs).unwrap_or(u32::MAX),
        status: build::status(build::error(finished.entry)),
        ..bare(trace, place, place.span, build.start, finished.end())
    }
}

fn of_part(
    finished: FinishedBuild<'_>,
    place: &SpanPosition,
    part: &timeline::Span,
    own: SpanId,
    parent: SpanId,
) -> Option<Span> {
    let mut attributes = Attributes::default();
    let (name, error) = match part.source.of(finished.build)? {
        SpanSource::Stage(stage) => {
            add_unseen(&mut attributes, stage.end);
            (word(&stage.name), None)
        }
        SpanSource::Action(action) => {
            add_unseen(&mut attributes, action.end);
            of_action(&mut attributes, action)
        }
        SpanSource::Call(call) => of_call(&mut attributes, call),
        SpanSource::Phase(phase) => {
            add_unseen(&mut attributes, phase.end);
            (word(&phase.name), None)
        }
    };
    // In a successful build, a failed tool was a test: the go command probes C compilers.
    let error = error.filter(|_| part.made_it_fail);
    attributes.text_of("error.type", error);
    Some(Span {
        parent_span_id: parent.bytes().to_vec(),
        flags: KNOWS_REMOTE | SAMPLED,
        name: name.to_owned(),
        attributes: attributes.into_inner(),
        status: build::status(error),
        ..bare(finished.trace, place, own, part.start, part.end)
    })
}

fn of_action<'a>(
    attributes: &mut Attributes,
    action: &'a Action,
) -> (&'a str, Option<&'static str>) {
    let (outcome, error) = match action.outcome {
        Outcome::Executed => ("executed", None),
        Outcome::Cached => ("cached", None),
        Outcome::Unknown => ("unknown", None),
        Outcome::Failed => ("failed", Some("tool_failed")),
    };
    attributes.text("go.build.outcome", outcome);
    add_package(attributes, action.package.as_ref());
    (word(&action.mode), error)
}

fn of_call<'a>(attributes: &mut Attributes, call: &'a ToolCall) -> (&'a str, Option<&'static str>) {
    let error = call.status.and_then(build::error_of);
    attributes.text("process.executable.name", &call.program.to_str());
    build::process(attributes, call.process.tgid.0, call.status, call.usage);
    attributes.number("process.parent_pid", call.parent.0.into());
    add_package(attributes, call.package.as_ref());
    if !call.gc_cycles.is_empty() {
        attributes.number("go.build.gc_cycles", count(call.gc_cycles.len()));
    }
    (label::tool(call.kind), error)
}

fn artifact(trace: &Trace, output: &Output) -> Event {
    let mut attributes = Attributes::default();
    let path = output.path.to_str();
    let name = path.rsplit('/').next().unwrap_or(&path);
    attributes.text("artifact.filename", name);
    if let Some(artifact) = &output.artifact {
        attributes.text("artifact.hash", &artifact.sha256);
        let version = artifact.main_module_version.as_deref();
        attributes.text_of("artifact.version", version);
        attributes.number("go.build.artifact.size_bytes", artifact.size);
    }
    attributes.text_of("go.build.artifact.target", finished::target(output));
    attributes.text_of("go.build.artifact.unread", output.unread.as_deref());
    Event {
        time_unix_nano: wall(trace, output.at),
        name: "artifact".to_owned(),
        attributes: attributes.into_inner(),
        ..Event::default()
    }
}

fn bare(trace: &Trace, place: &SpanPosition, own: SpanId, start: Ktime, end: Ktime) -> Span {
    Span {
        trace_id: place.trace.bytes().to_vec(),
        span_id: own.bytes().to_vec(),
        trace_state: place.state.clone().unwrap_or_default(),
        kind: SpanKind::Internal.into(),
        start_time_unix_nano: wall(trace, start),
        end_time_unix_nano: wall(trace, end),
        ..Span::default()
    }
}

fn add_omitted(attributes: &mut Attributes, omitted: Omitted) {
    if omitted == Omitted::default() {
        return;
    }
    let n = omitted.n();
    let Omitted {
        stages,
        actions,
        calls,
        phases,
        wall_ns,
    } = omitted;
    attributes.number("go.build.omitted.spans", n);
    attributes.number("go.build.omitted.stages", stages);
    attributes.number("go.build.omitted.actions", actions);
    attributes.number("go.build.omitted.calls", calls);
    attributes.number("go.build.omitted.phases", phases);
    attributes.number("go.build.omitted.wall_ns", wall_ns);
}

/// Marks a span without an observed end, which ends with its parent.
fn add_unseen(attributes: &mut Attributes, end: Option<Ktime>) {
    if end.is_none() {
        attributes.truth("go.build.end_unseen", true);
    }
}

fn add_package(attributes: &mut Attributes, package: Option<&ByteString>) {
    if let Some(package) = package {
        attributes.text("go.build.package", &package.to_str());
    }
}

/// A name of Go's tools. It comes from the memory of an untrusted process, so an unexpected form is rejected.
fn word(name: &str) -> &str {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || " :-_./()+".contains(it);
    let is_word = !name.is_empty() && name.len() <= 64 && name.chars().all(is_plain);
    if is_word { name } else { "other" }
}

/// Nanoseconds since 1970.
pub(super) fn wall(trace: &Trace, at: Ktime) -> u64 {
    at.0.saturating_add_signed(trace.boot_to_wall_ns)
}

fn count(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
