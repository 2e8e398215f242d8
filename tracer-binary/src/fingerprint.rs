//! Fingerprints detect the same file, the same section and the same code.
//!
//! Two builds of the same code may differ in their build IDs, in `vcs.time`, and in the paths that `-trimpath` would
//! cut. The content identity leaves these out.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::analysis::Analysis;
use crate::container::Container;
use crate::go::{buildid, buildinfo, pclntab::Pclntab};
use crate::hashing::Sections;
use crate::image::{Image, Section, SectionClass};

pub const SCHEMA: &str = "gotrace.fingerprint.v1";

/// Two comparisons for "the same code", a strict one and a lenient one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContentIdentity {
    /// BLAKE3 of the hashes of the loaded sections without build IDs, build information and source paths. Equal values
    /// mean the same code and data at the same addresses.
    pub loaded: String,
    /// BLAKE3 of the names and sizes of all functions. Unaffected by a move to other addresses, which a longer source
    /// path causes. Equal values with different `loaded` mean most likely the same code.
    pub outline: String,
}

/// The output of `--fingerprint`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fingerprint {
    /// Always `gotrace.fingerprint.v1`.
    pub schema: String,
    pub size: u64,
    pub sha256: String,
    pub content: ContentIdentity,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub go_build_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gnu_build_id: Option<String>,
    pub sections: Vec<SectionPrint>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SectionPrint {
    pub name: String,
    pub size: u64,
    pub blake3: String,
}

impl Fingerprint {
    pub fn of(analysis: &Analysis) -> Self {
        let sections = analysis.sections.iter().filter_map(|section| {
            Some(SectionPrint {
                name: section.name.clone(),
                size: section.disk,
                blake3: section.blake3.clone()?,
            })
        });
        Self {
            schema: SCHEMA.to_owned(),
            size: analysis.size,
            sha256: analysis.sha256.clone(),
            content: analysis.content.clone(),
            go_build_id: analysis
                .identity
                .build_id
                .as_ref()
                .map(|id| id.whole.clone()),
            gnu_build_id: analysis.identity.gnu_build_id.clone(),
            sections: sections.collect(),
        }
    }
}

/// Hash of the loaded sections, made from the hash of each without its varying ranges.
pub(crate) fn loaded(container: &Container<'_>, measured: &Sections) -> String {
    let mut hasher = blake3::Hasher::new();
    let sections = container
        .parts
        .iter()
        .flat_map(|part| part.image.sections.iter().map(move |it| (part, it)));
    for ((part, section), measured) in sections.zip(measured) {
        let Some(measured) = measured.as_ref().filter(|_| is_loaded(section.class)) else {
            continue;
        };
        for name in [part.label.as_bytes(), section.name.as_bytes()] {
            hasher.update(name);
            hasher.update(&[0]);
        }
        hasher.update(&measured.content);
    }
    hasher.finalize().to_string()
}

fn is_loaded(class: SectionClass) -> bool {
    matches!(
        class,
        SectionClass::Code | SectionClass::ReadOnly | SectionClass::Data
    )
}

/// Hash of a section without the varying ranges; `None` if the section contains none.
pub(crate) fn without(
    image: &Image<'_>,
    section: &Section<'_>,
    left_out: &[Range<usize>],
) -> Option<[u8; 32]> {
    let mut inside = left_out
        .iter()
        .filter(|range| {
            is_loaded(section.class)
                && range.start < section.file.end
                && range.end > section.file.start
        })
        .peekable();
    inside.peek()?;
    let mut hasher = blake3::Hasher::new();
    let mut at = section.file.start;
    for range in inside {
        hasher.update(image.bytes.get(at..range.start.max(at)).unwrap_or_default());
        at = range.end.clamp(at, section.file.end);
    }
    hasher.update(image.bytes.get(at..section.file.end).unwrap_or_default());
    Some(hasher.finalize().into())
}

/// Real files have a few ranges. With more, the product of sections and ranges would take too long.
const MAX_LEFT_OUT: usize = 1024;

/// Sorted ranges of an image that differ between two builds of the same code.
pub(crate) fn left_out(image: &Image<'_>) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = image
        .sections
        .iter()
        .filter(|section| matches!(&*section.name, ".go.buildinfo" | "__go_buildinfo"))
        .map(|section| section.file.clone())
        .collect();
    for (section, bytes) in image.each_once(image.sections.iter(), |section| &section.file) {
        let found = match section.class {
            // The only text in the function table is names, and the table is a tenth of the file.
            _ if section.name.ends_with("gopclntab") => Vec::new(),
            SectionClass::Code => buildid::raw_range(bytes).into_iter().collect(),
            SectionClass::ReadOnly | SectionClass::Data => buildinfo::text_ranges(bytes),
            SectionClass::Zero
            | SectionClass::Debug
            | SectionClass::Symbols
            | SectionClass::Linking
            | SectionClass::Note
            | SectionClass::Other => Vec::new(),
        };
        ranges.extend(
            found
                .into_iter()
                .map(|range| range.start + section.file.start..range.end + section.file.start),
        );
    }
    ranges.truncate(MAX_LEFT_OUT);
    if let Some(table) = Pclntab::find(image) {
        let (address, len) = table.files();
        image.file_ranges(address, len, |range| ranges.push(range));
    }
    ranges.sort_by_key(|range| (range.start, range.end));
    ranges
}
