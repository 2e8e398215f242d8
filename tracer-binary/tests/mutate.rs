//! Real files, damaged: nothing panics or hangs, and all readable parts add up.
#![cfg(test)]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "places are parts of a length"
)]

use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use tests::{Module, Toolchain, toolchain};
use tracer_binary::analysis::FindingKind;
use tracer_binary::{Analysis, Content, Group, Options, Snapshot, analyze, diff};

/// The build of each seed: Go's minor release, GOOS, GOARCH, and further arguments.
const SEEDS: [(&str, &str, &str, &[&str]); 6] = [
    ("1.27", "linux", "amd64", &[]),
    ("1.27", "windows", "amd64", &["-ldflags=-s -w"]),
    ("1.27", "darwin", "arm64", &[]),
    ("1.27", "js", "wasm", &["-ldflags=-s -w"]),
    ("1.24", "linux", "s390x", &["-ldflags=-s -w"]),
    ("1.24", "linux", "386", &["-ldflags=-s -w"]),
];

/// The seeds. The program is that of `tests/gomods/hello`, or an empty one if that is too large to run many times.
fn seeds() -> &'static [Vec<u8>] {
    static SEEDS_BUILT: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    SEEDS_BUILT.get_or_init(|| {
        let module = Module::copy("hello");
        module.write(
            "seed/main.go",
            "package main\n\nfunc main() { println(\"seed\") }\n",
        );
        SEEDS
            .iter()
            .map(|(minor, os, arch, args)| seed(&module, &toolchain(minor), os, arch, args))
            .collect()
    })
}

fn seed(module: &Module, toolchain: &Toolchain, os: &str, arch: &str, args: &[&str]) -> Vec<u8> {
    let out = module
        .sandbox
        .out()
        .join(format!("{os}-{arch}-{}", toolchain.version));
    let words: Vec<_> = ["build", "-o"]
        .into_iter()
        .chain([out.to_str().unwrap()])
        .chain(args.iter().copied())
        .collect();
    let words: Vec<_> = words.into_iter().chain(["./seed"]).collect();
    let status = module
        .go(toolchain, &words)
        .env("GOOS", os)
        .env("GOARCH", arch)
        .env("CGO_ENABLED", "0")
        .status();
    assert!(status.unwrap().success(), "go build for {os}/{arch}");
    fs::read(out).unwrap()
}

/// The contract, for whole files and damaged ones.
fn holds(analysis: &Analysis, bytes: &[u8]) {
    let size = bytes.len() as u64;
    assert_eq!(analysis.size, size);
    assert_eq!(
        analysis.buckets.iter().map(|it| it.bytes).sum::<u64>(),
        size,
        "buckets"
    );
    assert_eq!(
        analysis.groups.iter().map(|it| it.bytes).sum::<u64>(),
        size,
        "groups"
    );
    assert_eq!(
        analysis.contents.iter().map(|it| it.bytes).sum::<u64>(),
        size,
        "contents"
    );
    let in_packages: u64 = analysis.packages.iter().map(|it| it.bytes).sum();
    assert_eq!(
        analysis.modules.iter().map(|it| it.bytes).sum::<u64>(),
        in_packages,
        "modules"
    );
    assert_eq!(
        analysis
            .contents
            .iter()
            .map(|it| it.in_packages)
            .sum::<u64>(),
        in_packages,
        "packages"
    );
    for section in &analysis.sections {
        assert!(
            section.attributed + section.unattributed + section.padding <= section.disk,
            "{}",
            section.name
        );
        assert!(
            section
                .entropy
                .is_none_or(|bits| (0.0..=8.0).contains(&bits)),
            "{}",
            section.name
        );
    }
    let symbols: u64 = analysis.symbols.list.iter().map(|it| it.bytes).sum();
    let folded: u64 = analysis.symbols.folded.iter().map(|it| it.bytes).sum();
    assert_eq!(symbols + folded, analysis.symbols.bytes, "symbols");
    assert!(analysis.symbols.bytes <= size);
}

fn check(bytes: &[u8]) {
    // Far more than the slowest seed takes in a debug build.
    const TIMEOUT: Duration = Duration::from_mins(1);
    let start = Instant::now();
    if let Ok(analysis) = analyze(bytes, Options::default()) {
        holds(&analysis, bytes);
    }
    let _identity = tracer_binary::artifact::identify(bytes);
    assert!(start.elapsed() < TIMEOUT, "took {:?}", start.elapsed());
}

