//! Lines of real builds (Go 1.19 and 1.27), with shortened paths.

use std::fmt::Write;

use expect_test::{Expect, expect};

use super::*;

/// Arguments and variables are separated by blanks; the blank of a variant is written `~`.
fn check(role: Role, cwd: &str, env: &str, line: &str, expected: &Expect) {
    let split = |text: &str| -> Vec<ByteString> {
        text.split_whitespace()
            .map(|it| it.replace('~', " ").into())
            .collect()
    };
    let env: Vec<(ByteString, ByteString)> = split(env)
        .iter()
        .filter_map(|it| {
            it.to_str()
                .split_once('=')
                .map(|(k, v)| (k.into(), v.into()))
        })
        .collect();
    expected.assert_eq(&show(&ToolArgs::parse(
        role,
        &split(line),
        &env,
        Some(&cwd.into()),
    )));
}

fn show(tool: &ToolArgs) -> String {
    let mut out = format!("{:?}", tool.role).to_lowercase();
    let mut field = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            let _ = write!(out, " {name}={value}");
        }
    };
    field("package", tool.package.as_ref().map(ToString::to_string));
    field("output", tool.output.as_ref().map(ToString::to_string));
    let work = |it: &WorkDir| format!("{}+{}", it.root, it.action.clone().unwrap_or_default());
    field("work", tool.work.as_ref().map(work));
    field(
        "importcfg",
        tool.importcfg.as_ref().map(ToString::to_string),
    );
    field("file", tool.response_file.as_ref().map(ToString::to_string));
    field("goos", tool.goos.clone());
    field("goarch", tool.goarch.clone());
    field("mode", tool.buildmode.clone());
    field("version", tool.go_version.clone());
    field(
        "sources",
        (tool.n_sources > 0).then(|| tool.n_sources.to_string()),
    );
    for (name, is) in [
        ("query", tool.is_query),
        ("std", tool.is_std),
        ("symabis", tool.is_symabis),
        ("race", tool.is_race),
        ("-s", tool.strips_symbols),
        ("-w", tool.strips_dwarf),
    ] {
        if is {
            out.push(' ');
            out.push_str(name);
        }
    }
    out
}

#[test]
fn compile_lines() {
    check(
        Role::Compile,
        "/src/hello",
        "TOOLEXEC_IMPORTPATH=example.com/hello/lib GOOS=linux GOARCH=amd64 GOVERSION=go1.27.3",
        "compile -o /tmp/go-build256/b002/_pkg_.a -trimpath /tmp/go-build256/b002=> -p example.com/hello/lib -lang=go1.19 \
         -complete -buildid BYo3/BYo3 -goversion go1.27.3 -c=2 -nolocalimports -importcfg /tmp/go-build256/b002/importcfg \
         -pack /src/hello/lib/lib.go",
        &expect![
            "compile package=example.com/hello/lib output=/tmp/go-build256/b002/_pkg_.a work=/tmp/go-build256+b002 importcfg=/tmp/go-build256/b002/importcfg goos=linux goarch=amd64 version=go1.27.3 sources=1"
        ],
    );
    check(
        Role::Compile,
        "/src/hello",
        "TOOLEXEC_IMPORTPATH=example.com/hello/lib~[example.com/hello/lib.test]",
        "compile -o /tmp/go-build194/b149/_pkg_.a -trimpath /tmp/go-build194/b149=> -p example.com/hello/lib -lang=go1.19 \
         -complete -race -goversion go1.27.3 -coveragecfg=/tmp/go-build194/b149/coveragecfg -c=2 -pack \
         /tmp/go-build194/b149/covervars.go /tmp/go-build194/b149/lib.cover.go /src/hello/lib/lib_test.go",
        &expect![
            "compile package=example.com/hello/lib [example.com/hello/lib.test] output=/tmp/go-build194/b149/_pkg_.a work=/tmp/go-build194+b149 version=go1.27.3 sources=3 race"
        ],
    );
    check(
        Role::Compile,
        "/",
        "",
        "compile -o $W/b001/_pkg_.a -p main -std -D _/x -symabis s a.go b.go",
        &expect!["compile package=main output=/$W/b001/_pkg_.a sources=2 std"],
    );
}

