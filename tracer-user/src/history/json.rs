//! The same for programs: lists of builds and single ones as JSON documents, and their schemas.

use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;
use tracer_core::history::{BuildId, Entry};
use tracer_core::model::Trace;
use tracer_core::report::{self, Report};

use super::read::{Previous, Shown};
use crate::render::style::escape;

/// What `gotrace builds --format json` writes. Only fields are added while the name of the schema stays.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "gotrace builds, version 1")]
struct BuildList<'a> {
    /// `gotrace.builds/v1`.
    schema: &'static str,
    /// Newest first.
    builds: &'a [Entry],
    /// Whether there are older ones that `--limit` left out.
    has_more: bool,
}

/// What `gotrace show --format json` writes. Only fields are added while the name of the schema stays.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "gotrace build, version 1")]
struct Document<'a> {
    /// `gotrace.build/v1`.
    schema: &'static str,
    build: &'a Entry,
    /// Builds nested in it, in order of start.
    nested: &'a [BuildId],
    /// For each target of the build the last output before it that may be compared with it.
    previous: &'a [Option<Previous>],
    /// The build as it was seen; absent if it has not ended or was cut off.
    trace: Option<&'a Trace>,
    /// What follows from that.
    summary: Option<Report>,
}

pub fn builds_json(entries: &[Entry], has_more: bool, out: &mut dyn Write) -> io::Result<()> {
    let document = BuildList {
        schema: "gotrace.builds/v1",
        builds: entries,
        has_more,
    };
    write(&document, out)
}

pub fn show_json(shown: &Shown, out: &mut dyn Write) -> io::Result<()> {
    let trace = shown.trace.as_ref();
    let document = Document {
        schema: "gotrace.build/v1",
        build: &shown.entry,
        nested: &shown.nested,
        previous: &shown.previous,
        trace,
        summary: trace.map(report::analyze),
    };
    write(&document, out)
}

/// The JSON schema of [`builds_json`].
pub fn builds_schema() -> serde_json::Value {
    schemars::schema_for!(BuildList<'_>).to_value()
}

/// The JSON schema of [`show_json`].
pub fn show_schema() -> serde_json::Value {
    schemars::schema_for!(Document<'_>).to_value()
}

/// Characters that a terminal would obey are written by number, which is the same string to a reader of JSON.
fn write(document: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    let text = serde_json::to_string_pretty(document)?;
    for line in text.lines() {
        let mut character = [0; 4];
        for it in line.chars() {
            let itself = it.encode_utf8(&mut character);
            if *escape(itself) == *itself {
                out.write_all(itself.as_bytes())?;
            } else {
                for unit in it.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
        }
        writeln!(out)?;
    }
    Ok(())
}
