//! Rules about Rust files.

use super::{Complaint, File};

/// A longer file contains more than one topic.
const MAX_LINES: usize = 500;

/// Names that only some modules may use. Another use, outside tests, is a dependency in the wrong direction.
struct Border {
    name: &'static str,
    /// The crate to check.
    within: &'static str,
    /// Prefixes of the paths that may use the names.
    allowed: &'static [&'static str],
    why: &'static str,
}

const BORDERS: &[Border] = &[
    Border {
        name: "clap",
        within: "tracer-user/src/",
        allowed: &["tracer-user/src/cli"],
        why: "only `cli` uses the command line parser",
    },
    Border {
        name: "aya",
        within: "tracer-user/src/",
        allowed: &["tracer-user/src/bpf", "tracer-user/src/toolchain"],
        why: "only the modules that load and attach probes use aya",
    },
    Border {
        name: "tracer_abi",
        within: "tracer-core/src/",
        allowed: &["tracer-core/src/decode", "tracer-core/src/recording.rs"],
        why: "only `decode` reads the kernel side's bytes; `recording` names levels of detail",
    },
    Border {
        name: "std::fs",
        within: "tracer-core/src/",
        allowed: &[],
        why: "the core does no input or output",
    },
    Border {
        name: "std::time",
        within: "tracer-core/src/",
        allowed: &[],
        why: "the core has no clock: time arrives in events",
    },
    Border {
        name: "std::env",
        within: "tracer-core/src/",
        allowed: &[],
        why: "the core reads no environment",
    },
    Border {
        name: "std::process",
        within: "tracer-core/src/",
        allowed: &[],
        why: "the core starts nothing",
    },
    Border {
        name: "tracer_core",
        within: "tracer-binary/src/",
        allowed: &[],
        why: "reading a binary needs no build model",
    },
];

/// Checks the length of files. Tests do not count; tables do.
pub(crate) fn files_are_short(files: &[File]) -> Vec<Complaint> {
    let test_modules: Vec<String> = files.iter().flat_map(test_modules).collect();
    let counted = files
        .iter()
        .filter(|it| it.is_rust() && !test_modules.contains(&it.path));
    let long = counted.filter_map(|file| {
        let n_lines = file.lines_without_tests().count();
        let complaint = || {
            format!(
                "{}: {n_lines} lines without tests; split it by concern before {MAX_LINES}",
                file.path
            )
        };
        (n_lines > MAX_LINES).then(complaint)
    });
    long.collect()
}

/// Paths of the files that a file includes as test-only modules.
pub(super) fn test_modules(file: &File) -> Vec<String> {
    let Some(stem) = file.path.strip_suffix(".rs") else {
        return Vec::new();
    };
    let (parent, name) = stem.rsplit_once('/').unwrap_or(("", stem));
    let dir = if ["lib", "main", "mod"].contains(&name) {
        parent
    } else {
        stem
    };
    let after_cfg = file.text.split("#[cfg(test)]\n").skip(1);
    let names = after_cfg.filter_map(|it| {
        let (declaration, _) = it.split_once([';', '{', '\n'])?;
        declaration.rsplit_once("mod ").map(|(_, name)| name)
    });
    names.map(|name| format!("{dir}/{name}.rs")).collect()
}

/// Checks module docs, except in test modules, which the module above describes.
pub(crate) fn modules_have_docs(files: &[File]) -> Vec<Complaint> {
    let test_modules: Vec<String> = files.iter().flat_map(test_modules).collect();
    let silent = files.iter().filter(|it| {
        it.is_rust() && !it.text.starts_with("//!") && !test_modules.contains(&it.path)
    });
    silent
        .map(|it| {
            format!(
                "{}:1: a module begins with `//!`: what it does, and what it does not do",
                it.path
            )
        })
        .collect()
}

pub(crate) fn dependencies_point_one_way(files: &[File]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for border in BORDERS {
        let outside = |path: &str| {
            path.starts_with(border.within) && !border.allowed.iter().any(|it| path.starts_with(it))
        };
        for file in files.iter().filter(|it| it.is_rust() && outside(&it.path)) {
            let named = file
                .lines_without_tests()
                .filter(|(_, line)| names(line, border.name));
            complaints.extend(named.map(|(at, _)| {
                format!("{}:{at}: names {}: {}", file.path, border.name, border.why)
            }));
        }
    }
    complaints
}

/// Returns whether a line of code uses `name`. Comments are exempt.
fn names(line: &str, name: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let uses = |(at, _): (usize, &str)| {
        let before = code.get(..at).and_then(|it| it.chars().next_back());
        let after = code.get(at + name.len()..).unwrap_or_default();
        let is_whole_word =
            !before.is_some_and(|it| it.is_alphanumeric() || it == '_' || it == ':');
        let is_use = code.trim_start().starts_with("use ");
        let is_named = after.starts_with(';') || after.starts_with(" as ");
        is_whole_word && (after.starts_with("::") || (is_use && is_named))
    };
    code.match_indices(name).any(uses)
}

