//! `gotrace analyze` on what every toolchain builds, against `go version -m`, `go tool nm` and the file's own size.
#![cfg(test)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::{Module, Toolchain, run_gotrace, toolchain, toolchains};

const NO_ENV: [(&str, &str); 0] = [];
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

/// Builds a module for a target into a file of its own.
fn build(module: &Module, toolchain: &Toolchain, env: &[(&str, &str)], args: &[&str]) -> PathBuf {
    let name: Vec<_> = env
        .iter()
        .map(|it| it.1)
        .chain(args.iter().copied())
        .collect();
    let name = name.join("_").replace(['=', ' ', '/'], "-");
    let out = module
        .sandbox
        .out()
        .join(format!("{}-{name}", toolchain.version));
    let mut words = vec!["build", "-o", out.to_str().unwrap()];
    words.extend(args);
    words.push(".");
    let built = module
        .go(toolchain, &words)
        .envs(env.iter().copied())
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "{words:?} {env:?}: {}",
        String::from_utf8_lossy(&built.stderr)
    );
    out
}

fn analyze(file: &Path) -> Value {
    let args = [
        Path::new("analyze"),
        Path::new("--format"),
        Path::new("json"),
        file,
    ];
    let output = run_gotrace(args, NO_ENV);
    assert!(
        output.status.success(),
        "{}: {}",
        file.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    let analysis: Value = serde_json::from_slice(&output.stdout).unwrap();
    adds_up(&analysis, file);
    analysis
}

fn sum(rows: &Value, field: &str) -> u64 {
    rows.as_array()
        .unwrap()
        .iter()
        .map(|row| row[field].as_u64().unwrap())
        .sum()
}

/// Every byte of the file once, at every grain.
fn adds_up(analysis: &Value, file: &Path) {
    let size = fs::metadata(file).unwrap().len();
    let path = file.display();
    assert_eq!(analysis["size"], size, "{path}");
    for grain in ["buckets", "groups", "contents"] {
        assert_eq!(sum(&analysis[grain], "bytes"), size, "{grain} of {path}");
    }
    assert_eq!(
        sum(&analysis["modules"], "bytes"),
        sum(&analysis["packages"], "bytes"),
        "modules of {path}"
    );
    assert_eq!(analysis["notes"], serde_json::json!([]), "{path}");
}

fn content(analysis: &Value, name: &str) -> u64 {
    let rows = analysis["contents"].as_array().unwrap();
    rows.iter()
        .filter(|row| row["content"] == name)
        .map(|row| row["bytes"].as_u64().unwrap())
        .sum()
}

/// What `go version -m` says, and what `analyze` says, in one form.
fn identity_is_that_of_go_version(
    analysis: &Value,
    file: &Path,
    module: &Module,
    toolchain: &Toolchain,
) {
    let said = module
        .go(toolchain, &["version", "-m", file.to_str().unwrap()])
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let identity = &analysis["identity"];
    let mut lines = said.lines();
    let version = lines.next().unwrap().rsplit_once(": ").unwrap().1;
    assert_eq!(identity["go_version"], version);
    let (mut settings, mut deps) = (BTreeMap::new(), Vec::new());
    for line in lines {
        let words: Vec<_> = line.trim_start_matches('\t').split('\t').collect();
        match words.as_slice() {
            ["path", path] => assert_eq!(identity["path"], *path),
            ["mod", path, version, ..] => {
                assert_eq!(
                    (&identity["main"]["path"], &identity["main"]["version"]),
                    (&(*path).into(), &(*version).into())
                );
            }
            ["dep", path, ..] => deps.push((*path).to_owned()),
            ["build", setting] => {
                let (key, value) = setting.split_once('=').unwrap();
                // None of the settings used here has anything to escape inside its quotes.
                settings.insert(key.to_owned(), value.trim_matches('"').to_owned());
            }
            _ => {}
        }
    }
    let read: BTreeMap<_, _> = identity["settings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            (
                it["key"].as_str().unwrap().to_owned(),
                it["value"].as_str().unwrap().to_owned(),
            )
        })
        .collect();
    assert_eq!(read, settings, "{}", file.display());
    assert_eq!(identity["deps"].as_array().unwrap().len(), deps.len());
}

/// Bytes of code by `go tool nm -size`. Of Go 1.24: later ones compile it first.
fn code_by_nm(module: &Module, file: &Path) -> u64 {
    let said = module
        .go(
            &toolchain("1.24"),
            &["tool", "nm", "-size", file.to_str().unwrap()],
        )
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let sizes = said.lines().filter_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let size: u64 = words.next()?.parse().ok()?;
        matches!(words.next()?, "T" | "t").then_some(size)
    });
    sizes.sum()
}

