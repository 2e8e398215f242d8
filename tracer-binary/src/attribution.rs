//! Attributions: each assigns a range of the file to a package and a content.
//!
//! Attributions may overlap and contradict each other, and a hostile file causes this on purpose; the ledger resolves
//! it. Bytes whose owner the file does not state get no attribution.

mod constant;
mod embed;
mod extent;
mod function;
mod region;

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::container::Part;
use crate::go::moduledata::{self, ModuleData};
use crate::go::name::{self, Spelling};
use crate::go::pclntab::{Layout, Pclntab};
use crate::go::types::{self, Types};
use crate::image::{Image, Section, SectionClass};
use crate::limit;
use crate::package::{PackageId, Packages};
use crate::property::Methods;
use crate::reader::index;
use crate::symbol::{self, Symbol};

pub use embed::Embed;
pub(crate) use region::{Mark, Region};

/// The purpose of bytes. Every byte of a file has exactly one.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// Machine code of Go functions.
    Code,
    /// Machine code from C, C++ or assembly that the system's compiler made.
    CCode,
    /// Variables and constants that have a symbol.
    Data,
    /// Text of string constants.
    Strings,
    /// Files embedded with `//go:embed`.
    Embed,
    /// Type descriptors, names and pointer masks.
    Types,
    /// Interface tables.
    Itabs,
    /// The function table and stack maps, read for stack traces and by the garbage collector.
    FunctionTable,
    /// Build information and module data.
    BuildInfo,
    Debug,
    SymbolTable,
    /// Tables for the dynamic linker and loader.
    Linking,
    Note,
    Header,
    Padding,
    /// A member of an archive that is no object file.
    Member,
    /// Bytes behind everything that the headers describe.
    Overlay,
    /// Bytes in a section whose owner the file does not state.
    Unattributed,
    /// Bytes in no section.
    Outside,
}

impl Content {
    pub const ALL: [Self; 19] = [
        Self::Code,
        Self::CCode,
        Self::Data,
        Self::Strings,
        Self::Embed,
        Self::Types,
        Self::Itabs,
        Self::FunctionTable,
        Self::BuildInfo,
        Self::Debug,
        Self::SymbolTable,
        Self::Linking,
        Self::Note,
        Self::Header,
        Self::Padding,
        Self::Member,
        Self::Overlay,
        Self::Unattributed,
        Self::Outside,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::CCode => "C code",
            Self::Data => "data",
            Self::Strings => "strings",
            Self::Embed => "embedded files",
            Self::Types => "types",
            Self::Itabs => "interface tables",
            Self::FunctionTable => "function table",
            Self::BuildInfo => "build info",
            Self::Debug => "debug info",
            Self::SymbolTable => "symbol table",
            Self::Linking => "linking",
            Self::Note => "notes",
            Self::Header => "headers",
            Self::Padding => "padding",
            Self::Member => "members",
            Self::Overlay => "overlay",
            Self::Unattributed => "unattributed",
            Self::Outside => "outside of sections",
        }
    }
}

/// Compact, because there may be millions. Positions are relative to the whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attribution {
    pub start: u32,
    pub end: u32,
    /// Index into [`Attributions::names`], or `NO_NAME`.
    pub name: u32,
    tag: Tag,
}

const _: () = assert!(size_of::<Attribution>() == 16);

impl Attribution {
    pub(crate) fn content(&self) -> Content {
        self.tag.content()
    }

    pub(crate) fn package(&self) -> PackageId {
        self.tag.package()
    }
}

/// A content and a package in one word, with the content in the upper bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tag(u32);

impl Tag {
    const BITS: u32 = 27;
    /// Stands for no package, and for a package whose number does not fit. No memory holds the paths of so many
    /// packages.
    const NO_PACKAGE: u32 = (1 << Self::BITS) - 1;

    fn new(content: Content, package: PackageId) -> Self {
        Self((content as u32) << Self::BITS | package.0.min(Self::NO_PACKAGE))
    }

    fn content(self) -> Content {
        let number = index(u64::from(self.0 >> Self::BITS));
        let content = number.and_then(|number| Content::ALL.get(number));
        content.copied().unwrap_or(Content::Unattributed)
    }

    fn package(self) -> PackageId {
        match self.0 & Self::NO_PACKAGE {
            Self::NO_PACKAGE => PackageId::NONE,
            number => PackageId(number),
        }
    }
}

pub(crate) const NO_NAME: u32 = u32::MAX;

/// An item with a name of its own and a size: a function, a variable, an embedded file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NamedItem<'i> {
    pub name: &'i [u8],
    pub package: PackageId,
    pub content: Content,
}

/// The source of the functions' names and bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FunctionSource {
    SymbolTable,
    FunctionTable,
    #[default]
    None,
}

