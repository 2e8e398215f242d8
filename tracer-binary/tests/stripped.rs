//! Real files from which a tool cut names and tables: the remaining parts keep their sizes and their owners.
#![cfg(test)]

use std::collections::BTreeMap;
use std::fs;

use tests::{Module, targets_cache, toolchain};
use tracer_binary::{Analysis, Content, Options, analyze};

fn build(os: &str, arch: &str, flags: &str) -> Vec<u8> {
    let module = Module::copy("hello");
    module.write(
        "seed/main.go",
        "package main\n\nvar Table = [...]int{1, 2, 3}\n\nfunc main() { println(Table[len(\"seed\")%3]) }\n",
    );
    let out = module.sandbox.out().join("seed");
    let toolchain = toolchain("1.27");
    let status = module
        .go(
            &toolchain,
            &["build", "-o", out.to_str().unwrap(), flags, "./seed"],
        )
        .env("GOOS", os)
        .env("GOARCH", arch)
        .env("CGO_ENABLED", "0")
        .env("GOCACHE", targets_cache(&toolchain))
        .status();
    assert!(status.unwrap().success(), "go build for {os}/{arch}");
    fs::read(out).unwrap()
}

fn analysis(bytes: &[u8]) -> Analysis {
    let options = Options {
        min_symbol: 1,
        ..Options::default()
    };
    analyze(bytes, options).unwrap()
}

fn code_by_package(analysis: &Analysis) -> BTreeMap<&str, u64> {
    let packages = analysis.packages.iter();
    packages
        .filter_map(|it| Some((it.path.as_str(), *it.contents.get(&Content::Code)?)))
        .collect()
}

fn bytes_of(analysis: &Analysis, wanted: Content) -> u64 {
    let contents = analysis.contents.iter();
    contents
        .filter(|it| it.content == wanted)
        .map(|it| it.bytes)
        .sum()
}

/// The numbers of a file in little-endian order.
struct Words<'b>(&'b mut [u8]);

impl Words<'_> {
    fn get(&self, at: usize, len: usize) -> usize {
        let bytes = self.0[at..at + len].iter().rev();
        bytes.fold(0, |sum, &byte| sum << 8 | usize::from(byte))
    }

    fn put(&mut self, at: usize, len: usize, value: usize) {
        self.0[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
    }
}

/// Keeps one function of the symbol table, a third into it, as a function that cgo exports.
fn keep_one_of_macho(bytes: &mut [u8]) {
    let (symbol, entry) = (2, 16);
    let mut file = Words(bytes);
    let (n_commands, mut at) = (file.get(16, 4), 32);
    for _ in 0..n_commands {
        if file.get(at, 4) == symbol {
            break;
        }
        at += file.get(at + 4, 4);
    }
    let (table, n) = (file.get(at + 8, 4), file.get(at + 12, 4));
    let is_function = |number: &usize| file.get(table + entry * number + 5, 1) == 1;
    let kept = (n / 3..n).find(is_function).unwrap();
    let external = 0x0f;
    file.put(table + entry * kept + 4, 1, external);
    file.0
        .copy_within(table + entry * kept..table + entry * (kept + 1), table);
    file.put(at + 12, 4, 1);
}

/// The same for PE, where the strings follow the symbols.
fn keep_one_of_pe(bytes: &mut [u8]) {
    let (entry, function) = (18, 0x20);
    let mut file = Words(bytes);
    let header = file.get(0x3c, 4);
    let (table, n) = (file.get(header + 12, 4), file.get(header + 16, 4));
    let is_function = |number: &usize| file.get(table + entry * number + 14, 2) == function;
    let kept = (n / 3..n).find(is_function).unwrap();
    file.0
        .copy_within(table + entry * kept..table + entry * (kept + 1), table);
    file.0[table..table + 8].copy_from_slice(b"exported");
    file.put(table + 16, 1, 2);
    file.put(table + entry, 4, 4);
    file.put(header + 16, 4, 1);
}

