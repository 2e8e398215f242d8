//! The summary of a build as a log record: one sentence, what is known of it, and the span that has the rest.

use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use tracer_core::model::{Build, FailureClass, State, Trace};

use super::id::Place;
use super::{attribute, build, span};
use crate::render::units;

/// What this kind of record is called.
const EVENT: &str = "go.build.finished";
/// `flags` of a record: that its trace is exported.
const SAMPLED: u32 = 1;

pub(super) fn record(trace: &Trace, build: &Build, place: &Place, argv: bool) -> LogRecord {
    let (severity, word) = severity(build);
    let mut attributes = build::attributes(trace, build, &place.build, argv);
    let end = build.end.unwrap_or(trace.end).max(build.start);
    attributes.number("go.build.wall_ns", end.since(build.start));
    let at = span::wall(trace, end);
    LogRecord {
        time_unix_nano: at,
        observed_time_unix_nano: at,
        severity_number: severity.into(),
        severity_text: word.to_owned(),
        body: Some(attribute::text(&sentence(build, end.since(build.start)))),
        attributes: attributes.into_inner(),
        flags: if place.is_sampled { SAMPLED } else { 0 },
        trace_id: place.trace.bytes().to_vec(),
        span_id: place.span.bytes().to_vec(),
        event_name: EVENT.to_owned(),
        ..LogRecord::default()
    }
}

/// A build that somebody stopped, or whose end nobody saw, is no failure and not as it should be.
fn severity(build: &Build) -> (SeverityNumber, &'static str) {
    match build::result(build) {
        Some("success") => (SeverityNumber::Info, "INFO"),
        Some("failure") => (SeverityNumber::Error, "ERROR"),
        _ => (SeverityNumber::Warn, "WARN"),
    }
}

/// `go build of example.com/m failed (compile) after 3.2 s: 12 packages compiled, 40 from the cache`.
fn sentence(build: &Build, wall_ns: u64) -> String {
    let of = build
        .module
        .as_deref()
        .map_or(String::new(), |it| format!(" of {it}"));
    let state = State::of(build);
    let ended = match (state, FailureClass::of(build)) {
        (State::Failed, Some(class)) => format!("failed ({})", class.name()),
        (State::Succeeded | State::Failed, _) => state.name().to_owned(),
        (State::Running | State::CutOff | State::Unknown, _) => {
            format!("ended in state {}", state.name())
        }
    };
    let packages = &build.packages;
    let compiled = units::counted(packages.compiled.into(), "package", "packages");
    let cached = packages.cached.map_or(String::new(), |it| {
        format!(", {} from the cache", units::count(it.into()))
    });
    format!(
        "{}{of} {ended} after {}: {compiled} compiled{cached}",
        build::name(build),
        units::span(wall_ns),
    )
}