#[derive(Debug, Default)]
pub(crate) struct Attributions<'i> {
    pub list: Vec<Attribution>,
    pub names: Vec<NamedItem<'i>>,
    /// Ranges with a known content as a whole, for bytes that no attribution covers.
    pub regions: Vec<Region>,
    pub embeds: Vec<Embed>,
    pub source: FunctionSource,
    /// True if Go made any part of the file.
    pub is_go: bool,
    pub n_symbols: usize,
    pub n_functions: usize,
    pub n_types: usize,
    pub n_itabs: usize,
    pub methods: Methods,
    pub notes: Vec<String>,
    dropped: usize,
}

impl<'i> Attributions<'i> {
    fn push(
        &mut self,
        offset: usize,
        file: &Range<usize>,
        package: PackageId,
        name: u32,
        content: Content,
    ) {
        let (Ok(start), Ok(end)) = (
            u32::try_from(offset + file.start),
            u32::try_from(offset + file.end),
        ) else {
            return;
        };
        if start >= end {
            return;
        }
        if self.list.len() >= limit::ATTRIBUTIONS {
            self.dropped += 1;
            return;
        }
        self.list.push(Attribution {
            start,
            end,
            name,
            tag: Tag::new(content, package),
        });
    }

    fn name(&mut self, name: &'i [u8], package: PackageId, content: Content) -> u32 {
        let number = u32::try_from(self.names.len()).unwrap_or(NO_NAME);
        self.names.push(NamedItem {
            name,
            package,
            content,
        });
        number
    }
}

/// All facts about one part, collected before any bytes are attributed.
struct Facts<'f, 'i> {
    image: &'i Image<'i>,
    /// Offset of the part in the file.
    offset: usize,
    symbols: &'f [Symbol<'i>],
    table: Option<Pclntab<'i>>,
    /// The address to which the function table's offsets are relative.
    base: Option<u64>,
    data: Option<ModuleData>,
    /// The address range of Go's code, as laid out by the linker.
    text: Option<Range<u64>>,
    is_go: bool,
}

/// Facts about the whole file that apply to each of its parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileFacts {
    /// True if the file states that Go made it. A part can show that as well.
    pub is_go: bool,
    /// The minor Go release of the file.
    pub minor: Option<u32>,
}

/// Adds the attributions of one part.
pub(crate) fn gather<'i>(
    part: &'i Part<'i>,
    FileFacts { is_go, minor }: FileFacts,
    packages: &mut Packages<'i>,
    attributions: &mut Attributions<'i>,
) {
    /// Approximate number of attributions for each function: one for its code, and others for its parts of the function
    /// table.
    const PER_FUNCTION: usize = 6;
    let image = &part.image;
    let (mut symbols, note) = symbol::read(image);
    attributions.notes.extend(note);
    attributions.n_symbols += symbols.len();
    let table = (image.shape != crate::image::Shape::Relocatable)
        .then(|| Pclntab::find(image))
        .flatten();
    let data = table
        .as_ref()
        .and_then(|table| moduledata::find(image, table, minor));
    let text = match &data {
        Some(data) => Some(data.text..data.etext),
        None => function::text(&symbols),
    };
    // Bytes can look like a function table by chance. Module data and the linker's marks cannot.
    let is_go = is_go || text.is_some();
    let table = table.filter(|_| is_go);
    let start = text.as_ref().map(|text| text.start);
    let base = table.as_ref().and_then(|table| table.base(start));
    let note = extent::derive(image, table.as_ref(), base, &mut symbols);
    attributions.notes.extend(note);
    let facts = Facts {
        image,
        offset: part.offset,
        symbols: &symbols,
        table,
        base,
        data,
        text,
        is_go,
    };
    attributions.is_go |= is_go;
    if minor.is_none()
        && let (Some(table), Some(_)) = (&facts.table, &facts.data)
    {
        attributions.notes.push(format!(
            "the file does not state its Go release; its function table has the layout of Go {}",
            table.layout.releases()
        ));
    }
    if facts.is_go && facts.table.is_none() && Pclntab::is_old(image) {
        attributions.notes.push(
            "functions come from the symbol table only: gotrace does not read function tables of Go 1.15 or earlier".to_owned(),
        );
    }
    if let Some(table) = &facts.table
        && table.n_functions() > limit::FUNCTIONS
    {
        attributions.notes.push(format!(
            "more than {} functions, the rest is not read",
            limit::FUNCTIONS
        ));
    }
    if let Some(table) = &facts.table {
        // A growing list takes twice its memory. If the reservation fails, the list grows.
        let room = PER_FUNCTION * table.n_functions().min(limit::FUNCTIONS);
        let _or_grows = attributions.list.try_reserve(room);
        let room = table.n_functions().min(limit::FUNCTIONS);
        let _or_grows = attributions.names.try_reserve(room.max(symbols.len()));
    }
    packages.spell(spelling(facts.table.as_ref(), minor));
    // Descriptors contain the packages by themselves. The names of functions are then read with these packages.
    if let Some(data) = &facts.data {
        let types = types::read(image, data, packages);
        self::types(&facts, &types, attributions);
    }
    function::attribute(&facts, packages, attributions);
    embed::attribute(&facts, packages, attributions);
    variables(&facts, packages, attributions);
    constant::attribute(&facts, packages, attributions);
    region::mark(&facts, attributions);
    if attributions.dropped > 0 {
        attributions.notes.push(format!(
            "more than {} attributions, {} are dropped",
            limit::ATTRIBUTIONS,
            attributions.dropped
        ));
        attributions.dropped = 0;
    }
}

