//! High entropy is a finding in a file with a payload, and not in the parts that every program has.
#![cfg(test)]

use std::fs;

use tests::{Module, Toolchain, targets_cache, toolchain};
use tracer_binary::analysis::FindingKind;
use tracer_binary::{Options, analyze};

/// The sentences about high entropy.
fn alarms(bytes: &[u8]) -> Vec<String> {
    let analysis = analyze(bytes, Options::default()).unwrap();
    assert!(analysis.identity.is_go());
    let found = analysis.findings.into_iter();
    found
        .filter(|it| it.kind == FindingKind::Dense)
        .map(|it| it.text)
        .collect()
}

/// A program with TLS, which brings the table of P-256, and with `payload` as a constant.
fn program(toolchain: &Toolchain, os: &str, flags: &str, payload: &str) -> Vec<u8> {
    let module = Module::copy("hello");
    let random: Vec<u8> = std::iter::successors(Some(1u32), |state| {
        Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223))
    })
    .map(|state| state.to_be_bytes()[0])
    .take(100_000)
    .collect();
    fs::create_dir_all(module.dir().join("alarm")).unwrap();
    fs::write(module.dir().join("alarm/blob"), random).unwrap();
    module.write(
        "alarm/main.go",
        &format!(
            "package main\n\nimport (\n\t\"crypto/tls\"\n\t\"embed\"\n)\n\nvar _ embed.FS\n\n{payload}\n\nfunc main() {{ println(use(), tls.Client(nil, nil).Handshake()) }}\n"
        ),
    );
    let out = module.sandbox.out().join("alarm");
    let status = module
        .go(
            toolchain,
            &["build", "-o", out.to_str().unwrap(), flags, "./alarm"],
        )
        .env("GOOS", os)
        .env("GOARCH", "amd64")
        .env("CGO_ENABLED", "0")
        .env("GOCACHE", targets_cache(toolchain))
        .status();
    assert!(status.unwrap().success(), "go build for {os}");
    fs::read(out).unwrap()
}

const NOTHING: &str = "func use() int { return 0 }";
const AS_TEXT: &str = "//go:embed blob\nvar Blob string\n\nfunc use() string { return Blob }";
const AS_FILE: &str = "//go:embed blob\nvar Files embed.FS\n\nfunc use() error { _, err := Files.Open(\"blob\"); return err }";

#[test]
fn a_program_with_tls_raises_no_alarm_and_one_with_a_payload_does() {
    let toolchain = toolchain("1.27");
    for (os, flags) in [("linux", "-ldflags=-s"), ("darwin", "-ldflags=-w")] {
        assert_eq!(
            alarms(&program(&toolchain, os, flags, NOTHING)),
            Vec::<String>::new(),
            "{os}"
        );
    }
    let text = alarms(&program(&toolchain, "linux", "-ldflags=-s", AS_TEXT));
    assert_eq!(text.len(), 1, "{text:?}");
    let text = alarms(&program(&toolchain, "linux", "-ldflags=-w", AS_TEXT));
    assert!(
        text.iter().any(|it| it.ends_with(", in main.Blob")),
        "{text:?}"
    );
    // Its symbols state no sizes, and one is right before the file.
    let file = alarms(&program(&toolchain, "darwin", "-ldflags=-w", AS_FILE));
    assert!(file.iter().any(|it| it.ends_with(", in blob")), "{file:?}");
}

#[test]
fn the_table_of_each_release_is_told() {
    for minor in ["1.21", "1.27"] {
        let go = fs::read(toolchain(minor).go).unwrap();
        assert_eq!(alarms(&go), Vec::<String>::new(), "{minor}");
    }
}
