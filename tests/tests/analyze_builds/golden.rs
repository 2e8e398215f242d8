//! The exact output of `analyze` and `diff` for builds that are the same everywhere. `tests/golden` contains it, and `cargo xtask
//! bless` rewrites it.

use std::path::Path;

use expect_test::expect_file;
use serde_json::Value;
use tests::{Module, gotrace_command, targets_cache, toolchain};

use crate::harness::NO_ENV;

/// One build, under a name without a directory.
struct Built {
    name: &'static str,
    goos: &'static str,
    goarch: &'static str,
    flags: &'static [&'static str],
}

const WHOLE: Built = Built {
    name: "tiny",
    goos: "linux",
    goarch: "amd64",
    flags: &["-trimpath", "-ldflags=-X=main.word=golden"],
};
const STRIPPED: Built = Built {
    name: "tiny-stripped",
    goos: "linux",
    goarch: "arm64",
    flags: &["-trimpath", "-tags=bare", "-ldflags=-s -w"],
};
const GROWN: Built = Built {
    name: "tiny-grown",
    goos: "linux",
    goarch: "amd64",
    flags: &["-trimpath", "-ldflags=-X=main.word=golden -w"],
};

fn build(module: &Module, built: &Built) {
    let toolchain = toolchain("1.27");
    let out = module.sandbox.out().join(built.name);
    let words = ["build", "-o", out.to_str().unwrap()];
    let words: Vec<_> = words
        .iter()
        .chain(built.flags)
        .chain(&["."])
        .copied()
        .collect();
    let status = module
        .go(&toolchain, &words)
        .env("GOOS", built.goos)
        .env("GOARCH", built.goarch)
        .env("CGO_ENABLED", "0")
        .env("GOCACHE", targets_cache(&toolchain))
        .status();
    assert!(status.unwrap().success(), "{}", built.name);
}

/// Runs in the directory of the results, so that no name contains a directory.
fn gotrace(module: &Module, args: &[&str]) -> String {
    let mut command = gotrace_command(NO_ENV);
    let output = command
        .args(args)
        .current_dir(module.sandbox.out())
        .output();
    let output = output.unwrap();
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Checks both forms. The JSON is indented, so that a difference is readable.
fn check(module: &Module, place: &str, args: &[&str]) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden")
        .join(place);
    let text = gotrace(module, args);
    expect_file![file.with_extension("txt")].assert_eq(&text);
    let json = [args, &["--format", "json"]].concat();
    let json: Value = serde_json::from_str(&gotrace(module, &json)).unwrap();
    let json = serde_json::to_string_pretty(&json).unwrap() + "\n";
    expect_file![file.with_extension("json")].assert_eq(&json);
}

#[test]
fn the_output_for_unstripped_and_stripped_programs_is_exact() {
    let module = Module::copy("tiny");
    for built in [WHOLE, STRIPPED] {
        build(&module, &built);
        // The limit is large, because every change of a symbol would change the golden file.
        let args = ["analyze", "--min-symbol", "8192", built.name];
        check(&module, &format!("analyze/{}", built.name), &args);
    }
}

#[test]
fn the_output_of_a_comparison_is_exact() {
    let module = Module::copy("tiny");
    build(&module, &WHOLE);
    module.write(
        "grown.go",
        "package main\n\nimport \"example.com/more\"\n\nfunc init() { println(more.Word(\"grown\")) }\n",
    );
    module.write("more/go.mod", "module example.com/more\n\ngo 1.19\n");
    module.write(
        "more/more.go",
        "// Package more says more.\npackage more\n\n//go:noinline\nfunc Word(word string) string { return word + \" and more\" }\n",
    );
    module.append(
        "go.mod",
        "\nrequire example.com/more v0.1.0\n\nreplace example.com/more v0.1.0 => ./more\n",
    );
    build(&module, &GROWN);
    let budgets = [
        "--fail-on",
        "total +1GB",
        "--fail-on",
        "package +100",
        "--fail-on",
        "section .text +0.01%",
    ];
    let args = [&["diff", WHOLE.name, GROWN.name][..], &budgets].concat();
    check(&module, "diff/grown", &args);
    check(&module, "diff/same", &["diff", WHOLE.name, WHOLE.name]);
}
