//! Lists of builds and single builds as JSON documents, and their schemas.

use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;
use tracer_core::advise::Advice;
use tracer_core::explain::{CacheRestore, DoneBefore, Explanation, PlaceSum, Saved};
use tracer_core::finished::FinishedTrace;
use tracer_core::history::{BuildId, Entry};
use tracer_core::model::Trace;
use tracer_core::price::ProgramPrice;
use tracer_core::report::Report;
use tracer_core::schedule::{MemoryReport, Prediction, TestLedger, TimeReport};

use super::causes::Explained;
use super::read::{BuildView, Previous};
use crate::render::{AdviceView, Layout, WhatIf, describe, write_document};

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
struct ListedBuild<'a> {
    #[serde(flatten)]
    entry: &'a Entry,
    /// Time from the start to the end. Absent if the end was not seen.
    wall_ns: Option<u64>,
}

impl<'a> ListedBuild<'a> {
    fn of(entry: &'a Entry) -> Self {
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

/// Output of `gotrace explain --time --format json`. Under one schema name, fields are only added.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "gotrace time, version 1")]
struct TimeDocument<'a> {
    /// `gotrace.time/v1`.
    schema: &'static str,
    build: ListedBuild<'a>,
    time: &'a TimeReport,
}

pub fn time_json(
    entry: &Entry,
    time: &TimeReport,
    layout: Layout,
    out: &mut dyn Write,
) -> io::Result<()> {
    let document = TimeDocument {
        schema: "gotrace.time/v1",
        build: ListedBuild::of(entry),
        time,
    };
    write_document(&document, layout, out)
}

/// The JSON schema of [`time_json`].
pub fn time_schema() -> serde_json::Value {
    describe(schemars::schema_for!(TimeDocument<'_>).to_value())
}

/// Output of `gotrace explain --tests --format json`. Under one schema name, fields are only added.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "gotrace tests, version 1")]
struct TestsDocument<'a> {
    /// `gotrace.tests/v1`.
    schema: &'static str,
    build: ListedBuild<'a>,
    #[serde(flatten)]
    ledger: &'a TestLedger,
}

pub fn tests_json(
    entry: &Entry,
    ledger: &TestLedger,
    layout: Layout,
    out: &mut dyn Write,
) -> io::Result<()> {
    let document = TestsDocument {
        schema: "gotrace.tests/v1",
        build: ListedBuild::of(entry),
        ledger,
    };
    write_document(&document, layout, out)
}

/// The JSON schema of [`tests_json`].
pub fn tests_schema() -> serde_json::Value {
    describe(schemars::schema_for!(TestsDocument<'_>).to_value())
}

/// Output of `gotrace explain --memory --format json`. Under one schema name, fields are only added.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "gotrace memory, version 1")]
struct MemoryReportDocument<'a> {
    /// `gotrace.memory/v1`.
    schema: &'static str,
    build: ListedBuild<'a>,
    #[serde(flatten)]
    report: &'a MemoryReport,
}

pub fn memory_json(
    entry: &Entry,
    report: &MemoryReport,
    layout: Layout,
    out: &mut dyn Write,
) -> io::Result<()> {
    let document = MemoryReportDocument {
        schema: "gotrace.memory/v1",
        build: ListedBuild::of(entry),
        report,
    };
    write_document(&document, layout, out)
}

/// The JSON schema of [`memory_json`].
pub fn memory_schema() -> serde_json::Value {
    describe(schemars::schema_for!(MemoryReportDocument<'_>).to_value())
}

/// Output of `gotrace what-if --format json`. Under one schema name, fields are only added.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "gotrace what-if, version 1")]
struct WhatIfDocument<'a> {
    /// `gotrace.what-if/v1`.
    schema: &'static str,
    build: ListedBuild<'a>,
    prediction: &'a Prediction,
    /// The answer to `--memory`.
    memory: Option<MemoryDocument<'a>>,
}

#[derive(Serialize, JsonSchema)]
struct MemoryDocument<'a> {
    limit_bytes: u64,
    /// The prediction with the largest number of actions at once that fits. Absent if a single tool needs more.
    fitting: Option<&'a Prediction>,
}

pub fn what_if_json(
    entry: &Entry,
    what_if: &WhatIf,
    layout: Layout,
    out: &mut dyn Write,
) -> io::Result<()> {
    let memory = what_if.memory.as_ref();
    let document = WhatIfDocument {
        schema: "gotrace.what-if/v1",
        build: ListedBuild::of(entry),
        prediction: &what_if.prediction,
        memory: memory.map(|(limit_bytes, fitting)| MemoryDocument {
            limit_bytes: *limit_bytes,
            fitting: fitting.as_ref(),
        }),
    };
    write_document(&document, layout, out)
}

/// The JSON schema of [`what_if_json`].
pub fn what_if_schema() -> serde_json::Value {
    describe(schemars::schema_for!(WhatIfDocument<'_>).to_value())
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

/// Output of `gotrace explain --modules --format json`. Under one schema name, fields are only added.
#[derive(Serialize, JsonSchema)]
#[schemars(title = "gotrace module prices, version 1")]
struct PriceDocument<'a> {
    /// `gotrace.price/v1`.
    schema: &'static str,
    build: ListedBuild<'a>,
    /// The programs that the build made or found up to date.
    programs: &'a [ProgramPrice],
}

pub fn price_json(
    entry: &Entry,
    programs: &[ProgramPrice],
    layout: Layout,
    out: &mut dyn Write,
) -> io::Result<()> {
    let document = PriceDocument {
        schema: "gotrace.price/v1",
        build: ListedBuild::of(entry),
        programs,
    };
    write_document(&document, layout, out)
}

/// The JSON schema of [`price_json`].
pub fn price_schema() -> serde_json::Value {
    describe(schemars::schema_for!(PriceDocument<'_>).to_value())
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
