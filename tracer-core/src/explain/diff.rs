//! The inputs in which two keys differ.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::ActionKey;
use crate::redact::REDACTED;

use super::input::{Input, Inputs};

/// An input that differs from the one of an earlier key. A value is absent if the key has no such input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    #[serde(flatten)]
    pub input: Input,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// The result of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) changes: Vec<Change>,
    /// First words of lines that may differ: a part of them is not known.
    pub(super) unknown: BTreeSet<String>,
}

/// Compares the inputs of two keys, as far as both are known.
pub(super) fn difference(before: &Inputs, after: &Inputs) -> Difference {
    let cut: BTreeSet<String> = before.cut.union(&after.cut).cloned().collect();
    let mut difference = Difference {
        unknown: cut.clone(),
        changes: Vec::new(),
    };
    let gone = before.found.iter();
    let gone = gone.filter(|(input, _)| !after.found.contains_key(input));
    let gone = gone.map(|(input, value)| (input, Some(value), None));
    let present = after.found.iter();
    let present = present.map(|(input, value)| (input, before.found.get(input), Some(value)));
    for (input, old, new) in gone.chain(present) {
        let Some(word) = new.or(old).map(|it| &it.word) else {
            continue;
        };
        let (old, new) = (old.map(|it| &it.text), new.map(|it| &it.text));
        if !cut.contains(word) {
            difference.compare(word, input.clone(), old, new);
        }
    }
    difference
}

impl Difference {
    /// Adds an input of a line that begins with `word`, if its values differ or may differ.
    pub(super) fn compare(
        &mut self,
        word: &str,
        input: Input,
        old: Option<&String>,
        new: Option<&String>,
    ) {
        if let (Some(old), Some(new)) = (old, new)
            && old != new
            && have_different_keys(old, new)
        {
            self.unknown.insert(word.to_owned());
        } else if old != new {
            self.changes.push(Change {
                input,
                before: old.cloned(),
                after: new.cloned(),
            });
        } else if new.is_some_and(|it| it.contains(REDACTED)) {
            self.unknown.insert(word.to_owned());
        }
    }
}

/// True if both texts contain digests, of different keys.
fn have_different_keys(one: &str, other: &str) -> bool {
    let (one, other) = (digest_keys(one), digest_keys(other));
    !one.is_empty() && !other.is_empty() && one != other
}

/// The keys of the digests in a text: `a1b2` in `<redacted:a1b2-0123456789abcdef>`.
fn digest_keys(text: &str) -> BTreeSet<&str> {
    let marks = text.split("<redacted:").skip(1);
    marks.filter_map(|it| it.split('-').next()).collect()
}

/// True if both keys have the same ID, or the same inputs, all of which are known.
pub(super) fn is_same(before: &ActionKey, after: &ActionKey) -> bool {
    if let (Some(before), Some(after)) = (&before.id, &after.id) {
        return before == after;
    }
    let is_known = |key: &ActionKey| !key.has_gaps && key.cut.is_empty();
    let differs = || difference(&Inputs::of(before), &Inputs::of(after)) != Difference::default();
    is_known(before) && is_known(after) && !differs()
}
