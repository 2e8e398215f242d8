//! One type descriptor (`internal/abi.Type`): how long it is, and what it refers to.

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

/// What a descriptor says.
pub(super) struct Descriptor {
    pub(super) len: usize,
    /// Types it is made of; the first decides whose an unnamed type is.
    pub(super) refs: Vec<u64>,
    /// Offsets of its own name and those of its fields and methods.
    pub(super) names: Vec<u32>,
    pub(super) methods: Methods,
    pub(super) pkg_path: Option<u32>,
    /// Made of an element whose package it takes.
    pub(super) is_composite: bool,
}

impl Walk<'_, '_, '_> {
    pub(super) fn descriptor(&self, address: u64) -> Option<Descriptor> {
        if address < self.data.types || address >= self.data.etypes || !address.is_multiple_of(4) {
            return None;
        }
        let word = usize::from(self.image.word);
        let reader = self.image.reader_at(address)?;
        let base = 4 * word + 16;
        let (flags, kind) = (reader.u8(2 * word + 4)?, reader.u8(2 * word + 7)? & KIND);
        let pointer = |number: usize| self.image.pointer(address + (base + number * word) as u64);
        let count = |number: usize| index(reader.word(base + number * word, self.image.word)?);
        // Size of the kind's own fields, of what stands behind them, and the types in the former.
        let (own, tail, mut refs) = match kind {
            0 | 27.. => return None,
            ARRAY => (3 * word, 0, vec![pointer(0)?]),
            CHAN => (2 * word, 0, vec![pointer(0)?]),
            POINTER | SLICE => (word, 0, vec![pointer(0)?]),
            FUNC => {
                let (n_in, n_out) = (reader.u16(base)?, reader.u16(base + 2)? & 0x7fff);
                (
                    word.max(4),
                    (usize::from(n_in) + usize::from(n_out)) * word,
                    Vec::new(),
                )
            }
            INTERFACE => (4 * word, count(2)?.checked_mul(8)?, Vec::new()),
            MAP => (
                self.map_fields(word),
                0,
                vec![pointer(1)?, pointer(0)?, pointer(2)?],
            ),
            STRUCT => (4 * word, count(2)?.checked_mul(3 * word)?, Vec::new()),
            1..=16 | 24 | UNSAFE_POINTER => (0, 0, Vec::new()),
        };
        let mut behind = base + own;
        let (mut pkg_path, mut n_methods, mut methods) = (None, 0, Methods::default());
        if flags & UNCOMMON != 0 {
            pkg_path = Some(reader.u32(behind)?);
            n_methods = usize::from(reader.u16(behind + 4)?);
            methods.exported = usize::from(reader.u16(behind + 6)?);
            behind += UNCOMMON_SIZE;
        }
        let len = behind
            .checked_add(tail)?
            .checked_add(n_methods * METHOD_SIZE)?;
        let room = index(self.data.etypes - address)?;
        let n_parts = tail / word + 2 * n_methods + 1;
        if len > room || len > reader.len() || !self.spend(n_parts) {
            return None;
        }
        let mut names = vec![reader.u32(4 * word + 8)?];
        let by_offset = |at: usize| {
            reader
                .u32(at)
                .filter(|&offset| offset != 0)
                .map(|offset| self.data.types.wrapping_add(offset.into()))
        };
        refs.extend(by_offset(4 * word + 12));
        let tail_at = behind..behind + tail;
        match kind {
            FUNC => {
                for at in tail_at.step_by(word) {
                    refs.extend(self.image.pointer(address + at as u64));
                }
            }
            STRUCT => {
                for at in tail_at.step_by(3 * word) {
                    refs.extend(self.image.pointer(address + (at + word) as u64));
                    let name = self
                        .image
                        .pointer(address + at as u64)
                        .and_then(|name| name.checked_sub(self.data.types));
                    names.extend(name.and_then(|name| u32::try_from(name).ok()));
                }
            }
            INTERFACE => {
                for at in tail_at.step_by(8) {
                    names.extend(reader.u32(at));
                    refs.extend(by_offset(at + 4));
                }
            }
            _ => {}
        }
        for (number, at) in (behind + tail..len).step_by(METHOD_SIZE).enumerate() {
            // Exported methods come first; a dropped one has no code to call through a value.
            let is_dropped = matches!(reader.u32(at + 12), Some(0 | u32::MAX));
            methods.dropped += usize::from(number < methods.exported && is_dropped);
            names.extend(reader.u32(at));
            refs.extend(by_offset(at + 4));
        }
        Some(Descriptor {
            len,
            refs,
            names,
            methods,
            pkg_path,
            is_composite: matches!(kind, ARRAY | CHAN | MAP | POINTER | SLICE),
        })
    }

    fn map_fields(&self, word: usize) -> usize {
        match self.data.minor {
            ..=23 => 4 * word + 8,
            24..=26 => 8 * word,
            27.. => 11 * word,
        }
    }
}
