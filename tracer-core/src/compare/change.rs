//! A value before and after, and the order of such values.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

/// A time in both builds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TimeChange<K> {
    pub name: K,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_ns: Option<u64>,
}

/// A number of bytes in both builds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BytesChange {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_bytes: Option<u64>,
}

/// A number in both builds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CountChange {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

/// A text in both builds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TextChange {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// The values of both builds by name.
pub(super) fn join<K: Ord, T>(
    before: impl IntoIterator<Item = (K, T)>,
    after: impl IntoIterator<Item = (K, T)>,
) -> BTreeMap<K, (Option<T>, Option<T>)> {
    let mut joined: BTreeMap<K, (Option<T>, Option<T>)> = BTreeMap::new();
    for (name, value) in before {
        joined.entry(name).or_insert((None, None)).0 = Some(value);
    }
    for (name, value) in after {
        joined.entry(name).or_insert((None, None)).1 = Some(value);
    }
    joined
}

/// The absolute difference; an absent value counts as zero.
pub(super) fn difference(before: Option<u64>, after: Option<u64>) -> u64 {
    before.unwrap_or(0).abs_diff(after.unwrap_or(0))
}

/// Times that differ, the largest difference first.
pub(super) fn times<K: Ord>(
    before: impl IntoIterator<Item = (K, u64)>,
    after: impl IntoIterator<Item = (K, u64)>,
) -> Vec<TimeChange<K>> {
    let joined = join(before, after).into_iter();
    let mut times: Vec<TimeChange<K>> = joined
        .filter(|(_, (before, after))| before != after)
        .map(|(name, (before_ns, after_ns))| TimeChange {
            name,
            before_ns,
            after_ns,
        })
        .collect();
    times.sort_by_key(|it| Reverse(difference(it.before_ns, it.after_ns)));
    times
}

/// Bytes that differ, the largest difference first.
pub(super) fn bytes(
    before: impl IntoIterator<Item = (String, u64)>,
    after: impl IntoIterator<Item = (String, u64)>,
) -> Vec<BytesChange> {
    let joined = join(before, after).into_iter();
    let mut bytes: Vec<BytesChange> = joined
        .filter(|(_, (before, after))| before != after)
        .map(|(name, (before_bytes, after_bytes))| BytesChange {
            name,
            before_bytes,
            after_bytes,
        })
        .collect();
    bytes.sort_by_key(|it| Reverse(difference(it.before_bytes, it.after_bytes)));
    bytes
}

/// Texts that differ, in the order of their names.
pub(super) fn texts(
    before: impl IntoIterator<Item = (String, String)>,
    after: impl IntoIterator<Item = (String, String)>,
) -> Vec<TextChange> {
    let joined = join(before, after).into_iter();
    let differ = joined.filter(|(_, (before, after))| before != after);
    differ
        .map(|(name, (before, after))| TextChange {
            name,
            before,
            after,
        })
        .collect()
}