#[test]
fn whole_seeds_add_up_and_are_told() {
    for bytes in seeds() {
        let analysis = analyze(bytes, Options::default()).unwrap();
        holds(&analysis, bytes);
        assert!(analysis.identity.is_go());
        assert!(
            analysis.counts.functions > 500,
            "{:?} has {:?}",
            analysis.identity.goarch,
            analysis.counts
        );
        assert!(
            analysis.counts.types > 100,
            "{:?} has {:?}",
            analysis.identity.goarch,
            analysis.counts
        );
        assert_eq!(analysis.notes, Vec::<String>::new());
    }
}

#[test]
fn a_snapshot_survives_being_written_and_equals_itself() {
    for bytes in seeds() {
        let snapshot = Snapshot::of(&analyze(bytes, Options::default()).unwrap(), 1024);
        let text = serde_json::to_vec(&snapshot).unwrap();
        let read = Snapshot::read(&text).unwrap();
        let diff = diff(&snapshot, &read);
        assert_eq!(diff.total.change(), 0);
        assert!(diff.symbols.is_empty() && diff.packages.is_empty() && diff.facts.is_empty());
        assert!(
            text.len() * 4 < bytes.len(),
            "{} of {}",
            text.len(),
            bytes.len()
        );
    }
}

/// Findings of one kind, as their sentences.
fn findings(bytes: &[u8], kind: FindingKind) -> Vec<String> {
    let analysis = analyze(bytes, Options::default()).unwrap();
    let found = analysis.findings.into_iter().filter(|it| it.kind == kind);
    found.map(|it| it.text).collect()
}

#[test]
fn a_function_table_of_unknown_layout_is_called_obfuscated() {
    // Write another magic number to the table, as garble does. The seed is of linux/386 and has a section for the
    // table.
    let seed = seeds().last().unwrap();
    assert_eq!(
        findings(seed, FindingKind::Obfuscated),
        Vec::<String>::new()
    );
    let table = [0xf1, 0xff, 0xff, 0xff, 0, 0];
    let at = seed
        .windows(table.len())
        .position(|it| it == table)
        .unwrap();
    let mut bytes = seed.clone();
    bytes[at..at + 4].copy_from_slice(&[0x12, 0x34, 0x56, 0x78]);
    assert_eq!(findings(&bytes, FindingKind::Obfuscated).len(), 1);
    assert!(tracer_binary::artifact::identify(&bytes).is_go());
}

#[test]
fn a_function_table_of_an_old_release_is_called_old() {
    // Go 1.2 to 1.15 had another magic number. That of the release is in the build information.
    let seed = seeds().last().unwrap();
    let mut bytes = seed.clone();
    for (from, to) in [
        (&[0xf1, 0xff, 0xff, 0xff, 0, 0][..], &[0xfb][..]),
        (b"go1.24.", b"go1.15."),
    ] {
        let found = memchr::memmem::find_iter(seed, from).map(|at| at..at + to.len());
        for range in found {
            bytes[range].copy_from_slice(to);
        }
    }
    assert_eq!(
        findings(&bytes, FindingKind::Obfuscated),
        Vec::<String>::new()
    );
    let analysis = analyze(&bytes, Options::default()).unwrap();
    assert!(
        analysis
            .notes
            .iter()
            .any(|note| note.contains("Go 1.15 or earlier")),
        "{:?}",
        analysis.notes
    );
    check(&bytes);
}

#[test]
fn a_program_that_only_its_function_table_says_is_go() {
    let mut bytes = seeds()[5].clone();
    for mark in [&b"\xff Go buildinf:"[..], b"\xff Go build ID:"] {
        let found: Vec<_> = memchr::memmem::find_iter(&bytes, mark).collect();
        for at in found {
            bytes[at] = b' ';
        }
    }
    let note = memchr::memmem::find(&bytes, b"Go\0\0").unwrap();
    bytes[note] = b'X';
    assert!(!tracer_binary::artifact::identify(&bytes).is_go());
    let analysis = analyze(&bytes, Options::default()).unwrap();
    assert_eq!(analysis.findings, Vec::new());
    assert!(analysis.counts.functions > 1000);
    let note = "the file does not state its Go release; its function table has the layout of Go 1.20 or later";
    assert!(
        analysis.notes.iter().any(|it| it == note),
        "{:?}",
        analysis.notes
    );
}

#[test]
fn a_program_of_another_language_has_nothing_of_go() {
    let bytes = fs::read(std::env::current_exe().unwrap()).unwrap();
    let analysis = analyze(&bytes, Options::default()).unwrap();
    let kinds = |kind| {
        analysis
            .findings
            .iter()
            .filter(|it| it.kind == kind)
            .count()
    };
    assert_eq!(kinds(FindingKind::NotGo), 1);
    assert_eq!(kinds(FindingKind::Obfuscated), 0);
    assert_eq!(analysis.packages, Vec::new());
    assert!(!analysis.properties.cgo);
    assert!(analysis.groups.iter().all(|it| it.group != Group::Std));
}

