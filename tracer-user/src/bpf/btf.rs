//! Offsets of structure members and IDs of types, from the kernel's BTF. `aya` reads BTF too, but does not expose members, and its
//! parser makes a value of every type of the kernel.
//!
//! Inputs are the bytes of `/sys/kernel/btf/vmlinux` and names. Outputs are byte offsets, or `None`. The format is that of
//! `Documentation/bpf/btf.rst`. The parser trusts nothing: a malformed file has no members.

use std::collections::HashMap;
use std::ffi::CStr;
use std::fs;
use std::io;

use super::error::{SetupError, kernel};

/// BTF of the running kernel.
const VMLINUX: &str = "/sys/kernel/btf/vmlinux";

/// Kinds that only refer to another type.
const TYPEDEF: u32 = 8;
const VOLATILE: u32 = 9;
const CONST: u32 = 10;
const RESTRICT: u32 = 11;
const TYPE_TAG: u32 = 18;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const FUNCTION: u32 = 12;

/// Fields of the header.
const MAGIC: u32 = 0xeb9f;
const VERSION: u32 = 1;
const HEADER_SIZE: u32 = 24;

/// Maximum nesting of a member; deeper members are not found.
const DEPTH_MAX: u32 = 8;

/// A parsed BTF, with the start of each type.
pub(super) struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Start of each type in `types`; type ids begin at 1.
    starts: Vec<u32>,
    /// The first ID of each kind and name, for the kinds that are searched by name.
    ids: HashMap<(u32, &'a [u8]), u32>,
}

/// The bytes of the running kernel's BTF.
pub(super) fn read() -> Result<Vec<u8>, SetupError> {
    fs::read(VMLINUX).map_err(|source| {
        if source.kind() == io::ErrorKind::NotFound {
            return SetupError::NoBtf;
        }
        kernel("read the kernel's BTF", source)
    })
}

struct Type {
    name_at: u32,
    kind: u32,
    n_members: usize,
    has_bit_fields: bool,
    /// The type that this one refers to, or the size of this type.
    refers: u32,
    /// Start of the part after the common header.
    body: usize,
}

