//! Functions: their code, and their share of the function table.

use std::collections::HashMap;
use std::ops::Range;

use super::{Claims, Content, Facts, FunctionSource, NO_NAME, file_of, region};
use crate::bits::Bits;
use crate::go::name;
use crate::go::pclntab::{Pclntab, Record};
use crate::limit;
use crate::package::{PackageId, Packages};
use crate::symbol::Symbol;

/// The first function of a wasm file has this program counter (`cmd/link/internal/wasm`).
const WASM_FIRST: u64 = 0x1000;
/// A stack map is never longer; what follows further away is somebody else's.
const MAX_FUNCDATA: u32 = 64 << 10;

pub(super) fn claim<'i>(
    facts: &Facts<'_, 'i>,
    packages: &mut Packages<'i>,
    claims: &mut Claims<'i>,
) {
    let n_symbols = symbols(facts, packages, claims);
    let Some(table) = &facts.table else {
        claims.n_functions += n_symbols;
        if n_symbols > 0 {
            claims.source = FunctionSource::SymbolTable;
        }
        return;
    };
    // A stripped library still exports a few, which are not the table that is meant.
    let from_symbols = n_symbols * 2 > table.n_functions();
    claims.source = if from_symbols {
        FunctionSource::SymbolTable
    } else {
        FunctionSource::FunctionTable
    };
    claims.n_functions += table.n_functions();
    let mut shares = Shares::of(facts, table);
    let mut last = PackageId::NONE;
    let mut record = Record::default();
    let (index_at, index_entry) = table.index();
    let mut symbols = BySymbol::new(facts.symbols);
    for function in table.functions() {
        let own = named(function.name, packages);
        let package = or_around(own, function.name, &mut last);
        if own.is_none() {
            shares.nameless.entry(function.name).or_insert(package);
        }
        if let Some(base) = facts.base {
            let start = base.wrapping_add(function.start);
            if n_symbols == 0 || !symbols.has(start) {
                let end = base.wrapping_add(function.end);
                let name = claims.name(function.name, package, Content::Code);
                code(facts, start, end, package, name, claims);
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
    shares.claim(facts, table, packages, claims);
}

/// Where Go's code is, by the linker's marks in the symbol table.
pub(super) fn text(symbols: &[Symbol<'_>]) -> Option<Range<u64>> {
    let mark = |name: &[u8]| {
        let mark = symbols.iter().find(|symbol| symbol.name == name)?;
        Some(mark.address)
    };
    let text = mark(b"runtime.text")?..mark(b"runtime.etext")?;
    (!text.is_empty()).then_some(text)
}

/// Claims the functions of the symbol table; how many are Go's, or in a file that is not Go's, how many there are.
fn symbols<'i>(
    facts: &Facts<'_, 'i>,
    packages: &mut Packages<'i>,
    claims: &mut Claims<'i>,
) -> usize {
    let mut last = PackageId::NONE;
    let (mut n_go, mut n_c) = (0, 0);
    for symbol in facts
        .symbols
        .iter()
        .filter(|symbol| symbol.is_function && symbol.size > 0)
    {
        // Where the file has no sizes, a mark seems to reach to the next symbol.
        if facts.is_go && region::Mark::of(symbol.name).is_some() {
            continue;
        }
        let Some((file, _)) = file_of(facts.image, symbol) else {
            continue;
        };
        // The linker keeps Go's code together: what is outside of it came from the system's compiler.
        let is_go = match &facts.text {
            Some(text) => text.contains(&symbol.address),
            None => facts.is_go && is_named_by_go(symbol.name),
        };
        let (package, content) = if is_go {
            n_go += 1;
            (
                or_around(named(symbol.name, packages), symbol.name, &mut last),
                Content::Code,
            )
        } else {
            n_c += 1;
            (PackageId::NONE, Content::CCode)
        };
        let name = claims.name(symbol.name, package, content);
        claims.push(facts.offset, &file, package, name, content);
    }
    if facts.is_go { n_go } else { n_c }
}

fn is_named_by_go(name: &[u8]) -> bool {
    name::owner(name, name::Spelling::Unknown) != name::Owner::Unnamed
}

/// The package of a function. One without a package in its name is of the package whose functions stand around it: the linker writes
/// one archive after another. Assembly has such functions, and the compiler writes some into the archive of each package that calls them:
/// `type:.eq.SM10` of 1.27 compares any string followed by ten bytes, and the linker takes it from the first archive.
fn or_around(own: Option<PackageId>, name: &[u8], last: &mut PackageId) -> PackageId {
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

/// The package that a name has in it.
fn named<'i>(name: &'i [u8], packages: &mut Packages<'i>) -> Option<PackageId> {
    packages.owner(name).filter(|&it| it != PackageId::NONE)
}

/// The next function's symbol is no further away in a file that is in order. In any other it is found by halving.
const NEAR: usize = 8;

/// Asks which addresses have a function's symbol, mostly in their order.
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
    claims: &mut Claims<'_>,
) {
    if facts.image.bodies.is_empty() {
        facts
            .image
            .file_ranges(start, end.saturating_sub(start), |file| {
                claims.push(facts.offset, &file, package, name, Content::Code);
            });
        return;
    }
    // Wasm code has no addresses: functions are numbered, in newer tables as they are and in older ones
    // in the upper bits of a program counter.
    let number = if start >> 16 >= WASM_FIRST {
        start >> 16
    } else {
        start
    };
    let body = number
        .checked_sub(WASM_FIRST)
        .and_then(crate::reader::index);
    if let Some(file) = body.and_then(|body| facts.image.bodies.get(body)) {
        claims.push(facts.offset, file, package, name, Content::Code);
    }
}

/// A stretch of the table that serves one package, grown as long as the next one continues it.
#[derive(Debug, Default)]
struct Runs {
    /// Compact, as there may be one for each function. A claim reaches no further than these numbers.
    list: Vec<(u32, u32, PackageId)>,
}

impl Runs {
    /// Lists that grow side by side leave holes in the heap, which nobody fills. Where there is no room, they grow.
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

    /// Of what begins at `address`.
    fn claim(self, facts: &Facts<'_, '_>, address: u64, claims: &mut Claims<'_>) {
        for (start, end, package) in self.list {
            let len = end.saturating_sub(start).into();
            let start = address.wrapping_add(start.into());
            facts.image.file_ranges(start, len, |file| {
                claims.push(
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

/// Starts of stretches, each with the first who uses it.
#[derive(Debug)]
struct Starts {
    met: Bits,
    list: Vec<(u32, PackageId)>,
}

impl Starts {
    /// For starts below `len`, with room for some of them.
    fn new(len: usize, room: usize) -> Self {
        let mut list = Vec::new();
        let _or_grows = list.try_reserve(room);
        Self {
            met: Bits::new(len),
            list,
        }
    }

    fn add(&mut self, start: impl TryInto<usize>, package: PackageId) {
        if let Ok(start) = start.try_into()
            && let Ok(short) = u32::try_from(start)
            && self.met.insert(start)
        {
            self.list.push((short, package));
        }
    }

    /// What was met is only asked while starts are added, and takes more memory than the list.
    fn into_list(self) -> Vec<(u32, PackageId)> {
        self.list
    }
}

/// Who uses which bytes of the function table. Shared bytes go to the first of those who share them.
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
            // Records are aligned, so that there may be a gap behind each.
            records: Runs::with_room(n_functions),
            tables: Starts::new(table.tables_end(), 2 * n_functions),
            funcdata: Starts::new(mapped.map_or(0, |mapped| mapped.len()), n_functions),
            nameless: HashMap::new(),
        }
    }

    fn claim(
        self,
        facts: &Facts<'_, 'i>,
        table: &Pclntab<'i>,
        packages: &mut Packages<'i>,
        claims: &mut Claims<'i>,
    ) {
        let Self {
            index,
            records,
            tables,
            funcdata,
            nameless,
        } = self;
        let (tables, funcdata) = (tables.into_list(), funcdata.into_list());
        // One after the other, so that there are never two long lists besides the claims.
        index.claim(facts, table.address, claims);
        records.claim(facts, table.address, claims);
        let mut names = Runs::default();
        for (name, range) in table.names() {
            let package = named(name, packages)
                .or_else(|| nameless.get(name).copied())
                .unwrap_or(PackageId::NONE);
            names.add(range.start, range.end, package);
        }
        names.claim(facts, table.address, claims);
        let end = u32::try_from(table.tables_end()).unwrap_or(u32::MAX);
        runs(tables, end, u32::MAX).claim(facts, table.address, claims);
        let Some(gofunc) = facts.data.as_ref().and_then(|data| data.gofunc) else {
            return;
        };
        let last = funcdata.iter().map(|&(at, _)| at).max().unwrap_or(0);
        runs(funcdata, last, MAX_FUNCDATA).claim(facts, gofunc, claims);
    }
}

/// Each start reaches to the next one, at most `longest`, and the last one to `end`. No start comes twice.
fn runs(mut starts: Vec<(u32, PackageId)>, end: u32, longest: u32) -> Runs {
    // Stable, because that sort makes use of what is in order already, and nearly all is.
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
            let id = or_around(own, name.as_bytes(), &mut last);
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
