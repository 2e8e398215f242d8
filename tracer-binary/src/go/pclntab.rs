//! The function table (`.gopclntab`), layouts of Go 1.16 and later: functions without a symbol table.
//!
//! The table is also a tenth to a fifth of a program. Besides names and addresses this module therefore yields the
//! functions that use each of the table's own bytes. It does not decode lines.

mod end;
mod source;

use std::ops::Range;

use crate::image::{Image, SectionClass};
use crate::limit;
use crate::reader::{Reader, index};

pub(crate) use self::end::Ends;

/// The layouts, by the magic number at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Layout {
    Go116,
    Go118,
    Go120,
}

impl Layout {
    fn of_magic(magic: u32) -> Option<Self> {
        match magic {
            0xffff_fffa => Some(Self::Go116),
            0xffff_fff0 => Some(Self::Go118),
            0xffff_fff1 => Some(Self::Go120),
            _ => None,
        }
    }

    /// The releases with this layout, in words.
    pub(crate) fn releases(self) -> &'static str {
        match self {
            Self::Go116 => "1.16 or 1.17",
            Self::Go118 => "1.18 or 1.19",
            Self::Go120 => "1.20 or later",
        }
    }
}

/// Magic number of the table of Go 1.2 to 1.15, whose layout is not supported.
const OLD_MAGIC: u32 = 0xffff_fffb;

/// A table with a valid header; offsets in it may still be wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pclntab<'i> {
    pub layout: Layout,
    pub address: u64,
    /// From the header to the end of the mapping that contains it.
    reader: Reader<'i>,
    word: u8,
    /// Unit of program counters in bytes.
    quantum: u8,
    n_functions: usize,
    /// Zero since Go 1.26, where only the module data contains it.
    text_start: u64,
    names: usize,
    units: usize,
    files: usize,
    tables: usize,
    functions: usize,
}

/// One function: an out-of-line body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Function<'i> {
    /// Its position in the index, from 0.
    pub number: usize,
    /// Offset of its record, relative to the table.
    pub record: usize,
    pub name: &'i [u8],
    /// Relative to the start of the text.
    pub start: u64,
    /// Start of the next function.
    pub next: u64,
}

/// Offsets of one function's record and of the data that it refers to, all relative to the table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub range: Range<usize>,
    /// Starts of its tables of values by program counter.
    pub tables: Vec<usize>,
    /// Offsets from `go:func.*` of its stack maps and the like (1.18 and later).
    pub funcdata: Vec<u32>,
}

impl<'i> Pclntab<'i> {
    pub(crate) fn find(image: &'i Image<'_>) -> Option<Self> {
        if !image.memory.is_empty() {
            return Self::scan(image, &image.memory, 0);
        }
        let mut named = image
            .sections
            .iter()
            .filter(|section| section.name.ends_with("gopclntab"));
        if let Some(table) = named.find_map(|section| Self::at(image, section.address)) {
            return Some(table);
        }
        // PE, and PIE before 1.26, keep the table inside a larger section. A segment may hold code and constants.
        let candidates = image.sections.iter().filter(|section| match section.class {
            SectionClass::ReadOnly | SectionClass::Data => true,
            SectionClass::Code => image.is_sectionless,
            SectionClass::Zero
            | SectionClass::Debug
            | SectionClass::Symbols
            | SectionClass::Linking
            | SectionClass::Note
            | SectionClass::Other => false,
        });
        let candidates = candidates.filter(|section| section.address != 0);
        for (section, bytes) in image.each_once(candidates, |section| &section.file) {
            if let Some(table) = Self::scan(image, bytes, section.address) {
                return Some(table);
            }
        }
        None
    }

    /// True if the file has a table of a Go release before 1.16.
    pub(crate) fn is_old(image: &Image<'_>) -> bool {
        Self::magic(image) == Some(OLD_MAGIC)
    }

    /// True if the table's section begins with the magic number of no release. A damaged table of a known layout does
    /// not count.
    pub(crate) fn is_unknown(image: &Image<'_>) -> bool {
        Self::magic(image)
            .is_some_and(|magic| magic != OLD_MAGIC && Layout::of_magic(magic).is_none())
    }