#[test]
fn every_toolchain_is_read_stripped_or_not() {
    for toolchain in toolchains() {
        let module = Module::copy("hello");
        module.sandbox.make_warm(&toolchain);
        // Static: in a dynamic file nm counts the procedure table as code, which here is linking.
        let env = [("CGO_ENABLED", "0")];
        let whole = build(&module, &toolchain, &env, &[]);
        let analysis = analyze(&whole);
        identity_is_that_of_go_version(&analysis, &whole, &module, &toolchain);
        // On ELF the symbols say their own sizes, so code is what nm says, to the byte.
        let code = content(&analysis, "code") + content(&analysis, "c_code");
        assert_eq!(code, code_by_nm(&module, &whole), "go{}", toolchain.version);
        let stripped = build(&module, &toolchain, &env, &["-ldflags=-s -w"]);
        let bare = analyze(&stripped);
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
        assert_eq!(bare["properties"]["stripped"], true);
        assert_eq!(analysis["properties"]["stripped"], false);
        assert_eq!(bare["properties"]["dwarf"], "none");
    }
}

#[test]
fn every_target_is_read_stripped_or_not() {
    // The newest layout of Go's tables and the oldest one of the official releases.
    for minor in ["1.27", "1.21"] {
        let toolchain = toolchain(minor);
        let module = Module::copy("hello");
        for (os, arch) in TARGETS {
            let env = [("GOOS", os), ("GOARCH", arch), ("CGO_ENABLED", "0")];
            let whole = build(&module, &toolchain, &env, &[]);
            let analysis = analyze(&whole);
            assert_eq!(analysis["identity"]["goos"], os, "{os}/{arch}");
            assert_eq!(analysis["identity"]["goarch"], arch, "{os}/{arch}");
            // `go version` cannot read wasm files; gotrace can.
            if arch != "wasm" {
                identity_is_that_of_go_version(&analysis, &whole, &module, &toolchain);
            }
            let stripped = build(&module, &toolchain, &env, &["-ldflags=-s -w"]);
            let bare = analyze(&stripped);
            for count in ["functions", "types", "itabs"] {
                assert_eq!(
                    bare["counts"][count], analysis["counts"][count],
                    "{count} of {os}/{arch}"
                );
            }
            assert!(
                bare["counts"]["functions"].as_u64().unwrap() > 1000,
                "{os}/{arch}"
            );
            assert!(bare["counts"]["itabs"].as_u64().unwrap() > 5, "{os}/{arch}");
            // Before 1.22 the linker kept the symbol table on darwin, whatever -s said.
            let is_stripped = os != "darwin" || toolchain.minor() >= 22;
            assert_eq!(bare["properties"]["stripped"], is_stripped, "{os}/{arch}");
            let unattributed = content(&bare, "unattributed");
            assert!(
                unattributed * 5 < bare["size"].as_u64().unwrap(),
                "{unattributed} unattributed in {os}/{arch}"
            );
        }
    }
}

#[test]
fn every_build_mode_is_told() {
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
        "hello",
        &["-buildmode=pie"],
        &[
            ("build_mode", "pie".into()),
            ("position_independent", true.into()),
        ],
    );
    check(
        "hello",
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
    check("hello", &["-race"], &[("race", true.into())]);
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
fn embedded_files_are_found_without_symbols() {
    let module = Module::copy("hello");
    let toolchain = toolchain("1.27");
    let png: Vec<u8> = b"\x89PNG\r\n"
        .iter()
        .copied()
        .chain((0..40_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]))
        .collect();
    fs::create_dir(module.dir().join("assets")).unwrap();
    fs::write(module.dir().join("assets/logo.png"), &png).unwrap();
    module.write("assets/words.txt", &"plain words\n".repeat(1000));
    module.write(
        "assets.go",
        "package main\n\nimport \"embed\"\n\n//go:embed assets\nvar assets embed.FS\n\nfunc init() { _, _ = assets.ReadDir(\"assets\") }\n",
    );
    let analysis = analyze(&build(&module, &toolchain, &[], &["-ldflags=-s -w"]));
    let embeds = analysis["embeds"].as_array().unwrap();
    let of = |path: &str| {
        embeds
            .iter()
            .find(|it| it["path"] == path)
            .unwrap_or_else(|| panic!("{path} in {embeds:?}"))
    };
    assert_eq!(of("assets/words.txt")["size"], 12_000);
    assert_eq!(of("assets/logo.png")["size"], png.len());
    assert_eq!(of("assets/logo.png")["compressed"], "PNG");
    let findings = analysis["findings"].to_string();
    assert!(findings.contains("assets/logo.png"), "{findings}");
}

#[test]
fn what_is_no_binary_is_refused_in_words() {
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
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words), "{said}");
    }
    let output = run_gotrace(["analyze", "/dev/null"], NO_ENV);
    assert!(String::from_utf8_lossy(&output.stderr).contains("not a regular file"));
}