/// Closing any descriptor of a file releases all locks of the process on it. A process with an open connection to the history must
/// therefore not open the file beside `SQLite`. One file opens history files, and no other code opens a connection.
pub(crate) fn the_history_is_opened_in_one_file(files: &[File]) -> Vec<Complaint> {
    const ALLOWED: &str = "tracer-user/src/history/connect.rs";
    const HISTORY: &str = "tracer-user/src/history";
    /// Files of the central history's address: certificates and passwords.
    const CENTRAL: &str = "tracer-user/src/history/central";
    const CONNECTIONS: &[&str] = &["Connection::open"];
    const FILES: &[&str] = &[
        "OpenOptions",
        "File::open",
        "File::create",
        "File::options",
        "fs::read(",
        "fs::read_to_string(",
        "fs::copy(",
        "fs::write(path",
    ];
    let mut complaints = Vec::new();
    let within =
        |it: &&File| it.is_rust() && it.path.starts_with("tracer-user/src/") && it.path != ALLOWED;
    for file in files.iter().filter(within) {
        let is_of_history = file.path.starts_with(HISTORY) && !file.path.starts_with(CENTRAL);
        let banned = CONNECTIONS
            .iter()
            .chain(FILES.iter().filter(|_| is_of_history));
        for name in banned {
            let named = file
                .lines_without_tests()
                .filter(|(_, line)| line.split("//").next().is_some_and(|it| it.contains(name)));
            complaints.extend(named.map(|(at, _)| {
                format!(
                    "{}:{at}: names {name}: only {ALLOWED} opens the history, or its locks are lost",
                    file.path
                )
            }));
        }
    }
    complaints
}

pub(crate) fn no_test_skips_itself(files: &[File]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    // Written in two parts, so that this line itself passes.
    let ignore = concat!("#[", "ignore");
    for file in files.iter().filter(|it| it.is_rust()) {
        let skips = file
            .lines()
            .filter(|(_, line)| line.trim_start().starts_with(ignore));
        complaints.extend(
            skips.map(|(at, _)| format!("{}:{at}: a test must not be disabled", file.path)),
        );
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> Vec<File> {
        vec![File {
            path: path.to_owned(),
            text: text.to_owned(),
        }]
    }

    #[test]
    fn only_code_breaks_a_border() {
        let crossed = |text: &str| {
            !dependencies_point_one_way(&file("tracer-user/src/run.rs", text)).is_empty()
        };
        assert!(crossed("use aya::Ebpf;"));
        assert!(crossed("use aya as kernel;"));
        assert!(crossed("    let map = aya::maps::RingBuf::new();"));
        assert!(!crossed("//! Says what aya::Ebpf cannot."));
        assert!(!crossed("use himalaya::Ebpf;"));
        assert!(!crossed("use crate::aya::Ebpf;"));
        assert!(!crossed("#[cfg(test)]\nmod tests { use aya::Ebpf; }"));
        assert!(
            dependencies_point_one_way(&file("tracer-user/src/bpf/ring.rs", "use aya::Ebpf;"))
                .is_empty()
        );
    }

    #[test]
    fn the_history_is_opened_in_one_place() {
        let found =
            |path: &str, text: &str| the_history_is_opened_in_one_file(&file(path, text)).len();
        let (open, read) = ("let it = Connection::open(path);", "fs::read(path)");
        assert_eq!(found("tracer-user/src/agent/startup.rs", open), 1);
        assert_eq!(found("tracer-user/src/history/store.rs", open), 1);
        assert_eq!(found("tracer-user/src/history/store.rs", read), 1);
        assert_eq!(found("tracer-user/src/history/connect.rs", open), 0);
        assert_eq!(found("tracer-user/src/history/central/tls.rs", read), 0);
        assert_eq!(found("tracer-user/src/proc.rs", read), 0);
        assert_eq!(found("tests/tests/history/stored.rs", open), 0);
    }

    #[test]
    fn inline_tests_do_not_count_as_length() {
        let code = "//! x\n".to_owned() + &"x\n".repeat(MAX_LINES - 1);
        let tests = "#[cfg(test)]\n".to_owned() + &"x\n".repeat(100);
        assert!(files_are_short(&file("a.rs", &(code.clone() + &tests))).is_empty());
        assert_eq!(
            files_are_short(&file("a.rs", &(code + "x\n" + &tests))).len(),
            1
        );
    }

    #[test]
    fn a_file_of_tests_can_be_long() {
        let declares = |path: &str, name: &str| {
            let text = format!("//! x\n#[cfg(test)]\npub(crate) mod {name};\n");
            test_modules(&File {
                path: path.to_owned(),
                text,
            })
        };
        assert_eq!(
            declares("tracer-core/src/correlate.rs", "tests"),
            ["tracer-core/src/correlate/tests.rs"]
        );
        assert_eq!(
            declares("tracer-core/src/lib.rs", "sample"),
            ["tracer-core/src/sample.rs"]
        );
    }

    #[test]
    fn a_disabled_test_is_found() {
        let off = concat!("    #[", "ignore = \"slow\"]\n");
        assert_eq!(no_test_skips_itself(&file("a.rs", off)).len(), 1);
    }
}
