//! One type descriptor (`internal/abi.Type`): its length and its references.

use super::Walk;
use crate::property::Methods;
use crate::reader::index;

const ARRAY: u8 = 17;
const CHAN: u8 = 18;
const FUNC: u8 = 19;
const INTERFACE: u8 = 20;
const MAP: u8 = 21;
const POINTER: u8 = 22;
const SLICE: u8 = 23;
const STRUCT: u8 = 25;
const UNSAFE_POINTER: u8 = 26;
const KIND: u8 = 31;
const UNCOMMON: u8 = 1;
const UNCOMMON_SIZE: usize = 16;
const METHOD_SIZE: usize = 16;

/// The facts in a descriptor itself. Reading them costs only a few of its words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptor {
    pub(super) address: u64,
    pub(super) len: usize,
    kind: u8,
    /// Position and length of its fields, parameters or methods of an interface.
    tail_at: usize,
    tail: usize,
    exported: usize,
    pub(super) pkg_path: Option<u32>,
    /// The element type, whose package owns this type.
    pub(super) element: Option<u64>,
}

/// The references of a descriptor. The caller keeps this value, so that not every type allocates its own.
#[derive(Debug, Default)]
pub(super) struct Parts {
    /// The types that this type consists of.
    pub(super) refs: Vec<u64>,
    /// Offsets of its own name and those of its fields and methods.
    pub(super) names: Vec<u32>,
    pub(super) methods: Methods,
}

impl Walk<'_, '_, '_> {
    fn base(&self) -> usize {
        4 * usize::from(self.image.word) + 16
    }

    pub(super) fn descriptor(&self, address: u64) -> Option<Descriptor> {
        if address < self.data.types || address >= self.data.etypes || !address.is_multiple_of(4) {
            return None;
        }
        let word = usize::from(self.image.word);
        let reader = self.image.reader_at(address)?;
        let base = self.base();
        let (flags, kind) = (reader.u8(2 * word + 4)?, reader.u8(2 * word + 7)? & KIND);
        let pointer = |number: usize| self.image.pointer(address + (base + number * word) as u64);
        let count = |number: usize| index(reader.word(base + number * word, self.image.word)?);
        // Size of the kind's own fields and of the data behind them.
        let (own, tail, element) = match kind {
            0 | 27.. => return None,
            ARRAY => (3 * word, 0, Some(pointer(0)?)),
            CHAN => (2 * word, 0, Some(pointer(0)?)),
            POINTER | SLICE => (word, 0, Some(pointer(0)?)),
            FUNC => {
                let (n_in, n_out) = (reader.u16(base)?, reader.u16(base + 2)? & 0x7fff);
                (
                    word.max(4),
                    (usize::from(n_in) + usize::from(n_out)) * word,
                    None,
                )
            }
            INTERFACE => (4 * word, count(2)?.checked_mul(8)?, None),
            MAP => (self.map_fields(word), 0, Some(pointer(1)?)),
            STRUCT => (4 * word, count(2)?.checked_mul(3 * word)?, None),
            1..=16 | 24 | UNSAFE_POINTER => (0, 0, None),
        };
        let mut behind = base + own;
        let (mut pkg_path, mut n_methods, mut exported) = (None, 0, 0);
        if flags & UNCOMMON != 0 {
            pkg_path = Some(reader.u32(behind)?);
            n_methods = usize::from(reader.u16(behind + 4)?);
            exported = usize::from(reader.u16(behind + 6)?);
            behind += UNCOMMON_SIZE;
        }
        let len = behind
            .checked_add(tail)?
            .checked_add(n_methods * METHOD_SIZE)?;
        let room = index(self.data.etypes - address)?;
        if len > room || len > reader.len() || !self.spend(1) {
            return None;
        }
        Some(Descriptor {
            address,
            len,
            kind,
            tail_at: behind,
            tail,
            exported,
            pkg_path,
            element,
        })
    }

    /// Replaces the content of `parts` with the references of a descriptor.
    pub(super) fn parts(&self, descriptor: &Descriptor, parts: &mut Parts) -> Option<()> {
        let Parts {
            refs,
            names,
            methods,
        } = parts;
        refs.clear();
        names.clear();
        *methods = Methods {
            exported: descriptor.exported,
            dropped: 0,
        };
        let &Descriptor {
            address,
            len,
            kind,
            tail_at,
            tail,
            exported,
            pkg_path: _,
            element,
        } = descriptor;
        let word = usize::from(self.image.word);
        if !self.spend((len - tail_at) / word) {
            return None;
        }
        let reader = self.image.reader_at(address)?;
        let by_offset = |at: usize| {
            reader
                .u32(at)
                .filter(|&offset| offset != 0)
                .map(|offset| self.data.types.wrapping_add(offset.into()))
        };
        refs.extend(element);
        if kind == MAP {
            // The key, and the type of the table inside.
            let own = |number: usize| address + (self.base() + number * word) as u64;
            refs.extend(
                [0, 2]
                    .map(own)
                    .iter()
                    .filter_map(|&at| self.image.pointer(at)),
            );
        }
        names.push(reader.u32(4 * word + 8)?);
        refs.extend(by_offset(4 * word + 12));
        let tail_range = tail_at..tail_at + tail;
        match kind {
            FUNC => {
                for at in tail_range.step_by(word) {
                    refs.extend(self.image.pointer(address + at as u64));
                }
            }
            STRUCT => {
                for at in tail_range.step_by(3 * word) {
                    refs.extend(self.image.pointer(address + (at + word) as u64));
                    let name = self
                        .image
                        .pointer(address + at as u64)
                        .and_then(|name| name.checked_sub(self.data.types));
                    names.extend(name.and_then(|name| u32::try_from(name).ok()));
                }
            }
            INTERFACE => {
                for at in tail_range.step_by(8) {
                    names.extend(reader.u32(at));
                    refs.extend(by_offset(at + 4));
                }
            }
            _ => {}
        }
        for (number, at) in (tail_at + tail..len).step_by(METHOD_SIZE).enumerate() {
            // Exported methods come first; a dropped one has no code for calls through a value.
            let is_dropped = matches!(reader.u32(at + 12), Some(0 | u32::MAX));
            methods.dropped += usize::from(number < exported && is_dropped);
            names.extend(reader.u32(at));
            refs.extend(by_offset(at + 4));
        }
        Some(())
    }

    fn map_fields(&self, word: usize) -> usize {
        match self.data.minor {
            ..=23 => 4 * word + 8,
            24..=26 => 8 * word,
            27.. => 11 * word,
        }
    }
}
