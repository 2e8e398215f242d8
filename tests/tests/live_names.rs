//! Names of builds and outputs, for each form of the command line, on each toolchain. Needs root.
#![cfg(test)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use tests::{Module, Toolchain, toolchains};
use tracer_core::history::Baseline;
use tracer_core::model::Build;

/// Directory, command, project, and project and package of each output with a target.
type Row = (
    &'static str,
    &'static str,
    Option<&'static str>,
    &'static [(Option<&'static str>, &'static str)],
);

const A: Option<&str> = Some("example.com/a");
const B: Option<&str> = Some("example.com/b");
const F: Option<&str> = Some("example.com/f");
const V: Option<&str> = Some("example.com/v");
const BIG: Option<&str> = Some("example.com/Big/tool");
const TOOL: &str = "example.com/Big/tool/cmd/x";

const ROWS: &[Row] = &[
    (
        "work",
        "go build -o ../bin/ ./a ./b/cmd/x",
        None,
        &[(A, "example.com/a"), (B, "example.com/b/cmd/x")],
    ),
    ("work", "go vet ./b/...", B, &[]),
    ("work/a", "go vet example.com/b/cmd/x", B, &[]),
    (
        "work",
        "go build -o ../bin/files b/cmd/x/main.go",
        B,
        &[(B, "example.com/b/cmd/x")],
    ),
    ("work/b", "GOWORK=off go vet ./...", B, &[]),
    (
        "modfile",
        "go build -modfile=other.mod ./lib",
        Some("example.com/other"),
        &[],
    ),
    (
        "modfile",
        "GOFLAGS=-modfile=../modfile/other.mod go build ./lib",
        Some("example.com/other"),
        &[],
    ),
    (
        "modfile",
        "GOFLAGS= GOENV=$PWD/env go build ./lib",
        Some("example.com/other"),
        &[],
    ),
    ("modfile", "go vet ./lib", Some("example.com/plain"), &[]),
    ("modfile", "go vet cmd/gofmt", None, &[]),
    (
        "files",
        "go build -o bin/gofmt cmd/gofmt",
        None,
        &[(None, "cmd/gofmt")],
    ),
    (
        "files",
        "go build -o bin/one cmd/one/main.go",
        F,
        &[(F, "example.com/f/cmd/one")],
    ),
    (
        "files",
        "go build -o bin/two cmd/two/main.go",
        F,
        &[(F, "example.com/f/cmd/two")],
    ),
    (
        "files",
        "go build -o bin/gen tools/gen.go tools/more.go",
        F,
        &[(F, "example.com/f/tools/gen.go")],
    ),
    // The second program overwrites the first.
    (
        "files",
        "go build -o bin/ ./same/a/x ./same/b/x",
        F,
        &[(F, "example.com/f/same/?/x")],
    ),
    (
        "files",
        "go run ./cmd/one",
        F,
        &[(F, "example.com/f/cmd/one")],
    ),
    (
        "files",
        "go install example.com/Big/tool/cmd/x@v1.2.3",
        BIG,
        &[(BIG, TOOL)],
    ),
    (
        "files",
        "go run example.com/Big/tool/cmd/x@v1.2.3",
        BIG,
        &[(BIG, TOOL)],
    ),
    // Since Go 1.24 the program comes from the build cache, and no tool runs.
    (
        "files",
        "go run example.com/Big/tool/cmd/x@v1.2.3",
        BIG,
        &[(BIG, TOOL)],
    ),
    (
        "vendored",
        "go build -mod=vendor -o bin/v .",
        V,
        &[(V, "example.com/v")],
    ),
    (
        "../gopath/src/example.com/g",
        "GO111MODULE=off go build -o g1 ./cmd/x",
        None,
        &[(None, "example.com/g/cmd/x")],
    ),
    (
        "../gopath/src/example.com/g",
        "GO111MODULE=off go build -o g2 cmd/x/main.go",
        None,
        &[(None, "example.com/g/cmd/x")],
    ),
    (
        "../gopath/src/example.com/g",
        "GO111MODULE=auto go build -o g3 cmd/x/main.go",
        None,
        &[(None, "example.com/g/cmd/x")],
    ),
];

const MAIN: &str = "package main\n\nfunc main() {}\n";

fn module(toolchain: &Toolchain) -> Module {
    let module = Module::copy("tiny");
    module.sandbox.make_warm(toolchain);
    for (path, text) in [
        ("work/go.work", "go 1.19\n\nuse (\n\t./a\n\t./b // too\n)\n"),
        ("work/a/go.mod", "module example.com/a\n\ngo 1.19\n"),
        ("work/a/main.go", MAIN),
        ("work/b/go.mod", "module example.com/b\n\ngo 1.19\n"),
        ("work/b/cmd/x/main.go", MAIN),
        ("modfile/go.mod", "module example.com/plain\n\ngo 1.19\n"),
        ("modfile/other.mod", "module example.com/other\n\ngo 1.19\n"),
        ("modfile/env", "GOFLAGS=-modfile=other.mod\n"),
        ("modfile/lib/l.go", "package lib\n"),
        ("files/go.mod", "module example.com/f\n\ngo 1.19\n"),
        ("files/cmd/one/main.go", MAIN),
        (
            "files/cmd/two/main.go",
            "package main\n\nfunc main() { println(2) }\n",
        ),
        ("files/tools/gen.go", MAIN),
        ("files/tools/more.go", "package main\n"),
        ("files/same/a/x/main.go", MAIN),
        ("files/same/b/x/main.go", MAIN),
        ("files/bin/keep", ""),
        (
            "vendored/go.mod",
            "module example.com/v\n\ngo 1.19\n\nrequire example.com/dep v1.0.0\n",
        ),
        (
            "vendored/main.go",
            "package main\n\nimport _ \"example.com/dep\"\n\nfunc main() {}\n",
        ),
        (
            "vendored/vendor/modules.txt",
            "# example.com/dep v1.0.0\n## explicit\nexample.com/dep\n",
        ),
        ("vendored/vendor/example.com/dep/d.go", "package dep\n"),
        ("../gopath/src/example.com/g/cmd/x/main.go", MAIN),
    ] {
        module.write(path, text);
    }
    publish(&module.dir().join("proxy"));
    module
}