impl<'a> Btf<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        if word(bytes, 0)? & 0xffff != MAGIC {
            return None;
        }
        let body = bytes.get(index(word(bytes, 4)?)..)?;
        let section = |offset: usize| -> Option<&'a [u8]> {
            let start = index(word(bytes, offset)?);
            body.get(start..start.checked_add(index(word(bytes, offset + 4)?))?)
        };
        let (types, strings) = (section(8)?, section(16)?);
        let mut starts = Vec::with_capacity(types.len() / 24);
        let mut ids = HashMap::with_capacity(types.len() / 128);
        let mut at = 0;
        while at < types.len() {
            starts.push(u32::try_from(at).ok()?);
            let found = type_at(types, at)?;
            if matches!(found.kind, STRUCT | TYPEDEF) && found.name_at != 0 {
                let id = u32::try_from(starts.len()).ok()?;
                ids.entry((found.kind, name(strings, found.name_at)?))
                    .or_insert(id);
            }
            at = found.end()?;
        }
        Some(Self {
            types,
            strings,
            starts,
            ids,
        })
    }

    /// True if there is a structure with this name.
    pub(super) fn has_structure(&self, name: &str) -> bool {
        self.structure(name).is_some()
    }

    /// The BTF for `aya`: the named typedefs, structures and function keep their IDs, without members. All other types are empty.
    pub(super) fn reduced<'b>(
        &self,
        names: impl Iterator<Item = &'b str>,
        function: &str,
    ) -> Vec<u8> {
        const FORWARD: u32 = 7;
        let mut strings = vec![0];
        let mut kept = Vec::new();
        if let Some(id) = self.function(function) {
            kept.push((id, FUNCTION, strings.len()));
            strings.extend_from_slice(function.as_bytes());
            strings.push(0);
        }
        for name in names {
            for kind in [STRUCT, TYPEDEF] {
                if let Some(&id) = self.ids.get(&(kind, name.as_bytes())) {
                    kept.push((id, kind, strings.len()));
                    strings.extend_from_slice(name.as_bytes());
                    strings.push(0);
                }
            }
        }
        let n_types = kept.iter().map(|&(id, ..)| id).max().unwrap_or(0);
        let mut types = [0, FORWARD << 24, 0].repeat(index(n_types));
        for (id, kind, name_at) in kept {
            let header = index(id)
                .checked_sub(1)
                .and_then(|it| types.get_mut(3 * it..3 * it + 2));
            if let Some(header) = header {
                header.copy_from_slice(&[length(name_at), kind << 24]);
            }
        }
        let types_size = length(4 * types.len());
        let header = [
            VERSION << 16 | MAGIC,
            HEADER_SIZE,
            0,
            types_size,
            types_size,
            length(strings.len()),
        ];
        let words = header.into_iter().chain(types);
        words.flat_map(u32::to_ne_bytes).chain(strings).collect()
    }

    /// The ID of a function. Functions are most of the types, so they are not in `ids`.
    fn function(&self, name: &str) -> Option<u32> {
        let is_it = |at: &u32| {
            let found = type_at(self.types, index(*at));
            found.is_some_and(|it| it.kind == FUNCTION && self.is_name(it.name_at, name))
        };
        let at = self.starts.iter().position(is_it)?;
        u32::try_from(at + 1).ok()
    }

    /// Byte offset of a member such as `se.sum_exec_runtime` in `structure`. Members of anonymous structures and unions are members of the
    /// outer one, as in C.
    pub(super) fn offset(&self, structure: &str, path: &str) -> Option<u32> {
        let mut at = self.structure(structure)?;
        let mut bits = 0u32;
        for name in path.split('.') {
            let (offset, of_type) = self.member(at, name, DEPTH_MAX)?;
            bits = bits.checked_add(offset)?;
            at = of_type;
        }
        bits.is_multiple_of(8).then_some(bits / 8)
    }

    /// Bytes between the elements of an array of `element` structures; the array is a member of `structure`.
    pub(super) fn stride(&self, structure: &str, member: &str, element: &str) -> Option<u32> {
        let (_, of_type) = self.member(self.structure(structure)?, member, DEPTH_MAX)?;
        let array = self.resolve(of_type)?;
        if array.kind != ARRAY {
            return None;
        }
        let of = self.resolve(word(self.types, array.body)?)?;
        (of.kind == STRUCT && self.is_name(of.name_at, element)).then_some(of.refers)
    }

    fn structure(&self, name: &str) -> Option<u32> {
        self.ids.get(&(STRUCT, name.as_bytes())).copied()
    }

    /// Offset in bits and type of a member.
    fn member(&self, id: u32, name: &str, depth: u32) -> Option<(u32, u32)> {
        let of = self.resolve(id)?;
        if of.kind != STRUCT && of.kind != UNION {
            return None;
        }
        for i in 0..of.n_members {
            let at = of.body + 12 * i;
            let (name_at, of_type, raw) = (
                word(self.types, at)?,
                word(self.types, at + 4)?,
                word(self.types, at + 8)?,
            );
            let offset = if of.has_bit_fields {
                raw & 0x00ff_ffff
            } else {
                raw
            };
            if self.is_name(name_at, name) {
                return Some((offset, of_type));
            }
            if name_at == 0
                && let Some(depth) = depth.checked_sub(1)
                && let Some((inner, of_type)) = self.member(of_type, name, depth)
            {
                return Some((offset.checked_add(inner)?, of_type));
            }
        }
        None
    }

    /// The type behind typedefs and qualifiers.
    fn resolve(&self, mut id: u32) -> Option<Type> {
        for _ in 0..DEPTH_MAX {
            let start = *self.starts.get(index(id).checked_sub(1)?)?;
            let found = type_at(self.types, index(start))?;
            match found.kind {
                TYPEDEF | VOLATILE | CONST | RESTRICT | TYPE_TAG => id = found.refers,
                _ => return Some(found),
            }
        }
        None
    }

    fn is_name(&self, at: u32, name: &str) -> bool {
        self.strings
            .get(index(at)..)
            .and_then(|rest| rest.strip_prefix(name.as_bytes()))
            .is_some_and(|rest| rest.first() == Some(&0))
    }
}

impl Type {
    /// Start of the next type.
    fn end(&self) -> Option<usize> {
        // Number of bytes that follow, by kind: a fixed part, and a part for each member.
        let (fixed, each) = match self.kind {
            1 | 14 | 17 => (4, 0), // int, var, decl_tag
            ARRAY => (12, 0),
            STRUCT | UNION | 15 | 19 => (0, 12), // datasec and enum64 as well
            6 | 13 => (0, 8),                    // enum, func_proto
            2 | 7..=12 | 16 | TYPE_TAG => (0, 0), // pointer, forward, qualifiers, function, float
            _ => return None,
        };
        self.body.checked_add(fixed + each * self.n_members)
    }
}

fn type_at(types: &[u8], at: usize) -> Option<Type> {
    let info = word(types, at.checked_add(4)?)?;
    Some(Type {
        name_at: word(types, at)?,
        kind: info >> 24 & 0x1f,
        n_members: index(info & 0xffff),
        has_bit_fields: info >> 31 == 1,
        refers: word(types, at.checked_add(8)?)?,
        body: at.checked_add(12)?,
    })
}

