//! Lists of builds and single builds as JSON documents, and their schemas.

use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;
use tracer_core::advise::Advice;
use tracer_core::compare::Comparison;
use tracer_core::explain::{CacheRestore, DoneBefore, Explanation, PlaceSum, Saved};
use tracer_core::finished::FinishedTrace;
use tracer_core::history::{BuildId, Entry};
use tracer_core::model::Trace;
use tracer_core::report::Report;

use super::causes::Explained;
use super::read::{BuildView, Previous};
use crate::render::{AdviceView, Layout, describe, write_document};

/// Output of `gotrace builds --format json`. Under one schema name, fields are only added.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "gotrace builds, version 1")]
struct BuildList<'a> {
    /// `gotrace.builds/v1`.
    schema: &'static str,
    /// The builds, newest first.
    builds: Vec<ListedBuild<'a>>,
    /// True if `--limit` omitted older builds.
    has_more: bool,
}

/// A build of the history, and one line of `gotrace builds --format jsonl`.
#[derive(Serialize, JsonSchema)]
pub(super) struct ListedBuild<'a> {
    #[serde(flatten)]
    entry: &'a Entry,
    /// Time from the start to the end. Absent if the end was not seen.
    wall_ns: Option<u64>,
}

impl<'a> ListedBuild<'a> {
    pub(super) fn of(entry: &'a Entry) -> Self {
        Self {
            wall_ns: entry.wall_ns(),
            entry,
        }
    }
}

/// Output of `gotrace show --format json`. Under one schema name, fields are only added.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "gotrace build, version 1")]
struct BuildDocument<'a> {
    /// `gotrace.build/v1`.
    schema: &'static str,
    build: ListedBuild<'a>,
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
    build: ListedBuild<'a>,
    explanation: Explanation,
    /// Executed actions whose inputs an earlier action had, with success.
    done_before: DoneBefore,
    /// Their sums by place, dearest first.
    done_before_by_place: Vec<PlaceSum>,
    /// CPU time that the build cache saved.
    saved: Saved,
    /// Verdict on restoring the build cache, if its duration was given.
    cache_restore: Option<CacheRestore>,
}

pub fn explain_json(
    shown: &BuildView,
    explained: Explained,
    cache_restore: Option<CacheRestore>,
    package: Option<&str>,
    layout: Layout,
    out: &mut dyn Write,
) -> io::Result<()> {
    let Explained {
        mut explanation,
        mut done_before,
        saved,
        earlier_cpu: _,
    } = explained;
    if let Some(package) = package {
        explanation.retain_package(package);
        done_before.retain(&explanation);
    }
    let document = ExplanationDocument {
        schema: "gotrace.explanation/v1",
        build: ListedBuild::of(&shown.entry),
        explanation,
        done_before_by_place: done_before.sums(),
        done_before,
        cache_restore,
        saved,
    };
    write_document(&document, layout, out)
}

/// Output of `gotrace compare --format json`. Under one schema name, fields are only added.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "gotrace comparison, version 1")]
struct ComparisonDocument<'a> {
    /// `gotrace.comparison/v1`.
    schema: &'static str,
    before: ListedBuild<'a>,
    after: ListedBuild<'a>,
    #[serde(flatten)]
    comparison: &'a Comparison,
}

/// `entries` are the builds before and after.
pub fn compare_json(
    (before, after): (&Entry, &Entry),
    comparison: &Comparison,
    layout: Layout,
    out: &mut dyn Write,
) -> io::Result<()> {
    let document = ComparisonDocument {
        schema: "gotrace.comparison/v1",
        before: ListedBuild::of(before),
        after: ListedBuild::of(after),
        comparison,
    };
    write_document(&document, layout, out)
}

/// The JSON schema of [`compare_json`].
pub fn compare_schema() -> serde_json::Value {
    describe(schemars::schema_for!(ComparisonDocument<'_>).to_value())
}

/// Output of `gotrace advise --format json`. Under one schema name, fields are only added.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "gotrace advice, version 1")]
struct AdviceDocument<'a> {
    /// `gotrace.advice/v1`.
    schema: &'static str,
    /// Price of an hour of CPU time, if it was given.
    cpu_hour_price: Option<f64>,
    advice: &'a Advice,
}

pub fn advice_json(view: &AdviceView<'_>, layout: Layout, out: &mut dyn Write) -> io::Result<()> {
    let document = AdviceDocument {
        schema: "gotrace.advice/v1",
        cpu_hour_price: view.cpu_hour_price,
        advice: view.advice,
    };
    write_document(&document, layout, out)
}

/// The JSON schema of [`advice_json`].
pub fn advice_schema() -> serde_json::Value {
    describe(schemars::schema_for!(AdviceDocument<'_>).to_value())
}

/// The JSON schema of [`explain_json`].
pub fn explain_schema() -> serde_json::Value {
    describe(schemars::schema_for!(ExplanationDocument<'_>).to_value())
}

pub fn builds_json(entries: &[Entry], has_more: bool, out: &mut dyn Write) -> io::Result<()> {
    let document = BuildList {
        schema: "gotrace.builds/v1",
        builds: entries.iter().map(ListedBuild::of).collect(),
        has_more,
    };
    write_document(&document, Layout::Indented, out)
}

/// Writes each build as one line of JSON.
pub fn builds_json_lines(entries: &[Entry], out: &mut dyn Write) -> io::Result<()> {
    let mut builds = entries.iter().map(ListedBuild::of);
    builds.try_for_each(|it| write_document(&it, Layout::Line, out))
}

pub fn show_json(shown: &BuildView, layout: Layout, out: &mut dyn Write) -> io::Result<()> {
    let finished = shown.finished.as_ref();
    let document = BuildDocument {
        schema: "gotrace.build/v1",
        build: ListedBuild::of(&shown.entry),
        nested: &shown.nested,
        previous: &shown.previous,
        trace: finished.map(FinishedTrace::trace),
        summary: finished.map(FinishedTrace::report),
    };
    write_document(&document, layout, out)
}

/// The JSON schema of [`builds_json`].
pub fn builds_schema() -> serde_json::Value {
    describe(schemars::schema_for!(BuildList<'_>).to_value())
}

/// The JSON schema of [`show_json`].
pub fn show_schema() -> serde_json::Value {
    describe(schemars::schema_for!(BuildDocument<'_>).to_value())
}
