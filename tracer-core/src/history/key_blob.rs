//! All keys of a build in one blob.
//!
//! Most lines stand in several keys: the content of an import in the keys of all packages that use it. Each distinct line is stored once,
//! without the parts that another line has. Equal data stand together, because that compresses well. The keys of links are a part of their
//! own: each lists all packages of its program, and the comparison of other keys does not need it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::keys::{ActionTimes, HASH, StoredKey, hash_at_the_end};
use super::pack::{UnpackError, packed, unpacked};
use crate::byte_string::ByteString;
use crate::explain::Unit;
use crate::model::{ActionKey, KeyKind};

/// Length of the number before the first part: its length, in little-endian order.
const LENGTH: usize = size_of::<u32>();

/// Keys and the lines that are new in them. A list has one element for each key.
#[derive(Default, Serialize, Deserialize)]
struct Part {
    /// GOOS and GOARCH of most keys.
    platform: String,
    /// A letter for each line.
    forms: String,
    /// The text of each line.
    texts: Vec<ByteString>,
    /// The hashes of the lines that have one of their own, one after the other.
    hashes: String,
    kinds: Vec<KeyKind>,
    packages: Vec<ByteString>,
    actions: Vec<u32>,
    ids: Vec<Option<String>>,
    /// The lines of each key. A line is the difference of its number to the previous one: mostly 1.
    lines: Vec<Vec<i64>>,
    /// By the number of the key: units that do not follow from kind, platform and package, cut lines ...
    units: BTreeMap<usize, String>,
    cut: BTreeMap<usize, Vec<u32>>,
    gaps: Vec<usize>,
    failed: Vec<usize>,
}

/// The form of a line. Its letter stands in [`Part::forms`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `text`.
    Plain,
    /// `text` and a newline.
    Ended,
    /// `import "p"` in a key of package p. It has no text.
    Own,
    /// `file a.go HASH`: the text is the name.
    File,
    /// `import p HASH`: the text is the path.
    Import,
    /// `packagefile p=HASH`.
    Linked,
    /// An import whose path had the same hash in an earlier line.
    KnownImport,
    KnownLinked,
}

impl Form {
    const ALL: [(Self, u8); 8] = [
        (Self::Plain, b'p'),
        (Self::Ended, b'n'),
        (Self::Own, b'o'),
        (Self::File, b'f'),
        (Self::Import, b'i'),
        (Self::Linked, b'l'),
        (Self::KnownImport, b'j'),
        (Self::KnownLinked, b'm'),
    ];

    fn letter(self) -> char {
        let found = Self::ALL.into_iter().find(|(it, _)| *it == self);
        found.map_or('p', |(_, letter)| char::from(letter))
    }

    fn of(letter: u8) -> Option<Self> {
        let found = Self::ALL.into_iter().find(|(_, it)| *it == letter);
        found.map(|(form, _)| form)
    }

    /// The text around the name, and true if the hash is that of an earlier line.
    fn around(self) -> Option<(&'static [u8], u8, bool)> {
        match self {
            Self::File => Some((b"file ", b' ', false)),
            Self::Import => Some((b"import ", b' ', false)),
            Self::KnownImport => Some((b"import ", b' ', true)),
            Self::Linked => Some((b"packagefile ", b'=', false)),
            Self::KnownLinked => Some((b"packagefile ", b'=', true)),
            Self::Plain | Self::Ended | Self::Own => None,
        }
    }
}

/// The keys, compressed. Their times are not part of it.
pub fn pack_keys(keys: &[StoredKey]) -> Result<Vec<u8>, serde_json::Error> {
    let mut packer = Packer::default();
    let is_link = |it: &&StoredKey| it.key.kind == KeyKind::Link;
    let first = packer.part(keys.iter().filter(|it| !is_link(it)));
    let second = packer.part(keys.iter().filter(is_link));
    let first = packed(&first)?;
    let length = u32::try_from(first.len()).map_err(serde::ser::Error::custom)?;
    let mut blob = length.to_le_bytes().to_vec();
    blob.extend(first);
    blob.extend(packed(&second)?);
    Ok(blob)
}

#[derive(Default)]
struct Packer {
    /// The numbers of the lines. `None` for [`Form::Own`].
    numbers: HashMap<Option<Vec<u8>>, i64>,
    /// The hash of each path.
    contents: HashMap<Vec<u8>, Vec<u8>>,
}

