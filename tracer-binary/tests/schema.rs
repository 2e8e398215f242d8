//! The published schemas are those of the types. `UPDATE_EXPECT=1` rewrites them.
#![cfg(test)]

use expect_test::{ExpectFile, expect_file};
use schemars::{JsonSchema, schema_for};
use tracer_binary::{Analysis, Fingerprint, Snapshot};

fn check<T: JsonSchema>(expected: &ExpectFile) {
    let schema = serde_json::to_string_pretty(&schema_for!(T)).unwrap();
    expected.assert_eq(&format!("{schema}\n"));
}

#[test]
fn the_schema_of_an_analysis_is_published() {
    check::<Analysis>(&expect_file!["../../schema/gotrace.analysis.v1.json"]);
}

#[test]
fn the_schema_of_a_snapshot_is_published() {
    check::<Snapshot>(&expect_file!["../../schema/gotrace.snapshot.v1.json"]);
}

#[test]
fn the_schema_of_a_fingerprint_is_published() {
    check::<Fingerprint>(&expect_file!["../../schema/gotrace.fingerprint.v1.json"]);
}
