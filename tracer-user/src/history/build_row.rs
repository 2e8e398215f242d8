//! The rows of a build, for either database.

use tracer_core::history::{self, BuildId, Kept, StoredKey};

use super::error::Cause;
use super::row;
use super::statement::BuildChange;
use super::value::Value;

/// Approximate size of a row and its index entries.
pub(super) const ROW_BYTES: usize = 1500;

/// Approximate size of the row of an action and its index entry.
const ACTION_BYTES: usize = 60;

/// All rows of a build, at its beginning or its end.
#[derive(Debug)]
pub(super) struct BuildRow {
    pub(super) id: String,
    pub(super) change: BuildChange,
    pub(super) build: Vec<Value>,
    pub(super) targets: Vec<Vec<Value>>,
    pub(super) packed: Option<Vec<u8>>,
    pub(super) keys: Option<KeyRows>,
}

/// The rows of a build's executed actions and their keys.
#[derive(Debug)]
pub(super) struct KeyRows {
    pub(super) packed: Vec<u8>,
    pub(super) actions: Vec<ActionRow>,
}

/// The row of an executed action.
#[derive(Debug)]
pub(super) struct ActionRow {
    /// Parameters of [`statement::UNIT`](super::statement::UNIT).
    pub(super) unit: [Value; 2],
    /// Parameters of [`statement::ACTION_RUN`](super::statement::ACTION_RUN).
    pub(super) run: [Value; 4],
}

impl KeyRows {
    /// From keys and their stored form.
    pub(super) fn of(build: &BuildId, keys: &[StoredKey], packed: Vec<u8>) -> Self {
        let actions = keys.iter().map(|it| {
            let unit = Value::Number(it.unit.number());
            ActionRow {
                unit: [unit.clone(), it.unit.as_str().into()],
                run: [
                    unit,
                    it.key.id.clone().map_or(Value::Nothing, Value::Text),
                    Value::Number(i64::try_from(it.cpu_ns).unwrap_or(i64::MAX)),
                    build.as_str().into(),
                ],
            }
        });
        Self {
            actions: actions.collect(),
            packed,
        }
    }

    fn bytes(&self) -> usize {
        self.packed.len() + self.actions.len() * ACTION_BYTES
    }
}

impl BuildRow {
    /// The rows of a finished build.
    pub(super) fn of(kept: &Kept) -> Result<Self, Cause> {
        let Kept { entry, trace, keys } = kept;
        let packed = history::pack(trace)?;
        let keys = match keys.as_slice() {
            [] => None,
            keys => Some(KeyRows::of(&entry.id, keys, history::pack_keys(keys)?)),
        };
        let of_keys = keys.as_ref().map_or(0, KeyRows::bytes);
        let bytes = packed.len() + of_keys + ROW_BYTES + entry.targets.len() * ROW_BYTES / 2;
        let targets = (0..)
            .zip(&entry.targets)
            .map(|(ordinal, target)| row::target_values(entry, ordinal, target).map(Vec::from));
        Ok(Self {
            id: entry.id.as_str().to_owned(),
            change: BuildChange::End,
            build: row::build_values(entry, bytes)?.into(),
            targets: targets.collect::<Result<_, _>>()?,
            packed: Some(packed),
            keys,
        })
    }
}
