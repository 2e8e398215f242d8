//! The metric families as a table: names, help, labels and limits of series. `docs/metrics.md` describes each family.

use prometheus::{
    CounterVec, Error, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, Opts, Registry,
};
use tracer_core::history::SettingGroup;
use tracer_core::judge::PROJECTS;

use super::guard::{BoundedFamily, NewSeries, PreviousSeries};
use super::section;
use super::target::LiveTargets;

/// A row of the table.
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) help: &'static str,
    pub(crate) labels: &'static [&'static str],
    pub(crate) limit: usize,
}

/// Limit of series of a family with a project or a target in its labels.
const SERIES: usize = 200;
/// Limit for packages: two outcomes of each project.
const PACKAGE_SERIES: usize = 2 * PROJECTS;
/// Limit for cache misses: half of the reasons of each project.
const MISS_SERIES: usize = 5 * PROJECTS;
/// Limit for sections: a hundred targets with every section label. Real targets have about half of the labels.
const SECTION_SERIES: usize = SERIES / 2 * section::LABELS;
/// Limit for phases: about 45 phases of compiler and linker, for each Go version and architecture.
const PHASE_SERIES: usize = 400;
/// Buckets from a build without work to a build of half an hour.
pub(crate) const BUILD_SECONDS: &[f64] = &[
    0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0,
];
/// Buckets for phases, most of which are short.
const PHASE_SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

