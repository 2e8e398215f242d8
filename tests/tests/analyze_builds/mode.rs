//! Every build mode is reported, and a file that is not a binary is refused.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tests::{Module, run_gotrace, toolchain};

use crate::harness::{NO_ENV, analyze, build};

#[test]
fn every_build_mode_is_reported() {
    let toolchain = toolchain("1.27");
    let check = |module: &str, args: &[&str], properties: &[(&str, Value)]| {
        let module = Module::copy(module);
        module.sandbox.make_warm(&toolchain);
        let analysis = analyze(&build(&module, &toolchain, &[("CGO_ENABLED", "1")], args));
        for (name, value) in properties {
            assert_eq!(analysis["properties"][name], *value, "{name} with {args:?}");
        }
        assert!(
            analysis["counts"]["functions"].as_u64().unwrap() > 500,
            "{args:?}"
        );
        analysis
    };
    check(
        "cgo",
        &[],
        &[
            ("cgo", true.into()),
            ("linking", "dynamic".into()),
            ("build_mode", "exe".into()),
        ],
    );
    check(
        "tiny",
        &["-buildmode=pie"],
        &[
            ("build_mode", "pie".into()),
            ("position_independent", true.into()),
        ],
    );
    check(
        "tiny",
        &["-buildmode=pie", "-ldflags=-linkmode=external"],
        &[("position_independent", true.into())],
    );
    check(
        "cshared",
        &["-buildmode=c-shared"],
        &[
            ("build_mode", "c-shared".into()),
            ("linking", "dynamic".into()),
        ],
    );
    check(
        "plugin",
        &["-buildmode=plugin"],
        &[("build_mode", "plugin".into())],
    );
    check("tiny", &["-race"], &[("race", true.into())]);
    let archive = check(
        "cshared",
        &["-buildmode=c-archive"],
        &[
            ("build_mode", "c-archive".into()),
            ("linking", "unlinked".into()),
        ],
    );
    assert!(!archive["members"].as_array().unwrap().is_empty());
}

#[test]
fn a_file_that_is_no_binary_is_refused_with_a_reason() {
    let module = Module::copy("hello");
    for (content, words) in [
        (&b""[..], "the file is empty"),
        (b"package main\n", "it begins with `pack`"),
        (
            b"\x7fELF\x02\x01\x01",
            "the file header of this ELF file cannot be read",
        ),
    ] {
        let file = module.sandbox.out().join("no-binary");
        fs::write(&file, content).unwrap();
        let output = run_gotrace([Path::new("analyze"), &file], NO_ENV);
        let printed = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{printed}");
        assert!(printed.contains(words), "{printed}");
    }
    let output = run_gotrace(["analyze", "/dev/null"], NO_ENV);
    assert!(String::from_utf8_lossy(&output.stderr).contains("not a regular file"));
}
