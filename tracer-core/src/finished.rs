//! Finished builds with everything derived from them.
//!
//! A [`FinishedTrace`] is created once: in the agent's storage process, in `run` and `replay`, and when a stored build is read. Every
//! sink (text, JSON, metrics, traces, the history) takes it, or one [`FinishedBuild`], and computes nothing. Pure: no clock, no I/O.

use std::collections::BTreeMap;

use crate::event::{Artifact, Ktime};
use crate::history::Entry;
use crate::model::{Build, Output, Trace};
use crate::report::timeline::{Span, timeline};
use crate::report::{self, BuildReport, Report};

/// A finished trace. Its builds, their reports and the data derived from each have the same order.
#[derive(Clone, Debug, PartialEq)]
pub struct FinishedTrace {
    trace: Trace,
    report: Report,
    derived: Vec<Derived>,
}

/// Data derived from one build.
#[derive(Clone, Debug, PartialEq)]
struct Derived {
    entry: Entry,
    timeline: Vec<Span>,
}

/// One build of a finished trace.
#[derive(Clone, Copy, Debug)]
pub struct FinishedBuild<'a> {
    /// The searchable and comparable part of the build.
    pub entry: &'a Entry,
    /// The trace of the build.
    pub trace: &'a Trace,
    pub build: &'a Build,
    pub report: &'a BuildReport,
    pub timeline: &'a [Span],
}

impl FinishedTrace {
    pub fn of(trace: Trace) -> Self {
        let builds = trace.builds.iter();
        let derived = builds.map(|build| Derived {
            entry: Entry::of(&trace, build),
            timeline: timeline(build, end(&trace, build)),
        });
        Self {
            derived: derived.collect(),
            report: report::analyze(&trace),
            trace,
        }
    }

    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    pub fn report(&self) -> &Report {
        &self.report
    }

    pub fn builds(&self) -> impl Iterator<Item = FinishedBuild<'_>> {
        let builds = self.trace.builds.iter().zip(&self.report.builds);
        let builds = builds.zip(&self.derived);
        builds.map(|((build, report), derived)| FinishedBuild {
            entry: &derived.entry,
            trace: &self.trace,
            build,
            report,
            timeline: &derived.timeline,
        })
    }

    /// Removes builds. Sums over the trace still include them.
    pub fn retain(&mut self, stays: impl Fn(&Entry) -> bool) {
        let stay: Vec<bool> = self.derived.iter().map(|it| stays(&it.entry)).collect();
        retain(&mut self.trace.builds, &stay);
        retain(&mut self.report.builds, &stay);
        retain(&mut self.derived, &stay);
    }
}

impl FinishedBuild<'_> {
    /// The end of the build, or the last event if the end was not seen.
    pub fn end(&self) -> Ktime {
        end(self.trace, self.build)
    }

    /// The end of the build in nanoseconds since 1970.
    pub fn ended_ns(&self) -> u64 {
        let end = self.build.end.unwrap_or(self.trace.end);
        end.0.saturating_add_signed(self.trace.boot_to_wall_ns)
    }
}

fn end(trace: &Trace, build: &Build) -> Ktime {
    build.end.unwrap_or(trace.end).max(build.start)
}

fn retain<T>(all: &mut Vec<T>, stay: &[bool]) {
    let mut stay = stay.iter();
    all.retain(|_| stay.next().is_none_or(|it| *it));
}

/// The main package of an output.
pub fn target(output: &Output) -> Option<&str> {
    std::str::from_utf8(output.package.as_ref()?.as_bytes()).ok()
}

/// Targets and their binaries. A target may have several files (a C library and its header); the largest one is the binary.
pub fn binaries(build: &Build) -> BTreeMap<&str, &Artifact> {
    let mut binaries: BTreeMap<&str, &Artifact> = BTreeMap::new();
    for output in &build.outputs {
        if let (Some(target), Some(artifact)) = (target(output), &output.artifact) {
            let binary = binaries.entry(target).or_insert(artifact);
            if artifact.size > binary.size {
                *binary = artifact;
            }
        }
    }
    binaries
}
