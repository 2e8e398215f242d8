//! The published schema equals that of the code, and the output is valid by an independent implementation.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use expect_test::expect_file;

use super::*;
use crate::render::sample;

fn published() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../schema/gotrace.trace.v1.json")
}

fn written(trace: &Trace) -> String {
    let mut out = Vec::new();
    let finished = FinishedTrace::of(trace.clone());
    json(&finished, Layout::Indented, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_published_schema_is_current() {
    let schema = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    expect_file![published()].assert_eq(&schema);
}

#[test]
fn a_document_reads_back_as_the_trace() {
    for (name, trace) in sample::all() {
        let back: Trace = serde_json::from_str(&written(&trace)).unwrap();
        assert_eq!(back, trace, "{name}");
    }
}

#[test]
fn a_failed_build_looks_as_it_should() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/render/golden/failed.json");
    expect_file![file].assert_eq(&written(&sample::failed()));
}

#[test]
fn a_build_cannot_write_to_the_terminal() {
    let text = written(&sample::broken());
    assert!(!text.chars().any(|it| it.is_control() && it != '\n'));
    assert!(!text.contains('\u{202e}'));
    assert!(text.contains(r"evil\u001b[2J\u202e\n"), "{text}");
}

/// Validates with Python's `jsonschema`.
#[test]
fn every_sample_obeys_the_published_schema() {
    const JUDGE: &str = r"
import json, sys, jsonschema
schema = json.load(open(sys.argv[1]))
judge = jsonschema.validators.validator_for(schema)
judge.check_schema(schema)
for path in sys.argv[2:]:
    document = json.load(open(path))
    for error in judge(schema).iter_errors(document):
        sys.exit(f'{path}: {error.json_path}: {error.message}')
    for key in ('schema', 'builds', 'summary'):
        del document[key]
        if judge(schema).is_valid(document):
            sys.exit(f'{path}: valid without {key}')
";
    let has_judge = |python: &&str| {
        Command::new(python)
            .args(["-c", "import jsonschema"])
            .output()
            .is_ok_and(|it| it.status.success())
    };
    let python = ["python3", "/usr/bin/python3"].into_iter().find(has_judge);
    let python = python.expect(
        "no python3 with jsonschema: `cargo xtask test` installs it (Debian's python3-jsonschema)",
    );
    let dir = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for (name, trace) in sample::all() {
        let path = dir.path().join(format!("{name}.json"));
        fs::write(&path, written(&trace)).unwrap();
        paths.push(path);
    }
    let out = Command::new(python)
        .args(["-c", JUDGE])
        .arg(published())
        .args(&paths)
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
}