/// Publishes a module with an unusual name, as a proxy serves it.
fn publish(proxy: &Path) {
    const MOD: &str = "module example.com/Big/tool\n\ngo 1.19\n";
    let dir = proxy.join("example.com/!big/tool/@v");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("v1.2.3.mod"), MOD).unwrap();
    fs::write(dir.join("v1.2.3.info"), "{\"Version\":\"v1.2.3\"}").unwrap();
    fs::write(dir.join("list"), "v1.2.3\n").unwrap();
    let file = |name: &str| format!("example.com/Big/tool@v1.2.3/{name}");
    let files = [(file("go.mod"), MOD), (file("cmd/x/main.go"), MAIN)];
    fs::write(dir.join("v1.2.3.zip"), zip(&files)).unwrap();
}

/// An archive of uncompressed files.
fn zip(files: &[(String, &str)]) -> Vec<u8> {
    let (mut bodies, mut directory) = (Vec::new(), Vec::new());
    for (name, text) in files {
        let len = u32::try_from(text.len()).unwrap().to_le_bytes();
        let mut fields = vec![20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
        fields.extend(crc32(text.as_bytes()).to_le_bytes());
        fields.extend(len.iter().chain(&len));
        fields.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        fields.extend([0; 2]);
        let at = u32::try_from(bodies.len()).unwrap();
        bodies.extend([b"PK\x03\x04", &fields[..], name.as_bytes(), text.as_bytes()].concat());
        directory.extend([b"PK\x01\x02\x14\x00", &fields[..], &[0; 10]].concat());
        directory.extend(at.to_le_bytes().iter().chain(name.as_bytes()));
    }
    let n = u16::try_from(files.len()).unwrap().to_le_bytes();
    let (size, at) = (directory.len(), bodies.len());
    let mut end = b"PK\x05\x06\0\0\0\0".to_vec();
    end.extend(n.iter().chain(&n));
    end.extend(u32::try_from(size).unwrap().to_le_bytes());
    end.extend(u32::try_from(at).unwrap().to_le_bytes());
    [bodies, directory, end, vec![0; 2]].concat()
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        let crc = crc ^ u32::from(*byte);
        (0..8).fold(crc, |it, _| (it >> 1) ^ (0xedb8_8320 * (it & 1)))
    };
    !bytes.iter().fold(u32::MAX, step)
}

#[test]
fn builds_and_outputs_are_named_after_the_built_packages() {
    let mut wrong = Vec::new();
    for toolchain in toolchains() {
        let module = module(&toolchain);
        let proxy = format!("file://{}", module.dir().join("proxy").display());
        let mut script = format!(
            "set -e; export GOPROXY={proxy} GOSUMDB=off GOFLAGS=-modcacherw GOBIN={}",
            module.dir().join("bin").display()
        );
        // The other rows are the same in the releases between these.
        let is_whole = matches!(toolchain.minor(), 19 | 27);
        let differs = |command: &str| command.contains('@') || command.contains("GO111MODULE");
        let rows = ROWS.iter().filter(|(_, it, ..)| is_whole || differs(it));
        let rows: Vec<&Row> = rows.collect();
        for (dir, command, _, _) in &rows {
            write!(script, "; (cd {dir} && {command})").unwrap();
        }
        fs::create_dir_all(module.dir().join("bin")).unwrap();
        let traced = module.trace(&toolchain, &["sh", "-c", &script]);
        traced.assert_success();
        let builds = &traced.trace.builds;
        assert_eq!(builds.len(), rows.len(), "{}: {script}", toolchain.version);
        let mut stages = builds.iter().flat_map(|it| &it.stages);
        let has_download = stages.any(|it| it.name == "download" && it.end.is_some());
        assert!(has_download, "{}", toolchain.version);
        for (build, (_, command, project, targets)) in builds.iter().zip(rows) {
            let found = build.outputs.iter().filter_map(|it| target(build, it));
            let found: BTreeSet<_> = found.collect();
            let expected = targets.iter().map(|(project, package)| {
                let project = project.map(ToOwned::to_owned);
                (project, (*package).to_owned())
            });
            let expected = (project.map(ToOwned::to_owned), expected.collect());
            let found = (build.module.clone(), found);
            if found != expected {
                wrong.push(format!("{} {command}: {found:?}", toolchain.version));
            }
        }
    }
    assert_eq!(wrong, [""; 0]);
}

/// Project and package of an output with a target.
fn target(build: &Build, output: &tracer_core::model::Output) -> Option<(Option<String>, String)> {
    let Baseline {
        project, package, ..
    } = Baseline::of(build, output)?;
    let artifact = output.artifact.as_ref();
    let stamped = artifact.and_then(|it| it.main_package.as_ref());
    assert!(stamped.is_none_or(|it| *it == package || it == "command-line-arguments"));
    let package = package.replace("/same/a/", "/same/?/");
    Some((project, package.replace("/same/b/", "/same/?/")))
}
