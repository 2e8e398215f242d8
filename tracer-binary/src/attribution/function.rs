//! Functions: their code, and their share of the function table.

use std::collections::HashMap;
use std::ops::Range;

use super::{Attributions, Content, Facts, FunctionSource, NO_NAME, file_of};
use crate::bits::Bits;
use crate::go::name;
use crate::go::pclntab::{Ends, Pclntab, Record};
use crate::limit;
use crate::package::{PackageId, Packages};
use crate::symbol::Symbol;

/// Program counter of the first function of a wasm file (`cmd/link/internal/wasm`).
const WASM_FIRST: u64 = 0x1000;
/// Maximum length of a stack map. Bytes further away belong to another owner.
const MAX_FUNCDATA: u32 = 64 << 10;

pub(super) fn attribute<'i>(
    facts: &Facts<'_, 'i>,
    packages: &mut Packages<'i>,
    attributions: &mut Attributions<'i>,
) {
    let n_symbols = symbols(facts, packages, attributions);
    let Some(table) = &facts.table else {
        attributions.n_functions += n_symbols;
        if n_symbols > 0 {
            attributions.source = FunctionSource::SymbolTable;
        }
        return;
    };
    // A stripped library still exports a few functions. These are not the symbol table that counts.
    let from_symbols = n_symbols * 2 > table.n_functions();
    attributions.source = if from_symbols {
        FunctionSource::SymbolTable
    } else {
        FunctionSource::FunctionTable
    };
    attributions.n_functions += table.n_functions();
    let mut shares = Shares::of(facts, table);
    let mut last = PackageId::NONE;
    let mut record = Record::default();
    let (index_at, index_entry) = table.index();
    let mut symbols = BySymbol::new(facts.symbols);
    let mut ends = Ends::new(table);
    for function in table.functions() {
        let own = named(function.name, packages);
        let package = package_or_neighbours(own, function.name, &mut last);
        if own.is_none() {
            shares.nameless.entry(function.name).or_insert(package);
        }
        if let Some(base) = facts.base {
            let start = base.wrapping_add(function.start);
            if n_symbols == 0 || !symbols.has(start) {
                let end = base.wrapping_add(ends.of(&function));
                let name = attributions.name(function.name, package, Content::Code);
                code(facts, start, end, package, name, attributions);
            }
        }
        let entry = index_at + function.number * index_entry;
        shares.index.add(entry, entry + index_entry, package);
        if table.record(function.record, &mut record).is_some() {
            shares
                .records
                .add(record.range.start, record.range.end, package);
            for &at in &record.tables {
                shares.tables.add(at, package);
            }
            for &at in &record.funcdata {
                shares.funcdata.add(at, package);
            }
        }
    }
    shares.attribute(facts, table, packages, attributions);
}

/// The address range of Go's code, by the linker's marks in the symbol table.
pub(super) fn text(symbols: &[Symbol<'_>]) -> Option<Range<u64>> {
    let mark = |name: &[u8]| {
        let mark = symbols.iter().find(|symbol| symbol.name == name)?;
        Some(mark.address)
    };
    let text = mark(b"runtime.text")?..mark(b"runtime.etext")?;
    (!text.is_empty()).then_some(text)
}

/// Attributes the functions of the symbol table. Returns the number of Go's functions, or of all functions if the file
/// is not Go's.
fn symbols<'i>(
    facts: &Facts<'_, 'i>,
    packages: &mut Packages<'i>,
    attributions: &mut Attributions<'i>,
) -> usize {
    let mut last = PackageId::NONE;
    let (mut n_go, mut n_c) = (0, 0);
    for symbol in facts
        .symbols
        .iter()
        .filter(|symbol| symbol.is_function && symbol.size > 0)
    {
        // If the file has no sizes, a mark appears to extend to the next symbol.
        if facts.is_go && symbol.mark.is_some() {
            continue;
        }
        let Some((file, _)) = file_of(facts.image, symbol) else {
            continue;
        };
        // The linker keeps Go's code together. Code outside it came from the system's compiler.
        let is_go = match &facts.text {
            Some(text) => text.contains(&symbol.address),
            None => facts.is_go && is_named_by_go(symbol.name),
        };
        let (package, content) = if is_go {
            n_go += 1;
            (
                package_or_neighbours(named(symbol.name, packages), symbol.name, &mut last),
                Content::Code,
            )
        } else {
            n_c += 1;
            (PackageId::NONE, Content::CCode)
        };
        let name = attributions.name(symbol.name, package, content);
        attributions.push(facts.offset, &file, package, name, content);
    }
    if facts.is_go { n_go } else { n_c }
}

