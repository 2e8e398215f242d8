//! The pass over the bytes: SHA-256 of the file, BLAKE3 and entropy of each section.
//!
//! SHA-256 cannot be split, so it has a thread of its own while another does the sections. Reading the
//! tables for attribution goes on meanwhile in the caller's thread.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

use crate::container::Container;
use crate::entropy::{self, Logs, Profile};
use crate::limit;

#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub blake3: [u8; 32],
    pub profile: Profile,
}

/// What the bytes of one section gave; `None` for one without bytes or past the limit.
pub(crate) type Sections = Vec<Option<Measured>>;

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// All sections of all parts, in the order of the ledger's numbering.
pub(crate) fn sections(bytes: &[u8], container: &Container<'_>) -> (Sections, Option<String>) {
    let logs = Logs::default();
    // Sections of a hostile file may all be the whole file.
    let mut left = (bytes.len() as u64).saturating_mul(limit::SECTION_REREAD);
    let mut skipped = 0;
    let mut measured = Vec::new();
    for (part, section) in container
        .parts
        .iter()
        .flat_map(|part| part.image.sections.iter().map(move |it| (part, it)))
    {
        let range: Range<usize> = section.file.start + part.offset..section.file.end + part.offset;
        let content = bytes.get(range).unwrap_or_default();
        let cost = content.len() as u64;
        measured.push(if content.is_empty() {
            None
        } else if cost > left {
            skipped += 1;
            None
        } else {
            left -= cost;
            Some(Measured {
                blake3: blake3::hash(content).into(),
                profile: entropy::profile(content, &logs),
            })
        });
    }
    let note = (skipped > 0).then(|| format!("sections overlap; {skipped} of them are not hashed"));
    (measured, note)
}
