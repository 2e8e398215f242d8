//! Every toolchain and every target, stripped and unstripped.

use std::path::Path;

use serde_json::Value;
use tests::{Module, Toolchain, targets_cache, toolchain, toolchains};

use crate::harness::{analyze, build, content};
use crate::identity;

/// Targets that need no C compiler.
const TARGETS: [(&str, &str); 10] = [
    ("linux", "amd64"),
    ("linux", "arm64"),
    ("linux", "386"),
    ("linux", "arm"),
    ("linux", "s390x"),
    ("windows", "amd64"),
    ("windows", "arm64"),
    ("darwin", "amd64"),
    ("darwin", "arm64"),
    ("js", "wasm"),
];

/// Bytes of code, and the number of init functions, by Go 1.24's `go tool nm -size`. Later versions compile that tool first.
fn by_nm(module: &Module, file: &Path) -> (u64, u64) {
    let printed = module
        .go(
            &toolchain("1.24"),
            &["tool", "nm", "-size", file.to_str().unwrap()],
        )
        .output()
        .unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    let functions = printed.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let size: u64 = words.next()?.parse().ok()?;
        let is_code = matches!(words.next()?, "T" | "t");
        is_code.then(|| (size, is_init(words.next().unwrap_or_default())))
    });
    functions.fold((0, 0), |(bytes, n), (size, is_init)| {
        (bytes + size, n + u64::from(is_init))
    })
}

/// `os.init`, `os.init.0`.
fn is_init(name: &str) -> bool {
    let element = name.rsplit_once('/').map_or(name, |it| it.1);
    let words: Vec<&str> = element.split('.').collect();
    match words.as_slice() {
        [_, "init"] => true,
        [_, "init", number] => number.parse::<u32>().is_ok(),
        _ => false,
    }
}

fn n_init(analysis: &Value) -> u64 {
    let packages = analysis["packages"].as_array().unwrap().iter();
    packages
        .map(|it| it["init_functions"].as_u64().unwrap())
        .sum()
}

#[test]
fn the_output_of_every_toolchain_is_analysed_stripped_or_not() {
    for toolchain in toolchains() {
        let module = Module::copy("hello");
        module.sandbox.make_warm(&toolchain);
        // Static, because nm counts the procedure table of a dynamic file as code. gotrace counts it as linking.
        let env = [("CGO_ENABLED", "0")];
        let whole = build(&module, &toolchain, &env, &[]);
        let analysis = analyze(&whole);
        identity::assert_equals_go_version(&analysis, &whole, &module, &toolchain);
        // ELF symbols contain their sizes, so the bytes of code equal nm's.
        let code = content(&analysis, "code") + content(&analysis, "c_code");
        let counted = (code, n_init(&analysis));
        assert_eq!(counted, by_nm(&module, &whole), "go{}", toolchain.version);
        let stripped = build(&module, &toolchain, &env, &["-ldflags=-s -w"]);
        let bare = analyze(&stripped);
        assert_eq!(n_init(&bare), counted.1, "go{}", toolchain.version);
        assert_eq!(
            bare["counts"]["functions"], analysis["counts"]["functions"],
            "go{}",
            toolchain.version
        );
        assert_eq!(
            bare["counts"]["types"], analysis["counts"]["types"],
            "go{}",
            toolchain.version
        );
        // The function table contains the length of nearly every function, so padding is not counted as code.
        let found = content(&bare, "code") + content(&bare, "c_code");
        assert!(
            found.abs_diff(code) <= 128,
            "{found} bytes of code stripped, {code} whole, go{}",
            toolchain.version
        );
        assert_eq!(bare["properties"]["stripped"], true);
        assert_eq!(analysis["properties"]["stripped"], false);
        assert_eq!(bare["properties"]["dwarf"], "none");
    }
}

/// Checks a program that needs only the runtime. The kinds of a target's code do not depend on its amount.
fn tiny_is_read(module: &Module, toolchain: &Toolchain, os: &str, arch: &str) {
    let cache = targets_cache(toolchain);
    let env = [
        ("GOOS", os),
        ("GOARCH", arch),
        ("CGO_ENABLED", "0"),
        ("GOCACHE", cache.to_str().unwrap()),
    ];
    let what = format!("go{} for {os}/{arch}", toolchain.version);
    let args = ["-trimpath", "-ldflags=-X=main.word=changed"];
    let whole = build(module, toolchain, &env, &args);
    let args = ["-trimpath", "-ldflags=-s -w -X=main.word=changed"];
    let stripped = build(module, toolchain, &env, &args);
    let [analysis, bare] = [&whole, &stripped].map(|file| {
        let analysis = analyze(file);
        assert_eq!(analysis["identity"]["goos"], os, "{what}");
        assert_eq!(analysis["identity"]["goarch"], arch, "{what}");
        // `go version` cannot read wasm files; gotrace can.
        if arch == "wasm" {
            let version = format!("go{}", toolchain.version);
            assert_eq!(analysis["identity"]["go_version"], version, "{what}");
            assert_eq!(analysis["identity"]["path"], "example.com/tiny", "{what}");
            let replacement = &analysis["identity"]["deps"][0]["replace"]["path"];
            assert_eq!(replacement, "./dep", "{what}");
        } else {
            identity::assert_equals_go_version(&analysis, file, module, toolchain);
        }
        let packages = analysis["packages"].as_array().unwrap();
        for path in ["main", "example.com/dep", "runtime"] {
            assert!(
                packages.iter().any(|it| it["path"] == path),
                "{path} of {what}"
            );
        }
        let unattributed = content(&analysis, "unattributed");
        assert!(
            unattributed * 5 < analysis["size"].as_u64().unwrap(),
            "{unattributed} unattributed, {what}"
        );
        analysis
    });
    for count in ["functions", "types", "itabs"] {
        assert_eq!(
            bare["counts"][count], analysis["counts"][count],
            "{count}, {what}"
        );
    }
    assert!(
        bare["counts"]["functions"].as_u64().unwrap() > 500,
        "{what}"
    );
    // Before 1.22 the linker kept the symbol table on darwin, despite -s.
    let is_stripped = os != "darwin" || toolchain.minor() >= 22;
    assert_eq!(bare["properties"]["stripped"], is_stripped, "{what}");
}

/// A test for each, for they take their time. Together they are all that there are.
macro_rules! every_target_is_read_stripped_or_not {
    ($($name:ident $minor:literal)*) => {
        $(#[test]
        fn $name() {
            let (toolchain, module) = (toolchain($minor), Module::copy("tiny"));
            for (os, arch) in TARGETS {
                tiny_is_read(&module, &toolchain, os, arch);
            }
        })*

        #[test]
        fn no_toolchain_is_left_out() {
            let minors = [$($minor),*].map(toolchain);
            assert_eq!(minors.as_slice(), toolchains());
        }
    };
}

every_target_is_read_stripped_or_not! {
    every_target_of_1_19_is_read_stripped_or_not "1.19"
    every_target_of_1_21_is_read_stripped_or_not "1.21"
    every_target_of_1_22_is_read_stripped_or_not "1.22"
    every_target_of_1_23_is_read_stripped_or_not "1.23"
    every_target_of_1_24_is_read_stripped_or_not "1.24"
    every_target_of_1_25_is_read_stripped_or_not "1.25"
    every_target_of_1_26_is_read_stripped_or_not "1.26"
    every_target_of_1_27_is_read_stripped_or_not "1.27"
}
