//! Mach-O files with chained pointers. Go's linker writes none, so the tests encode the pointers of a file that Go linked.
//! The analysis of that file is the oracle.
#![cfg(test)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use tests::{Module, targets_cache, toolchain};
use tracer_binary::{Analysis, Content, Options, analyze};

const SEGMENT: usize = 0x19;
const DYLD_INFO: usize = 0x8000_0022;
const CHAINED: u32 = 0x8000_0034;
const PAGE: usize = 0x4000;

/// Pointer formats of Apple's `mach-o/fixup-chains.h`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Format {
    Signed = 1,
    Address = 2,
    Offset = 6,
}

fn build(flags: &str) -> Vec<u8> {
    let module = Module::copy("hello");
    let main = "package main\n\nimport (\n\t\"embed\"\n\t\"fmt\"\n)\n\n//go:embed a.txt b.txt\nvar files embed.FS\n\n\
        var greeting = \"constants belong to the variable that holds them\"\n\n\
        func main() { fmt.Println(files.Open(\"a.txt\")); fmt.Println(greeting) }\n";
    module.write("embeds/main.go", main);
    module.write("embeds/a.txt", &"first ".repeat(100));
    module.write("embeds/b.txt", &"second ".repeat(100));
    let out = module.sandbox.out().join("embeds");
    let toolchain = toolchain("1.27");
    let built = module
        .go(
            &toolchain,
            &["build", "-o", out.to_str().unwrap(), flags, "./embeds"],
        )
        .env("GOOS", "darwin")
        .env("GOARCH", "arm64")
        .env("CGO_ENABLED", "0")
        .env("GOCACHE", targets_cache(&toolchain))
        .status();
    assert!(built.unwrap().success(), "go build for darwin/arm64");
    fs::read(out).unwrap()
}

fn word(bytes: &[u8], at: usize, len: usize) -> usize {
    let bytes = bytes[at..at + len].iter().rev();
    bytes.fold(0, |word, byte| word << 8 | usize::from(*byte))
}

#[derive(Debug)]
struct Segment {
    address: usize,
    file: usize,
    len: usize,
}

/// The segments of a file, and the position of the command for the dynamic linker's information.
fn commands(file: &[u8]) -> (Vec<Segment>, usize) {
    let (mut at, mut segments, mut info) = (32, Vec::new(), 0);
    for _ in 0..word(file, 16, 4) {
        match word(file, at, 4) {
            SEGMENT => segments.push(Segment {
                address: word(file, at + 24, 8),
                file: word(file, at + 40, 8),
                len: word(file, at + 48, 8),
            }),
            DYLD_INFO => info = at,
            _ => {}
        }
        at += word(file, at + 4, 4);
    }
    assert_ne!(info, 0, "Go writes LC_DYLD_INFO_ONLY");
    (segments, info)
}

/// The pointers that the dynamic linker relocates: positions in the file by segment, from the program of opcodes.
fn rebased(opcodes: &[u8], segments: &[Segment]) -> BTreeMap<usize, BTreeSet<usize>> {
    let mut at = 0;
    let number = |at: &mut usize| {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = usize::from(opcodes[*at]);
            *at += 1;
            number |= (byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                return number;
            }
        }
    };
    let mut found: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    let (mut segment, mut offset) = (0, 0);
    while at < opcodes.len() {
        let (opcode, immediate) = (opcodes[at] & 0xf0, usize::from(opcodes[at] & 0x0f));
        at += 1;
        let (times, skip) = match opcode {
            0x00 => break,
            0x10 => (0, 0),
            0x20 => {
                segment = immediate;
                offset = number(&mut at);
                (0, 0)
            }
            0x30 => {
                offset += number(&mut at);
                (0, 0)
            }
            0x40 => {
                offset += immediate * 8;
                (0, 0)
            }
            0x50 => (immediate, 0),
            0x60 => (number(&mut at), 0),
            0x70 => (1, number(&mut at)),
            0x80 => (number(&mut at), number(&mut at)),
            _ => panic!("opcode {opcode:#x}"),
        };
        for _ in 0..times {
            let place = segments[segment].file + offset;
            found.entry(segment).or_default().insert(place);
            offset += 8 + skip;
        }
    }
    found
}

