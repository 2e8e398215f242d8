//! Cache keys as the history keeps them: with their units, and with short hashes.

use super::unix_ns;
use crate::byte_string::ByteString;
use crate::explain::{Unit, cpu_of_actions};
use crate::model::{ActionKey, Build, Outcome, Trace};

/// Length of the hashes of files and imports in the lines of a stored key: 54 of their 120 bits, enough to distinguish contents.
pub(super) const HASH: usize = 9;
/// Their length in the lines of Go.
const WHOLE_HASH: usize = 20;

/// A key of a build, as the history finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    pub unit: Unit,
    /// Hashes of files and imports are short ([`shortened`]).
    pub key: ActionKey,
    /// True if the action failed.
    pub has_failed: bool,
    /// The times of the action. They are part of the trace, so a key from the history alone has none.
    pub times: ActionTimes,
}

/// CPU time, start and end of an action.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActionTimes {
    pub cpu_ns: u64,
    /// In nanoseconds since 1970.
    pub started_ns: Option<i64>,
    /// `None` if it was not seen.
    pub ended_ns: Option<i64>,
}

impl StoredKey {
    /// The keys of a build of this trace.
    pub(super) fn all(trace: &Trace, build: &Build) -> Vec<Self> {
        let stored = build.keys.iter().map(|key| Self {
            unit: Unit::of(build, key),
            key: ActionKey {
                lines: key.lines.iter().map(shortened).collect(),
                ..key.clone()
            },
            has_failed: build
                .actions
                .get(key.action as usize)
                .is_some_and(|it| it.outcome == Outcome::Failed),
            times: ActionTimes::default(),
        });
        let mut stored: Vec<Self> = stored.collect();
        Self::add_times(&mut stored, trace, build);
        stored
    }

    /// Adds the times of the actions to keys of this build.
    pub fn add_times(keys: &mut [Self], trace: &Trace, build: &Build) {
        if keys.is_empty() {
            return;
        }
        let cpu = cpu_of_actions(build);
        for stored in keys {
            let action = build.actions.get(stored.key.action as usize);
            stored.times = ActionTimes {
                cpu_ns: cpu.get(&stored.key.action).copied().unwrap_or(0),
                started_ns: action.map(|it| unix_ns(trace, it.start)),
                ended_ns: action.and_then(|it| Some(unix_ns(trace, it.end?))),
            };
        }
    }
}

impl ActionKey {
    /// The first characters of the ID, as the tables of the history have it.
    pub fn short_id(&self) -> Option<&str> {
        let id = self.id.as_deref()?;
        Some(id.get(..HASH).unwrap_or(id))
    }
}

/// A line whose hash of a file or an import is short. The whole hashes of the files would be half of a stored build.
fn shortened(line: &ByteString) -> ByteString {
    let text = line.as_bytes();
    let Some((head, hash)) = hash_at_the_end(text, WHOLE_HASH) else {
        return line.clone();
    };
    let short = hash.get(..HASH).unwrap_or(hash);
    ByteString::from([head, short, b"\n"].concat())
}

/// The part of a line before its hash of this length, and the hash: `file a.go ` and `S6Fk1ilWy_OGOGN0U4N3`. A newline follows.
pub(super) fn hash_at_the_end(line: &[u8], length: usize) -> Option<(&[u8], &[u8])> {
    let is_of_hash = |it: &u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_');
    let line = line.strip_suffix(b"\n")?;
    let (head, hash) = line.split_at_checked(line.len().checked_sub(length)?)?;
    let has_hash = head.starts_with(b"file ") && head.ends_with(b" ")
        || head.starts_with(b"import ") && head.ends_with(b" ")
        || head.starts_with(b"packagefile ") && head.ends_with(b"=");
    (has_hash && hash.iter().all(is_of_hash)).then_some((head, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hashes_of_files_and_imports_are_shortened() {
        for (line, expected) in [
            (
                "file a b.go S6Fk1ilWy_OGOGN0U4N3\n",
                "file a b.go S6Fk1ilWy\n",
            ),
            ("import p 6Eqnwgdqf55_lFwDvEMD\n", "import p 6Eqnwgdqf\n"),
            (
                "packagefile p=6Eqnwgdqf55_lFwDvEMD\n",
                "packagefile p=6Eqnwgdqf\n",
            ),
            (
                "import \"example.com/p/averylongname0123\"\n",
                "import \"example.com/p/averylongname0123\"\n",
            ),
            (
                "file a.go S6Fk1ilWy_OGOGN0U4N3",
                "file a.go S6Fk1ilWy_OGOGN0U4N3",
            ),
            ("file a.go \n", "file a.go \n"),
            ("dir 6Eqnwgdqf55_lFwDvEMD\n", "dir 6Eqnwgdqf55_lFwDvEMD\n"),
        ] {
            assert_eq!(shortened(&line.into()), expected);
            assert_eq!(shortened(&shortened(&line.into())), expected);
        }
    }
}
