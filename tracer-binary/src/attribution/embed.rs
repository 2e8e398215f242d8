//! Files embedded with `//go:embed`, found without symbols.
//!
//! For an `embed.FS` the compiler writes a slice header whose pointer is the address right behind the header, where the
//! array of files is. Nothing else has this form, and in addition every entry must be valid. A file embedded as
//! `string` or `[]byte` is a plain constant (`constant`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Attributions, Content, Facts};
use crate::image::{Image, SectionClass};
use crate::limit;
use crate::package::{PackageId, Packages};
use crate::reader::{Endian, index};

/// One embedded file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Embed {
    /// Path of the file. For a `string` or `[]byte`, the name of the variable, because the program does not contain the
    /// path.
    pub path: String,
    pub size: u64,
    /// Import path of the package that embeds the file, if a symbol states it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// Format of the content by its first bytes, if it is already compressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compressed: Option<String>,
    /// Bits per byte.
    pub entropy: f64,
}

pub(super) fn attribute<'i>(
    facts: &Facts<'_, 'i>,
    packages: &Packages<'i>,
    attributions: &mut Attributions<'i>,
) {
    if facts.table.is_none() {
        return;
    }
    let image = facts.image;
    let word = u64::from(image.word);
    let mut budget = ScanBudget::of(image);
    if !image.memory.is_empty() {
        scan(facts, &image.memory, 0, packages, attributions, &mut budget);
        return;
    }
    let sections = image.sections.iter().filter(|section| {
        section.address != 0
            && matches!(section.class, SectionClass::ReadOnly | SectionClass::Data)
            && super::region::content_of(&section.name).is_none()
    });
    let aligned = sections.filter(|section| section.address.is_multiple_of(word));
    for (section, bytes) in image.each_once(aligned, |section| &section.file) {
        scan(
            facts,
            bytes,
            section.address,
            packages,
            attributions,
            &mut budget,
        );
    }
}

/// Limits the scan. Arrays of a hostile file may overlap, so that each byte would be read any number of times.
pub(super) struct ScanBudget {
    entries: usize,
    bytes: usize,
}

impl ScanBudget {
    pub(super) fn of(image: &Image<'_>) -> Self {
        Self {
            entries: 2 * limit::EMBEDS,
            bytes: image.bytes.len(),
        }
    }

    pub(super) fn spend(&mut self, bytes: usize) -> Option<()> {
        self.entries = self.entries.checked_sub(1)?;
        self.bytes = self.bytes.checked_sub(bytes)?;
        Some(())
    }
}

fn scan<'i>(
    facts: &Facts<'_, 'i>,
    bytes: &[u8],
    address: u64,
    packages: &Packages<'i>,
    attributions: &mut Attributions<'i>,
    budget: &mut ScanBudget,
) {
    let image = facts.image;
    let headers = SliceHeaders {
        address,
        // If a relocation sets the value, the lengths decide whether to look up the relocation.
        zero_too: image.fixups.is_some(),
        any_too: image.chained.is_some(),
    };
    let check = |header: u64, len: u64| {
        if image.pointer(header) == Some(header.wrapping_add(3 * u64::from(image.word))) {
            files(facts, header, len, packages, attributions, budget);
        }
    };
    match (image.word, image.endian) {
        (8, Endian::Little) => headers.each(bytes, u64::from_le_bytes, check),
        (8, Endian::Big) => headers.each(bytes, u64::from_be_bytes, check),
        (_, Endian::Little) => headers.each(bytes, |word| u32::from_le_bytes(word).into(), check),
        (_, Endian::Big) => headers.each(bytes, |word| u32::from_be_bytes(word).into(), check),
    }
}

/// Slice headers whose array is right behind them.
struct SliceHeaders {
    /// Address of the first byte.
    address: u64,
    zero_too: bool,
    /// True if pointers are encoded.
    any_too: bool,
}

impl SliceHeaders {
    /// Calls `check` with the address and the length of each possible header.
    fn each<const WORD: usize>(
        &self,
        bytes: &[u8],
        decode: impl Fn([u8; WORD]) -> u64,
        mut check: impl FnMut(u64, u64),
    ) {
        let (words, _) = bytes.as_chunks::<WORD>();
        let size = WORD as u64;
        let mut here = self.address;
        for header in words.windows(3) {
            let &[pointer, len, capacity] = header else {
                return;
            };
            let pointer = decode(pointer);
            let is_next = pointer == here.wrapping_add(3 * size);
            if is_next || self.any_too || (pointer == 0 && self.zero_too) {
                let len = decode(len);
                if len == decode(capacity) && (1..=limit::EMBEDS as u64).contains(&len) {
                    check(here, len);
                }
            }
            here = here.wrapping_add(size);
        }
    }
}

