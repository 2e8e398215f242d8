//! Type descriptors and interface tables: the length of each, and the owner of the type.
//!
//! The linker lists only some types: in `typelinks`, and since 1.27 as a row at the start. The others are reached
//! through them and through the interface tables. A type without a reference stays unattributed. Names and methods are
//! not decoded, because only their positions are needed here.

mod descriptor;

use std::cell::Cell;

use self::descriptor::{Descriptor, Parts};
use super::moduledata::ModuleData;
use crate::bits::Bits;
use crate::image::Image;
use crate::limit;
use crate::package::{PackageId, Packages};
use crate::property::Methods;
use crate::reader::{Reader, index};

/// A range of memory that describes a type of `package`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TypeSpan {
    pub address: u64,
    pub len: u64,
    pub package: PackageId,
    pub is_itab: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Types {
    pub spans: Vec<TypeSpan>,
    pub n_descriptors: usize,
    pub n_itabs: usize,
    pub methods: Methods,
    pub note: Option<String>,
}

pub(crate) fn read<'i>(
    image: &'i Image<'_>,
    data: &ModuleData,
    packages: &mut Packages<'i>,
) -> Types {
    // Every name and reference costs one unit; a hostile file cannot exceed this number.
    let mapped = image.reader_at(data.types).map_or(0, |reader| reader.len());
    let stated = index(data.etypes.saturating_sub(data.types)).unwrap_or(mapped);
    let mut walk = Walk {
        image,
        data,
        types: Types::default(),
        budget: Cell::new(limit::TYPE_PARTS),
        named: Bits::new(mapped),
    };
    let mut waiting = walk.listed();
    if let Some(len) = data.descriptors {
        waiting.extend(walk.consecutive(len));
    }
    walk.follow(waiting, Bits::new(stated.min(mapped)), packages);
    walk.itabs(packages);
    if walk.budget.get() == 0 || walk.types.n_descriptors >= limit::TYPES {
        walk.types.note = Some(format!(
            "more than {} types or their parts, the rest is not read",
            limit::TYPES
        ));
    }
    walk.types
}

struct Walk<'w, 'i, 'a> {
    image: &'i Image<'a>,
    data: &'w ModuleData,
    types: Types,
    budget: Cell<usize>,
    /// Offsets of names already counted.
    named: Bits,
}

impl<'i> Walk<'_, 'i, '_> {
    /// The types that reflection may search. The others come behind these and are reached through them.
    fn consecutive(&self, len: u64) -> Vec<u64> {
        let word = u64::from(self.image.word);
        let mut addresses = Vec::new();
        let Some(end) = self.data.types.checked_add(len) else {
            return addresses;
        };
        // The linker leaves one word free at the start, so that no type has offset 0.
        let mut at = self.data.types.saturating_add(word);
        while at < end && addresses.len() < limit::TYPES {
            let Some(aligned) = at.checked_next_multiple_of(word) else {
                break;
            };
            let Some(descriptor) = self.descriptor(aligned) else {
                break;
            };
            addresses.push(aligned);
            at = aligned.saturating_add(descriptor.len as u64);
        }
        addresses
    }

    /// Types that the linker lists, and those of the interface tables.
    fn listed(&self) -> Vec<u64> {
        let mut waiting = Vec::new();
        let links = self.data.typelinks;
        let count = index(links.len).unwrap_or(0).min(limit::TYPES);
        if let Some(reader) = self.image.reader_at(links.address) {
            for number in 0..count {
                let Some(offset) = reader.u32(number * 4) else {
                    break;
                };
                waiting.push(self.data.types.wrapping_add(offset.into()));
            }
        }
        let word = u64::from(self.image.word);
        for itab in self.itab_addresses() {
            waiting.extend(self.image.pointer(itab));
            waiting.extend(self.image.pointer(itab.wrapping_add(word)));
        }
        waiting
    }

    fn follow(&mut self, mut waiting: Vec<u64>, mut seen: Bits, packages: &mut Packages<'i>) {
        let mut parts = Parts::default();
        while let Some(address) = waiting.pop() {
            if self.types.n_descriptors >= limit::TYPES || self.budget.get() == 0 {
                return;
            }
            let offset = address.checked_sub(self.data.types).and_then(index);
            if !offset.is_some_and(|offset| seen.insert(offset)) {
                continue;
            }
            let Some(descriptor) = self.descriptor(address) else {
                continue;
            };
            if self.parts(&descriptor, &mut parts).is_none() {
                continue;
            }
            self.keep(&descriptor, &parts, packages);
            waiting.extend(&parts.refs);
        }
    }

    fn keep(&mut self, descriptor: &Descriptor, parts: &Parts, packages: &mut Packages<'i>) {
        let package = self.package(descriptor, packages, 8);
        self.types.n_descriptors += 1;
        self.types.methods.exported += parts.methods.exported;
        self.types.methods.dropped += parts.methods.dropped;
        self.types.spans.push(TypeSpan {
            address: descriptor.address,
            len: descriptor.len as u64,
            package,
            is_itab: false,
        });
        for &name in &parts.names {
            self.name_span(name, package);
        }
    }