    /// The first word of the table, if it has its own section.
    fn magic(image: &Image<'_>) -> Option<u32> {
        let mut sections = image.sections.iter();
        let named = sections
            .find(|section| section.name.ends_with("gopclntab") && !section.file.is_empty())?;
        Reader::new(image.section_bytes(named), image.endian).u32(0)
    }

    fn scan(image: &'i Image<'_>, bytes: &[u8], address: u64) -> Option<Self> {
        const ALIGN: usize = 4;
        for (number, chunk) in bytes.chunks_exact(ALIGN).enumerate() {
            let Some(magic) = Reader::new(chunk, image.endian).u32(0) else {
                continue;
            };
            if Layout::of_magic(magic).is_some()
                && let Some(table) = Self::at(image, address.wrapping_add((number * ALIGN) as u64))
            {
                return Some(table);
            }
        }
        None
    }

    fn at(image: &'i Image<'_>, address: u64) -> Option<Self> {
        let reader = image.reader_at(address)?;
        let layout = Layout::of_magic(reader.u32(0)?)?;
        let (pads, quantum, word) = (reader.u16(4)?, reader.u8(6)?, reader.u8(7)?);
        // The starts of functions are pointers in the oldest layout, and are read as plain words.
        if layout == Layout::Go116 && image.chained.is_some() {
            return None;
        }
        if pads != 0 || !matches!(quantum, 1 | 2 | 4) || word != image.word {
            return None;
        }
        let field = |number: usize| reader.word(8 + number * usize::from(word), word);
        // Go 1.18 put the start of the text between the counts and the offsets.
        let (text_start, first) = if layout == Layout::Go116 {
            (0, 2)
        } else {
            let at = address.checked_add(8 + 2 * u64::from(word))?;
            (image.resolve(at, field(2)?).unwrap_or(0), 3)
        };
        let offset =
            |number: usize| index(field(first + number)?).filter(|&offset| offset < reader.len());
        let n_functions = index(field(0)?)?;
        let table = Self {
            layout,
            address,
            reader,
            word,
            quantum,
            n_functions,
            text_start,
            names: offset(0)?,
            units: offset(1)?,
            files: offset(2)?,
            tables: offset(3)?,
            functions: offset(4)?,
        };
        // The index of functions must be inside, so a count of 2^32 is refused here.
        let end = n_functions
            .checked_mul(table.index_entry())?
            .checked_add(table.functions)?;
        (end <= reader.len() && n_functions > 0).then_some(table)
    }

    fn index_entry(&self) -> usize {
        if self.layout == Layout::Go116 {
            2 * usize::from(self.word)
        } else {
            8
        }
    }

    pub(crate) fn n_functions(&self) -> usize {
        self.n_functions
    }

    /// The address to which the starts of functions are relative. `text` is the start of the text, if another part of
    /// the file states it.
    pub(crate) fn base(&self, text: Option<u64>) -> Option<u64> {
        match self.layout {
            Layout::Go116 => Some(0),
            // Position-independent files have zeros here and relocations for them.
            Layout::Go118 | Layout::Go120 => text.or_else(|| self.text_start()),
        }
    }

    /// The start of the text, unless only the module data contains it.
    pub(crate) fn text_start(&self) -> Option<u64> {
        (self.text_start != 0).then_some(self.text_start)
    }

    pub(crate) fn names_address(&self) -> u64 {
        self.address.wrapping_add(self.names as u64)
    }

    /// The bytes of the index, relative to the table: one entry for each function, in order.
    pub(crate) fn index(&self) -> (usize, usize) {
        (self.functions, self.index_entry())
    }

    /// Address and length of the names of source files.
    pub(crate) fn files(&self) -> (u64, u64) {
        (
            self.address.wrapping_add(self.files as u64),
            self.tables.saturating_sub(self.files) as u64,
        )
    }

    /// The offset at which the tables of values end and the index begins.
    pub(crate) fn tables_end(&self) -> usize {
        self.functions
    }

