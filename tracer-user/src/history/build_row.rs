//! The rows of a build, for either database.

use std::collections::BTreeMap;

use tracer_core::advise::CAUSES_MAX;
use tracer_core::explain::{Place, Reason};
use tracer_core::history::{self, BuildId, Kept, StoredKey};

use super::causes::Explained;
use super::error::Cause;
use super::row;
use super::statement::BuildChange;
use super::value::Value;

/// Approximate size of a row and its index entries.
pub(super) const ROW_BYTES: usize = 1500;

/// Approximate size of the row of an action and its index entry.
const ACTION_BYTES: usize = 90;

/// Approximate size of the row of a cause.
const CAUSE_BYTES: usize = 150;

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

/// The rows of a build's executed actions, their keys and their causes.
#[derive(Debug)]
pub(super) struct KeyRows {
    pub(super) packed: Vec<u8>,
    pub(super) actions: Vec<ActionRow>,
    /// Parameters of [`statement::CAUSE`](super::statement::CAUSE).
    pub(super) causes: Vec<[Value; 6]>,
}

/// The row of an executed action.
#[derive(Debug)]
pub(super) struct ActionRow {
    /// Parameters of [`statement::UNIT`](super::statement::UNIT).
    pub(super) unit: [Value; 2],
    /// Parameters of [`statement::ACTION_RUN`](super::statement::ACTION_RUN).
    pub(super) run: [Value; 8],
}

impl KeyRows {
    /// From keys, their stored form and their causes.
    fn of(
        build: &BuildId,
        keys: &[StoredKey],
        packed: Vec<u8>,
        explained: &Explained,
    ) -> Result<Self, Cause> {
        let reasons = explained.reasons();
        let repeated = explained.done_before.actions.iter();
        let places: BTreeMap<u32, Place> = repeated.map(|it| (it.action, it.place)).collect();
        let name = |it: Option<&str>| it.map_or(Value::Nothing, Value::from);
        // In the order of the table, so that its pages are full.
        let mut sorted: Vec<&StoredKey> = keys.iter().collect();
        sorted.sort_by_key(|it| it.unit.number());
        let actions = sorted.into_iter().map(|it| {
            let unit = Value::Number(it.unit.number());
            let index = &it.key.action;
            ActionRow {
                unit: [unit.clone(), it.unit.as_str().into()],
                run: [
                    unit,
                    it.key.short_id().map_or(Value::Nothing, Value::from),
                    number(it.times.cpu_ns),
                    Value::Number(it.has_failed.into()),
                    it.times.ended_ns.into(),
                    name(reasons.get(index).map(|it| it.name())),
                    name(places.get(index).map(|it| it.name())),
                    build.as_str().into(),
                ],
            }
        });
        let roots = (0i64..).zip(&explained.explanation.roots).take(CAUSES_MAX);
        let causes = roots.map(|(ordinal, root)| {
            let n = root.actions.len().saturating_add(root.behind.len());
            Ok([
                Value::Number(ordinal),
                Reason::of_root(&root.cause).name().into(),
                serde_json::to_string(&root.cause.bounded())?.into(),
                Value::Number(i64::try_from(n).unwrap_or(i64::MAX)),
                number(root.cpu_ns),
                build.as_str().into(),
            ])
        });
        Ok(Self {
            causes: causes.collect::<Result<_, Cause>>()?,
            actions: actions.collect(),
            packed,
        })
    }

    fn bytes(&self) -> usize {
        let causes = self.causes.len() * CAUSE_BYTES;
        self.packed.len() + self.actions.len() * ACTION_BYTES + causes
    }
}

impl BuildRow {
    /// The rows of a finished build and its causes.
    pub(super) fn of(kept: &Kept, explained: &Explained) -> Result<Self, Cause> {
        let Kept { entry, trace, keys } = kept;
        let packed = history::pack(trace)?;
        let keys = match keys.as_slice() {
            [] => None,
            keys => {
                let packed = history::pack_keys(keys)?;
                Some(KeyRows::of(&entry.id, keys, packed, explained)?)
            }
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

fn number(n: u64) -> Value {
    Value::Number(i64::try_from(n).unwrap_or(i64::MAX))
}
