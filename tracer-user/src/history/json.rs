//! Lists of builds and single builds as JSON documents, and their schemas.

use std::borrow::Cow;
use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;
use tracer_core::explain::Explanation;
use tracer_core::finished::FinishedTrace;
use tracer_core::history::{BuildId, Entry};
use tracer_core::model::Trace;
use tracer_core::report::Report;

use super::read::{BuildView, Previous};
use crate::render::style::escape;

/// Output of `gotrace builds --format json`. Under one schema name, fields are only added.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "gotrace builds, version 1")]
struct BuildList<'a> {
    /// `gotrace.builds/v1`.
    schema: &'static str,
    /// The builds, newest first.
    builds: &'a [Entry],
    /// True if `--limit` omitted older builds.
    has_more: bool,
}

/// Output of `gotrace show --format json`. Under one schema name, fields are only added.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "gotrace build, version 1")]
struct BuildDocument<'a> {
    /// `gotrace.build/v1`.
    schema: &'static str,
    build: &'a Entry,
    /// Nested builds, in order of their start.
    nested: &'a [BuildId],
    /// For each target of the build, the last earlier output that is comparable.
    previous: &'a [Option<Previous>],
    /// The traced build; absent if it runs or was cut off.
    trace: Option<&'a Trace>,
    /// Numbers derived from the trace.
    summary: Option<&'a Report>,
}

/// Output of `gotrace explain --format json`. Under one schema name, fields are only added.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "gotrace explanation, version 1")]
struct ExplanationDocument<'a> {
    /// `gotrace.explanation/v1`.
    schema: &'static str,
    build: &'a Entry,
    explanation: Cow<'a, Explanation>,
}

pub fn explain_json(
    explained: &BuildView,
    package: Option<&str>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut explanation = Cow::Borrowed(&explained.explanation);
    if let Some(package) = package {
        explanation.to_mut().retain_package(package);
    }
    let document = ExplanationDocument {
        schema: "gotrace.explanation/v1",
        build: &explained.entry,
        explanation,
    };
    write(&document, out)
}

/// The JSON schema of [`explain_json`].
pub fn explain_schema() -> serde_json::Value {
    schemars::schema_for!(ExplanationDocument<'_>).to_value()
}

pub fn builds_json(entries: &[Entry], has_more: bool, out: &mut dyn Write) -> io::Result<()> {
    let document = BuildList {
        schema: "gotrace.builds/v1",
        builds: entries,
        has_more,
    };
    write(&document, out)
}

pub fn show_json(shown: &BuildView, out: &mut dyn Write) -> io::Result<()> {
    let finished = shown.finished.as_ref();
    let document = BuildDocument {
        schema: "gotrace.build/v1",
        build: &shown.entry,
        nested: &shown.nested,
        previous: &shown.previous,
        trace: finished.map(FinishedTrace::trace),
        summary: finished.map(FinishedTrace::report),
    };
    write(&document, out)
}

/// The JSON schema of [`builds_json`].
pub fn builds_schema() -> serde_json::Value {
    schemars::schema_for!(BuildList<'_>).to_value()
}

/// The JSON schema of [`show_json`].
pub fn show_schema() -> serde_json::Value {
    schemars::schema_for!(BuildDocument<'_>).to_value()
}

/// Writes control characters by number. A JSON reader gets the same string, and a terminal is safe.
fn write(document: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    let text = serde_json::to_string_pretty(document)?;
    for line in text.lines() {
        match escape(line) {
            Cow::Borrowed(line) => writeln!(out, "{line}")?,
            Cow::Owned(_) => numbered(line, out)?,
        }
    }
    Ok(())
}

fn numbered(line: &str, out: &mut dyn Write) -> io::Result<()> {
    for character in line.chars() {
        match escape(character.encode_utf8(&mut [0; 4])) {
            Cow::Borrowed(itself) => out.write_all(itself.as_bytes())?,
            Cow::Owned(_) => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
        }
    }
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_write_to_the_terminal_and_reads_back() {
        let name = "a\u{1b}[2J\u{202e}b\u{e0041}\u{7f}é";
        let mut out = Vec::new();
        write(&[name, "plain"], &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(
            text.contains(r"a\u001b[2J\u202eb\udb40\udc41\u007fé"),
            "{text}"
        );
        let back: Vec<String> = serde_json::from_str(&text).unwrap();
        assert_eq!(back, [name, "plain"]);
    }
}