fn is_named_by_go(name: &[u8]) -> bool {
    name::owner(name, name::Spelling::Unknown) != name::SymbolOwner::Unnamed
}

/// The package of a function. A function without a package in its name belongs to the package of the functions around
/// it, because the linker writes one archive after another.
///
/// Assembly has such functions. The compiler writes some into the archive of each package that calls them. For example,
/// `type:.eq.SM10` of 1.27 compares any string followed by ten bytes, and the linker takes it from the first archive.
fn package_or_neighbours(own: Option<PackageId>, name: &[u8], last: &mut PackageId) -> PackageId {
    match own {
        Some(package) => {
            if !name::is_made_for_others(name) {
                *last = package;
            }
            package
        }
        None if name::is_of_the_file(name) => PackageId::NONE,
        None => *last,
    }
}

/// The package that a name contains.
fn named<'i>(name: &'i [u8], packages: &mut Packages<'i>) -> Option<PackageId> {
    packages.owner(name).filter(|&it| it != PackageId::NONE)
}

/// In a well-formed file the next function's symbol is at most this far away. In any other file a binary search finds
/// it.
const NEAR: usize = 8;

/// Finds addresses that have a function's symbol, mostly in ascending order.
struct BySymbol<'s, 'i> {
    /// Sorted by address.
    all: &'s [Symbol<'i>],
    rest: &'s [Symbol<'i>],
    last: u64,
}

impl<'s, 'i> BySymbol<'s, 'i> {
    fn new(all: &'s [Symbol<'i>]) -> Self {
        Self {
            all,
            rest: all,
            last: 0,
        }
    }

    fn has(&mut self, address: u64) -> bool {
        if address < self.last {
            self.rest = self.all;
        }
        self.last = address;
        let near = self.rest.get(..NEAR).unwrap_or(self.rest);
        let before = match near.iter().position(|symbol| symbol.address >= address) {
            Some(before) => before,
            None => self.rest.partition_point(|symbol| symbol.address < address),
        };
        self.rest = self.rest.get(before..).unwrap_or_default();
        let same = self
            .rest
            .iter()
            .take_while(|symbol| symbol.address == address);
        same.take(16)
            .any(|symbol| symbol.is_function && symbol.size > 0)
    }
}

fn code(
    facts: &Facts<'_, '_>,
    start: u64,
    end: u64,
    package: PackageId,
    name: u32,
    attributions: &mut Attributions<'_>,
) {
    if facts.image.bodies.is_empty() {
        facts
            .image
            .file_ranges(start, end.saturating_sub(start), |file| {
                attributions.push(facts.offset, &file, package, name, Content::Code);
            });
        return;
    }
    // Wasm code has no addresses: functions are numbered. Newer tables contain the plain number; older ones have it in
    // the upper bits of a program counter.
    let number = if start >> 16 >= WASM_FIRST {
        start >> 16
    } else {
        start
    };
    let body = number
        .checked_sub(WASM_FIRST)
        .and_then(crate::reader::index);
    if let Some(file) = body.and_then(|body| facts.image.bodies.get(body)) {
        attributions.push(facts.offset, file, package, name, Content::Code);
    }
}