#[test]
fn link_lines() {
    check(
        Role::Link,
        "/src/hello",
        "TOOLEXEC_IMPORTPATH=example.com/hello GOROOT=",
        "link -o /tmp/go-build378/b001/exe/a.out -importcfg /tmp/go-build378/b001/importcfg.link -buildmode=exe \
         -buildid=TRN4/4u-1/NMSU/TRN4 -s -w -X main.t=<redacted> -extld=gcc /tmp/go-build378/b001/_pkg_.a",
        &expect![
            "link package=example.com/hello output=/tmp/go-build378/b001/exe/a.out work=/tmp/go-build378+b001 importcfg=/tmp/go-build378/b001/importcfg.link mode=exe -s -w"
        ],
    );
    // c-shared since 1.21: the tool runs in the directory of the output.
    check(
        Role::Link,
        "/tmp/go-build853/b001/exe",
        "TOOLEXEC_IMPORTPATH=example.com/hello/c",
        "link -o a.out -importcfg /tmp/go-build853/b001/importcfg.link -installsuffix shared \
         -X=runtime.godebugDefault=panicnil=1 -buildmode=c-shared -w=0 -s /tmp/go-build853/b001/_pkg_.a",
        &expect![
            "link package=example.com/hello/c output=/tmp/go-build853/b001/exe/a.out work=/tmp/go-build853+b001 importcfg=/tmp/go-build853/b001/importcfg.link mode=c-shared -s"
        ],
    );
    // A call by a build system without the go command.
    check(
        Role::Link,
        "/w",
        "",
        "link -o out/../bin/x -s x.a",
        &expect!["link output=/w/out/../bin/x -s -w"],
    );
}

#[test]
fn lines_of_the_other_tools() {
    check(
        Role::Asm,
        "/go/src/math",
        "TOOLEXEC_IMPORTPATH=math",
        "asm -p math -trimpath /tmp/go-build2/b020=> -I /tmp/go-build2/b020/ -I /go/pkg/include -D GOOS_linux -std -gensymabis \
         -o /tmp/go-build2/b020/symabis ./a.s ./b.s",
        &expect![
            "asm package=math output=/tmp/go-build2/b020/symabis work=/tmp/go-build2+b020 sources=2 std symabis"
        ],
    );
    check(
        Role::Cgo,
        "/src/c",
        "",
        "cgo -objdir /tmp/go-build18/b001/ -importpath example.com/c -exportheader=/tmp/go-build18/b001/_cgo_install.h -- -I \
         /tmp/go-build18/b001/ -g -O2 /src/c/main.go",
        &expect!["cgo package=example.com/c work=/tmp/go-build18+b001 sources=1"],
    );
    check(
        Role::Vet,
        "/src/lib",
        "TOOLEXEC_IMPORTPATH=example.com/lib",
        "vet -atomic -json -printf=false /tmp/go-build19/b132/vet.cfg",
        &expect!["vet package=example.com/lib work=/tmp/go-build19+b132"],
    );
    check(
        Role::Cover,
        "/tmp/go-build19/b149",
        "TOOLEXEC_IMPORTPATH=example.com/lib",
        "cover -pkgcfg /tmp/go-build19/b149/pkgcfg.txt -mode set -var goCover_b_ -outfilelist \
         /tmp/go-build19/b149/out.txt /src/lib/lib.go",
        &expect!["cover package=example.com/lib work=/tmp/go-build19+b149 sources=1"],
    );
    check(
        Role::Preprofile,
        "/",
        "",
        "preprofile -o /tmp/go-build1/b7/p -i x.pgo",
        &expect!["preprofile output=/tmp/go-build1/b7/p work=/tmp/go-build1+b7"],
    );
}

#[test]
fn queries_are_not_work() {
    check(
        Role::Compile,
        "/",
        "GOVERSION=go1.27.3",
        "compile -V=full",
        &expect!["compile version=go1.27.3 query"],
    );
    check(Role::Asm, "/", "", "asm -V", &expect!["asm query"]);
    check(Role::Vet, "/", "", "vet -flags", &expect!["vet query"]);
    check(Role::Link, "/", "", "link -flags", &expect!["link"]);
}

#[test]
fn odd_lines_are_tolerated() {
    check(Role::Compile, "/", "", "", &expect!["compile"]);
    check(Role::Compile, "/", "", "compile -o", &expect!["compile"]);
    check(
        Role::Compile,
        "/",
        "",
        "compile - -- ---- -= -o=",
        &expect!["compile"],
    );
    check(
        Role::Compile,
        "/d",
        "",
        "compile @args123",
        &expect!["compile file=/d/args123"],
    );
    check(Role::Compile, "/d", "", "compile @", &expect!["compile"]);
}