/// The name at an offset of the strings.
fn name(strings: &[u8], at: u32) -> Option<&[u8]> {
    let rest = strings.get(index(at)..)?;
    Some(CStr::from_bytes_until_nul(rest).ok()?.to_bytes())
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(four.try_into().ok()?))
}

fn index(n: u32) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn length(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `struct outer { int a; struct { int b; const inner c; }; inner f[2]; }`, `struct inner { int d; int e; }`.
    fn sample() -> Vec<u8> {
        let strings = b"\0outer\0a\0b\0c\0inner\0d\0e\0int\0f\0";
        let name = |text: &str| {
            let needle = format!("\0{text}\0");
            let at = strings
                .windows(needle.len())
                .position(|it| it == needle.as_bytes())
                .unwrap();
            u32::try_from(at + 1).unwrap()
        };
        let mut types: Vec<u32> = Vec::new();
        types.extend([name("int"), 1 << 24, 4, 32]); // 1
        types.extend([name("inner"), STRUCT << 24 | 2, 8]); // 2
        types.extend([name("d"), 1, 0, name("e"), 1, 32]);
        types.extend([0, CONST << 24, 2]); // 3
        types.extend([0, STRUCT << 24 | 2, 12]); // 4
        types.extend([name("b"), 1, 0, name("c"), 3, 32]);
        types.extend([name("outer"), STRUCT << 24 | 3, 32]); // 5
        types.extend([name("a"), 1, 0, 0, 4, 32, name("f"), 6, 128]);
        types.extend([0, ARRAY << 24, 0, 2, 1, 2]); // 6
        let n_types = u32::try_from(types.len() * 4).unwrap();
        let header = [
            0x0001_eb9f,
            24,
            0,
            n_types,
            n_types,
            u32::try_from(strings.len()).unwrap(),
        ];
        let words = header.into_iter().chain(types);
        words
            .flat_map(u32::to_ne_bytes)
            .chain(strings.iter().copied())
            .collect()
    }

    #[test]
    fn members_are_found_through_anonymous_structures_and_qualifiers() {
        let bytes = sample();
        let btf = Btf::parse(&bytes).unwrap();
        let offsets: Vec<_> = ["a", "b", "c", "c.e", "e", "z"]
            .map(|path| btf.offset("outer", path))
            .into_iter()
            .collect();
        assert_eq!(offsets, [Some(0), Some(4), Some(8), Some(12), None, None]);
        assert_eq!(btf.offset("inner", "e"), Some(4));
        assert_eq!(btf.offset("int", "e"), None);
        assert_eq!(btf.stride("outer", "f", "inner"), Some(8));
        assert_eq!(btf.stride("outer", "f", "outer"), None);
        assert_eq!(btf.stride("outer", "c", "inner"), None);
    }

    #[test]
    fn a_reduced_btf_keeps_the_ids_of_the_named_types() {
        let bytes = sample();
        let reduced = Btf::parse(&bytes)
            .unwrap()
            .reduced(["outer", "absent"].into_iter(), "absent");
        let reduced = Btf::parse(&reduced).unwrap();
        assert_eq!(
            (reduced.structure("outer"), reduced.starts.len()),
            (Some(5), 5)
        );
        assert_eq!(reduced.structure("inner"), None);
        assert_eq!(reduced.offset("outer", "a"), None);
    }

    #[test]
    fn aya_finds_the_same_ids_in_the_reduced_btf_of_this_kernel() {
        use aya_obj::btf::BtfKind;
        let bytes = read().unwrap();
        let names = [
            "btf_trace_sched_process_exec",
            "btf_trace_signal_generate",
            "bpf_map",
        ];
        let function = "kernel_clone";
        let whole = Btf::parse(&bytes).unwrap();
        let reduced = whole.reduced(names.into_iter(), function);
        assert!(reduced.len() < bytes.len());
        let [whole, reduced] =
            [bytes, reduced].map(|it| aya::Btf::parse(&it, aya::Endianness::default()).unwrap());
        let kinds = [BtfKind::Typedef, BtfKind::Typedef, BtfKind::Struct];
        let types = names.into_iter().zip(kinds);
        for (name, kind) in types.chain([(function, BtfKind::Func)]) {
            let id = |btf: &aya::Btf| btf.id_by_type_name_kind(name, kind).unwrap();
            assert_eq!(id(&reduced), id(&whole), "{name}");
        }
    }

    #[test]
    fn a_truncated_file_causes_no_panic() {
        let bytes = sample();
        for n in 0..bytes.len() {
            if let Some(btf) = Btf::parse(&bytes[..n]) {
                assert_eq!(btf.offset("outer", "nothing"), None);
            }
        }
    }
}
