//! Documents with one view of a build of the history: where its time went, what its tests cost, and so on.

use std::io::{self, Write};

use schemars::JsonSchema;
use serde::Serialize;
use tracer_core::history::Entry;
use tracer_core::price::Prices;
use tracer_core::schedule::{MemoryReport, TestLedger, TimeReport, WhatIf};

use super::json::ListedBuild;
use crate::render::{Layout, describe, write_document};

/// A view that is a document of its own. Under one schema name, fields are only added.
pub trait View: Serialize + JsonSchema {
    /// Such as `gotrace.time/v1`.
    const SCHEMA: &'static str;
    /// The title of the JSON schema.
    const TITLE: &'static str;
}

impl View for TimeReport {
    const SCHEMA: &'static str = "gotrace.time/v1";
    const TITLE: &'static str = "gotrace time, version 1";
}

impl View for TestLedger {
    const SCHEMA: &'static str = "gotrace.tests/v1";
    const TITLE: &'static str = "gotrace tests, version 1";
}

impl View for MemoryReport {
    const SCHEMA: &'static str = "gotrace.memory/v1";
    const TITLE: &'static str = "gotrace memory, version 1";
}

impl View for WhatIf {
    const SCHEMA: &'static str = "gotrace.what-if/v1";
    const TITLE: &'static str = "gotrace what-if, version 1";
}

impl View for Prices {
    const SCHEMA: &'static str = "gotrace.price/v1";
    const TITLE: &'static str = "gotrace module prices, version 1";
}

#[derive(Serialize, JsonSchema)]
struct ViewDocument<'a, T> {
    /// The name of this schema, with its version.
    schema: &'static str,
    build: ListedBuild<'a>,
    #[serde(flatten)]
    view: &'a T,
}

pub fn view_json<T: View>(
    entry: &Entry,
    view: &T,
    layout: Layout,
    out: &mut dyn Write,
) -> io::Result<()> {
    let document = ViewDocument {
        schema: T::SCHEMA,
        build: ListedBuild::of(entry),
        view,
    };
    write_document(&document, layout, out)
}

/// The JSON schema of [`view_json`].
pub fn view_schema<T: View>() -> serde_json::Value {
    let mut schema = schemars::schema_for!(ViewDocument<'_, T>);
    schema.insert("title".to_owned(), T::TITLE.into());
    describe(schema.to_value())
}
