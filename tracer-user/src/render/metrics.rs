//! A trace as Prometheus metrics: counters of one run, in the text format.
//!
//! Labels are few and bounded: no ids, paths, hashes or flags as they were typed. Values that a build chose pass [`guard`], which
//! limits their length and their number, so that no build can flood or break what scrapes it.

mod family;
mod guard;
mod label;

use prometheus::{Registry, TextEncoder};
use tracer_core::model::{Anomaly, Build, CallKind, EventCounts, ToolCall, Trace};
use tracer_core::report::{self, BuildReport};

use family::Families;
use label::{output_sizes, target};

/// The metrics of a trace. An error is a mistake of ours, never one of the trace.
pub fn metrics(trace: &Trace) -> Result<String, prometheus::Error> {
    let registry = Registry::new();
    let mut families = Families::register(&registry)?;
    let report = report::analyze(trace);
    for (build, numbers) in trace.builds.iter().zip(&report.builds) {
        observe_build(&mut families, build, numbers)?;
        observe_calls(&mut families, build)?;
        observe_outputs(&mut families, build, trace)?;
    }
    observe_tracing(&mut families, trace)?;
    TextEncoder::new().encode_to_string(&registry.gather())
}

fn observe_build(
    families: &mut Families,
    build: &Build,
    numbers: &BuildReport,
) -> Result<(), prometheus::Error> {
    let command = label::command(&build.command.name);
    let status = label::status(build);
    let project = label::project(build);
    let (goos, goarch, go_version) = label::platform(build);
    families
        .builds
        .with(&[command, status, project, goos, goarch, go_version])?
        .inc();
    families
        .duration
        .with(&[command, status, project, go_version])?
        .observe(seconds(numbers.wall_ns));
    families
        .packages
        .with(&["compiled", project])?
        .inc_by(u64::from(build.packages.compiled));
    if let Some(cached) = build.packages.cached {
        families
            .packages
            .with(&["cached", project])?
            .inc_by(u64::from(cached));
    }
    families
        .cpu
        .with(&["go", "user"])?
        .inc_by(seconds(numbers.go_user_ns));
    families
        .cpu
        .with(&["go", "system"])?
        .inc_by(seconds(numbers.go_system_ns));
    if numbers.loading_ns > 0 {
        families
            .phase
            .with(&["go", "load", goarch, go_version])?
            .observe(seconds(numbers.loading_ns));
    }
    Ok(())
}

fn observe_calls(families: &mut Families, build: &Build) -> Result<(), prometheus::Error> {
    let (_, goarch, go_version) = label::platform(build);
    for call in &build.calls {
        let tool = label::tool(call.kind);
        families
            .cpu
            .with(&[tool, "user"])?
            .inc_by(seconds(call.usage.user_ns));
        families
            .cpu
            .with(&[tool, "system"])?
            .inc_by(seconds(call.usage.system_ns));
        if call.usage.max_rss_bytes > 0
            && let Some(gauge) = families.max_rss.with_if_room(&[tool])?
        {
            gauge.set(gauge.get().max(bytes(call.usage.max_rss_bytes)));
        }
        for (name, ns) in phases(call) {
            families
                .phase
                .with(&[tool, name, goarch, go_version])?
                .observe(seconds(ns));
        }
    }
    Ok(())
}

/// Phases of a compiler or linker whose ends are known, with their lengths.
fn phases(call: &ToolCall) -> impl Iterator<Item = (&str, u64)> {
    let has_phases = matches!(call.kind, CallKind::Compile | CallKind::Link);
    let phases = call.phases.iter().filter(move |_| has_phases);
    phases.filter_map(|it| Some((it.name.as_str(), it.end.or(call.end)?.since(it.start))))
}

fn observe_outputs(
    families: &mut Families,
    build: &Build,
    trace: &Trace,
) -> Result<(), prometheus::Error> {
    let project = label::project(build);
    let (goos, goarch, go_version) = label::platform(build);
    for (target, size) in output_sizes(build) {
        if let Some(gauge) = families
            .binary_size
            .with_if_room(&[project, target, goos, goarch])?
        {
            gauge.set(bytes(size));
        }
    }
    for output in build.outputs.iter().filter(|it| it.artifact.is_some()) {
        let Some(target) = target(output) else {
            continue;
        };
        if let Some(gauge) = families
            .timestamp
            .with_if_room(&[project, target, goos, goarch])?
        {
            let at = build
                .end
                .unwrap_or(trace.end)
                .0
                .saturating_add_signed(trace.boot_to_wall_ns);
            gauge.set(seconds(at));
        }
        let facts = label::Facts::of(build, output);
        let values = [
            project,
            target,
            go_version,
            goos,
            goarch,
            facts.cgo,
            facts.buildmode,
            facts.trimpath,
            facts.stripped,
            facts.race,
            facts.goflags_set,
        ];
        if let Some(gauge) = families.info.with_if_room(&values)? {
            gauge.set(1.0);
        }
    }
    Ok(())
}

fn observe_tracing(families: &mut Families, trace: &Trace) -> Result<(), prometheus::Error> {
    let EventCounts {
        forks,
        execs,
        exits,
        renames,
        calls,
        lost,
        unreadable,
    } = trace.events;
    for (kind, n) in [
        ("fork", forks),
        ("exec", execs),
        ("exit", exits),
        ("rename", renames),
        ("call", calls),
    ] {
        families.events.with(&[kind])?.inc_by(n);
        families.lost.with(&[kind])?.inc_by(0);
    }
    families.unreadable.inc_by(unreadable);
    let mut told = 0_u64;
    for anomaly in &trace.anomalies {
        if let Anomaly::Lost { kind, n } = anomaly {
            families.lost.with(&[kind])?.inc_by(*n);
            told = told.saturating_add(*n);
        }
    }
    let untold = lost.saturating_sub(told);
    if untold > 0 {
        families.lost.with(&["unknown"])?.inc_by(untold);
    }
    for tool in &trace.tools {
        let name = label::role(tool.role);
        if let Some(gauge) = families.probes.with_if_room(&[name, &tool.version])? {
            gauge.set(gauge.get() + count(tool.attached.len()));
        }
    }
    Ok(())
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus values are doubles; a century of nanoseconds loses microseconds"
)]
fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus values are doubles; exact up to 9 PB"
)]
fn bytes(n: u64) -> f64 {
    n as f64
}

fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