impl Packer {
    fn part<'a>(&mut self, keys: impl Iterator<Item = &'a StoredKey>) -> Part {
        let mut part = Part::default();
        for (n, stored) in keys.enumerate() {
            let StoredKey {
                unit,
                key,
                has_failed,
                times: _,
            } = stored;
            if part.platform.is_empty() {
                let platform = unit.as_str().split(' ').nth(1);
                platform.unwrap_or_default().clone_into(&mut part.platform);
            }
            if *unit != usual_unit(key.kind, &part.platform, &key.package) {
                part.units.insert(n, unit.as_str().to_owned());
            }
            part.kinds.push(key.kind);
            part.packages.push(key.package.clone());
            part.actions.push(key.action);
            part.ids.push(key.id.clone());
            let own = own_line(&key.package);
            let mut before = -1;
            let steps = key.lines.iter().map(|line| {
                let number = self.number(line.as_bytes(), &own, &mut part);
                let step = number - before;
                before = number;
                step
            });
            let steps = steps.collect();
            part.lines.push(steps);
            if !key.cut.is_empty() {
                part.cut.insert(n, key.cut.clone());
            }
            part.gaps.extend(key.has_gaps.then_some(n));
            part.failed.extend(has_failed.then_some(n));
        }
        part
    }

    /// The number of a line, which is added if it is new.
    fn number(&mut self, line: &[u8], own: &[u8], part: &mut Part) -> i64 {
        let is_own = line == own;
        let next = i64::try_from(self.numbers.len()).unwrap_or(i64::MAX);
        let entry = (!is_own).then(|| line.to_vec());
        let number = *self.numbers.entry(entry).or_insert(next);
        if number != next {
            return number;
        }
        let (form, text) = if is_own {
            (Form::Own, &b""[..])
        } else {
            self.form(line, part)
        };
        part.forms.push(form.letter());
        part.texts.push(text.into());
        number
    }

    fn form<'a>(&mut self, line: &'a [u8], part: &mut Part) -> (Form, &'a [u8]) {
        let Some((head, hash)) = hash_at_the_end(line, HASH) else {
            return match line.strip_suffix(b"\n") {
                Some(text) => (Form::Ended, text),
                None => (Form::Plain, line),
            };
        };
        let name = |prefix: &[u8]| head.get(prefix.len()..head.len() - 1).unwrap_or_default();
        let is_link = head.starts_with(b"packagefile ");
        if head.starts_with(b"file ") {
            part.hashes.push_str(&String::from_utf8_lossy(hash));
            return (Form::File, name(b"file "));
        }
        let path = name(if is_link { b"packagefile " } else { b"import " });
        let is_known = self.contents.get(path).is_some_and(|it| it == hash);
        if !is_known {
            self.contents.insert(path.to_vec(), hash.to_vec());
            part.hashes.push_str(&String::from_utf8_lossy(hash));
        }
        let form = match (is_link, is_known) {
            (false, false) => Form::Import,
            (false, true) => Form::KnownImport,
            (true, false) => Form::Linked,
            (true, true) => Form::KnownLinked,
        };
        (form, path)
    }
}

/// The unit of a key, unless it belongs to files on the command line.
fn usual_unit(kind: KeyKind, platform: &str, package: &ByteString) -> Unit {
    Unit::from_stored(format!("{} {platform} {package}", kind.name()))
}

/// The line that names the package of a key.
fn own_line(package: &ByteString) -> Vec<u8> {
    [b"import \"", package.as_bytes(), b"\"\n"].concat()
}

/// The keys from a blob. A damaged blob is an error, or gives keys with gaps.
pub fn unpack_keys(bytes: &[u8]) -> Result<Vec<StoredKey>, UnpackError> {
    let mut keys = Vec::new();
    let (first, second) = parts(bytes)?;
    let mut unpacker = Unpacker::default();
    unpacker.part(&unpacked(first)?, |_| true, &mut keys)?;
    unpacker.part(&unpacked(second)?, |_| true, &mut keys)?;
    // In the order of the build.
    keys.sort_by_key(|it| it.key.action);
    Ok(keys)
}

/// The keys of some units from a blob.
pub fn unpack_keys_of(bytes: &[u8], units: &BTreeSet<Unit>) -> Result<Vec<StoredKey>, UnpackError> {
    let mut keys = Vec::new();
    let (first, second) = parts(bytes)?;
    let mut unpacker = Unpacker::default();
    unpacker.part(&unpacked(first)?, |it| units.contains(it), &mut keys)?;
    let has_links = units.iter().any(|it| it.is_of(KeyKind::Link));
    if has_links {
        unpacker.part(&unpacked(second)?, |it| units.contains(it), &mut keys)?;
    }
    Ok(keys)
}

