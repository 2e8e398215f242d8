//! A trace as one JSON document, and its schema.
//!
//! The document contains the trace, and the report under `summary`. It can be read back as a trace, without the summary.

use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;
use tracer_core::finished::FinishedTrace;
use tracer_core::model::Trace;
use tracer_core::report::Report;

use super::document::{Layout, describe, write_document};

/// A trace and its report, the output of `gotrace --format json`. Under one schema name, fields are only added. Readers should ignore
/// unknown fields.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "gotrace trace, version 1")]
struct TraceDocument<'a> {
    #[serde(flatten)]
    trace: &'a Trace,
    summary: &'a Report,
}

/// Writes the document and a newline.
pub fn json(finished: &FinishedTrace, layout: Layout, out: &mut dyn Write) -> io::Result<()> {
    let document = TraceDocument {
        trace: finished.trace(),
        summary: finished.report(),
    };
    write_document(&document, layout, out)
}

/// The JSON schema of the document.
pub fn schema() -> serde_json::Value {
    describe(schemars::schema_for!(TraceDocument<'_>).to_value())
}

#[cfg(test)]
mod tests;
