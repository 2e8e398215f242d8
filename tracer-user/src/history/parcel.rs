//! A build as it is stored: its rows, in whatever database.

use tracer_core::history::{self, Kept};

use super::cell::Cell;
use super::error::Why;
use super::row;
use super::statement::Moment;

/// A row and its places in the indexes, roughly.
pub(super) const ROW_BYTES: usize = 1500;

/// All that is stored of a build at one moment of it.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) id: String,
    pub(super) moment: Moment,
    pub(super) build: Vec<Cell>,
    pub(super) targets: Vec<Vec<Cell>>,
    pub(super) packed: Option<Vec<u8>>,
}

impl Parcel {
    /// Of a build that is over.
    pub(super) fn of(kept: &Kept) -> Result<Self, Why> {
        let Kept { entry, trace } = kept;
        let packed = history::pack(trace)?;
        let bytes = packed.len() + ROW_BYTES + entry.targets.len() * ROW_BYTES / 2;
        let targets = (0..)
            .zip(&entry.targets)
            .map(|(ordinal, target)| row::target_values(entry, ordinal, target).map(Vec::from));
        Ok(Self {
            id: entry.id.as_str().to_owned(),
            moment: Moment::End,
            build: row::build_values(entry, bytes)?.into(),
            targets: targets.collect::<Result<_, _>>()?,
            packed: Some(packed),
        })
    }
}