    /// Adds the name's own bytes. Each name is stored once and shared; it belongs to the first package that refers to
    /// it.
    fn name_span(&mut self, offset: u32, package: PackageId) {
        if offset == 0 || !self.spend(1) || !self.name_is_new(offset) {
            return;
        }
        let address = self.data.types.wrapping_add(offset.into());
        let Some(name) = self.name_len(address) else {
            return;
        };
        self.types.spans.push(TypeSpan {
            address,
            len: name,
            package,
            is_itab: false,
        });
    }

    fn name_is_new(&mut self, offset: u32) -> bool {
        index(offset.into()).is_some_and(|offset| self.named.insert(offset))
    }

    fn spend(&self, parts: usize) -> bool {
        let left = self.budget.get().saturating_sub(parts);
        self.budget.set(left);
        left > 0
    }

    fn name_len(&self, address: u64) -> Option<u64> {
        const HAS_TAG: u8 = 2;
        const HAS_PKG_PATH: u8 = 4;
        let reader = self.image.reader_at(address)?;
        let flags = reader.u8(0)?;
        let (len, mut at) = self.name_text(reader, 1)?;
        at = at.checked_add(len)?;
        if flags & HAS_TAG != 0 {
            let (len, start) = self.name_text(reader, at)?;
            at = start.checked_add(len)?;
        }
        if flags & HAS_PKG_PATH != 0 {
            at += 4;
        }
        (at <= reader.len() && at <= 1 << 16).then_some(at as u64)
    }

    fn name_text(&self, reader: Reader<'_>, at: usize) -> Option<(usize, usize)> {
        if self.data.minor < 17 {
            // Two bytes in big-endian order on every machine.
            return Some((
                usize::from(reader.u8(at)?) << 8 | usize::from(reader.u8(at + 1)?),
                at + 2,
            ));
        }
        let (len, at) = reader.uvarint(at)?;
        Some((index(len)?, at))
    }

    fn name_at(&self, offset: u32) -> Option<&'i [u8]> {
        let image: &'i Image<'_> = self.image;
        let reader = image.reader_at(self.data.types.wrapping_add(offset.into()))?;
        let (len, at) = self.name_text(reader, 1)?;
        reader.slice(at, len.min(limit::NAME))
    }

    fn package(
        &self,
        descriptor: &Descriptor,
        packages: &mut Packages<'i>,
        depth: u8,
    ) -> PackageId {
        if let Some(path) = descriptor
            .pkg_path
            .and_then(|offset| self.name_at(offset))
            .filter(|path| !path.is_empty())
        {
            return packages.declare(path);
        }
        // The owner of a pointer or a slice is the owner of its element, and so on inward.
        let element = descriptor
            .element
            .filter(|_| depth > 0)
            .and_then(|element| self.descriptor(element));
        element.map_or(PackageId::NONE, |element| {
            self.package(&element, packages, depth - 1)
        })
    }

    fn itab_addresses(&self) -> Vec<u64> {
        let links = self.data.itablinks;
        let count = index(links.len).unwrap_or(0).min(limit::TYPES);
        let word = u64::from(self.image.word);
        let mut addresses = Vec::new();
        for number in 0..count as u64 {
            let Some(itab) = links
                .address
                .checked_add(number * word)
                .and_then(|at| self.image.pointer(at))
            else {
                break;
            };
            addresses.push(itab);
        }
        addresses
    }

    fn itabs(&mut self, packages: &mut Packages<'i>) {
        for itab in self.itab_addresses() {
            let Some((len, package)) = self.itab(itab, packages) else {
                continue;
            };
            self.types.n_itabs += 1;
            self.types.spans.push(TypeSpan {
                address: itab,
                len,
                package,
                is_itab: true,
            });
        }
        let Some(row) = self.data.itabs else { return };
        let (mut at, end) = (row.address, row.address.saturating_add(row.len));
        while at < end && self.types.n_itabs < limit::TYPES {
            let Some((len, package)) = self.itab(at, packages) else {
                return;
            };
            self.types.n_itabs += 1;
            self.types.spans.push(TypeSpan {
                address: at,
                len,
                package,
                is_itab: true,
            });
            at += len;
        }
    }

    /// An interface table belongs to the package of the concrete type.
    fn itab(&self, address: u64, packages: &mut Packages<'i>) -> Option<(u64, PackageId)> {
        let word = u64::from(self.image.word);
        let interface = self.image.pointer(address)?;
        let base = 4 * word + 16;
        let methods = self
            .image
            .pointer(interface.checked_add(base + 2 * word)?)?;
        let concrete = self.descriptor(self.image.pointer(address.checked_add(word)?)?)?;
        // Two pointers and a hash of 32 bits.
        let fixed = (2 * word + 4).next_multiple_of(word);
        let first = self.image.pointer(address.checked_add(fixed)?)?;
        // A zero first method means that the type does not implement the interface.
        let methods = if first == 0 {
            1
        } else {
            methods.clamp(1, u64::from(u16::MAX))
        };
        Some((fixed + methods * word, self.package(&concrete, packages, 8)))
    }
}