/// Ranges of the table that serve one package. Each grows as long as the next one continues it.
#[derive(Debug, Default)]
struct Runs {
    /// Compact, because there may be one for each function. An attribution cannot exceed these numbers.
    list: Vec<(u32, u32, PackageId)>,
}

impl Runs {
    /// An empty list with reserved memory: lists that grow in parallel leave unused holes in the heap. If the
    /// reservation fails, the list grows.
    fn with_room(len: usize) -> Self {
        let mut list = Vec::new();
        let _or_grows = list.try_reserve(len);
        Self { list }
    }

    fn add(&mut self, start: usize, end: usize, package: PackageId) {
        let (Ok(start), Ok(end)) = (u32::try_from(start), u32::try_from(end)) else {
            return;
        };
        match self.list.last_mut() {
            Some(last) if last.1 == start && last.2 == package => last.1 = end,
            _ => self.list.push((start, end, package)),
        }
    }

    /// Attributes ranges relative to `address`.
    fn attribute(self, facts: &Facts<'_, '_>, address: u64, attributions: &mut Attributions<'_>) {
        for (start, end, package) in self.list {
            let len = end.saturating_sub(start).into();
            let start = address.wrapping_add(start.into());
            facts.image.file_ranges(start, len, |file| {
                attributions.push(
                    facts.offset,
                    &file,
                    package,
                    NO_NAME,
                    Content::FunctionTable,
                );
            });
        }
    }
}

/// Starts of ranges, each with its first user.
#[derive(Debug)]
struct Starts {
    seen: Bits,
    list: Vec<(u32, PackageId)>,
}

impl Starts {
    /// An empty list for starts below `len`, with room for some of them.
    fn new(len: usize, room: usize) -> Self {
        let mut list = Vec::new();
        let _or_grows = list.try_reserve(room);
        Self {
            seen: Bits::new(len),
            list,
        }
    }

    fn add(&mut self, start: impl TryInto<usize>, package: PackageId) {
        if let Ok(start) = start.try_into()
            && let Ok(short) = u32::try_from(start)
            && self.seen.insert(start)
        {
            self.list.push((short, package));
        }
    }

    /// Frees the set of seen starts. It is needed only while starts are added, and takes more memory than the list.
    fn into_list(self) -> Vec<(u32, PackageId)> {
        self.list
    }
}

/// The packages that use each range of the function table. Shared bytes belong to the first of their users.
#[derive(Debug)]
struct Shares<'i> {
    index: Runs,
    records: Runs,
    tables: Starts,
    funcdata: Starts,
    /// The packages of functions that have none in their name.
    nameless: HashMap<&'i [u8], PackageId>,
}

impl<'i> Shares<'i> {
    fn of(facts: &Facts<'_, 'i>, table: &Pclntab<'i>) -> Self {
        let gofunc = facts.data.as_ref().and_then(|data| data.gofunc);
        let mapped = gofunc.and_then(|gofunc| facts.image.reader_at(gofunc));
        let n_functions = table.n_functions().min(limit::FUNCTIONS);
        Self {
            index: Runs::default(),
            // Records are aligned, so there may be a gap behind each.
            records: Runs::with_room(n_functions),
            tables: Starts::new(table.tables_end(), 2 * n_functions),
            funcdata: Starts::new(mapped.map_or(0, |mapped| mapped.len()), n_functions),
            nameless: HashMap::new(),
        }
    }