pub(crate) const BUILDS: Spec = Spec {
    name: "go_build_builds_total",
    help: "Runs of the go command, by state and failure class.",
    labels: &[
        "command",
        "status",
        "failure",
        "project",
        "goos",
        "goarch",
        "go_version",
    ],
    limit: SERIES,
};
pub(crate) const DURATION: Spec = Spec {
    name: "go_build_duration_seconds",
    help: "Wall time of runs of the go command, in seconds.",
    labels: &["command", "status", "project", "go_version"],
    limit: SERIES,
};
pub(crate) const PHASE: Spec = Spec {
    name: "go_build_phase_duration_seconds",
    help: "Wall time of phases of the compiler, the linker and the go command, in seconds.",
    labels: &["tool", "phase", "goarch", "go_version"],
    limit: PHASE_SERIES,
};
const PACKAGES: Spec = Spec {
    name: "go_build_packages_total",
    help: "Packages, by outcome: compiled, or taken from the build cache.",
    labels: &["outcome", "project"],
    limit: PACKAGE_SERIES,
};
const CACHE_MISSES: Spec = Spec {
    name: "go_build_cache_misses_total",
    help: "Compiled packages, by the reason for the cache miss.",
    labels: &["reason", "project"],
    limit: MISS_SERIES,
};
const MISS_CPU: Spec = Spec {
    name: "go_build_cache_miss_cpu_seconds_total",
    help: "CPU time of executed actions with a cache key in seconds, by the reason why they ran.",
    labels: &["reason", "project"],
    limit: MISS_SERIES,
};
const REDUNDANT_CPU: Spec = Spec {
    name: "go_build_redundant_cpu_seconds_total",
    help: "CPU time of executed actions whose work had been done before in seconds, by where that was.",
    labels: &["where", "project"],
    limit: MISS_SERIES,
};
const ENV_DRIFT: Spec = Spec {
    name: "go_build_env_drift",
    help: "Settings that differ between the recent builds of a project for one platform, by kind.",
    labels: &["project", "kind"],
    limit: PROJECTS * SettingGroup::ALL.len(),
};
const CPU: Spec = Spec {
    name: "go_build_cpu_seconds_total",
    help: "CPU time of the go command and its tools in seconds, by tool; nested tools count under their own name.",
    labels: &["tool", "mode"],
    limit: SERIES,
};
const PROJECT_CPU: Spec = Spec {
    name: "go_build_project_cpu_seconds_total",
    help: "CPU time of the builds of a project, of the go command and all its tools, in seconds.",
    labels: &["project", "mode"],
    limit: 2 * PROJECTS,
};
const PROJECT_MAX_RSS: Spec = Spec {
    name: "go_build_project_max_rss_bytes",
    help: "Largest resident set of a single process in the last build of a project, in bytes.",
    labels: &["project"],
    limit: PROJECTS,
};
const MAX_RSS: Spec = Spec {
    name: "go_build_tool_max_rss_bytes",
    help: "Largest resident set of a single process of the tool, in bytes.",
    labels: &["tool"],
    limit: SERIES,
};
pub(crate) const BINARY_SIZE: Spec = Spec {
    name: "go_build_binary_size_bytes",
    help: "Size of the last file built from the target, in bytes.",
    labels: &["project", "target", "goos", "goarch"],
    limit: SERIES,
};
const SIZE_BASELINE: Spec = Spec {
    name: "go_build_binary_size_baseline_bytes",
    help: "Size of the previous file built from the target with the same settings, in bytes.",
    labels: BINARY_SIZE.labels,
    limit: SERIES,
};
const SIZE_DELTA: Spec = Spec {
    name: "go_build_binary_size_delta_bytes",
    help: "Size of the last file built from the target minus its baseline, in bytes.",
    labels: BINARY_SIZE.labels,
    limit: SERIES,
};
const SIZE_THRESHOLD: Spec = Spec {
    name: "go_build_binary_size_threshold_bytes",
    help: "Largest size of the target that the size budget allows, in bytes.",
    labels: BINARY_SIZE.labels,
    limit: SERIES,
};
const SECTION_SIZE: Spec = Spec {
    name: "go_build_binary_section_size_bytes",
    help: "Size of a section in the last file built from the target, in bytes.",
    labels: &["project", "target", "goos", "goarch", "section"],
    limit: SECTION_SERIES,
};
const SECTION_ENTROPY: Spec = Spec {
    name: "go_build_binary_section_entropy_bits",
    help: "Entropy of a section in the last file built from the target, in bits per byte, from 0 to 8.",
    labels: &["project", "target", "goos", "goarch", "section"],
    limit: SECTION_SERIES,
};
pub(crate) const TIMESTAMP: Spec = Spec {
    name: "go_build_timestamp_seconds",
    help: "Time of the last build of the target, in seconds since 1970.",
    labels: &["project", "target", "goos", "goarch"],
    limit: SERIES,
};
pub(crate) const INFO: Spec = Spec {
    name: "go_build_info",
    help: "Settings of the last build of the target, as labels; always 1.",
    labels: &[
        "project",
        "target",
        "go_version",
        "goos",
        "goarch",
        "cgo",
        "buildmode",
        "trimpath",
        "stripped",
        "race",
        "goflags_set",
    ],
    limit: SERIES,
};
/// For pushed groups only: a histogram of one build is useless, so the groups have gauges of the last build.
pub(crate) const LAST_TIMESTAMP: Spec = Spec {
    name: "go_build_last_timestamp_seconds",
    help: "End of the last build of the target, successful or not, in seconds since 1970.",
    labels: BINARY_SIZE.labels,
    limit: SERIES,
};
pub(crate) const LAST_DURATION: Spec = Spec {
    name: "go_build_last_duration_seconds",
    help: "Wall time of the last build of the target, in seconds.",
    labels: BINARY_SIZE.labels,
    limit: SERIES,
};
pub(crate) const LAST_SUCCESS: Spec = Spec {
    name: "go_build_last_success",
    help: "1 if the last build of the target succeeded, 0 if not.",
    labels: BINARY_SIZE.labels,
    limit: SERIES,
};
const EVENTS: Spec = Spec {
    name: "gotrace_events_total",
    help: "Events received from the kernel, by kind.",
    labels: &["kind"],
    limit: SERIES,
};
const LOST: Spec = Spec {
    name: "gotrace_events_lost_total",
    help: "Events lost in the kernel for want of buffer space, by kind; reports of builds may be incomplete.",
    labels: &["kind"],
    limit: SERIES,
};
const UNREADABLE: Spec = Spec {
    name: "gotrace_events_unreadable_total",
    help: "Records received from the kernel that could not be decoded.",
    labels: &[],
    limit: 1,
};
const PROBES: Spec = Spec {
    name: "gotrace_probes_attached",
    help: "Probes attached to toolchain programs.",
    labels: &[],
    limit: 1,
};
const DROPPED: Spec = Spec {
    name: "gotrace_series_dropped_total",
    help: "Series omitted because their family had reached its limit, by family.",
    labels: &["family"],
    limit: SERIES,
};
const VERSION: Spec = Spec {
    name: "gotrace_build_info",
    help: "Version of gotrace; always 1.",
    labels: &["version"],
    limit: 1,
};

