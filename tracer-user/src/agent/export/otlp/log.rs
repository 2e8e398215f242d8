//! The summary of a build as a log record: one sentence, attributes, and the ID of the span.

use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use tracer_core::finished::FinishedBuild;
use tracer_core::history::Entry;
use tracer_core::model::State;

use super::id::SpanPosition;
use super::{attribute, build, span};
use crate::render::units;

/// The event name of the record.
const EVENT: &str = "go.build.finished";
/// `flags` of a record: its trace is exported.
const SAMPLED: u32 = 1;

pub(super) fn record(finished: FinishedBuild<'_>, place: &SpanPosition, argv: bool) -> LogRecord {
    let (severity, word) = severity(finished.entry);
    let mut attributes = build::attributes(finished, argv);
    attributes.number("go.build.wall_ns", finished.report.wall_ns);
    let at = span::wall(finished.trace, finished.end());
    LogRecord {
        time_unix_nano: at,
        observed_time_unix_nano: at,
        severity_number: severity.into(),
        severity_text: word.to_owned(),
        body: Some(attribute::text(&sentence(finished))),
        attributes: attributes.into_inner(),
        flags: if place.is_sampled { SAMPLED } else { 0 },
        trace_id: place.trace.bytes().to_vec(),
        span_id: place.span.bytes().to_vec(),
        event_name: EVENT.to_owned(),
        ..LogRecord::default()
    }
}

/// The severity. A cancelled build and a build without an observed end are warnings, not errors.
fn severity(entry: &Entry) -> (SeverityNumber, &'static str) {
    match build::result(entry) {
        Some("success") => (SeverityNumber::Info, "INFO"),
        Some("failure") => (SeverityNumber::Error, "ERROR"),
        _ => (SeverityNumber::Warn, "WARN"),
    }
}

/// `go build of example.com/m failed (compile) after 3.2 s: 12 packages compiled, 40 from the cache`.
fn sentence(finished: FinishedBuild<'_>) -> String {
    let build = finished.build;
    let of = build
        .module
        .as_deref()
        .map_or(String::new(), |it| format!(" of {it}"));
    let state = finished.entry.state;
    let ended = match (state, finished.entry.failure) {
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
        units::span(finished.report.wall_ns),
    )
}
