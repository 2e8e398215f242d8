//! Encoded requests of spans, log records and metrics, each within a size limit.
//!
//! A single item larger than the limit is sent unchanged: the limits of attributes limit the size of a span.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::logs::v1::{ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prometheus::proto::MetricFamily;
use prost::Message as _;
use tracer_core::finished::FinishedTrace;

use super::metric::{self, Period};
use super::resource::{self, Machine, SCHEMA_URL};
use super::{id, log, span};
use crate::config::otlp::ParentSpan;

/// Maximum number of spans or series in a request.
const ITEMS: usize = 512;
/// Maximum uncompressed size of a request in bytes: a quarter of the limit of the strictest receivers.
const BYTES: usize = 1 << 20;

/// The signals of OTLP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Signal {
    Traces,
    Logs,
    Metrics,
}

impl Signal {
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Traces => "/v1/traces",
            Self::Logs => "/v1/logs",
            Self::Metrics => "/v1/metrics",
        }
    }

    /// The name of its items, for messages.
    pub(super) fn items(self) -> &'static str {
        match self {
            Self::Traces => "spans",
            Self::Logs => "log records",
            Self::Metrics => "data points",
        }
    }
}

/// An encoded request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OtlpRequest {
    pub(super) signal: Signal,
    pub(super) body: Vec<u8>,
}

/// The configured content of spans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of the configuration"
)]
pub(super) struct SpanContent {
    pub(super) spans: bool,
    pub(super) logs: bool,
    pub(super) spans_per_build: usize,
    /// True if actions that ran no tool have spans.
    pub(super) cached_actions: bool,
    pub(super) parent: ParentSpan,
    pub(super) argv: bool,
}

/// Encodes the builds of an ended trace. Unsampled traces have no spans.
pub(super) fn of_builds(
    finished: &FinishedTrace,
    machine: &Machine,
    wanted: SpanContent,
) -> Vec<OtlpRequest> {
    let mut requests = Vec::new();
    for (build, place) in id::places(finished, wanted.parent) {
        let resource = resource::of_build(machine, build.build);
        if wanted.spans && place.is_sampled {
            let spans = span::spans(build, &place, wanted);
            let bodies = split(spans, Span::encoded_len).into_iter();
            requests.extend(bodies.map(|it| of_spans(resource.clone(), it)));
        }
        if wanted.logs {
            let record = log::record(build, &place, wanted.argv);
            let logs = ResourceLogs {
                resource: Some(resource),
                scope_logs: vec![ScopeLogs {
                    scope: Some(resource::scope()),
                    log_records: vec![record],
                    schema_url: SCHEMA_URL.to_owned(),
                }],
                schema_url: SCHEMA_URL.to_owned(),
            };
            let request = ExportLogsServiceRequest {
                resource_logs: vec![logs],
            };
            requests.push(OtlpRequest {
                signal: Signal::Logs,
                body: request.encode_to_vec(),
            });
        }
    }
    requests
}

/// Encodes the current metrics.
pub(super) fn of_metrics(
    families: &[MetricFamily],
    period: Period,
    machine: &Machine,
) -> Vec<OtlpRequest> {
    let metrics = metric::metrics(families, period);
    let parts = split(metrics, Metric::encoded_len).into_iter();
    parts
        .map(|metrics| {
            let metrics = ResourceMetrics {
                resource: Some(resource::of_agent(machine)),
                scope_metrics: vec![ScopeMetrics {
                    scope: Some(resource::scope()),
                    metrics,
                    schema_url: String::new(),
                }],
                schema_url: SCHEMA_URL.to_owned(),
            };
            let request = ExportMetricsServiceRequest {
                resource_metrics: vec![metrics],
            };
            OtlpRequest {
                signal: Signal::Metrics,
                body: request.encode_to_vec(),
            }
        })
        .collect()
}

fn of_spans(resource: Resource, spans: Vec<Span>) -> OtlpRequest {
    let spans = ResourceSpans {
        resource: Some(resource),
        scope_spans: vec![ScopeSpans {
            scope: Some(resource::scope()),
            spans,
            schema_url: SCHEMA_URL.to_owned(),
        }],
        schema_url: SCHEMA_URL.to_owned(),
    };
    let request = ExportTraceServiceRequest {
        resource_spans: vec![spans],
    };
    OtlpRequest {
        signal: Signal::Traces,
        body: request.encode_to_vec(),
    }
}

/// Splits items into parts within the limits, in order.
fn split<T>(items: Vec<T>, size: fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut parts: Vec<Vec<T>> = Vec::new();
    let mut bytes = 0_usize;
    for item in items {
        let own = size(&item);
        match parts.last_mut() {
            Some(part) if part.len() < ITEMS && bytes + own <= BYTES => {
                bytes += own;
                part.push(item);
            }
            Some(_) | None => {
                bytes = own;
                parts.push(vec![item]);
            }
        }
    }
    parts
}