#[test]
fn one_symbol_that_strip_left_takes_nothing_from_its_neighbours() {
    for (os, arch, keep) in [
        ("darwin", "arm64", keep_one_of_macho as fn(&mut [u8])),
        ("windows", "amd64", keep_one_of_pe),
        ("windows", "386", keep_one_of_pe),
    ] {
        let mut bytes = build(os, arch, "-ldflags=-w");
        let whole = analysis(&bytes);
        assert_eq!(whole.notes, Vec::<String>::new());
        assert!(bytes_of(&whole, Content::Data) > 1000);
        keep(&mut bytes);
        let left = analysis(&bytes);
        assert_eq!(left.counts.symbols, 1, "{os}/{arch}");
        assert_eq!(
            bytes_of(&left, Content::Code),
            bytes_of(&whole, Content::Code)
        );
        assert_eq!(bytes_of(&left, Content::CCode), 0);
        assert_eq!(bytes_of(&left, Content::Data), 0);
        let largest = |analysis: &Analysis| {
            let code = analysis.symbols.list.iter();
            code.filter(|it| it.content == Content::Code)
                .map(|it| it.bytes)
                .max()
        };
        assert_eq!(largest(&left), largest(&whole), "{os}/{arch}");
    }
}

#[test]
fn a_variable_has_no_size_where_symbols_were_removed() {
    // A variable that is exported from a library, whose name strip keeps.
    let mut bytes = build("darwin", "amd64", "-ldflags=-w");
    keep_one_of_macho(&mut bytes);
    let whole = analysis(&bytes);
    let note = |analysis: &Analysis| {
        let notes = analysis.notes.iter();
        notes
            .filter(|it| it.contains("sizes of 1 of the rest"))
            .count()
    };
    assert_eq!(note(&whole), 0, "a function has the function table's size");
    let data = analysis(&bytes)
        .sections
        .iter()
        .position(|it| it.name == "__data");
    let mut file = Words(&mut bytes);
    let (n_commands, mut at) = (file.get(16, 4), 32);
    for _ in 0..n_commands {
        if file.get(at, 4) == 2 {
            break;
        }
        at += file.get(at + 4, 4);
    }
    let table = file.get(at + 8, 4);
    let section = &whole.sections[data.unwrap()];
    file.put(table + 5, 1, data.unwrap() + 1);
    file.put(table + 8, 8, usize::try_from(section.address).unwrap());
    let left = analysis(&bytes);
    assert_eq!(note(&left), 1, "{:?}", left.notes);
    assert_eq!(bytes_of(&left, Content::Data), 0);
}

/// The change to an ELF file's section table: its place, the number of its entries.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Removed,
    Emptied,
    Outside,
    Elsewhere,
}

fn cut(bytes: &mut [u8], cut: Cut) {
    let len = bytes.len();
    let is_wide = bytes[4] == 2;
    let (place, width, n) = if is_wide {
        (0x28, 8, 0x3c)
    } else {
        (0x20, 4, 0x30)
    };
    let mut put = |at: usize, len: usize, value: usize| {
        let mut value = value.to_le_bytes()[..len].to_vec();
        if bytes[5] == 2 {
            value.reverse();
        }
        bytes[at..at + len].copy_from_slice(&value);
    };
    match cut {
        Cut::Removed => {
            put(place, width, 0);
            put(n, 4, 0);
        }
        Cut::Emptied => put(n, 2, 0),
        Cut::Outside => put(place, width, len + 1),
        Cut::Elsewhere => put(place, width, 0x1000),
    }
}

#[test]
fn functions_of_an_elf_file_without_sections_keep_bytes_and_packages() {
    for (arch, flags) in [
        ("amd64", "-ldflags=-s"),
        ("arm64", "-buildmode=pie"),
        ("s390x", "-ldflags=-s"),
        ("386", "-ldflags=-s"),
        ("mips", "-ldflags=-s"),
    ] {
        let bytes = build("linux", arch, flags);
        let whole = analysis(&bytes);
        let sections = if flags == "-ldflags=-s" {
            Some(code_by_package(&whole))
        } else {
            None
        };
        for how in [Cut::Removed, Cut::Emptied, Cut::Outside, Cut::Elsewhere] {
            let mut bytes = bytes.clone();
            cut(&mut bytes, how);
            let segments = analysis(&bytes);
            assert_eq!(
                segments.counts.functions, whole.counts.functions,
                "{arch} {how:?}"
            );
            assert_eq!(segments.counts.types, whole.counts.types, "{arch} {how:?}");
            if let Some(sections) = &sections {
                assert_eq!(&code_by_package(&segments), sections, "{arch} {how:?}");
            }
            assert!(
                bytes_of(&segments, Content::Code) > 100_000,
                "{arch} {how:?}"
            );
            assert_eq!(bytes_of(&segments, Content::Outside), 0, "{arch} {how:?}");
            assert_eq!(segments.identity.build_id, whole.identity.build_id);
            let about_sections = segments
                .notes
                .iter()
                .filter(|it| it.contains("in place of sections"));
            assert_eq!(about_sections.count(), 1, "{:?}", segments.notes);
        }
    }
}
