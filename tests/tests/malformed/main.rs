//! Thousands of almost valid files. Each is refused, or analysed so that it adds up, within a reader's memory limit.
//!
//! Every run makes the same files from a small file of each format. They contain bad values in each number, cuts at many places, and
//! several faults at once. The fuzz targets and `tracer-binary/tests/mutate.rs` search unforeseen faults. This test covers each
//! field once.
#![cfg(test)]

mod container;
mod crafted_file;
mod golang;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use rustix::process::{Resource, Rlimit, setrlimit};
use tests::figures::print_figure;
use tests::gotrace;
use tracer_binary::artifact::identify;
use tracer_binary::{Analysis, Options, analyze};
use tracer_user::inspect::{OUTPUT_LIMIT, Reader, ReaderSpawner, Root};

use self::crafted_file::CraftedFile;

/// Address space limit of a reader, which this test sets for itself.
const MEMORY: u64 = 3 << 29;
/// Files with several faults, of each format.
const SEVERAL: usize = 250;
/// One file in this many is read by a child process.
const THROUGH_A_CHILD: usize = 200;

fn kinds() -> [CraftedFile; 7] {
    [
        container::elf(),
        container::elf_big(),
        container::pe(),
        container::macho(),
        container::fat(),
        container::wasm(),
        container::archive(),
    ]
}

const OPTIONS: Options = Options {
    min_symbol: 0,
    windows: true,
    single_threaded: true,
};

/// Conditions that every analysis must meet.
fn adds_up(analysis: &Analysis, bytes: &[u8]) {
    let size = bytes.len() as u64;
    let sum = |sizes: &mut dyn Iterator<Item = u64>| sizes.sum::<u64>();
    assert_eq!(sum(&mut analysis.buckets.iter().map(|it| it.bytes)), size);
    assert_eq!(sum(&mut analysis.groups.iter().map(|it| it.bytes)), size);
    assert_eq!(sum(&mut analysis.contents.iter().map(|it| it.bytes)), size);
    let in_packages = sum(&mut analysis.packages.iter().map(|it| it.bytes));
    assert_eq!(
        sum(&mut analysis.modules.iter().map(|it| it.bytes)),
        in_packages
    );
    let listed = sum(&mut analysis.symbols.list.iter().map(|it| it.bytes));
    let folded = sum(&mut analysis.symbols.folded.iter().map(|it| it.bytes));
    assert_eq!(listed + folded, analysis.symbols.bytes);
    assert!(analysis.symbols.bytes <= size);
    for section in &analysis.sections {
        assert!(section.attributed + section.unattributed + section.padding <= section.disk);
        assert!(
            section
                .entropy
                .is_none_or(|bits| (0.0..=8.0).contains(&bits))
        );
    }
}

/// Returns whether the file was analysed.
fn check(bytes: &[u8]) -> bool {
    let _identity = identify(bytes);
    let analysis = analyze(bytes, OPTIONS);
    if let Ok(analysis) = &analysis {
        adds_up(analysis, bytes);
    }
    analysis.is_ok()
}

/// A valid base file proves that each edit reaches the code for its field.
#[test]
fn the_unmodified_files_are_valid() {
    for kind in kinds() {
        let analysis = analyze(&kind.bytes, OPTIONS).unwrap();
        adds_up(&analysis, &kind.bytes);
        let version = analysis.identity.go_version.as_deref();
        let n_functions = analysis.counts.functions;
        match kind.name {
            "ELF" | "PE" | "Mach-O" | "fat Mach-O" => {
                assert_eq!(version, Some(golang::VERSION), "{}", kind.name);
                assert!(n_functions >= 2, "{}: {n_functions} functions", kind.name);
            }
            "archive" => assert_eq!(analysis.members.len(), 4),
            "wasm" => {
                assert!(analysis.sections.len() >= 5, "{:?}", analysis.sections);
            }
            _ => assert!(analysis.sections.len() >= 7),
        }
    }
}

/// The files are also seeds of the fuzz targets; `cargo xtask bless` writes them.
#[test]
fn the_files_are_seeds_of_the_fuzz_targets() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for kind in kinds() {
        let name = format!("crafted-{}", kind.name.replace(' ', "-").to_lowercase());
        for target in ["analyze", "identify"] {
            let seed = corpus.join(target).join(&name);
            if std::env::var_os("UPDATE_EXPECT").is_some() {
                std::fs::write(&seed, &kind.bytes).unwrap();
            }
            let found = std::fs::read(&seed).unwrap_or_default();
            assert!(
                found == kind.bytes,
                "{}: `cargo xtask bless`",
                seed.display()
            );
        }
    }
}

#[test]
fn thousands_of_malformed_files_are_refused_or_add_up() {
    let limit = Rlimit {
        current: Some(MEMORY),
        maximum: Some(MEMORY),
    };
    setrlimit(Resource::As, limit).unwrap();
    let (mut n_files, mut n_analysed, mut faults) = (0, 0, Vec::new());
    for kind in kinds() {
        for (fault, bytes) in kind.malformed(SEVERAL) {
            n_files += 1;
            match catch_unwind(AssertUnwindSafe(|| check(&bytes))) {
                Ok(is_told) => n_analysed += usize::from(is_told),
                Err(_) => faults.push(fault),
            }
        }
    }
    assert!(faults.is_empty(), "{} panics: {faults:#?}", faults.len());
    print_figure(
        "malformed binaries",
        format!("{n_files} files"),
        format!(
            "analysed to the byte {n_analysed}, refused {}, panics 0",
            n_files - n_analysed
        ),
    );
    assert!(n_files > 5_000, "{n_files}");
    assert!(
        n_analysed > n_files / 4 && n_analysed < n_files,
        "{n_analysed} of {n_files}"
    );
}

/// The child process that reads build outputs reads the files. Each file must get an answer.
#[test]
fn a_child_process_answers_for_every_file() {
    let dir = tempfile::tempdir().unwrap();
    let spawner = ReaderSpawner::of(&gotrace()).unwrap();
    let root = Root::own().unwrap();
    let reader = Reader {
        uid: rustix::process::geteuid().as_raw(),
        public: false,
    };
    let mut n_files = 0;
    for kind in kinds() {
        let faults = kind.malformed(SEVERAL);
        for (fault, bytes) in faults.iter().step_by(THROUGH_A_CHILD) {
            n_files += 1;
            let path = dir.path().join(n_files.to_string());
            std::fs::write(&path, bytes).unwrap();
            through_a_child(&path, &root, reader, &spawner, fault, bytes);
        }
    }
    print_figure(
        "malformed binaries, each read by its own process",
        format!("{n_files} files, twice"),
        "answered or refused all; ended otherwise 0",
    );
    assert_eq!(spawner.n_lost(), 0);
}

fn through_a_child(
    path: &Path,
    root: &Root,
    reader: Reader,
    spawner: &ReaderSpawner,
    fault: &str,
    bytes: &[u8],
) {
    let opened = root.open(path, reader, OUTPUT_LIMIT).unwrap();
    let artifact = opened.artifact(spawner);
    let artifact = artifact.unwrap_or_else(|refused| panic!("{fault}: {refused}"));
    assert_eq!(artifact.size, bytes.len() as u64, "{fault}");
    let anatomy = opened.anatomy(&artifact.sha256, spawner);
    let is_told = anatomy.is_ok_and(|it| it.is_some());
    assert_eq!(is_told, analyze(bytes, OPTIONS).is_ok(), "{fault}");
}
