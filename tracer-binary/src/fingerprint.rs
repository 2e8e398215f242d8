//! Fingerprints: is it the same file, the same section, the same code?
//!
//! Two builds of the same code may differ in their build IDs, in `vcs.time`, and in the paths that
//! `-trimpath` would cut. The content identity leaves these out.

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::analysis::Analysis;
use crate::claim::Claims;
use crate::container::Container;
use crate::go::{buildid, buildinfo, pclntab::Pclntab};
use crate::image::{Image, SectionClass};
use crate::ledger::Ledger;

pub const SCHEMA: &str = "gotrace.fingerprint.v1";

/// Two answers to "the same code?", a strict one and a lenient one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContentIdentity {
    /// BLAKE3 of the loaded sections without build IDs, build information and source paths.
    /// Equal: the same code and data at the same addresses.
    pub loaded: String,
    /// BLAKE3 of the names and sizes of all functions. Survives a move to other addresses, as a
    /// longer source path causes it. Equal, with `loaded` different: most likely the same code.
    pub outline: String,
}

/// What `--fingerprint` writes.
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

/// Hash of the loaded sections with what varies left out.
pub(crate) fn loaded(container: &Container<'_>) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in &container.parts {
        let image = &part.image;
        let left_out = left_out(image);
        let mut budget = image.bytes.len() * 2;
        let loaded = image.sections.iter().filter(|section| {
            matches!(
                section.class,
                SectionClass::Code | SectionClass::ReadOnly | SectionClass::Data
            )
        });
        for section in loaded {
            // The same guard against sections that overlap as in the pass.
            let Some(rest) = budget.checked_sub(section.file.len()) else {
                break;
            };
            budget = rest;
            hasher.update(part.label.as_bytes());
            hasher.update(section.name.as_bytes());
            let mut at = section.file.start;
            for range in left_out
                .iter()
                .filter(|range| range.start < section.file.end && range.end > section.file.start)
            {
                hasher.update(image.bytes.get(at..range.start.max(at)).unwrap_or_default());
                at = range.end.clamp(at, section.file.end);
            }
            hasher.update(image.bytes.get(at..section.file.end).unwrap_or_default());
        }
    }
    hasher.finalize().to_string()
}

/// Sorted ranges of an image that differ between two builds of the same code.
fn left_out(image: &Image<'_>) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = image
        .sections
        .iter()
        .filter(|section| matches!(&*section.name, ".go.buildinfo" | "__go_buildinfo"))
        .map(|section| section.file.clone())
        .collect();
    for section in &image.sections {
        let bytes = image.section_bytes(section);
        let found = match section.class {
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
    if let Some(table) = Pclntab::find(image) {
        let (address, len) = table.files();
        image.file_ranges(address, len, |range| ranges.push(range));
    }
    ranges.sort_by_key(|range| (range.start, range.end));
    ranges
}

/// Hash of the names and sizes of functions, in no order.
pub(crate) fn outline(claims: &Claims<'_>, ledger: &Ledger) -> String {
    let mut rows: Vec<_> = claims
        .names
        .iter()
        .zip(&ledger.names)
        .filter(|(named, _)| {
            matches!(
                named.content,
                crate::claim::Content::Code | crate::claim::Content::CCode
            )
        })
        .map(|(named, bytes)| (named.name, *bytes))
        .collect();
    rows.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    for (name, bytes) in rows {
        hasher.update(name);
        hasher.update(&[0]);
        hasher.update(&bytes.to_le_bytes());
    }
    hasher.finalize().to_string()
}