#[test]
fn c_code_is_only_where_it_was_linked() {
    // Of darwin, with its symbols, which have no sizes.
    let analysis = analyze(&seeds()[2], Options::default()).unwrap();
    assert!(!analysis.properties.cgo);
    assert!(
        analysis
            .contents
            .iter()
            .all(|it| it.content != Content::CCode)
    );
}

#[test]
fn a_packed_file_is_called_so() {
    // UPX writes ELF files without sections, and puts its mark behind the headers.
    let mut bytes = seeds().last().unwrap().clone();
    let (section_table, n_sections) = (0x20, 0x30);
    bytes[section_table..section_table + 4].fill(0);
    bytes[n_sections..n_sections + 4].fill(0);
    bytes[0x200..0x204].copy_from_slice(b"UPX!");
    assert_eq!(findings(&bytes, FindingKind::Packed).len(), 1);
    check(&bytes);
}

/// One change of a file.
#[derive(Clone, Debug)]
enum Damage {
    /// A value of `len` bytes at a relative position in the file.
    Put {
        at: f64,
        len: usize,
        value: u64,
    },
    /// As `Put`, in the first bytes, which contain the headers and their tables.
    PutInHead {
        at: usize,
        len: usize,
        value: u64,
    },
    Cut {
        at: f64,
    },
    /// A range copied elsewhere: tables that are valid in the wrong place.
    Copy {
        from: f64,
        to: f64,
        len: usize,
    },
}

fn damage() -> impl Strategy<Value = Damage> {
    let value = prop_oneof![
        Just(0),
        Just(u64::MAX),
        Just(u64::from(u32::MAX)),
        Just(1 << 31),
        Just(1 << 63),
        any::<u64>()
    ];
    let len = prop_oneof![Just(1usize), Just(2), Just(4), Just(8)];
    prop_oneof![
        (0.0..1.0, len.clone(), value.clone()).prop_map(|(at, len, value)| Damage::Put {
            at,
            len,
            value
        }),
        (0usize..4096, len, value).prop_map(|(at, len, value)| Damage::PutInHead {
            at,
            len,
            value
        }),
        (0.0..1.0).prop_map(|at| Damage::Cut { at }),
        (0.0..1.0, 0.0..1.0, 1usize..8192).prop_map(|(from, to, len)| Damage::Copy {
            from,
            to,
            len
        }),
    ]
}

fn place(part: f64, len: usize) -> usize {
    ((part * len as f64) as usize).min(len.saturating_sub(1))
}

fn apply(bytes: &mut Vec<u8>, damage: &Damage) {
    let put = |bytes: &mut [u8], at: usize, len: usize, value: u64| {
        for (place, byte) in bytes.iter_mut().skip(at).zip(value.to_le_bytes()).take(len) {
            *place = byte;
        }
    };
    match *damage {
        Damage::Put { at, len, value } => {
            let at = place(at, bytes.len());
            put(bytes, at, len, value);
        }
        Damage::PutInHead { at, len, value } => put(bytes, at, len, value),
        Damage::Cut { at } => bytes.truncate(place(at, bytes.len())),
        Damage::Copy { from, to, len } => {
            let from = place(from, bytes.len());
            let stretch: Vec<_> = bytes.iter().skip(from).take(len).copied().collect();
            let to = place(to, bytes.len());
            for (place, byte) in bytes.iter_mut().skip(to).zip(stretch) {
                *place = byte;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_add_up_or_are_refused(seed in 0..SEEDS.len(), damages in prop::collection::vec(damage(), 1..12)) {
        let mut bytes = seeds()[seed].clone();
        for damage in &damages {
            apply(&mut bytes, damage);
        }
        check(&bytes);
    }
}

const MAGICS: &[&[u8]] = &[
    b"\x7fELF\x02\x01\x01",
    b"\x7fELF\x01\x02\x01",
    b"MZ",
    b"\xcf\xfa\xed\xfe",
    b"\xfe\xed\xfa\xcf",
    b"\xca\xfe\xba\xbe\0\0\0\x02",
    b"\0asm\x01\0\0\0",
    b"!<arch>\n",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn small_hostile_files_add_up_or_are_refused(
        magic in prop::sample::select(MAGICS),
        rest in prop::collection::vec(any::<u8>(), 0..2048),
    ) {
        let bytes: Vec<u8> = magic.iter().copied().chain(rest).collect();
        check(&bytes);
    }
}
