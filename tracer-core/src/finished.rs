//! Builds that have ended, with all that follows from them.
//!
//! A [`FinishedTrace`] is made once: in the agent's storage process, in `run` and in `replay`, and when a stored build is read. Every
//! sink (text, JSON, metrics, traces, the history) takes it, or a [`FinishedBuild`] of it, and computes nothing. Pure: no clock, no I/O.

use std::collections::BTreeMap;

use crate::event::{Artifact, Ktime};
use crate::history::Entry;
use crate::model::{Build, Output, Trace};
use crate::report::timeline::{Span, timeline};
use crate::report::{self, BuildReport, Report};

/// A trace that has ended. Its builds, their reports and what is derived of each stand in one order.
#[derive(Clone, Debug, PartialEq)]
pub struct FinishedTrace {
    trace: Trace,
    report: Report,
    derived: Vec<Derived>,
}

/// Of one build.
#[derive(Clone, Debug, PartialEq)]
struct Derived {
    entry: Entry,
    timeline: Vec<Span>,
}

/// One build of a trace that has ended.
#[derive(Clone, Copy, Debug)]
pub struct FinishedBuild<'a> {
    /// What the build is found and compared by.
    pub entry: &'a Entry,
    /// The trace that it is part of.
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

    /// Takes builds out. Sums over the trace stay those of all.
    pub fn retain(&mut self, stays: impl Fn(&Entry) -> bool) {
        let stay: Vec<bool> = self.derived.iter().map(|it| stays(&it.entry)).collect();
        retain(&mut self.trace.builds, &stay);
        retain(&mut self.report.builds, &stay);
        retain(&mut self.derived, &stay);
    }
}

impl FinishedBuild<'_> {
    /// When it ended, or the last that was seen of it.
    pub fn end(&self) -> Ktime {
        end(self.trace, self.build)
    }

    /// The same in nanoseconds since 1970.
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

/// The main package that an output was made from.
pub fn target(output: &Output) -> Option<&str> {
    std::str::from_utf8(output.package.as_ref()?.as_bytes()).ok()
}

/// Targets and what was made from them. A target may leave several files (a C library and its header): the largest one is the binary.
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