    fn index_at(&self, number: usize) -> Option<(u64, usize)> {
        let at = self.functions + number * self.index_entry();
        if self.layout == Layout::Go116 {
            let start = self.reader.word(at, self.word)?;
            Some((
                start,
                index(self.reader.word(at + usize::from(self.word), self.word)?)?,
            ))
        } else {
            Some((
                self.reader.u32(at)?.into(),
                index(self.reader.u32(at + 4)?.into())?,
            ))
        }
    }

    /// Functions in the order of their addresses. In the oldest layout the addresses are absolute.
    pub(crate) fn functions(&self) -> impl Iterator<Item = Function<'i>> + '_ {
        (0..self.n_functions.min(limit::FUNCTIONS)).filter_map(move |number| {
            let (start, offset) = self.index_at(number)?;
            // Behind the last function the index has one more start: the end of the text.
            let next = self.index_at(number + 1).map_or(start, |(next, _)| next);
            let record = self.functions.checked_add(offset)?;
            let name = index(self.reader.u32(record.checked_add(self.entry())?)?.into())?;
            let name = self
                .reader
                .cstr(self.names.checked_add(name)?, limit::NAME)?;
            Some(Function {
                number,
                record,
                name,
                start,
                next: next.max(start),
            })
        })
    }

    /// Offset of the last function's record.
    pub(crate) fn last_record(&self) -> Option<usize> {
        let last = self.n_functions.min(limit::FUNCTIONS).checked_sub(1)?;
        let (_, offset) = self.index_at(last)?;
        self.functions.checked_add(offset)
    }

    /// Number of bytes for the start of a function in its record.
    fn entry(&self) -> usize {
        match self.layout {
            Layout::Go116 => usize::from(self.word),
            Layout::Go118 | Layout::Go120 => 4,
        }
    }

    /// Fills `record` with the extent of the record at `offset`, and the offsets in it.
    pub(crate) fn record(&self, offset: usize, record: &mut Record) -> Option<()> {
        let word = usize::from(self.word);
        let entry = self.entry();
        let fixed = match self.layout {
            Layout::Go116 => word + 36,
            Layout::Go118 => 40,
            Layout::Go120 => 44,
        };
        record.tables.clear();
        record.funcdata.clear();
        // nameoff, args, deferreturn, three tables and the count of more.
        let field = |number: usize| self.reader.u32(offset + entry + 4 * number);
        let n_pcdata = index(field(6)?.into())?;
        let n_funcdata = usize::from(self.reader.u8(offset + fixed - 1)?);
        let pcdata = offset + fixed;
        let after = n_pcdata
            .checked_mul(4)
            .and_then(|len| pcdata.checked_add(len))?;
        if after > self.reader.len() || n_pcdata > 64 {
            return None;
        }
        for number in 3..6 {
            record.tables.extend(self.table(field(number)?));
        }
        for number in 0..n_pcdata {
            record
                .tables
                .extend(self.table(self.reader.u32(pcdata + 4 * number)?));
        }
        let end = if self.layout == Layout::Go116 {
            after.checked_next_multiple_of(word)? + n_funcdata * word
        } else {
            for number in 0..n_funcdata {
                let value = self.reader.u32(after + 4 * number)?;
                if value != u32::MAX {
                    record.funcdata.push(value);
                }
            }
            after + n_funcdata * 4
        };
        record.range = offset..end;
        Some(())
    }

    fn table(&self, offset: u32) -> Option<usize> {
        // Offset 0 means that there is no table.
        (offset != 0).then_some(())?;
        self.tables
            .checked_add(index(offset.into())?)
            .filter(|&at| at < self.functions)
    }

    /// Every string of the table of names, with its range relative to the table.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&'i [u8], Range<usize>)> + '_ {
        let mut at = self.names;
        std::iter::from_fn(move || {
            if at >= self.units {
                return None;
            }
            let name = self.reader.cstr(at, (self.units - at).min(limit::NAME))?;
            let range = at..at + name.len() + 1;
            at = range.end;
            Some((name, range))
        })
    }
}
