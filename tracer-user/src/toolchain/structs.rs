//! Layout of a struct of a Go program, from the descriptor of its type, which stripped programs have too.
//!
//! Layouts of Go 1.19 to 1.27: descriptor, fields and names have been the same in all of them. Descriptors lie in one section, at whose
//! start offsets of names begin. A struct is found by everything that is known of it, so a file without that very struct has none.

use std::fmt;

use serde::Deserialize;

use super::elf::{Elf, index, u32_at, u64_at};

/// Largest section that is read; that of the largest tool has some 8 MB.
const LEN_MAX: usize = 64 << 20;
/// Where types are: since Go 1.27, before it, and both in position-independent programs.
const SECTIONS: [&str; 4] = [
    ".go.type",
    ".data.rel.ro.go.type",
    ".rodata",
    ".data.rel.ro",
];

/// Descriptors of that name that are looked at in full: a Go program has one, a file that only looks like one may have a million.
const CANDIDATES: usize = 16;

/// Bytes of a struct's descriptor, and of a field in it.
const DESCRIPTOR: usize = 80;
const FIELD: usize = 24;

/// Of `reflect.Kind`, which takes the low five bits of its byte.
const STRING: u8 = 24;
const STRUCT: u8 = 25;
const KIND: u8 = 31;

/// A struct as the source has it.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Struct {
    /// As its descriptor says it: `*pkg.Name`.
    name: String,
    /// Import path.
    package: String,
    /// Bytes.
    size: u64,
    /// Name and offset of each field.
    fields: Vec<(String, u64)>,
    /// The field that is a string.
    string: String,
}

impl Struct {
    /// Where the string is.
    #[cfg(test)]
    pub(super) fn string_at(&self) -> Option<u64> {
        let field = self.fields.iter().find(|(name, _)| *name == self.string);
        field.map(|(_, offset)| *offset)
    }

    /// Whether the program has this very struct, with that string in it.
    pub(super) fn is_in(&self, elf: &Elf<'_>) -> bool {
        SECTIONS.iter().any(|name| {
            elf.section(name)
                .and_then(|range| elf.bytes(range, LEN_MAX))
                .is_some_and(|bytes| self.is_among(elf, &bytes))
        })
    }

    fn is_among(&self, elf: &Elf<'_>, types: &[u8]) -> bool {
        // By the first word alone, since there are a million: a build waits for its probes.
        let size = self.size.to_le_bytes();
        let words = types.chunks_exact(8).enumerate();
        let candidates = words.filter(|(_, word)| *word == size);
        candidates
            .filter_map(|(n, _)| self.candidate(types, 8 * n))
            .take(CANDIDATES)
            .any(|descriptor| self.is_described(elf, descriptor).is_some())
    }

    /// The descriptor here, if kind, number of fields and name are those of the struct.
    fn candidate<'a>(&self, types: &'a [u8], at: usize) -> Option<&'a [u8]> {
        let descriptor = types.get(at..)?.get(..DESCRIPTOR)?;
        let n_fields = u64::try_from(self.fields.len()).ok()?;
        let is_candidate =
            descriptor.get(23)? & KIND == STRUCT && u64_at(descriptor, 64)? == n_fields;
        let name = types.get(index(u64::from(u32_at(descriptor, 40)?))..);
        (is_candidate && is_name(name?, &self.name)).then_some(descriptor)
    }

    /// Whether the descriptor is of the struct, field by field.
    fn is_described(&self, elf: &Elf<'_>, descriptor: &[u8]) -> Option<()> {
        let has_name = |address, wanted: &str| {
            let bytes = elf.data(address, wanted.len() + 2);
            bytes.is_some_and(|it| is_name(&it, wanted))
        };
        let fields = elf.data(u64_at(descriptor, 56)?, FIELD * self.fields.len())?;
        let mut has_string = false;
        for (field, (name, offset)) in fields.chunks_exact(FIELD).zip(&self.fields) {
            let is_same = u64_at(field, 16)? == *offset && has_name(u64_at(field, 0)?, name);
            if !is_same {
                return None;
            }
            let of = elf.data(u64_at(field, 8)?, 24)?;
            has_string |= *name == self.string && of.get(23)? & KIND == STRING;
        }
        (has_string && has_name(u64_at(descriptor, 48)?, &self.package)).then_some(())
    }
}

impl fmt::Display for Struct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.rsplit('.').next().unwrap_or_default();
        write!(f, "{}.{name}", self.package)
    }
}

/// Whether a name of a type, a field or a package is this one: flags, a length of one byte, and the text.
fn is_name(bytes: &[u8], name: &str) -> bool {
    let is_long = |len: &u8| usize::from(*len) == name.len() && *len < 0x80;
    bytes.get(1).is_some_and(is_long)
        && bytes
            .get(2..)
            .is_some_and(|it| it.starts_with(name.as_bytes()))
}
