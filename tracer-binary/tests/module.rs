//! The module of a package in programs without a line `mod`, which Go builds outside of module mode.
#![cfg(test)]

use std::fs;
use std::path::Path;

use tests::{Sandbox, Toolchain, targets_cache, toolchain};
use tracer_binary::{Analysis, Group, Options, analyze};

const MAIN: &str = "package main\n\nimport (\n\t\"acme/tool/lib\"\n\t\"elsewhere/shapes\"\n)\n\n\
    func main() { println(lib.Three(), shapes.Sides()) }\n";
const LIB: &str = "package lib\n\n//go:noinline\nfunc Three() int { return 3 }\n";
const SHAPES: &str = "package shapes\n\n//go:noinline\nfunc Sides() int { return 4 }\n";

/// The program in a GOPATH, built from what `args` name in the directory of the main package.
fn build(toolchain: &Toolchain, args: &[&str]) -> Analysis {
    let sandbox = Sandbox::new();
    let src = sandbox.gopath().join("src");
    for (file, text) in [
        ("acme/tool/main.go", MAIN),
        ("acme/tool/lib/lib.go", LIB),
        ("elsewhere/shapes/shapes.go", SHAPES),
    ] {
        let file = src.join(file);
        fs::create_dir_all(file.parent().unwrap_or(Path::new("/"))).unwrap();
        fs::write(file, text).unwrap();
    }
    let out = sandbox.out().join("program");
    let built = sandbox
        .go(toolchain)
        .args(["build", "-o"])
        .arg(&out)
        .args(args)
        .current_dir(src.join("acme/tool"))
        .env("GO111MODULE", "off")
        .env("CGO_ENABLED", "0")
        .env("GOCACHE", targets_cache(toolchain))
        .output()
        .unwrap();
    assert!(
        built.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&built.stderr)
    );
    analyze(&fs::read(out).unwrap(), Options::default()).unwrap()
}

/// The module and group of a package. The module must be marked as a guess.
fn module_of<'a>(analysis: &'a Analysis, package: &str) -> (&'a str, Group) {
    let found = analysis.packages.iter().find(|it| it.path == package);
    let found = found.unwrap_or_else(|| panic!("no package {package}"));
    let module = analysis.modules.iter().find(|it| it.path == found.module);
    assert!(module.is_some_and(|it| it.is_guess), "{package}");
    (&found.module, found.group)
}

#[test]
fn packages_in_a_gopath_are_of_their_own_tree() {
    for minor in ["1.19", "1.27"] {
        let toolchain = toolchain(minor);
        for args in [
            &["."][..],
            &["main.go"],
            &["-ldflags=-s -w -buildid=", "main.go"],
        ] {
            let analysis = build(&toolchain, args);
            for package in ["main", "acme/tool/lib"] {
                let expected = ("acme/tool", Group::Main);
                assert_eq!(
                    module_of(&analysis, package),
                    expected,
                    "{minor} {args:?} {package}"
                );
            }
            let expected = ("elsewhere/shapes", Group::Dependencies);
            assert_eq!(module_of(&analysis, "elsewhere/shapes"), expected);
            let packages = analysis.packages.iter();
            let others = packages.filter(|it| {
                !matches!(
                    it.path.as_str(),
                    "main" | "acme/tool/lib" | "elsewhere/shapes"
                )
            });
            for package in others {
                assert_eq!(
                    package.group,
                    Group::Std,
                    "{minor} {args:?} {}",
                    package.path
                );
            }
        }
    }
}

#[test]
fn trimmed_paths_show_no_tree() {
    let toolchain = toolchain("1.27");
    let analysis = build(&toolchain, &["-trimpath", "."]);
    let expected = ("acme/tool", Group::Main);
    assert_eq!(module_of(&analysis, "main"), expected);
    assert_eq!(module_of(&analysis, "acme/tool/lib"), expected);
}
