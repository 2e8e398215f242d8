//! Claims: this stretch of the file belongs to that package, and is of this content.
//!
//! Claims may overlap and contradict each other, and a hostile file makes them do so; the ledger sorts
//! that out. Where the file does not say whose bytes are, nothing is claimed.

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
pub(crate) use region::Region;

/// What bytes are for. Every byte of a file has exactly one.
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
    /// Files put in with `//go:embed`.
    Embed,
    /// Type descriptors, names and pointer masks.
    Types,
    /// Interface tables.
    Itabs,
    /// The function table and stack maps: what stack traces and the garbage collector read.
    FunctionTable,
    /// Build information and module data.
    BuildInfo,
    Debug,
    SymbolTable,
    /// What the dynamic linker and loader read.
    Linking,
    Note,
    Header,
    Padding,
    /// A member of an archive that is no object file.
    Member,
    /// Bytes behind everything that the headers speak of.
    Overlay,
    /// In a section, and nothing in the file says whose.
    Unattributed,
    /// In no section.
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

/// Compact, as there may be millions. Positions are of the whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub start: u32,
    pub end: u32,
    /// Index into [`Claims::names`], or `NO_NAME`.
    pub name: u32,
    tag: Tag,
}

const _: () = assert!(size_of::<Claim>() == 16);

impl Claim {
    pub(crate) fn content(&self) -> Content {
        self.tag.content()
    }

    pub(crate) fn package(&self) -> PackageId {
        self.tag.package()
    }
}

/// A content and a package in the space of one: the content in the upper bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tag(u32);

impl Tag {
    const BITS: u32 = 27;
    /// For no package, and for one whose number does not fit. No memory holds the paths of so many.
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

/// What has a name of its own and a size: a function, a variable, an embedded file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Named<'i> {
    pub name: &'i [u8],
    pub package: PackageId,
    pub content: Content,
}

/// Where the functions' names and bounds came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FunctionSource {
    SymbolTable,
    FunctionTable,
    #[default]
    None,
}

#[derive(Debug, Default)]
pub(crate) struct Claims<'i> {
    pub list: Vec<Claim>,
    pub names: Vec<Named<'i>>,
    /// Stretches known as a whole, for what no claim covers.
    pub regions: Vec<Region>,
    pub embeds: Vec<Embed>,
    pub source: FunctionSource,
    /// Whether Go made any of it.
    pub is_go: bool,
    pub n_symbols: usize,
    pub n_functions: usize,
    pub n_types: usize,
    pub n_itabs: usize,
    pub methods: Methods,
    pub notes: Vec<String>,
    dropped: usize,
}

impl<'i> Claims<'i> {
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
        if self.list.len() >= limit::CLAIMS {
            self.dropped += 1;
            return;
        }
        self.list.push(Claim {
            start,
            end,
            name,
            tag: Tag::new(content, package),
        });
    }

    fn name(&mut self, name: &'i [u8], package: PackageId, content: Content) -> u32 {
        let number = u32::try_from(self.names.len()).unwrap_or(NO_NAME);
        self.names.push(Named {
            name,
            package,
            content,
        });
        number
    }
}

/// Everything that is known of one part before anything is claimed.
struct Facts<'f, 'i> {
    image: &'i Image<'i>,
    /// Of the part in the file.
    offset: usize,
    symbols: &'f [Symbol<'i>],
    table: Option<Pclntab<'i>>,
    /// Where the function table's offsets begin to count.
    base: Option<u64>,
    data: Option<ModuleData>,
    /// Where the linker put Go's code.
    text: Option<Range<u64>>,
    is_go: bool,
}

/// Facts of the whole file that hold for each of its parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin {
    /// Whether the file states that Go made it. A part can show that as well.
    pub is_go: bool,
    /// Its Go release.
    pub minor: Option<u32>,
}

