//! A trace taken apart: each build as a trace of its own, which reads as the whole one would if nothing else had run.

use super::{BuildId, Entry};
use crate::finished::{FinishedBuild, FinishedTrace};
use crate::model::{Build, Trace};

/// A build as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub entry: Entry,
    /// The one build and what is needed to show it.
    pub trace: Trace,
}

/// All builds of a trace, in its order. Each nested one names its parent.
pub fn builds(finished: &FinishedTrace) -> impl Iterator<Item = Kept> {
    finished.builds().map(Kept::of)
}

impl Kept {
    pub fn of(finished: FinishedBuild<'_>) -> Self {
        Self {
            entry: finished.entry.clone(),
            trace: part(finished.trace, finished.build),
        }
    }
}

/// Losses stay with every part: they may have been of any build.
fn part(trace: &Trace, build: &Build) -> Trace {
    Trace {
        schema: trace.schema.clone(),
        host: trace.host.clone(),
        command: build.command.argv.clone(),
        start: build.start,
        end: build.end.unwrap_or(trace.end),
        boot_to_wall_ns: trace.boot_to_wall_ns,
        cpus: trace.cpus,
        status: build.status,
        usage: build.usage,
        builds: vec![build.clone()],
        tools: trace.tools.clone(),
        events: trace.events,
        anomalies: trace.anomalies.clone(),
    }
}

/// Of the build that this one is nested in, if it is in the trace.
pub(super) fn parent(trace: &Trace, build: &Build) -> Option<BuildId> {
    let process = build.parent?;
    let parent = trace.builds.iter().find(|it| it.process == process)?;
    Some(BuildId::of(trace, parent.process))
}