/// Checks the whole array before any entry is accepted.
fn files<'i>(
    facts: &Facts<'_, 'i>,
    header: u64,
    len: u64,
    packages: &Packages<'i>,
    attributions: &mut Attributions<'i>,
    budget: &mut ScanBudget,
) {
    let image = facts.image;
    let word = u64::from(image.word);
    let entry = 4 * word + 16;
    let mut found = Vec::new();
    for number in 0..len {
        let at = header.wrapping_add(3 * word).wrapping_add(number * entry);
        let Some((name, content)) = string(facts, at).zip(string(facts, at.wrapping_add(2 * word)))
        else {
            return;
        };
        let is_path = !name.1.is_empty()
            && name.1.len() <= limit::NAME
            && std::str::from_utf8(name.1).is_ok();
        // A directory ends with a slash and has no content.
        if !is_path || (name.1.ends_with(b"/") && !content.1.is_empty()) {
            return;
        }
        if budget.spend(name.1.len() + content.1.len()).is_none() {
            attributions
                .notes
                .push("embedded files overlap or are too many, the rest is not read".to_owned());
            return;
        }
        found.push((name, content));
        if attributions.embeds.len() + found.len() > limit::EMBEDS {
            attributions.notes.push(format!(
                "more than {} embedded files, the rest is not read",
                limit::EMBEDS
            ));
            return;
        }
    }
    let first = facts
        .symbols
        .partition_point(|symbol| symbol.address < header);
    let symbol = facts
        .symbols
        .get(first)
        .filter(|symbol| symbol.address == header);
    let package = symbol.map_or(PackageId::NONE, |symbol| {
        packages.known_of_symbol(symbol.name)
    });
    image.file_ranges(
        header,
        (3 * word).saturating_add(len.saturating_mul(entry)),
        |file| {
            attributions.push(facts.offset, &file, package, super::NO_NAME, Content::Embed);
        },
    );
    for ((name_at, name), (address, content)) in found {
        image.file_ranges(name_at, name.len() as u64, |file| {
            attributions.push(facts.offset, &file, package, super::NO_NAME, Content::Embed);
        });
        if content.is_empty() {
            continue;
        }
        let number = attributions.name(name, package, Content::Embed);
        image.file_ranges(address, content.len() as u64, |file| {
            attributions.push(facts.offset, &file, package, number, Content::Embed);
        });
        attributions.embeds.push(Embed {
            path: String::from_utf8_lossy(name).into_owned(),
            size: content.len() as u64,
            package: packages.name(package).map(std::borrow::Cow::into_owned),
            compressed: compressed(content).map(str::to_owned),
            entropy: crate::entropy::of(content),
        });
    }
}

/// A Go string header: the address of its text and the text.
fn string<'i>(facts: &Facts<'_, 'i>, at: u64) -> Option<(u64, &'i [u8])> {
    let word = u64::from(facts.image.word);
    let len = facts
        .image
        .reader_at(at.checked_add(word)?)?
        .word(0, facts.image.word)?;
    if len == 0 {
        return Some((0, &[]));
    }
    let address = facts.image.pointer(at)?;
    index(len)?;
    Some((address, facts.image.bytes_at(address, len)?))
}

/// The format of compressed content, detected by its first bytes.
pub(super) fn compressed(content: &[u8]) -> Option<&'static str> {
    const KNOWN: [(&[u8], &str); 12] = [
        (b"\x1f\x8b", "gzip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\xfd7zXZ\0", "xz"),
        (b"BZh", "bzip2"),
        (b"PK\x03\x04", "zip"),
        (b"7z\xbc\xaf", "7z"),
        (b"\x89PNG", "PNG"),
        (b"\xff\xd8\xff", "JPEG"),
        (b"GIF8", "GIF"),
        (b"wOF2", "WOFF2"),
        (b"wOFF", "WOFF"),
        (b"RIFF", "RIFF"),
    ];
    KNOWN
        .iter()
        .find(|(magic, _)| content.starts_with(magic))
        .map(|(_, name)| *name)
}
