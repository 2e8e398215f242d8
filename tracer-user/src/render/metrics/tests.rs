//! The metrics of the samples, checked by Prometheus' own tool.

use std::io::Write as _;
use std::process::{Command, Stdio};

use expect_test::expect_file;
use tracer_core::report;

use super::*;
use crate::render::sample;

#[test]
fn a_cold_build_looks_as_it_should() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/render/golden/cold.prom");
    expect_file![file].assert_eq(&metrics(&FinishedTrace::of(sample::cold())).unwrap());
}

/// promtool asks for bytes as the unit of sizes. Entropy is no size, and its unit is the bit.
const NO_SIZE: &str =
    "go_build_binary_section_entropy_bits use base unit \"bytes\" instead of \"bits\"";

#[test]
fn promtool_accepts_the_metrics() {
    for (name, trace) in sample::all() {
        let text = metrics(&FinishedTrace::of(trace.clone())).unwrap();
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("no promtool: `cargo xtask test` installs it (Debian's prometheus)");
        promtool
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        let out = promtool.wait_with_output().unwrap();
        let said = String::from_utf8([out.stdout, out.stderr].concat()).unwrap();
        let complaints: Vec<&str> = said.lines().filter(|it| *it != NO_SIZE).collect();
        let is_silent = out.status.success() || said.contains(NO_SIZE);
        assert!(is_silent && complaints.is_empty(), "{name}: {said}\n{text}");
    }
}

#[test]
fn a_build_cannot_add_lines_or_series() {
    let text = metrics(&FinishedTrace::of(sample::broken())).unwrap();
    assert!(
        !text
            .lines()
            .any(|line| line.starts_with("go_build_builds_total 7")),
        "{text}"
    );
    assert!(
        !text.chars().any(|it| it.is_control() && it != '\n'),
        "{text}"
    );
    let longest = text
        .lines()
        .filter(|it| !it.starts_with('#'))
        .map(str::len)
        .max()
        .unwrap();
    assert!(longest < 1500, "{longest}");
}

#[test]
fn many_targets_stay_within_the_limit() {
    let mut trace = sample::up_to_date();
    let output = trace.builds[0].outputs[0].clone();
    trace.builds[0].outputs = (0..5000)
        .map(|n| {
            let mut output = output.clone();
            output.package = Some(format!("example.com/hello/cmd/tool{n}").into());
            output
        })
        .collect();
    let text = metrics(&FinishedTrace::of(trace.clone())).unwrap();
    let series = text
        .lines()
        .filter(|it| it.starts_with("go_build_binary_size_bytes{"))
        .count();
    assert_eq!(series, 200);
    assert!(
        text.contains("gotrace_series_dropped_total{family=\"go_build_binary_size_bytes\"} 4800"),
        "{text}"
    );
}

#[test]
fn cpu_of_all_tools_is_the_cpu_of_the_build() {
    let trace = sample::cold();
    let text = metrics(&FinishedTrace::of(trace.clone())).unwrap();
    let sum: f64 = text
        .lines()
        .filter(|it| it.starts_with("go_build_cpu_seconds_total{"))
        .map(|it| it.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    let whole = fold::seconds(report::cpu_ns(trace.builds[0].usage));
    assert!((sum - whole).abs() < 1e-6, "{sum} of {whole}");
}
