//! A trace as one JSON document, and its schema.
//!
//! The document contains the trace, and the report under `summary`. It can be read back as a trace, without the summary.

use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;
use tracer_core::finished::FinishedTrace;
use tracer_core::model::Trace;
use tracer_core::report::Report;

use super::style::is_unsafe;

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
///
/// Characters that can change the look of other text are written as `\u001b`. A JSON reader gets the same string, and a terminal is
/// safe.
pub fn json(finished: &FinishedTrace, out: &mut dyn Write) -> io::Result<()> {
    let document = TraceDocument {
        trace: finished.trace(),
        summary: finished.report(),
    };
    let text = serde_json::to_string_pretty(&document)?;
    let mut rest = text.as_str();
    // Line feeds are the only control characters outside strings.
    let is_named = |it: char| it != '\n' && is_unsafe(it);
    while let Some((at, character)) = rest.char_indices().find(|(_, it)| is_named(*it)) {
        let (before, after) = rest.split_at(at);
        out.write_all(before.as_bytes())?;
        for unit in character.encode_utf16(&mut [0; 2]) {
            write!(out, "\\u{unit:04x}")?;
        }
        rest = after.get(character.len_utf8()..).unwrap_or_default();
    }
    writeln!(out, "{rest}")
}

/// The JSON schema of the document.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(TraceDocument<'_>).to_value()
}

#[cfg(test)]
mod tests;
