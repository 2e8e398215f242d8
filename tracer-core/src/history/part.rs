//! Splits a trace: each build becomes a trace of its own, as if no other build had run.

use super::{BuildId, Entry, StoredKey};
use crate::finished::{FinishedBuild, FinishedTrace};
use crate::model::{Build, Trace};

/// A build in its stored form.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    pub entry: Entry,
    /// The build and the data to show it, without its cache keys.
    pub trace: Trace,
    /// Its cache keys, which are stored apart: they are large, and deleted before the build.
    pub keys: Vec<StoredKey>,
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
            keys: StoredKey::all(finished.trace, finished.build),
        }
    }
}

/// Every part contains the losses of the trace, because they may belong to any build.
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
        builds: vec![Build {
            keys: Vec::new(),
            ..build.clone()
        }],
        tools: trace.tools.clone(),
        events: trace.events,
        anomalies: trace.anomalies.clone(),
    }
}

/// The id of the build that contains this one, if it is in the trace.
pub(super) fn parent(trace: &Trace, build: &Build) -> Option<BuildId> {
    let process = build.parent?;
    let parent = trace.builds.iter().find(|it| it.process == process)?;
    Some(BuildId::of(trace, parent.process))
}
