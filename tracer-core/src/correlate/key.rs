//! Collects the keys of the build cache from the calls of a `go` process, and assigns them to executed actions.
//!
//! A key is opened on a goroutine and has no address then. The first write on that goroutine is Go's salt, and brings the address, which
//! connects all later writes. An address is reused after its key was closed.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use crate::byte_string::ByteString;
use crate::event::{Captured, Ktime};
use crate::golang::tool::split_variant;
use crate::model::{Action, ActionKey, CallKind, KeyKind, ToolCall};
use crate::redact;

use super::process::Process;
use super::test_key::TestKeys;
use super::{Correlator, action};

/// Bytes of a hash that Go prints as the ID of an action.
const ID_LEN: usize = 15;

/// All keys of one process.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys {
    /// Keys without an address, by goroutine.
    opened: BTreeMap<u64, Key>,
    /// Keys that are written, by address.
    open: BTreeMap<u64, Key>,
    closed: Vec<Key>,
    /// Writes and ends without a key: its beginning was lost or belongs to a key that gotrace does not record.
    n_strays: u64,
}

/// One key as it was written.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) at: Ktime,
    /// The innermost span that it was opened in: an index into [`Process::spans`].
    pub(super) span: Option<usize>,
    pub(super) lines: Vec<Captured<ByteString>>,
    pub(super) is_closed: bool,
}

impl Keys {
    pub(super) fn open(&mut self, goroutine: u64, name: String, at: Ktime, span: Option<usize>) {
        let key = Key {
            name,
            at,
            span,
            lines: Vec::new(),
            is_closed: false,
        };
        self.closed.extend(self.opened.insert(goroutine, key));
    }

    pub(super) fn write(&mut self, goroutine: u64, hash: u64, line: &Captured<ByteString>) {
        if let Some(key) = self.opened.remove(&goroutine) {
            // The end of the previous key with this address was lost.
            self.closed.extend(self.open.insert(hash, key));
        }
        match self.open.get_mut(&hash) {
            Some(key) => key.lines.push(line.clone()),
            None => self.n_strays += 1,
        }
    }

