//! The inputs in which two keys differ.

use std::collections::{BTreeSet, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::byte_string::ByteString;
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

/// The lines of a key, to be compared with many others.
pub(super) struct Lines<'a> {
    key: &'a ActionKey,
    lines: HashSet<&'a [u8]>,
}

impl<'a> Lines<'a> {
    pub(super) fn of(key: &'a ActionKey) -> Self {
        let lines = key.lines.iter().map(ByteString::as_bytes).collect();
        Self { key, lines }
    }

    /// The number of changed inputs since an earlier key, and of lines that may differ, as [`difference`] finds them. It reads only the
    /// lines that one of the keys lacks, or that lack a value. An input that has several lines may count otherwise.
    pub(super) fn distance(&self, before: &ActionKey) -> (usize, usize) {
        let before = Lines::of(before);
        let lacks_value = |line: &[u8]| {
            line.windows(REDACTED.len())
                .any(|it| it == REDACTED.as_bytes())
        };
        let is_wanted =
            |line: &[u8], other: &Lines<'_>| !other.lines.contains(line) || lacks_value(line);
        let found = difference(
            &Inputs::of_lines(before.key, |it| is_wanted(it, self)),
            &Inputs::of_lines(self.key, |it| is_wanted(it, &before)),
        );
        (found.changes.len(), found.unknown.len())
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::KeyKind;

    /// A key with one line for each of these inputs. A value of 3 is removed, and one of 4 cut.
    fn key(values: &[u8]) -> ActionKey {
        let lines = values.iter().enumerate().map(|(n, value)| match value {
            3 => format!("file {n}.go <redacted>\n"),
            value => format!("file {n}.go {value}\n"),
        });
        let cut = (0..).zip(values).filter(|(_, it)| **it == 4);
        ActionKey {
            kind: KeyKind::Build,
            package: "p".into(),
            action: 0,
            id: None,
            cut: cut.map(|(n, _)| n + 1).collect(),
            lines: std::iter::once("go1.27.3".to_owned())
                .chain(lines)
                .map(Into::into)
                .collect(),
            has_gaps: false,
        }
    }

    proptest! {
        #[test]
        fn the_distance_is_the_size_of_the_difference(
            before in prop::collection::vec(0..5u8, 0..6),
            after in prop::collection::vec(0..5u8, 0..6),
        ) {
            let (before, after) = (key(&before), key(&after));
            let whole = difference(&Inputs::of(&before), &Inputs::of(&after));
            let expected = (whole.changes.len(), whole.unknown.len());
            prop_assert_eq!(Lines::of(&after).distance(&before), expected);
        }
    }
}