/// Every row, for the test that compares the documentation with them.
#[cfg(test)]
pub(crate) const ALL: &[&Spec] = &[
    &BUILDS,
    &DURATION,
    &PHASE,
    &PACKAGES,
    &CACHE_MISSES,
    &MISS_CPU,
    &REDUNDANT_CPU,
    &ENV_DRIFT,
    &CPU,
    &PROJECT_CPU,
    &PROJECT_MAX_RSS,
    &MAX_RSS,
    &BINARY_SIZE,
    &SIZE_BASELINE,
    &SIZE_DELTA,
    &SIZE_THRESHOLD,
    &SECTION_SIZE,
    &SECTION_ENTROPY,
    &TIMESTAMP,
    &INFO,
    &LAST_TIMESTAMP,
    &LAST_DURATION,
    &LAST_SUCCESS,
    &EVENTS,
    &LOST,
    &UNREADABLE,
    &PROBES,
    &DROPPED,
    &VERSION,
];

/// Every family.
pub(crate) struct Families {
    pub(crate) builds: BoundedFamily<IntCounterVec>,
    pub(crate) duration: BoundedFamily<HistogramVec>,
    pub(crate) phase: BoundedFamily<HistogramVec>,
    pub(crate) packages: BoundedFamily<IntCounterVec>,
    pub(super) cache_misses: BoundedFamily<IntCounterVec>,
    pub(super) miss_cpu: BoundedFamily<CounterVec>,
    pub(super) redundant_cpu: BoundedFamily<CounterVec>,
    pub(super) env_drift: BoundedFamily<GaugeVec>,
    pub(crate) cpu: BoundedFamily<CounterVec>,
    pub(super) project_cpu: BoundedFamily<CounterVec>,
    pub(super) project_max_rss: BoundedFamily<GaugeVec>,
    pub(crate) max_rss: BoundedFamily<GaugeVec>,
    pub(crate) binary_size: BoundedFamily<GaugeVec>,
    pub(super) size_baseline: BoundedFamily<GaugeVec>,
    pub(super) size_delta: BoundedFamily<GaugeVec>,
    pub(super) size_threshold: BoundedFamily<GaugeVec>,
    pub(crate) section_size: BoundedFamily<GaugeVec>,
    pub(crate) section_entropy: BoundedFamily<GaugeVec>,
    pub(crate) timestamp: BoundedFamily<GaugeVec>,
    pub(crate) info: BoundedFamily<GaugeVec>,
    pub(crate) events: BoundedFamily<IntCounterVec>,
    pub(crate) lost: BoundedFamily<IntCounterVec>,
    pub(crate) unreadable: IntCounter,
    pub(crate) probes: Gauge,
    /// Targets that have gauges.
    pub(super) live: LiveTargets,
}