/// Both compressed parts.
fn parts(bytes: &[u8]) -> Result<(&[u8], &[u8]), UnpackError> {
    let (length, rest) = bytes
        .split_first_chunk::<LENGTH>()
        .ok_or(UnpackError::Parts)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| UnpackError::Parts)?;
    rest.split_at_checked(length).ok_or(UnpackError::Parts)
}

#[derive(Default)]
struct Unpacker {
    /// All lines of the parts so far. `None` for [`Form::Own`].
    lines: Vec<Option<ByteString>>,
    contents: HashMap<Vec<u8>, String>,
}

impl Unpacker {
    fn part(
        &mut self,
        part: &Part,
        is_wanted: impl Fn(&Unit) -> bool,
        keys: &mut Vec<StoredKey>,
    ) -> Result<(), UnpackError> {
        self.add_lines(part)?;
        let n = part.kinds.len();
        let are_whole = [
            part.packages.len(),
            part.actions.len(),
            part.ids.len(),
            part.lines.len(),
        ];
        if are_whole.iter().any(|it| *it != n) {
            return Err(UnpackError::Parts);
        }
        let columns = part.kinds.iter().zip(&part.packages).zip(&part.actions);
        let columns = columns.zip(&part.ids).zip(&part.lines).enumerate();
        for (n, ((((kind, package), action), id), steps)) in columns {
            let unit = match part.units.get(&n) {
                Some(unit) => Unit::from_stored(unit.clone()),
                None => usual_unit(*kind, &part.platform, package),
            };
            if !is_wanted(&unit) {
                continue;
            }
            let (lines, is_whole) = self.lines_of(package, steps);
            keys.push(StoredKey {
                unit,
                key: ActionKey {
                    kind: *kind,
                    package: package.clone(),
                    action: *action,
                    id: id.clone(),
                    lines,
                    cut: part.cut.get(&n).cloned().unwrap_or_default(),
                    has_gaps: !is_whole || part.gaps.contains(&n),
                },
                has_failed: part.failed.contains(&n),
                times: ActionTimes::default(),
            });
        }
        Ok(())
    }

    fn add_lines(&mut self, part: &Part) -> Result<(), UnpackError> {
        let mut hashes = part.hashes.as_str();
        if part.forms.len() != part.texts.len() {
            return Err(UnpackError::Parts);
        }
        for (letter, text) in part.forms.bytes().zip(&part.texts) {
            let form = Form::of(letter).ok_or(UnpackError::Parts)?;
            let text = text.as_bytes();
            let line = match (form, form.around()) {
                (Form::Own, _) => None,
                (Form::Ended, _) => Some([text, b"\n"].concat().into()),
                (_, None) => Some(text.into()),
                (_, Some((before, between, is_known))) => {
                    let hash = self.hash(form, text, is_known, &mut hashes)?;
                    Some(
                        [before, text, &[between], hash.as_bytes(), b"\n"]
                            .concat()
                            .into(),
                    )
                }
            };
            self.lines.push(line);
        }
        Ok(())
    }

    /// The hash of a line: that of an earlier line with the same path, or the next one.
    fn hash(
        &mut self,
        form: Form,
        text: &[u8],
        is_known: bool,
        hashes: &mut &str,
    ) -> Result<String, UnpackError> {
        if let Some(known) = self.contents.get(text).filter(|_| is_known) {
            return Ok(known.clone());
        }
        let (next, rest) = hashes.split_at_checked(HASH).ok_or(UnpackError::Parts)?;
        *hashes = rest;
        if form != Form::File {
            self.contents.insert(text.to_vec(), next.to_owned());
        }
        Ok(next.to_owned())
    }

    /// The lines of a key, and true if all are there.
    fn lines_of(&self, package: &ByteString, steps: &[i64]) -> (Vec<ByteString>, bool) {
        let mut number: i64 = -1;
        let mut is_whole = true;
        let mut lines = Vec::with_capacity(steps.len());
        for step in steps {
            number = number.saturating_add(*step);
            match usize::try_from(number)
                .ok()
                .and_then(|it| self.lines.get(it))
            {
                Some(Some(line)) => lines.push(line.clone()),
                Some(None) => lines.push(own_line(package).into()),
                None => is_whole = false,
            }
        }
        (lines, is_whole)
    }
}

#[cfg(test)]
mod tests;