/// The file with its relocated pointers in chains.
fn with_chains(plain: &[u8], format: Format) -> Vec<u8> {
    let (segments, info) = commands(plain);
    let (at, len) = (word(plain, info + 8, 4), word(plain, info + 12, 4));
    let pointers = rebased(&plain[at..at + len], &segments);
    assert!(pointers.values().map(BTreeSet::len).sum::<usize>() > 1000);
    let text = segments.iter().find(|it| it.file == 0 && it.len > 0);
    let base = text.unwrap().address;
    let mut file = plain.to_vec();
    // The header, the table of segments, and the tables of pages.
    let starts = 32;
    let mut table = vec![0; starts + 4 + 4 * segments.len()];
    table[4..8].copy_from_slice(&u32::try_from(starts).unwrap().to_le_bytes());
    let n_segments = u32::try_from(segments.len()).unwrap();
    table[starts..starts + 4].copy_from_slice(&n_segments.to_le_bytes());
    for (number, places) in &pointers {
        let segment = &segments[*number];
        let entry = starts + 4 + 4 * number;
        let offset = u32::try_from(table.len() - starts).unwrap();
        table[entry..entry + 4].copy_from_slice(&offset.to_le_bytes());
        let n_pages = segment.len.div_ceil(PAGE);
        table.extend(u32::try_from(22 + 2 * n_pages).unwrap().to_le_bytes());
        table.extend(u16::try_from(PAGE).unwrap().to_le_bytes());
        table.extend((format as u16).to_le_bytes());
        table.extend((segment.address - base).to_le_bytes());
        table.extend(0u32.to_le_bytes());
        table.extend(u16::try_from(n_pages).unwrap().to_le_bytes());
        for page in 0..n_pages {
            let page = segment.file + page * PAGE;
            let inside: Vec<_> = places.range(page..page + PAGE).copied().collect();
            let start = inside.first().map_or(usize::from(u16::MAX), |at| at - page);
            table.extend(u16::try_from(start).unwrap().to_le_bytes());
            for (index, &at) in inside.iter().enumerate() {
                let next = inside.get(index + 1).map_or(0, |next| (next - at) / 4);
                let target = word(&file, at, 8) - if format == Format::Offset { base } else { 0 };
                assert!(target < 1 << 36 && next < 1 << 12);
                file[at..at + 8].copy_from_slice(&(target | next << 51).to_le_bytes());
            }
        }
    }
    let place = u32::try_from(file.len()).unwrap();
    file[info..info + 4].copy_from_slice(&CHAINED.to_le_bytes());
    file[info + 8..info + 12].copy_from_slice(&place.to_le_bytes());
    let len = u32::try_from(table.len()).unwrap();
    file[info + 12..info + 16].copy_from_slice(&len.to_le_bytes());
    file.extend(table);
    file
}

fn analysis(bytes: &[u8]) -> Analysis {
    let options = Options {
        min_symbol: 1,
        ..Options::default()
    };
    analyze(bytes, options).unwrap()
}

/// The bytes of each package, by content.
fn packages(analysis: &Analysis) -> BTreeMap<&str, &BTreeMap<Content, u64>> {
    let packages = analysis.packages.iter();
    packages
        .map(|it| (it.path.as_str(), &it.contents))
        .collect()
}

#[test]
fn chained_pointers_are_read_as_plain_ones() {
    for flags in ["-ldflags=", "-ldflags=-s -w"] {
        let plain = build(flags);
        let expected = analysis(&plain);
        assert_eq!(expected.embeds.len(), 2);
        assert!(expected.counts.types > 100 && expected.counts.itabs > 10);
        for format in [Format::Address, Format::Offset] {
            let chained = analysis(&with_chains(&plain, format));
            assert_eq!(packages(&chained), packages(&expected), "{format:?}");
            assert_eq!(chained.counts, expected.counts, "{format:?}");
            assert_eq!(chained.embeds, expected.embeds, "{format:?}");
            assert_eq!(chained.symbols, expected.symbols, "{format:?}");
            assert_eq!(chained.identity.main, expected.identity.main);
            assert_eq!(chained.notes, expected.notes, "{format:?}");
        }
    }
}

#[test]
fn nothing_comes_from_pointers_in_an_unsupported_format() {
    let plain = build("-ldflags=");
    let expected = analysis(&plain);
    let chained = analysis(&with_chains(&plain, Format::Signed));
    let is_noted = |note: &String| note.contains("chained pointers");
    assert!(chained.notes.iter().any(is_noted), "{:?}", chained.notes);
    assert_eq!(chained.counts.types, 0);
    assert_eq!(chained.embeds, []);
    let expected = packages(&expected);
    for (path, contents) in packages(&chained) {
        let code = |contents: &BTreeMap<Content, u64>| contents.get(&Content::Code).copied();
        let known = expected.get(path).and_then(|it| code(it));
        assert!(code(contents) <= known, "{path}: {contents:?}");
    }
}
