//! A build as it is stored: its rows, in whatever database.

use tracer_core::history::{self, Kept};

use super::error::Cause;
use super::row;
use super::statement::BuildChange;
use super::value::Value;

/// A row and its places in the indexes, roughly.
pub(super) const ROW_BYTES: usize = 1500;

/// All that is stored of a build at one moment of it.
#[derive(Debug)]
pub(super) struct BuildRow {
    pub(super) id: String,
    pub(super) change: BuildChange,
    pub(super) build: Vec<Value>,
    pub(super) targets: Vec<Vec<Value>>,
    pub(super) packed: Option<Vec<u8>>,
}

impl BuildRow {
    /// Of a build that is over.
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
