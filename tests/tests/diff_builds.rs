//! `gotrace diff` of real builds: reported changes, budgets, and snapshots in place of binaries.
#![cfg(test)]

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use tests::{Module, Toolchain, run_gotrace, toolchain};

const NO_ENV: [(&str, &str); 0] = [];

fn build(module: &Module, toolchain: &Toolchain, name: &str, args: &[&str]) -> PathBuf {
    let out = module.sandbox.out().join(name);
    let mut words = vec!["build", "-o", out.to_str().unwrap()];
    words.extend(args);
    words.push(".");
    module.run_go(toolchain, &words);
    out
}

fn diff(before: &Path, after: &Path, args: &[&str]) -> Output {
    let words = ["diff", before.to_str().unwrap(), after.to_str().unwrap()];
    run_gotrace(words.into_iter().chain(args.iter().copied()), NO_ENV)
}

fn diff_json(before: &Path, after: &Path) -> Value {
    let output = diff(before, after, &["--format", "json"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn snapshot(module: &Module, file: &Path) -> PathBuf {
    let out = module.sandbox.out().join(format!(
        "{}.json",
        file.file_name().unwrap().to_str().unwrap()
    ));
    let words = [
        "analyze",
        "--snapshot",
        out.to_str().unwrap(),
        file.to_str().unwrap(),
    ];
    assert!(run_gotrace(words, NO_ENV).status.success());
    out
}

/// A large function that the compiler must keep.
fn grown(module: &Module) {
    let mut text =
        "package main\n\nfunc init() { grown(len(\"x\")) }\n\n//go:noinline\nfunc grown(n int) {\n"
            .to_owned();
    for number in 0..400 {
        writeln!(
            text,
            "\tif n == {number} {{ println(\"number {number} of the large function\") }}"
        )
        .unwrap();
    }
    module.write("grown.go", &(text + "}\n"));
}

#[test]
fn growth_is_reported_at_every_level_with_exceeded_budgets() {
    let toolchain = toolchain("1.27");
    let module = Module::copy("hello");
    module.sandbox.make_warm(&toolchain);
    let before = build(&module, &toolchain, "before", &[]);
    grown(&module);
    let after = build(&module, &toolchain, "after", &[]);

    let printed = diff_json(&before, &after);
    assert_eq!(printed["likeness"], "different");
    let symbols = printed["symbols"].as_array().unwrap();
    let grown = symbols
        .iter()
        .find(|it| it["name"] == "main.grown")
        .unwrap();
    assert!(
        grown.get("before").is_none() && grown["after"].as_u64().unwrap() > 4000,
        "{grown}"
    );
    for grain in ["sections", "packages", "modules", "groups"] {
        assert!(!printed[grain].as_array().unwrap().is_empty(), "{grain}");
    }

    // A snapshot gives the same result as its binary, except for small symbols.
    let from_snapshots = diff_json(&snapshot(&module, &before), &snapshot(&module, &after));
    for grain in [
        "total", "sections", "packages", "modules", "groups", "contents",
    ] {
        assert_eq!(from_snapshots[grain], printed[grain], "{grain}");
    }
    let mixed = diff_json(&snapshot(&module, &before), &after);
    assert_eq!(mixed["symbols"], from_snapshots["symbols"]);

    let text = |output: &Output| String::from_utf8(output.stdout.clone()).unwrap();
    let holds = diff(
        &before,
        &after,
        &["--fail-on", "total +50%", "--fail-on", "section .text +1MB"],
    );
    assert_eq!(holds.status.code(), Some(0), "{}", text(&holds));
    let breached = diff(
        &before,
        &after,
        &[
            "--fail-on",
            "total +50%",
            "--fail-on",
            "symbol +1KB",
            "--fail-on",
            "section .text +100",
        ],
    );
    assert_eq!(breached.status.code(), Some(1));
    let printed = text(&breached);
    assert!(
        printed.contains("over budget symbol +1KB: main.grown")
            && printed.contains("over budget section .text +100: .text"),
        "{printed}"
    );
    assert!(!printed.contains("over budget total"), "{printed}");
    assert!(printed.contains("[NEW]"), "{printed}");
    let backwards = diff(&after, &before, &["--fail-on", "symbol +1KB"]);
    assert_eq!(backwards.status.code(), Some(0));
    assert!(text(&backwards).contains("[DEL]"));
    let wrong = diff(&before, &after, &["--fail-on", "size +5%"]);
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn two_builds_of_the_same_code_have_the_same_content() {
    let toolchain = toolchain("1.27");
    let module = Module::copy("hello");
    module.sandbox.make_warm(&toolchain);
    let one = build(&module, &toolchain, "one", &["-ldflags=-buildid=first"]);
    assert_eq!(diff_json(&one, &one)["likeness"], "same_file");
    // Another build ID of the same length gives the same code at the same addresses.
    let other = build(&module, &toolchain, "other", &["-ldflags=-buildid=other"]);
    assert_eq!(diff_json(&one, &other)["likeness"], "same_content");
    module.write(
        "extra.go",
        "package main\n\nfunc init() { println(\"extra\") }\n",
    );
    let changed = build(&module, &toolchain, "changed", &["-ldflags=-buildid=first"]);
    assert_eq!(diff_json(&one, &changed)["likeness"], "different");
}

#[test]
fn changed_settings_and_toolchains_are_reported() {
    let module = Module::copy("hello");
    let (old, new) = (toolchain("1.24"), toolchain("1.27"));
    for toolchain in [&old, &new] {
        module.sandbox.make_warm(toolchain);
    }
    let before = build(&module, &old, "old", &[]);
    let after = build(&module, &new, "new", &["-trimpath", "-ldflags=-s -w"]);
    let printed = diff_json(&before, &after);
    let facts = printed["facts"].as_array().unwrap();
    let fact = |name: &str| {
        facts
            .iter()
            .find(|it| it["name"] == name)
            .unwrap_or_else(|| panic!("{name} in {facts:?}"))
    };
    assert_eq!(fact("go version")["after"], format!("go{}", new.version));
    assert_eq!(fact("-trimpath")["after"], "true");
    assert_eq!(fact("stripped")["after"], "true");
    assert_eq!(printed["notes"].as_array().unwrap().len(), 1);
}
