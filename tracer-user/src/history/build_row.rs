//! The rows of a build, for either database.

use tracer_core::history::{self, Kept};

use super::error::Cause;
use super::row;
use super::statement::BuildChange;
use super::value::Value;

/// Approximate size of a row and its index entries.
pub(super) const ROW_BYTES: usize = 1500;

/// All rows of a build, at its beginning or its end.
#[derive(Debug)]
pub(super) struct BuildRow {
    pub(super) id: String,
    pub(super) change: BuildChange,
    pub(super) build: Vec<Value>,
    pub(super) targets: Vec<Vec<Value>>,
    pub(super) packed: Option<Vec<u8>>,
}

impl BuildRow {
    /// The rows of a finished build.
    pub(super) fn of(kept: &Kept) -> Result<Self, Cause> {
        let Kept { entry, trace } = kept;
        let packed = history::pack(trace)?;
        let bytes = packed.len() + ROW_BYTES + entry.targets.len() * ROW_BYTES / 2;
        let targets = (0..)
            .zip(&entry.targets)
            .map(|(ordinal, target)| row::target_values(entry, ordinal, target).map(Vec::from));
        Ok(Self {
            id: entry.id.as_str().to_owned(),
            change: BuildChange::End,
            build: row::build_values(entry, bytes)?.into(),
            targets: targets.collect::<Result<_, _>>()?,
            packed: Some(packed),
        })
    }
}