    fn attribute(
        self,
        facts: &Facts<'_, 'i>,
        table: &Pclntab<'i>,
        packages: &mut Packages<'i>,
        attributions: &mut Attributions<'i>,
    ) {
        let Self {
            index,
            records,
            tables,
            funcdata,
            nameless,
        } = self;
        let (tables, funcdata) = (tables.into_list(), funcdata.into_list());
        // Attribute the lists one by one, so that there are never two long lists besides the attributions.
        index.attribute(facts, table.address, attributions);
        records.attribute(facts, table.address, attributions);
        let mut names = Runs::default();
        for (name, range) in table.names() {
            let package = named(name, packages)
                .or_else(|| nameless.get(name).copied())
                .unwrap_or(PackageId::NONE);
            names.add(range.start, range.end, package);
        }
        names.attribute(facts, table.address, attributions);
        let end = u32::try_from(table.tables_end()).unwrap_or(u32::MAX);
        runs(tables, end, u32::MAX).attribute(facts, table.address, attributions);
        let Some(gofunc) = facts.data.as_ref().and_then(|data| data.gofunc) else {
            return;
        };
        let last = funcdata.iter().map(|&(at, _)| at).max().unwrap_or(0);
        runs(funcdata, last, MAX_FUNCDATA).attribute(facts, gofunc, attributions);
    }
}

/// Extends each start to the next one, by at most `longest`, and the last one to `end`. No start occurs twice.
fn runs(mut starts: Vec<(u32, PackageId)>, end: u32, longest: u32) -> Runs {
    // The sort is stable because a stable sort exploits existing order, and nearly all starts are in order.
    starts.sort_by_key(|(start, _)| *start);
    let mut runs = Runs::default();
    for (number, &(start, package)) in starts.iter().enumerate() {
        let next = starts.get(number + 1).map_or(end, |&(next, _)| next);
        let stop = next.min(start.saturating_add(longest));
        if let (Ok(start), Ok(stop)) = (usize::try_from(start), usize::try_from(stop)) {
            runs.add(start, stop.max(start), package);
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_linkers_marks_bound_the_text() {
        let symbol = |name: &'static str, address| Symbol {
            name: name.as_bytes(),
            address,
            size: 0,
            section: Some(0),
            is_function: true,
            is_local: true,
            mark: None,
        };
        let marks = [
            symbol("_start", 1),
            symbol("runtime.text", 2),
            symbol("main.main", 3),
            symbol("runtime.etext", 4),
        ];
        assert_eq!(text(&marks), Some(2..4));
        assert_eq!(text(&marks[..3]), None);
        assert_eq!(
            text(&[symbol("runtime.text", 2), symbol("runtime.etext", 2)]),
            None
        );
    }

    #[test]
    fn a_function_that_packages_share_is_of_the_package_around_it() {
        let mut packages = Packages::new();
        let mut last = PackageId::NONE;
        let mut path = |name: &'static str| {
            let own = named(name.as_bytes(), &mut packages);
            let id = package_or_neighbours(own, name.as_bytes(), &mut last);
            packages.name(id).unwrap_or_default().into_owned()
        };
        let functions = [
            ("type:.eq.SM1", ""),
            ("example.com/a.F", "example.com/a"),
            ("cmpbody", "example.com/a"),
            ("slices.Sort[...]", "slices"),
            ("sync.(*Mutex).Lock-fm", "sync"),
            ("type:.eq.os.File", "os"),
            ("type:.eq.SM10", "example.com/a"),
            ("type:.eq.[2]os.File", "example.com/a"),
            ("example.com/b.F", "example.com/b"),
            ("type:.eq.SM2", "example.com/b"),
            ("go:textfipsend", ""),
        ];
        for (name, expected) in functions {
            assert_eq!(path(name), expected, "{name}");
        }
    }

    #[test]
    fn neighbours_of_one_package_are_one_run() {
        let (a, b) = (PackageId(1), PackageId(2));
        let runs = runs(vec![(30, b), (0, a), (10, a)], 40, 100);
        assert_eq!(runs.list, [(0, 30, a), (30, 40, b)]);
    }

    #[test]
    fn a_run_is_not_stretched_over_a_hole() {
        let runs = runs(vec![(0, PackageId(1)), (1000, PackageId(1))], 1000, 64);
        assert_eq!(
            runs.list,
            [(0, 64, PackageId(1)), (1000, 1000, PackageId(1))]
        );
    }
}
