//! Checks the layout of a Go struct by the descriptor of its type, which stripped programs contain too.
//!
//! Supports Go 1.19 to 1.27, which have the same layout of descriptors, fields and names. Descriptors are in one section; the offsets of
//! names count from its start. All known properties must match, so a file without that exact struct has no match.

use std::fmt;

use serde::Deserialize;

use super::elf::{Elf, index, u32_at, u64_at};

/// Maximum size of a section to read; the largest tool's section has some 8 MB.
const LEN_MAX: usize = 64 << 20;
/// Sections of types: since Go 1.27, before it, and both in position-independent programs.
const SECTIONS: [&str; 4] = [
    ".go.type",
    ".data.rel.ro.go.type",
    ".rodata",
    ".data.rel.ro",
];

/// Maximum number of descriptors to compare in full. A Go program has one of each name; a crafted file can have a million.
const CANDIDATES: usize = 16;

/// Size of a struct's descriptor, and of a field in it.
const DESCRIPTOR: usize = 80;
const FIELD: usize = 24;

/// Values of `reflect.Kind`, and the mask of its five bits.
const STRING: u8 = 24;
const STRUCT: u8 = 25;
const KIND: u8 = 31;

/// A struct as in the Go source.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Struct {
    /// The name in its descriptor: `*pkg.Name`.
    name: String,
    /// Import path.
    package: String,
    /// Size in bytes.
    size: u64,
    /// Name and offset of each field.
    fields: Vec<(String, u64)>,
    /// Name of the string field.
    string: String,
}

impl Struct {
    /// Offset of the string field.
    #[cfg(test)]
    pub(super) fn string_at(&self) -> Option<u64> {
        let field = self.fields.iter().find(|(name, _)| *name == self.string);
        field.map(|(_, offset)| *offset)
    }

    /// True if the program contains this exact struct, with that string field.
    pub(super) fn is_in(&self, elf: &Elf<'_>) -> bool {
        SECTIONS.iter().any(|name| {
            elf.section(name)
                .and_then(|range| elf.bytes(range, LEN_MAX))
                .is_some_and(|bytes| self.is_among(elf, &bytes))
        })
    }

    fn is_among(&self, elf: &Elf<'_>, types: &[u8]) -> bool {
        // Filter by the first word alone, because a program has a million words and the build waits for its probes.
        let size = self.size.to_le_bytes();
        let words = types.chunks_exact(8).enumerate();
        let candidates = words.filter(|(_, word)| *word == size);
        candidates
            .filter_map(|(n, _)| self.candidate(types, 8 * n))
            .take(CANDIDATES)
            .any(|descriptor| self.is_described(elf, descriptor).is_some())
    }

    /// The descriptor at `at`, if its kind, number of fields and name match.
    fn candidate<'a>(&self, types: &'a [u8], at: usize) -> Option<&'a [u8]> {
        let descriptor = types.get(at..)?.get(..DESCRIPTOR)?;
        let n_fields = u64::try_from(self.fields.len()).ok()?;
        let is_candidate =
            descriptor.get(23)? & KIND == STRUCT && u64_at(descriptor, 64)? == n_fields;
        let name = types.get(index(u64::from(u32_at(descriptor, 40)?))..);
        (is_candidate && is_name(name?, &self.name)).then_some(descriptor)
    }

    /// Compares the descriptor field by field; `Some` if all fields match.
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

