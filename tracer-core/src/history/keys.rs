//! Cache keys in their stored form: all keys of a build in one compressed blob.
//!
//! Most lines stand in several keys: the content of an import in the keys of all packages that use it. Each distinct line is stored once.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::pack::{UnpackError, packed, unpacked};
use super::unix_ns;
use crate::byte_string::ByteString;
use crate::explain::{Unit, cpu_of_actions};
use crate::model::{ActionKey, Build, KeyKind, Outcome, Trace};

/// A key of a build, as the history finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    pub unit: Unit,
    pub key: ActionKey,
    /// True if the action failed.
    pub has_failed: bool,
    /// CPU time of the action.
    pub cpu_ns: u64,
    /// Start of the action in nanoseconds since 1970. `None`: an earlier gotrace stored it.
    pub started_ns: Option<i64>,
    /// Its end. `None` if it was not seen.
    pub ended_ns: Option<i64>,
}

impl StoredKey {
    /// The keys of a build of this trace.
    pub(super) fn all(trace: &Trace, build: &Build) -> Vec<Self> {
        if build.keys.is_empty() {
            return Vec::new();
        }
        let cpu = cpu_of_actions(build);
        let stored = build.keys.iter().map(|key| {
            let action = build.actions.get(key.action as usize);
            Self {
                unit: Unit::of(build, key),
                key: key.clone(),
                has_failed: action.is_some_and(|it| it.outcome == Outcome::Failed),
                cpu_ns: cpu.get(&key.action).copied().unwrap_or(0),
                started_ns: action.map(|it| unix_ns(trace, it.start)),
                ended_ns: action.and_then(|it| Some(unix_ns(trace, it.end?))),
            }
        });
        stored.collect()
    }
}

/// The blob. A line is an index into `lines`, stored as the difference to the previous index: mostly 1.
#[derive(Serialize, Deserialize)]
struct Blob {
    lines: Vec<ByteString>,
    keys: Vec<BlobKey>,
}

#[derive(Serialize, Deserialize)]
struct BlobKey {
    unit: String,
    kind: KeyKind,
    package: ByteString,
    action: u32,
    id: Option<String>,
    lines: Vec<i64>,
    cut: Vec<u32>,
    has_gaps: bool,
    has_failed: bool,
    cpu_ns: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started_ns: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_ns: Option<i64>,
}

/// The keys as compressed JSON.
pub fn pack_keys(keys: &[StoredKey]) -> Result<Vec<u8>, serde_json::Error> {
    let mut numbers: HashMap<&ByteString, i64> = HashMap::new();
    let mut lines: Vec<ByteString> = Vec::new();
    let mut blob_keys = Vec::new();
    for StoredKey {
        unit,
        key,
        has_failed,
        cpu_ns,
        started_ns,
        ended_ns,
    } in keys
    {
        let mut before = -1;
        let mut steps = Vec::with_capacity(key.lines.len());
        for line in &key.lines {
            let next = i64::try_from(numbers.len()).unwrap_or(i64::MAX);
            let number = *numbers.entry(line).or_insert_with(|| {
                lines.push(line.clone());
                next
            });
            steps.push(number - before);
            before = number;
        }
        blob_keys.push(BlobKey {
            unit: unit.as_str().to_owned(),
            kind: key.kind,
            package: key.package.clone(),
            action: key.action,
            id: key.id.clone(),
            lines: steps,
            cut: key.cut.clone(),
            has_gaps: key.has_gaps,
            has_failed: *has_failed,
            cpu_ns: *cpu_ns,
            started_ns: *started_ns,
            ended_ns: *ended_ns,
        });
    }
    let keys = blob_keys;
    packed(&Blob { lines, keys })
}

/// The keys from a blob. A damaged blob is an error, or gives keys with gaps.
pub fn unpack_keys(bytes: &[u8]) -> Result<Vec<StoredKey>, UnpackError> {
    unpack_keys_of(bytes, |_| true)
}

/// The keys of some units from a blob.
pub fn unpack_keys_of(
    bytes: &[u8],
    is_wanted: impl Fn(&Unit) -> bool,
) -> Result<Vec<StoredKey>, UnpackError> {
    let Blob { lines, keys } = unpacked(bytes)?;
    let keys = keys.into_iter().filter_map(|it| {
        let unit = Unit::from_stored(it.unit);
        if !is_wanted(&unit) {
            return None;
        }
        let mut number: i64 = -1;
        let mut has_gaps = it.has_gaps;
        let mut of_key = Vec::with_capacity(it.lines.len());
        for step in it.lines {
            number = number.saturating_add(step);
            let line = usize::try_from(number).ok().and_then(|it| lines.get(it));
            has_gaps |= line.is_none();
            of_key.extend(line.cloned());
        }
        Some(StoredKey {
            unit,
            key: ActionKey {
                kind: it.kind,
                package: it.package,
                action: it.action,
                id: it.id,
                lines: of_key,
                cut: it.cut,
                has_gaps,
            },
            has_failed: it.has_failed,
            cpu_ns: it.cpu_ns,
            started_ns: it.started_ns,
            ended_ns: it.ended_ns,
        })
    });
    Ok(keys.collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stored(package: &str, lines: Vec<String>) -> StoredKey {
        StoredKey {
            unit: Unit::from_stored(format!("build linux/amd64 {package}")),
            key: ActionKey {
                kind: KeyKind::Build,
                package: package.into(),
                action: 3,
                id: Some("7n9vAI0scyvZgTtPohPB".to_owned()),
                lines: lines.into_iter().map(ByteString::from).collect(),
                cut: vec![1],
                has_gaps: false,
            },
            has_failed: true,
            cpu_ns: 5,
            started_ns: Some(1),
            ended_ns: None,
        }
    }

    proptest! {
        #[test]
        fn keys_survive_being_packed(all in prop::collection::vec(prop::collection::vec("[a-c]{0,2}", 0..8), 0..6)) {
            let keys = all.into_iter().enumerate();
            let keys: Vec<StoredKey> = keys.map(|(n, lines)| stored(&format!("p{n}"), lines)).collect();
            prop_assert_eq!(unpack_keys(&pack_keys(&keys).unwrap()).unwrap(), keys);
        }

        #[test]
        fn damaged_blobs_are_refused_or_have_gaps(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _any = unpack_keys(&bytes);
        }
    }

    #[test]
    fn a_line_that_is_missing_in_the_blob_is_a_gap() {
        let blob = Blob {
            lines: vec!["a".into()],
            keys: vec![BlobKey {
                unit: String::new(),
                kind: KeyKind::Link,
                package: "p".into(),
                action: 0,
                id: None,
                lines: vec![1, 7, i64::MIN, i64::MAX],
                cut: Vec::new(),
                has_gaps: false,
                has_failed: false,
                cpu_ns: 0,
                started_ns: None,
                ended_ns: None,
            }],
        };
        let keys = unpack_keys(&packed(&blob).unwrap()).unwrap();
        assert!(keys[0].key.has_gaps && keys[0].key.lines == ["a"]);
    }
}
