//! Adds builds to the families, for the file of one run and for the agent's registry.

use prometheus::Error;
use tracer_core::event::Artifact;
use tracer_core::finished::{FinishedBuild, binaries, target};
use tracer_core::judge::{Judgement, SizeChange};
use tracer_core::model::{Build, CallKind, FailureClass, Installed, ToolCall};

use super::family::Families;
use super::label::{self, TargetSettings};
use super::target::{TargetBuild, TargetKey};
use crate::history::CauseSums;

/// Adds a build to all families.
pub(crate) fn build(
    families: &mut Families,
    finished: FinishedBuild<'_>,
    judgement: &Judgement,
) -> Result<(), Error> {
    let (build, numbers) = (finished.build, finished.report);
    let (goos, goarch, go_version) = label::platform(build);
    let command = label::command(&build.command.name);
    let status = finished.entry.state.name();
    let failure = finished.entry.failure;
    let failure = failure.map_or(label::NONE, FailureClass::name);
    let project = label::project(build);
    families
        .builds
        .with(&[command, status, failure, project, goos, goarch, go_version])?
        .inc();
    families
        .duration
        .with(&[command, status, project, go_version])?
        .observe(seconds(numbers.wall_ns));
    let packages = [
        ("compiled", Some(build.packages.compiled)),
        ("cached", build.packages.cached),
    ];
    for (outcome, n) in packages {
        if let Some(n) = n {
            families
                .packages
                .with(&[outcome, project])?
                .inc_by(u64::from(n));
        }
    }
    if let Some(reason) = judgement.miss {
        let counter = families.cache_misses.with(&[reason.as_str(), project])?;
        counter.inc_by(u64::from(build.packages.compiled));
    }
    let entry = finished.entry;
    for (mode, ns) in [("user", entry.cpu_user_ns), ("system", entry.cpu_system_ns)] {
        let counter = families.project_cpu.with(&[project, mode])?;
        counter.inc_by(seconds(ns));
    }
    if let Some(drift) = &judgement.drift {
        families.drift(build.module.as_deref(), drift)?;
        families.project_memory(project, entry.max_rss_bytes)?;
    }
    for (mode, ns) in [
        ("user", numbers.go_user_ns),
        ("system", numbers.go_system_ns),
    ] {
        families.cpu.with(&["go", mode])?.inc_by(seconds(ns));
    }
    if numbers.loading_ns > 0 {
        families
            .phase
            .with(&["go", "load", goarch, go_version])?
            .observe(seconds(numbers.loading_ns));
    }
    calls(families, build)?;
    outputs(families, finished, judgement)
}

/// Adds the causes of a stored build.
pub(crate) fn causes(families: &mut Families, sums: &CauseSums) -> Result<(), Error> {
    let project = label::known(sums.project.as_deref());
    for (reason, ns) in &sums.by_reason {
        let counter = families.miss_cpu.with(&[reason.name(), project])?;
        counter.inc_by(seconds(*ns));
    }
    for (place, ns) in &sums.by_place {
        let counter = families.redundant_cpu.with(&[place.name(), project])?;
        counter.inc_by(seconds(*ns));
    }
    Ok(())
}

fn calls(families: &mut Families, build: &Build) -> Result<(), prometheus::Error> {
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
        if let Some(max_rss_bytes) = call.usage.max_rss_bytes
            && let Some(gauge) = families.max_rss.with_if_room(&[tool])?
        {
            gauge.set(gauge.get().max(bytes(max_rss_bytes)));
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

/// Phases of a compiler or linker with a known end, and their durations.
fn phases(call: &ToolCall) -> impl Iterator<Item = (&str, u64)> {
    let has_phases = matches!(call.kind, CallKind::Compile | CallKind::Link);
    let phases = call.phases.iter().filter(move |_| has_phases);
    phases.filter_map(|it| Some((it.name.as_str(), it.end.or(call.end)?.since(it.start))))
}

/// Sets the gauges of the targets of a build.
pub(crate) fn outputs(
    families: &mut Families,
    finished: FinishedBuild<'_>,
    judgement: &Judgement,
) -> Result<(), Error> {
    let at_ns = finished.ended_ns();
    for made in target_outputs(finished.build) {
        let TargetOutput {
            key: [project, target, goos, goarch],
            info,
            artifact,
            how: _,
            at,
        } = made;
        let key = TargetKey::new(project, target, goos, goarch);
        let change: Option<&Option<SizeChange>> = judgement.sizes.get(at);
        families.targets(
            key,
            &TargetBuild {
                at_ns,
                size: artifact.map(|it| it.size),
                change: change.copied().flatten(),
                anatomy: artifact.and_then(|it| it.anatomy.as_deref()),
                info: &info,
            },
        )?;
    }
    Ok(())
}

/// An output of a target, with its label values.
pub(crate) struct TargetOutput<'a> {
    /// Project, target, GOOS, GOARCH.
    pub(crate) key: [&'a str; 4],
    /// Label values of `go_build_info`.
    pub(crate) info: [&'a str; 11],
    /// The binary, if the target has several files.
    pub(crate) artifact: Option<&'a Artifact>,
    pub(crate) how: Installed,
    /// Index in the outputs of the build.
    at: usize,
}

/// The readable outputs of a build with a known target.
pub(crate) fn target_outputs(build: &Build) -> impl Iterator<Item = TargetOutput<'_>> {
    let (goos, goarch, go_version) = label::platform(build);
    let binaries = binaries(build);
    let outputs = build.outputs.iter().enumerate();
    let outputs = outputs.filter(|(_, it)| it.artifact.is_some());
    outputs.filter_map(move |(at, output)| {
        let target = target(output)?;
        let project = output.project(build).unwrap_or(label::UNKNOWN);
        let facts = TargetSettings::of(build, output);
        let info = [
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
        Some(TargetOutput {
            key: [project, target, goos, goarch],
            info,
            artifact: binaries.get(target).copied(),
            how: output.how,
            at,
        })
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus values are doubles; a century of nanoseconds loses microseconds"
)]
pub(crate) fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus values are doubles; exact up to 9 PB"
)]
pub(crate) fn bytes(n: u64) -> f64 {
    n as f64
}