/// The spelling of the toolchain's names. The function table changed together with the names in 1.20.
pub(crate) fn spelling(table: Option<&Pclntab<'_>>, minor: Option<u32>) -> Spelling {
    match (table.map(|table| table.layout), minor) {
        (Some(Layout::Go120), _) | (None, Some(20..)) => Spelling::Colon,
        (Some(Layout::Go116 | Layout::Go118), _) | (None, Some(..20)) => Spelling::Dot,
        (None, None) => Spelling::Unknown,
    }
}

fn types<'i>(facts: &Facts<'_, 'i>, types: &Types, attributions: &mut Attributions<'i>) {
    for span in &types.spans {
        let content = if span.is_itab {
            Content::Itabs
        } else {
            Content::Types
        };
        facts.image.file_ranges(span.address, span.len, |file| {
            attributions.push(facts.offset, &file, span.package, NO_NAME, content);
        });
    }
    attributions.n_types += types.n_descriptors;
    attributions.n_itabs += types.n_itabs;
    attributions.methods.exported += types.methods.exported;
    attributions.methods.dropped += types.methods.dropped;
    attributions.notes.extend(types.note.clone());
}

/// Attributes symbols that are not functions.
fn variables<'i>(
    facts: &Facts<'_, 'i>,
    packages: &mut Packages<'i>,
    attributions: &mut Attributions<'i>,
) {
    // C's statics may look like a package with a dot (`completed.0`). In a file with C code, only known packages count.
    let has_c = attributions
        .names
        .iter()
        .any(|named| named.content == Content::CCode);
    let build_info = region::build_info(facts.image);
    let bounds = extent::Bounds::of(facts, attributions);
    let holds_build_info = |symbol: &Symbol<'_>| {
        let held = symbol
            .section
            .and_then(|section| build_info.get(index(section.into())?));
        held.copied().unwrap_or(false)
    };
    for symbol in facts
        .symbols
        .iter()
        .filter(|symbol| !symbol.is_function && symbol.size > 0 && symbol.mark.is_none())
    {
        let Some((file, class)) = file_of(facts.image, symbol) else {
            continue;
        };
        let file = bounds.clip(file);
        if !matches!(
            class,
            SectionClass::Code | SectionClass::ReadOnly | SectionClass::Data
        ) {
            continue;
        }
        // A program that imports plugin has symbols for types. The walk over the types, which runs first, determines
        // their packages.
        if facts.data.is_some() && name::is_descriptor(symbol.name) {
            attributions.regions.push(Region {
                file: file.start + facts.offset..file.end + facts.offset,
                content: Content::Types,
            });
            continue;
        }
        let package = if !facts.is_go {
            PackageId::NONE
        } else if has_c {
            packages.known_of_symbol(symbol.name)
        } else {
            packages.of_symbol(symbol.name)
        };
        let content = if name::is_itab(symbol.name) {
            Content::Itabs
        } else if holds_build_info(symbol) {
            Content::BuildInfo
        } else {
            Content::Data
        };
        let name = attributions.name(symbol.name, package, content);
        attributions.push(facts.offset, &file, package, name, content);
    }
}

/// The range of a symbol's bytes in the part; `None` if the symbol has no bytes there.
fn file_of(image: &Image<'_>, symbol: &Symbol<'_>) -> Option<(Range<usize>, SectionClass)> {
    let section = symbol
        .section
        .and_then(|section| image.sections.get(index(section.into())?));
    let within = |section: &Section<'_>| {
        let start = section
            .file
            .start
            .checked_add(index(symbol.address.checked_sub(section.address)?)?)?;
        let end = start
            .saturating_add(index(symbol.size)?)
            .min(section.file.end);
        (start < end).then_some((start..end, section.class))
    };
    section.and_then(within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_keeps_the_content_and_the_package() {
        let last = PackageId(Tag::NO_PACKAGE - 1);
        for content in Content::ALL {
            for package in [PackageId(0), PackageId(1), last, PackageId::NONE] {
                let tag = Tag::new(content, package);
                assert_eq!((tag.content(), tag.package()), (content, package));
            }
        }
        let tag = Tag::new(Content::Code, PackageId(Tag::NO_PACKAGE));
        assert_eq!(
            (tag.content(), tag.package()),
            (Content::Code, PackageId::NONE)
        );
    }
}
