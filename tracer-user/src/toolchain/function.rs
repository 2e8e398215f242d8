//! Addresses of a Go program's functions, from `.gopclntab`. Every Go program contains this table, including stripped ones.
//!
//! Supports the layouts of Go 1.18 to 1.27. Nothing in the table is trusted. A name that is not found is absent, for any reason.

use super::elf::{Elf, Machine, Range, index, u32_at, u64_at};

/// Maximum size of a table to read; the largest tool's table has some 10 MB.
const LEN_MAX: usize = 64 << 20;
const FUNCTIONS_MAX: u64 = 1 << 20;

/// Offset of `runtime.text` in the module data of Go 1.26 and later, which have a section of their own for it.
const MODULE_TEXT: u64 = 176;

/// A requested function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Function {
    pub(super) address: u64,
}

/// The table of functions.
pub(super) struct Functions<'a> {
    table: &'a [u8],
    text: u64,
    n: u64,
    names: usize,
    pcln: usize,
}

/// Reads the bytes of the table. The caller keeps them while the table is in use.
pub(super) fn read_table(elf: &Elf<'_>) -> Option<Vec<u8>> {
    if let Some(range) = [".gopclntab", ".data.rel.ro.gopclntab"]
        .iter()
        .find_map(|name| elf.section(name))
    {
        return elf.bytes(range, LEN_MAX);
    }
    // A position-independent program of Go 1.25 or earlier contains the table at an unknown place among its relocated constants.
    let mut bytes = elf.bytes(elf.section(".data.rel.ro")?, LEN_MAX)?;
    let magic = [0xf1, 0xff, 0xff, 0xff, 0, 0, quantum(elf.machine), 8];
    let start = bytes.chunks_exact(8).position(|it| it == magic)? * 8;
    Some(bytes.split_off(start))
}

/// Smallest distance between instructions, as in the table's header.
fn quantum(machine: Machine) -> u8 {
    match machine {
        Machine::X86_64 => 1,
        Machine::Aarch64 => 4,
    }
}

impl<'a> Functions<'a> {
    pub(super) fn parse(elf: &Elf<'_>, table: &'a [u8]) -> Option<Self> {
        const GO_1_18: u32 = 0xffff_fff0;
        const GO_1_20: u32 = 0xffff_fff1;
        let magic = u32_at(table, 0)?;
        let is_known = magic == GO_1_18 || magic == GO_1_20;
        if !is_known || table.get(6..8)? != [quantum(elf.machine), 8] {
            return None;
        }
        let word = |i: usize| u64_at(table, 8 + 8 * i);
        let n = word(0).filter(|n| *n <= FUNCTIONS_MAX)?;
        let mut functions = Self {
            table,
            text: word(2)?,
            n,
            names: index(word(3)?),
            pcln: index(word(7)?),
        };
        if functions.text == 0 {
            functions.text = module_text(elf).or_else(|| functions.text_by_entry(elf))?;
        }
        Some(functions)
    }

    /// Addresses of the functions with these names, in the order of the names.
    pub(super) fn find(&self, names: &[&str]) -> Vec<Option<Function>> {
        let mut found = vec![None; names.len()];
        for (address, name) in self.entries() {
            for (slot, wanted) in found.iter_mut().zip(names) {
                if slot.is_none() && is_name(name, wanted) {
                    *slot = Some(Function { address });
                }
            }
        }
        found
    }

    /// For every function, its address, and the bytes that begin with its name.
    pub(super) fn entries(&self) -> impl Iterator<Item = (u64, &'a [u8])> {
        let text = self.text;
        self.iter()
            .map(move |(offset, name)| (text.saturating_add(u64::from(offset)), name))
    }

    /// Address of the end of the last function.
    pub(super) fn end(&self) -> Option<u64> {
        let pcln = self.table.get(self.pcln..)?;
        let end = u32_at(pcln, index(self.n).checked_mul(8)?)?;
        self.text.checked_add(u64::from(end))
    }

    /// For every function, the offset from the start of the text, and the bytes that begin with its name.
    fn iter(&self) -> impl Iterator<Item = (u32, &'a [u8])> {
        let names = self.table.get(self.names..).unwrap_or_default();
        let pcln = self.table.get(self.pcln..).unwrap_or_default();
        (0..index(self.n)).map_while(move |i| {
            let function = pcln.get(index(u64::from(u32_at(pcln, 8 * i + 4)?))..)?;
            let name = names.get(index(u64::from(u32_at(function, 4)?))..)?;
            Some((u32_at(function, 0)?, name))
        })
    }

    /// The start of the text, if the program's entry point is Go's own entry function, as in internally linked programs.
    fn text_by_entry(&self, elf: &Elf<'_>) -> Option<u64> {
        let entry = match elf.machine {
            Machine::X86_64 => "_rt0_amd64_linux",
            Machine::Aarch64 => "_rt0_arm64_linux",
        };
        let (offset, _) = self.iter().find(|(_, name)| is_name(name, entry))?;
        elf.entry.checked_sub(u64::from(offset))
    }
}

/// True if the bytes begin with this name and its NUL.
fn is_name(bytes: &[u8], name: &str) -> bool {
    bytes
        .strip_prefix(name.as_bytes())
        .is_some_and(|rest| rest.first() == Some(&0))
}

fn module_text(elf: &Elf<'_>) -> Option<u64> {
    let section = elf.section(".go.module")?;
    let word = Range {
        offset: section.offset.checked_add(MODULE_TEXT)?,
        len: 8,
    };
    let text = u64_at(&elf.bytes(word, 8)?, 0)?;
    // In a position-independent program, this word is zero before relocation.
    elf.code_offset(text).map(|_| text)
}