impl Families {
    /// Creates all families and registers them.
    pub(crate) fn register(registry: &Registry) -> Result<Self, Error> {
        let dropped = IntCounterVec::new(DROPPED.opts(), DROPPED.labels)?;
        registry.register(Box::new(dropped.clone()))?;
        let unreadable = IntCounter::with_opts(UNREADABLE.opts())?;
        registry.register(Box::new(unreadable.clone()))?;
        let probes = Gauge::with_opts(PROBES.opts())?;
        registry.register(Box::new(probes.clone()))?;
        let version = IntGauge::with_opts(
            VERSION
                .opts()
                .const_label("version", env!("CARGO_PKG_VERSION")),
        )?;
        version.set(1);
        registry.register(Box::new(version))?;

        let counter = |spec: &Spec| {
            let family = IntCounterVec::new(spec.opts(), spec.labels)?;
            BoundedFamily::register(family, spec, &dropped, registry)
        };
        let fraction = |spec: &Spec| {
            let family = CounterVec::new(spec.opts(), spec.labels)?;
            BoundedFamily::register(family, spec, &dropped, registry)
        };
        let gauge = |spec: &Spec| {
            let family = GaugeVec::new(spec.opts(), spec.labels)?;
            BoundedFamily::register(family, spec, &dropped, registry)
        };
        let histogram = |spec: &Spec, buckets: &[f64]| {
            let options = HistogramOpts {
                common_opts: spec.opts(),
                buckets: buckets.to_vec(),
            };
            let family = HistogramVec::new(options, spec.labels)?;
            BoundedFamily::register(family, spec, &dropped, registry)
        };
        Ok(Self {
            builds: counter(&BUILDS)?,
            duration: histogram(&DURATION, BUILD_SECONDS)?,
            phase: histogram(&PHASE, PHASE_SECONDS)?,
            packages: counter(&PACKAGES)?,
            cache_misses: counter(&CACHE_MISSES)?,
            miss_cpu: fraction(&MISS_CPU)?,
            redundant_cpu: fraction(&REDUNDANT_CPU)?,
            env_drift: gauge(&ENV_DRIFT)?,
            cpu: fraction(&CPU)?,
            project_cpu: fraction(&PROJECT_CPU)?,
            project_max_rss: gauge(&PROJECT_MAX_RSS)?,
            max_rss: gauge(&MAX_RSS)?,
            binary_size: gauge(&BINARY_SIZE)?,
            size_baseline: gauge(&SIZE_BASELINE)?,
            size_delta: gauge(&SIZE_DELTA)?,
            size_threshold: gauge(&SIZE_THRESHOLD)?,
            section_size: gauge(&SECTION_SIZE)?,
            section_entropy: gauge(&SECTION_ENTROPY)?,
            timestamp: gauge(&TIMESTAMP)?,
            info: gauge(&INFO)?,
            events: counter(&EVENTS)?,
            lost: counter(&LOST)?,
            unreadable,
            probes,
            live: LiveTargets::default(),
        })
    }
}

impl Families {
    /// Creates the series of the stored counters, up to the limits, so that counters do not start again.
    pub(crate) fn make(&mut self, before: &PreviousSeries<'_>) -> Result<(), Error> {
        let Self {
            builds,
            duration,
            phase,
            packages,
            cache_misses,
            miss_cpu,
            redundant_cpu,
            cpu,
            project_cpu,
            ..
        } = self;
        builds.make(before)?;
        duration.make(before)?;
        phase.make(before)?;
        packages.make(before)?;
        cache_misses.make(before)?;
        miss_cpu.make(before)?;
        redundant_cpu.make(before)?;
        cpu.make(before)?;
        project_cpu.make(before)
    }

    /// The counters and histograms of builds that are new since the last call.
    pub(crate) fn take_new(&mut self) -> Vec<NewSeries> {
        let Self {
            builds,
            duration,
            phase,
            packages,
            cache_misses,
            miss_cpu,
            redundant_cpu,
            cpu,
            project_cpu,
            ..
        } = self;
        let sums = [cpu, project_cpu, miss_cpu, redundant_cpu].into_iter();
        let sums = sums.flat_map(BoundedFamily::take_new);
        let counters = [builds, packages, cache_misses];
        let counters = counters.into_iter().flat_map(BoundedFamily::take_new);
        let histograms = [duration, phase].into_iter();
        let histograms = histograms.flat_map(BoundedFamily::take_new);
        counters.chain(sums).chain(histograms).collect()
    }
}

impl Spec {
    pub(crate) fn opts(&self) -> Opts {
        Opts::new(self.name, self.help)
    }
}