/// Adds the claims of one part.
pub(crate) fn gather<'i>(
    part: &'i Part<'i>,
    Origin { is_go, minor }: Origin,
    packages: &mut Packages<'i>,
    claims: &mut Claims<'i>,
) {
    /// Claims for each function, about: of its code, and of its parts of the function table.
    const EACH: usize = 6;
    let image = &part.image;
    let (mut symbols, note) = symbol::read(image);
    claims.notes.extend(note);
    claims.n_symbols += symbols.len();
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
    // Bytes can look like a function table by chance, but module data and the linker's marks do not.
    let is_go = is_go || text.is_some();
    let table = table.filter(|_| is_go);
    let start = text.as_ref().map(|text| text.start);
    let base = table.as_ref().and_then(|table| table.base(start));
    let note = extent::derive(image, table.as_ref(), base, &mut symbols);
    claims.notes.extend(note);
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
    claims.is_go |= is_go;
    if minor.is_none()
        && let (Some(table), Some(_)) = (&facts.table, &facts.data)
    {
        claims.notes.push(format!(
            "the file does not state its Go release; its function table has the layout of Go {}",
            table.layout.releases()
        ));
    }
    if facts.is_go && facts.table.is_none() && Pclntab::is_old(image) {
        claims.notes.push(
            "the function table has the layout of Go 1.15 or earlier, which gotrace does not read; functions come from the symbol table only".to_owned(),
        );
    }
    if let Some(table) = &facts.table
        && table.n_functions() > limit::FUNCTIONS
    {
        claims.notes.push(format!(
            "more than {} functions, the rest is not read",
            limit::FUNCTIONS
        ));
    }
    if let Some(table) = &facts.table {
        // A list that grows is in memory twice. Where there is no room, it grows.
        let room = EACH * table.n_functions().min(limit::FUNCTIONS);
        let _or_grows = claims.list.try_reserve(room);
        let room = table.n_functions().min(limit::FUNCTIONS);
        let _or_grows = claims.names.try_reserve(room.max(symbols.len()));
    }
    packages.spell(spelling(facts.table.as_ref(), minor));
    // Descriptors name packages by themselves, with which the names of functions are read.
    if let Some(data) = &facts.data {
        let types = types::read(image, data, packages);
        self::types(&facts, &types, claims);
    }
    function::claim(&facts, packages, claims);
    embed::claim(&facts, packages, claims);
    variables(&facts, packages, claims);
    constant::claim(&facts, packages, claims);
    region::mark(&facts, claims);
    if claims.dropped > 0 {
        claims.notes.push(format!(
            "more than {} claims, {} are dropped",
            limit::CLAIMS,
            claims.dropped
        ));
        claims.dropped = 0;
    }
}

/// The function table changed with the names in 1.20.
fn spelling(table: Option<&Pclntab<'_>>, minor: Option<u32>) -> Spelling {
    match (table.map(|table| table.layout), minor) {
        (Some(Layout::Go120), _) | (None, Some(20..)) => Spelling::Colon,
        (Some(Layout::Go116 | Layout::Go118), _) | (None, Some(..20)) => Spelling::Dot,
        (None, None) => Spelling::Unknown,
    }
}

fn types<'i>(facts: &Facts<'_, 'i>, types: &Types, claims: &mut Claims<'i>) {
    for span in &types.spans {
        let content = if span.is_itab {
            Content::Itabs
        } else {
            Content::Types
        };
        facts.image.file_ranges(span.address, span.len, |file| {
            claims.push(facts.offset, &file, span.package, NO_NAME, content);
        });
    }
    claims.n_types += types.n_descriptors;
    claims.n_itabs += types.n_itabs;
    claims.methods.exported += types.methods.exported;
    claims.methods.dropped += types.methods.dropped;
    claims.notes.extend(types.note.clone());
}

/// Symbols that are no functions.
fn variables<'i>(facts: &Facts<'_, 'i>, packages: &mut Packages<'i>, claims: &mut Claims<'i>) {
    // C's statics may look like a package with a dot (`completed.0`): where C is, only known packages count.
    let with_c = claims
        .names
        .iter()
        .any(|named| named.content == Content::CCode);
    let build_info = region::build_info(facts.image);
    let bounds = extent::Bounds::of(facts, claims);
    let holds_build_info = |symbol: &Symbol<'_>| {
        let held = symbol
            .section
            .and_then(|section| build_info.get(index(section.into())?));
        held.copied().unwrap_or(false)
    };
    for symbol in facts
        .symbols
        .iter()
        .filter(|symbol| !symbol.is_function && symbol.size > 0)
    {
        if region::Mark::of(symbol.name).is_some() {
            continue;
        }
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
        // A program that imports plugin has symbols for types. The walk over the types knows their packages; it goes first.
        if facts.data.is_some() && name::is_descriptor(symbol.name) {
            claims.regions.push(Region {
                file: file.start + facts.offset..file.end + facts.offset,
                content: Content::Types,
            });
            continue;
        }
        let package = if !facts.is_go {
            PackageId::NONE
        } else if with_c {
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
        let name = claims.name(symbol.name, package, content);
        claims.push(facts.offset, &file, package, name, content);
    }
}

/// Where a symbol's bytes are in the part; `None` when it has none there.
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
