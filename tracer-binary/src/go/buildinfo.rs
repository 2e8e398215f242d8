//! Build information: the block that `go version -m` reads, found and parsed.
//!
//! There are two encodings. Since Go 1.18 the strings follow the header; before, the header contains pointers to the
//! strings. This module interprets nothing beyond the lines' own grammar (`runtime/debug.ParseBuildInfo`).

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::image::{Image, SectionClass};
use crate::limit;
use crate::reader::{Endian, Reader, index};

const MAGIC: &[u8] = b"\xff Go buildinf:";
const ALIGN: usize = 16;
/// The marks around the module text (`cmd/go/internal/modload`).
const INFO_START: &[u8] = b"\x30\x77\xaf\x0c\x92\x74\x08\x02\x41\xe1\xc1\x07\xe6\xd6\x18\xe6";
const INFO_END: &[u8] = b"\xf9\x32\x43\x31\x86\x18\x20\x72\x00\x82\x42\x10\x41\x16\xd8\xf2";
const INLINE_STRINGS: u8 = 2;
const BIG_ENDIAN: u8 = 1;

#[derive(
    Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub struct Module {
    pub path: String,
    /// Empty if the file does not state it.
    pub version: String,
    /// The `h1:` checksum of go.sum, empty for the main module and directory replacements.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sum: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replace: Option<Box<Module>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    pub key: String,
    pub value: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BuildInfo {
    pub go_version: String,
    /// Import path of the main package.
    pub path: Option<String>,
    pub main: Option<Module>,
    pub deps: Vec<Module>,
    pub settings: Vec<Setting>,
}

/// The valid build information of an image, if any.
pub(crate) fn read(image: &Image<'_>) -> Option<BuildInfo> {
    if image.memory.is_empty() {
        let named = image
            .sections
            .iter()
            .filter(|section| matches!(&*section.name, ".go.buildinfo" | "__go_buildinfo"));
        // Older linkers and PE keep the block at the start of writable data.
        let data = image
            .sections
            .iter()
            .filter(|section| section.class == SectionClass::Data);
        let found = image
            .each_once(named.chain(data), |section| &section.file)
            .find_map(|(_, bytes)| find(image, bytes));
        if found.is_some() {
            return found;
        }
        // Without section headers (`sstrip`, UPX'ed and unpacked files) only the segments are left.
        let writable = image.segments.iter().filter(|segment| segment.flags.write);
        return image
            .each_once(writable, |segment| &segment.file)
            .find_map(|(_, bytes)| find(image, bytes));
    }
    find(image, &image.memory).or_else(|| from_memory(image))
}

/// Reads the build information of wasm files. They have no block: its two strings are variables of the runtime, found
/// by their content.
///
/// `runtime.modinfo` stands between the same marks, and `runtime.buildVersion` is the only string header whose text is
/// a Go version.
fn from_memory(image: &Image<'_>) -> Option<BuildInfo> {
    let reader = Reader::new(&image.memory, image.endian);
    let mut info = image
        .memory
        .chunks_exact(8)
        .enumerate()
        .find_map(|(word, chunk)| {
            let address = index(Reader::new(chunk, image.endian).u64(0)?)?;
            let len = index(reader.u64((word + 1) * 8)?)?;
            let text = (5..=64)
                .contains(&len)
                .then(|| reader.slice(address, len))??;
            is_version(text).then(|| String::from_utf8_lossy(text).into_owned())
        })
        .map(|go_version| BuildInfo {
            go_version,
            ..BuildInfo::default()
        })?;
    if let Some(text) = text_ranges(&image.memory)
        .into_iter()
        .find_map(|range| image.memory.get(range))
    {
        lines(&String::from_utf8_lossy(text), &mut info);
    }
    Some(info)
}

/// The ranges of the module text between its marks: in the block, and in a variable of the runtime.
pub(crate) fn text_ranges(bytes: &[u8]) -> Vec<Range<usize>> {
    const MOST: usize = 8;
    let mut ranges = Vec::new();
    for mark in memchr::memmem::find_iter(bytes, INFO_START).take(MOST) {
        let start = mark + INFO_START.len();
        let rest = bytes.get(start..).unwrap_or_default();
        let rest = index(limit::BUILD_INFO)
            .and_then(|most| rest.get(..most))
            .unwrap_or(rest);
        ranges.extend(memchr::memmem::find(rest, INFO_END).map(|len| start..start + len));
    }
    ranges
}

/// True for `go1.27.3` and `go1.28rc1 X:experiment`, but not for `devel` versions, which no test could distinguish from
/// prose.
fn is_version(text: &[u8]) -> bool {
    text.strip_prefix(b"go1.").is_some_and(|rest| {
        rest.first().is_some_and(u8::is_ascii_digit)
            && rest
                .iter()
                .all(|byte| byte.is_ascii_graphic() || *byte == b' ')
    })
}

fn find(image: &Image<'_>, bytes: &[u8]) -> Option<BuildInfo> {
    let found = memchr::memmem::find_iter(bytes, MAGIC).filter(|at| at.is_multiple_of(ALIGN));
    found.take(16).find_map(|at| blob(image, bytes.get(at..)?))
}

fn blob(image: &Image<'_>, bytes: &[u8]) -> Option<BuildInfo> {
    let flags = *bytes.get(15)?;
    let (version, text) = if flags & INLINE_STRINGS != 0 {
        let reader = Reader::new(bytes, Endian::Little);
        let (version, at) = inline(reader, 32)?;
        let (text, _) = inline(reader, at)?;
        (version, text)
    } else {
        let word = *bytes.get(14)?;
        if word != 4 && word != 8 {
            return None;
        }
        let endian = if flags & BIG_ENDIAN != 0 {
            Endian::Big
        } else {
            Endian::Little
        };
        let reader = Reader::new(bytes, endian);
        let version = pointed(image, endian, reader.word(16, word)?, word)?;
        let text = pointed(
            image,
            endian,
            reader.word(16 + usize::from(word), word)?,
            word,
        )
        .unwrap_or_default();
        (version, text)
    };
    if version.is_empty() {
        return None;
    }
    let mut info = BuildInfo {
        go_version: String::from_utf8_lossy(version).into_owned(),
        ..BuildInfo::default()
    };
    if let Some(text) = unwrap_sentinels(text) {
        lines(&String::from_utf8_lossy(text), &mut info);
    }
    Some(info)
}

fn inline(reader: Reader<'_>, at: usize) -> Option<(&[u8], usize)> {
    let (len, at) = reader.uvarint(at)?;
    if len > limit::BUILD_INFO {
        return None;
    }
    let len = index(len)?;
    Some((reader.slice(at, len)?, at + len))
}

/// Follows a pointer to a Go string header, and the pointer in the header.
fn pointed<'i>(image: &'i Image<'_>, endian: Endian, address: u64, word: u8) -> Option<&'i [u8]> {
    let header = Reader::new(image.bytes_at(address, 2 * u64::from(word))?, endian);
    let len = header.word(usize::from(word), word)?;
    if len > limit::BUILD_INFO {
        return None;
    }
    image.bytes_at(header.word(0, word)?, len)
}

/// The text stands between two random 16-byte marks; the linker puts them there for older readers.
fn unwrap_sentinels(text: &[u8]) -> Option<&[u8]> {
    let end = text.len().checked_sub(16)?;
    let inner = text.get(16..end)?;
    inner.ends_with(b"\n").then_some(inner)
}

/// Parses the lines of `go version -m`, as the linker embeds them.
pub(crate) fn lines(text: &str, info: &mut BuildInfo) {
    enum Last {
        None,
        Main,
        Dep,
    }
    let mut last = Last::None;
    for line in text.lines() {
        let Some((word, rest)) = line.split_once('\t') else {
            continue;
        };
        match word {
            "path" => info.path = Some(rest.to_owned()),
            "mod" => {
                info.main = Some(module(rest));
                last = Last::Main;
            }
            "dep" => {
                info.deps.push(module(rest));
                last = Last::Dep;
            }
            "=>" => {
                let replaced = match last {
                    Last::None => None,
                    Last::Main => info.main.as_mut(),
                    Last::Dep => info.deps.last_mut(),
                };
                if let Some(replaced) = replaced {
                    replaced.replace = Some(Box::new(module(rest)));
                }
            }
            "build" => info.settings.extend(setting(rest)),
            _ => {}
        }
    }
}

fn module(rest: &str) -> Module {
    let mut fields = rest.split('\t');
    let mut field = || fields.next().unwrap_or_default().to_owned();
    Module {
        path: field(),
        version: field(),
        sum: field(),
        replace: None,
    }
}

/// Parses `key=value`. Each of the two is a quoted Go string if it contains characters that would confuse a reader.
fn setting(text: &str) -> Option<Setting> {
    let (key, rest) = if text.starts_with(['"', '`']) {
        unquote(text)?
    } else {
        let end = text.find('=')?;
        (text.get(..end)?.to_owned(), text.get(end..)?)
    };
    let value = rest.strip_prefix('=')?;
    let value = if value.starts_with(['"', '`']) {
        unquote(value)?.0
    } else {
        value.to_owned()
    };
    Some(Setting { key, value })
}

/// A Go string literal at the start of `text`, and the text after the literal.
fn unquote(text: &str) -> Option<(String, &str)> {
    if let Some(raw) = text.strip_prefix('`') {
        let (value, rest) = raw.split_once('`')?;
        return Some((value.to_owned(), rest));
    }
    let mut bytes = Vec::new();
    let mut rest = text.strip_prefix('"')?;
    loop {
        let char = rest.chars().next()?;
        rest = rest.get(char.len_utf8()..)?;
        match char {
            '"' => return Some((String::from_utf8_lossy(&bytes).into_owned(), rest)),
            '\\' => rest = escape(rest, &mut bytes)?,
            other => bytes.extend(other.encode_utf8(&mut [0; 4]).bytes()),
        }
    }
}

fn escape<'t>(text: &'t str, bytes: &mut Vec<u8>) -> Option<&'t str> {
    let kind = text.chars().next()?;
    let rest = text.get(kind.len_utf8()..)?;
    let digits = match kind {
        'n' => b'\n',
        't' => b'\t',
        'r' => b'\r',
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'v' => 11,
        '\\' => b'\\',
        '"' => b'"',
        '\'' => b'\'',
        'x' | 'u' | 'U' => {
            let len = match kind {
                'x' => 2,
                'u' => 4,
                _ => 8,
            };
            let value = u32::from_str_radix(rest.get(..len)?, 16).ok()?;
            if kind == 'x' {
                bytes.push(u8::try_from(value).ok()?);
            } else {
                bytes.extend(char::from_u32(value)?.encode_utf8(&mut [0; 4]).bytes());
            }
            return rest.get(len..);
        }
        _ => return None,
    };
    bytes.push(digits);
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_settings_are_unquoted() {
        let check = |text: &str, key: &str, value: &str| {
            assert_eq!(
                setting(text),
                Some(Setting {
                    key: key.into(),
                    value: value.into()
                }),
                "{text}"
            );
        };
        check("GOOS=linux", "GOOS", "linux");
        check(
            r#"-ldflags="-X main.version=1.2 -s""#,
            "-ldflags",
            "-X main.version=1.2 -s",
        );
        check(r#""odd key"="a\tb\x41\u00e9""#, "odd key", "a\tbA\u{e9}");
        check("CGO_CFLAGS=", "CGO_CFLAGS", "");
        assert_eq!(setting("no value"), None);
        assert_eq!(setting(r#"k="open"#), None);
    }

    #[test]
    fn a_replacement_belongs_to_the_line_before() {
        let mut info = BuildInfo::default();
        lines(
            "path\tx/y\nmod\tx\t(devel)\t\ndep\ta\tv1\th1:s\n=>\t../a\t(devel)\t\ndep\tb\tv2\th1:t\n",
            &mut info,
        );
        let replace = info
            .deps
            .first()
            .and_then(|dep| dep.replace.as_deref())
            .map(|module| module.path.as_str());
        assert_eq!(replace, Some("../a"));
        assert_eq!(
            info.deps.get(1).and_then(|dep| dep.replace.as_deref()),
            None
        );
    }
}