    pub(super) fn close(&mut self, hash: u64) {
        match self.open.remove(&hash) {
            Some(key) => self.closed.push(Key {
                is_closed: true,
                ..key
            }),
            None => self.n_strays += 1,
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Key> {
        let unfinished = self.opened.values().chain(self.open.values());
        self.closed.iter().chain(unfinished)
    }
}

/// The keys of the actions that ran a tool or a test, in the order of the actions. `names_packages` is true if the command line does.
pub(super) fn keys(
    correlator: &Correlator,
    process: &Process,
    actions: &[Action],
    calls: &[ToolCall],
    names_packages: bool,
) -> Vec<ActionKey> {
    if process.keys.all().next().is_none() {
        return Vec::new();
    }
    let has_losses = may_lack_lines(correlator, process);
    let tests = TestKeys::of(correlator, process, names_packages);
    let mut by_unit: BTreeMap<(KeyKind, ByteString), Vec<&Key>> = BTreeMap::new();
    for key in process.keys.all() {
        if let Some(unit) = unit(process, key) {
            by_unit.entry(unit).or_default().push(key);
        }
    }
    let keys = (0u32..).zip(actions).filter_map(|(index, action)| {
        let kind = KeyKind::of_executed(action)?;
        let package = action.package.as_ref()?;
        if kind == KeyKind::Test {
            return tests.key(index, action, calls, has_losses);
        }
        let own = by_unit.get(&(kind, package.clone()))?;
        let key = own.iter().rfind(|it| belongs(it, kind, process, action))?;
        let of_tool = id_of_tool(correlator, kind, action, calls);
        let computed = computed(key);
        let is_verified = computed.is_some() && computed == of_tool;
        let differs = computed.is_some() && of_tool.is_some() && !is_verified;
        let has_gaps = !is_verified && (differs || has_losses || !key.is_closed);
        let cut = (0u32..).zip(&key.lines);
        let cut = cut.filter(|(_, it)| !matches!(it, Captured::Whole(_)));
        Some(ActionKey {
            kind,
            package: package.clone(),
            action: index,
            id: of_tool.or(computed.filter(|_| !has_gaps)),
            cut: cut.map(|(n, _)| n).collect(),
            lines: key.lines.iter().map(text).collect(),
            has_gaps,
        })
    });
    keys.collect()
}

/// True if calls of the process may be missing: lost or unreadable ones, or those while its probes were detached.
pub(super) fn may_lack_lines(correlator: &Correlator, process: &Process) -> bool {
    may_lack_records(correlator, process) || process.keys.n_strays > 0
}

/// True if records of the process may be missing. A write without a key is no reason: it belongs to none of the recorded keys.
pub(super) fn may_lack_records(correlator: &Correlator, process: &Process) -> bool {
    let mut lost = correlator.lost.iter();
    let is_lost = lost.any(|it| it.kind == "call" && it.at >= process.start);
    let file = process.image().map(|it| it.file);
    let has_changed = file.is_some_and(|it| correlator.probes_changed.contains_key(&it));
    is_lost || has_changed || correlator.counts.unreadable > 0
}

/// Kind and package of a key. The key names the import path, and its action the test variant.
pub(super) fn unit(process: &Process, key: &Key) -> Option<(KeyKind, ByteString)> {
    let (kind, path) = key.name.split_once(' ')?;
    let kind = KeyKind::of(kind)?;
    let span = key.span.and_then(|it| process.spans.get(it));
    let action = span.and_then(|it| action::parse(&it.name)?.1);
    let is_own = |it: &ByteString| split_variant(it.as_bytes()).0 == path.as_bytes();
    let package = action.filter(is_own);
    Some((kind, package.unwrap_or_else(|| ByteString::from(path))))
}

/// True if the action may have used this key. While a package is built, the `go` command computes a tentative key for the link, to find out
/// whether the program is up to date. Only the key in the action of the link itself counts.
fn belongs(key: &Key, kind: KeyKind, process: &Process, action: &Action) -> bool {
    if action.end.is_some_and(|it| key.at > it) {
        return false;
    }
    let span = key.span.and_then(|it| process.spans.get(it));
    let mode = span.and_then(|it| action::parse(&it.name)).map(|it| it.0);
    kind != KeyKind::Link || mode.as_deref() == Some("link")
}

/// The ID that the `go` command passed to the compiler or linker: `-buildid ID/...`.
fn id_of_tool(
    correlator: &Correlator,
    kind: KeyKind,
    action: &Action,
    calls: &[ToolCall],
) -> Option<String> {
    let tool = match kind {
        KeyKind::Build => CallKind::Compile,
        KeyKind::Link => CallKind::Link,
        KeyKind::Vet | KeyKind::Test => return None,
    };
    let own = action.calls.iter().filter_map(|it| calls.get(*it as usize));
    own.filter(|it| it.kind == tool).find_map(|call| {
        let image = correlator.table.get(call.process)?.image()?;
        let mut args = image.argv.iter().map(ByteString::as_bytes);
        let ids = args.find_map(|it| it.strip_prefix(b"-buildid"))?;
        let ids = match ids.strip_prefix(b"=") {
            Some(ids) => ids,
            None => args.next()?,
        };
        let id = std::str::from_utf8(ids.split(|it| *it == b'/').next()?).ok()?;
        (id.len() == ID_LEN * 4 / 3).then(|| id.to_owned())
    })
}

/// The ID of a key whose every byte is known.
fn computed(key: &Key) -> Option<String> {
    let hash = hash(key)?;
    Some(URL_SAFE_NO_PAD.encode(hash.get(..ID_LEN).unwrap_or_default()))
}

/// The hash of a key whose every byte is known.
pub(super) fn hash(key: &Key) -> Option<[u8; 32]> {
    let mut hash = Sha256::new();
    for line in &key.lines {
        match line {
            Captured::Whole(line) if !redact::has_mark(line.as_bytes()) => {
                hash.update(line.as_bytes());
            }
            Captured::Whole(_) | Captured::Cut { .. } | Captured::Missing => return None,
        }
    }
    key.is_closed.then(|| hash.finalize().into())
}

pub(super) fn text(line: &Captured<ByteString>) -> ByteString {
    line.get().cloned().unwrap_or_default()
}
