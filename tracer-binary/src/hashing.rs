//! Hashes the bytes: SHA-256 of the file, BLAKE3 and entropy of each section.
//!
//! SHA-256 cannot be split, so it runs in a thread of its own while another thread hashes the sections. Meanwhile the
//! caller's thread reads the tables for attribution.

use sha2::{Digest as _, Sha256};

use crate::container::Container;
use crate::entropy::{LogTable, Profile, WINDOW};
use crate::fingerprint;
use crate::limit;

#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub blake3: [u8; 32],
    /// The same hash without the ranges that differ between two builds of the same code.
    pub content: [u8; 32],
    pub profile: Profile,
}

/// The result for each section; `None` for a section without bytes or past the limit.
pub(crate) type Sections = Vec<Option<Measured>>;

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// All sections of all parts, in the order of the ledger's numbering.
pub(crate) fn sections(bytes: &[u8], container: &Container<'_>) -> (Sections, Option<String>) {
    let logs = LogTable::default();
    // Sections of a hostile file may all be the whole file.
    let mut left = (bytes.len() as u64).saturating_mul(limit::SECTION_REREAD);
    let mut skipped = 0;
    let mut measured = Vec::new();
    for part in &container.parts {
        let image = &part.image;
        let left_out = fingerprint::left_out(image);
        for section in &image.sections {
            let content = image.section_bytes(section);
            let cost = content.len() as u64;
            measured.push(if content.is_empty() {
                None
            } else if cost > left {
                skipped += 1;
                None
            } else {
                left -= cost;
                let (blake3, profile) = measure(content, &logs);
                Some(Measured {
                    blake3,
                    content: fingerprint::without(image, section, &left_out).unwrap_or(blake3),
                    profile,
                })
            });
        }
    }
    let note = (skipped > 0).then(|| format!("sections overlap; {skipped} of them are not hashed"));
    (measured, note)
}

/// Hashes and profiles the content piece by piece, so that the second step finds each piece in the cache.
fn measure(content: &[u8], logs: &LogTable) -> ([u8; 32], Profile) {
    const PIECE: usize = 32 * WINDOW;
    let mut hasher = blake3::Hasher::new();
    let mut profile = Profile::for_bytes(content.len());
    for piece in content.chunks(PIECE) {
        hasher.update(piece);
        profile.add(piece, logs);
    }
    (hasher.finalize().into(), profile)
}