#[test]
fn a_response_file_is_expanded_in_place() {
    let line = ToolArgs::expand(
        &["link".into(), "@/tmp/args1".into()],
        &["-o".into(), "x".into()],
    );
    assert_eq!(line, ["link", "-o", "x"]);
    let line = ToolArgs::expand(&["@link".into(), "-s".into()], &["x".into()]);
    assert_eq!(line, ["@link", "-s"]);
}

#[test]
fn work_directories_are_found_in_paths() {
    for (path, root, action) in [
        (
            "/tmp/go-build378/b001/exe/a.out",
            "/tmp/go-build378",
            "b001",
        ),
        ("/tmp/go-build378", "/tmp/go-build378", ""),
        ("/tmp/go-build378/", "/tmp/go-build378", ""),
        ("/tmp/go-build378/pkg/b001", "/tmp/go-build378", ""),
        (
            "/tmp/go-build1/b001/go-build22/b002/x",
            "/tmp/go-build1/b001/go-build22",
            "b002",
        ),
        ("/home/u/.cache/go-build/05/0562-d", "", ""),
        ("go-build1/b001", "", ""),
        ("", "", ""),
    ] {
        let found = WorkDir::of(path.as_bytes());
        let shown = found
            .as_ref()
            .map(|it| it.root.to_string())
            .unwrap_or_default();
        assert_eq!(shown, root, "{path}");
        assert_eq!(
            found.and_then(|it| it.action).unwrap_or_default(),
            action,
            "{path}"
        );
    }
}

#[test]
fn variants_are_split() {
    for (package, path, variant) in [
        ("fmt", "fmt", ""),
        (
            "example.com/m/lib [example.com/m/lib.test]",
            "example.com/m/lib",
            "example.com/m/lib.test",
        ),
        (
            "example.com/m/lib_test [example.com/m/lib.test]",
            "example.com/m/lib_test",
            "example.com/m/lib.test",
        ),
        ("x]", "x]", ""),
        ("", "", ""),
    ] {
        let (found, test) = split_variant(package.as_bytes());
        assert_eq!(
            (found, test.unwrap_or_default()),
            (path.as_bytes(), variant.as_bytes()),
            "{package}"
        );
    }
}

#[test]
fn paths_are_resolved_by_text() {
    for (path, cwd, expected) in [
        (
            "a.out",
            Some("/tmp/go-build1/b001/exe"),
            "/tmp/go-build1/b001/exe/a.out",
        ),
        ("./relbin", Some("/src"), "/src/relbin"),
        ("../x//y/", Some("/src/a/"), "/src/x/y"),
        ("/abs/./x", Some("/src"), "/abs/x"),
        ("../../../x", Some("/a"), "/x"),
        ("x/../..", None, ".."),
        ("../x", None, "../x"),
        (".", None, "."),
        ("/", None, "/"),
        ("", Some("/a"), "/a"),
    ] {
        assert_eq!(
            resolve(&path.into(), cwd.map(ByteString::from).as_ref()),
            expected,
            "{path} in {cwd:?}"
        );
    }
}

#[test]
fn a_name_before_two_dots_may_be_a_link() {
    for (path, cwd, expected) in [
        ("link/../x", "/src", "/src/link/../x"),
        ("/a/link/..//./x", "/src", "/a/link/../x"),
        ("link/../../x", "/src", "/src/link/../../x"),
        ("../x/y", "/src/a", "/src/x/y"),
        ("./../../../x", "/src/a", "/x"),
        ("/../x", "/src", "/x"),
    ] {
        assert_eq!(locate(&path.into(), Some(&cwd.into())), expected, "{path}");
    }
}

#[test]
fn cached_programs_are_recognised() {
    let hash = format!("05{}", "a".repeat(62));
    let check = |path: String| is_cached_program(path.as_bytes(), b"/c/go-build");
    assert!(check(format!("/c/go-build/05/{hash}-d/nm")));
    assert!(!check(format!("/c/go-build/06/{hash}-d/nm")));
    assert!(!check(format!("/c/go-build/05/{hash}-d")));
    assert!(!check(format!("/c/go-build/05/{hash}-d/x/y")));
    assert!(!check(format!("/c/go-build/05/{hash}-a/nm")));
    assert!(!check(format!("/d/go-build/05/{hash}-d/nm")));
}