/// True if the encoded name of a type, a field or a package is this one: flags, a length of one byte, and the text.
fn is_name(bytes: &[u8], name: &str) -> bool {
    let is_long = |len: &u8| usize::from(*len) == name.len() && *len < 0x80;
    bytes.get(1).is_some_and(is_long)
        && bytes
            .get(2..)
            .is_some_and(|it| it.starts_with(name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    /// Address of the file in memory, and offset of its types in the file.
    const BASE: u64 = 0x0040_0000;
    const TYPES: usize = 64 + 56;

    /// The struct of the probes.
    fn key() -> Struct {
        Struct {
            name: "*cache.Hash".to_owned(),
            package: "cmd/go/internal/cache".to_owned(),
            size: 40,
            fields: [("h", 0), ("name", 16), ("buf", 32)]
                .map(|(name, offset)| (name.to_owned(), offset))
                .to_vec(),
            string: "name".to_owned(),
        }
    }

    /// Types of a program, as the linker lays them out.
    #[derive(Default)]
    struct Types(Vec<u8>);

    impl Types {
        fn address(&self) -> u64 {
            BASE + (TYPES + self.0.len()) as u64
        }

        fn name(&mut self, name: &str) -> u64 {
            let address = self.address();
            self.0.extend([1, u8::try_from(name.len()).unwrap()]);
            self.0.extend(name.as_bytes());
            self.0.resize(self.0.len().next_multiple_of(8), 0);
            address
        }

        fn descriptor(&mut self, size: u64, kind: u8, name: u64, rest: [u64; 3]) -> u64 {
            let address = self.address();
            let mut bytes = [0; DESCRIPTOR];
            bytes[..8].copy_from_slice(&size.to_le_bytes());
            // The byte also contains flags.
            bytes[23] = 0x20 | kind;
            let offset = u32::try_from(name - BASE - TYPES as u64).unwrap();
            bytes[40..44].copy_from_slice(&offset.to_le_bytes());
            for (at, word) in [48, 56, 64].into_iter().zip(rest) {
                bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
            }
            self.0.extend(bytes);
            address
        }

        /// A struct whose fields are strings, except for the first.
        fn structure(&mut self, it: &Struct) {
            let none = self.name("");
            let other = self.descriptor(8, 22, none, [0; 3]);
            let string = self.descriptor(16, STRING, none, [0; 3]);
            let names: Vec<u64> = it.fields.iter().map(|(name, _)| self.name(name)).collect();
            let package = self.name(&it.package);
            let name = self.name(&it.name);
            let fields = self.address();
            for (n, (name, (_, offset))) in names.into_iter().zip(&it.fields).enumerate() {
                let of = if n == 0 { other } else { string };
                for word in [name, of, *offset] {
                    self.0.extend(word.to_le_bytes());
                }
            }
            let n_fields = it.fields.len() as u64;
            self.descriptor(it.size, STRUCT, name, [package, fields, n_fields]);
        }

        /// A program with only these types.
        fn program(&self) -> Vec<u8> {
            let names = b"\0.rodata\0.shstrtab\0";
            let (types_end, names_end) = (TYPES + self.0.len(), TYPES + self.0.len() + names.len());
            let words = |words: &[u64]| -> Vec<u8> {
                words.iter().flat_map(|it| it.to_le_bytes()).collect()
            };
            let halves = |halves: &[u16]| -> Vec<u8> {
                halves.iter().flat_map(|it| it.to_le_bytes()).collect()
            };
            // A name, a type, and a range.
            let section = |name: u64, kind: u64, from: usize, to: usize| {
                let (from, len) = (from as u64, (to - from) as u64);
                words(&[kind << 32 | name, 0, BASE + from, from, len, 0, 1, 0])
            };
            [
                b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec(),
                halves(&[2, 62, 1, 0]),
                words(&[BASE, 64, names_end as u64]),
                halves(&[0, 0, 64, 56, 1, 64, 3, 2]),
                words(&[4 << 32 | 1, 0, BASE, BASE]),
                words(&[names_end as u64, names_end as u64, 0x1000]),
                self.0.clone(),
                names.to_vec(),
                section(0, 0, 0, 0),
                section(1, 1, TYPES, types_end),
                section(9, 3, types_end, names_end),
            ]
            .concat()
        }
    }

    fn program(it: &Struct) -> Vec<u8> {
        let mut types = Types::default();
        types.structure(it);
        types.program()
    }

    /// True if the program has the struct; `None` if it is no ELF file.
    fn find(program: &[u8], wanted: &Struct) -> Option<bool> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(program).unwrap();
        Elf::read(&file).map(|elf| wanted.is_in(&elf))
    }

    fn has(program: &[u8], wanted: &Struct) -> bool {
        find(program, wanted).unwrap()
    }

    #[test]
    fn a_struct_must_match_in_all_known_properties() {
        assert!(has(&program(&key()), &key()));
        let mut others: Vec<Struct> = Vec::new();
        for change in [
            |it: &mut Struct| it.name = "*cache.Hatch".to_owned(),
            |it: &mut Struct| it.package = "cmd/go/internal/other".to_owned(),
            |it: &mut Struct| it.size = 48,
            |it: &mut Struct| it.fields[1].1 = 24,
            |it: &mut Struct| it.fields[1].0 = "label".to_owned(),
            |it: &mut Struct| it.fields.truncate(2),
            |it: &mut Struct| it.fields.push(("more".to_owned(), 48)),
        ] {
            let mut other = key();
            change(&mut other);
            others.push(other);
        }
        for other in others {
            assert!(!has(&program(&other), &key()), "{other:?}");
        }
        // The string field has another type.
        let wanted = Struct {
            string: "h".to_owned(),
            ..key()
        };
        assert!(!has(&program(&key()), &wanted));
    }

    #[test]
    fn a_struct_is_found_among_few_similar_ones_but_not_among_many() {
        let mut other = key();
        other.package = "example.com/cache".to_owned();
        for (n, is_found) in [(CANDIDATES - 1, true), (CANDIDATES, false)] {
            let mut types = Types::default();
            (0..n).for_each(|_| types.structure(&other));
            types.structure(&key());
            assert_eq!(has(&types.program(), &key()), is_found, "{n}");
        }
    }

    #[test]
    fn a_truncated_program_has_no_struct() {
        let whole = program(&key());
        let types_end = whole.len() - 3 * 64 - 19;
        for cut in (64..whole.len()).step_by(7) {
            assert_ne!(find(&whole[..cut], &key()), Some(true), "{cut}");
        }
        // Any changed byte of the types is read without a panic.
        for at in TYPES..types_end {
            let mut bytes = whole.clone();
            bytes[at] = !bytes[at];
            let _either = has(&bytes, &key());
        }
    }
}
