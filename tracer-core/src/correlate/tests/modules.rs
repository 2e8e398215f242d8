//! The modules of the sources that tools read.

use super::*;
use crate::event::WorkspaceModule;

const COMPILE: &str = "/go/pkg/tool/linux_amd64/compile -o /tmp/go-build1/b001/_pkg_.a";

/// The module that the only call of a build gets, as `KIND PATH VERSION`. The words are its variables, program and arguments; `~` is a
/// blank inside a variable.
fn module(words: &str, settle: impl Fn(&mut Settings)) -> String {
    let text = format!(
        "0 exec 100 /go/bin/go build
         1 settings 100
         2 fork 100 101
         3 exec 101 GOROOT=/go GOMODCACHE=/cache {words}
         4 exit 101 0
         5 exit 100 0"
    );
    let mut all = events(&text);
    for event in &mut all {
        if let Event::Settings(settings) = event {
            settle(settings);
        }
        if let Event::Exec(exec) = event
            && let Captured::Whole(env) = &mut exec.env
        {
            for (_, value) in env {
                *value = value.to_str().replace('~', " ").as_str().into();
            }
        }
    }
    let build = replay(all).0.builds.remove(0);
    let [call] = build.calls.as_slice() else {
        panic!("{words}: {:?}", build.calls)
    };
    call.module.as_ref().map_or("-".to_owned(), |it| {
        let path = it.path.as_deref().unwrap_or("-");
        let version = it.version.as_deref().unwrap_or("-");
        format!("{:?} {path} {version}", it.kind)
    })
}

fn in_src(settings: &mut Settings) {
    settings.module_dir = Some("/src".into());
}

/// The module of a compiled package with one source.
fn compiled(package: &str, source: &str, settle: impl Fn(&mut Settings)) -> String {
    module(
        &format!("TOOLEXEC_IMPORTPATH={package} {COMPILE} {source}"),
        settle,
    )
}

#[test]
fn the_place_of_a_source_shows_its_module() {
    for (package, source, expected) in [
        ("fmt", "/go/src/fmt/print.go", "Standard std -"),
        (
            "vendor/golang.org/x/net/idna",
            "/go/src/vendor/golang.org/x/net/idna/idna.go",
            "Standard std -",
        ),
        ("cmd/gofmt", "/go/src/cmd/gofmt/gofmt.go", "Standard cmd -"),
        (
            "example.com/Big/x",
            "/cache/example.com/!big@v1.2.0-!r!c1/x/x.go",
            "Dependency example.com/Big v1.2.0-RC1",
        ),
        (
            "golang.org/x/net/html",
            "/src/vendor/golang.org/x/net/html/parse.go",
            "Vendored - -",
        ),
        (
            "example.com/hello",
            "/src/main.go",
            "Main example.com/hello -",
        ),
        (
            "example.com/hello/a/b",
            "./a/b/b.go",
            "Main example.com/hello -",
        ),
        (
            "example.com/hello/a~[example.com/hello/a.test]",
            "/src/a/a_test.go",
            "Main example.com/hello -",
        ),
        (
            "example.com/hello/a_test~[example.com/hello/a.test]",
            "/src/a/x_test.go",
            "Main example.com/hello -",
        ),
        (
            "command-line-arguments",
            "/src/tools/gen.go",
            "Main example.com/hello -",
        ),
    ] {
        assert_eq!(compiled(package, source, in_src), expected, "{source}");
    }
}

#[test]
fn no_module_is_guessed() {
    for (package, source) in [
        // Modules that are not known, below the main module and beside it.
        ("example.com/more", "/src/more/more.go"),
        ("example.com/hello/more", "/elsewhere/more/more.go"),
        ("example.com/helloworld", "/src/helloworld/x.go"),
        // Generated sources only.
        ("example.com/hello/a", "/tmp/go-build1/b001/_cgo_gotypes.go"),
        ("example.com/hello.test", "/tmp/go-build1/b001/_testmain.go"),
        // A directory that is only called `vendor`.
        ("golang.org/x/net/html", "/src/vendor/html/parse.go"),
        ("command-line-arguments", "/elsewhere/gen.go"),
        ("main", "/src/main.go"),
    ] {
        assert_eq!(compiled(package, source, in_src), "-", "{source}");
    }
    let query = module(
        "TOOLEXEC_IMPORTPATH=fmt /go/pkg/tool/linux_amd64/compile -V=full /go/src/fmt/print.go",
        in_src,
    );
    assert_eq!(query, "-");
}

#[test]
fn a_source_outside_of_the_work_directory_decides() {
    let source = "/src/a/a.go /tmp/go-build1/b001/_cgo_gotypes.go /tmp/go-build1/b001/x.cgo1.go";
    let main = "Main example.com/hello -";
    assert_eq!(compiled("example.com/hello/a", source, in_src), main);
    // An overlay.
    let source = "/src/a/a.go /tmp/overlay/b.go";
    assert_eq!(compiled("example.com/hello/a", source, in_src), main);
    let cgo = "/go/pkg/tool/linux_amd64/cgo -objdir /tmp/go-build1/b001/ -- -I /x a.go";
    let words = format!("TOOLEXEC_IMPORTPATH=example.com/hello {cgo}");
    assert_eq!(module(&words, in_src), main);
    // The flag of the standard library.
    let source = "-std /tmp/go-build1/b001/_cgo_gotypes.go";
    assert_eq!(compiled("runtime/cgo", source, in_src), "Standard std -");
}

#[test]
fn trimpath_names_the_module_of_any_directory() {
    for (package, trimmed, source, expected) in [
        (
            "golang.org/x/net/html",
            "/src/vendor/golang.org/x/net/html=>golang.org/x/net@v0.55.0/html",
            "/src/vendor/golang.org/x/net/html/parse.go",
            "Vendored golang.org/x/net v0.55.0",
        ),
        (
            "gopkg.in/yaml.v3",
            "/src/vendor/gopkg.in/yaml.v3=>gopkg.in/yaml.v3@v3.0.1",
            "/src/vendor/gopkg.in/yaml.v3/yaml.go",
            "Vendored gopkg.in/yaml.v3 v3.0.1",
        ),
        // A nested module in place of a version.
        (
            "example.com/hello/api/x",
            "/src/api/x=>example.com/hello/api@v0.0.0/x",
            "/src/api/x/x.go",
            "Replaced example.com/hello/api v0.0.0",
        ),
        (
            "example.com/hello/a",
            "/src/a=>example.com/hello/a",
            "/src/a/a.go",
            "Main example.com/hello -",
        ),
        // Only generated sources.
        (
            "example.com/hello/a",
            "/src/a=>example.com/hello/a",
            "/tmp/go-build1/b001/_cgo_gotypes.go",
            "Main example.com/hello -",
        ),
        // A name that does not fit the package.
        (
            "example.com/more/x",
            "/src/more/x=>example.com/other@v1/x",
            "/src/more/x/x.go",
            "-",
        ),
    ] {
        let source = format!("-trimpath {trimmed};/tmp/go-build1/b001=> {source}");
        assert_eq!(compiled(package, &source, in_src), expected, "{source}");
    }
}

#[test]
fn the_nearest_module_of_a_workspace_decides() {
    let workspace = |settings: &mut Settings| {
        settings.workspace = [("example.com/a", "/src"), ("example.com/a/b", "/src/b")]
            .map(|(path, dir)| WorkspaceModule {
                path: path.to_owned(),
                dir: dir.into(),
            })
            .into();
    };
    for (package, source, expected) in [
        ("example.com/a/x", "/src/x/x.go", "Main example.com/a -"),
        (
            "example.com/a/b/x",
            "/src/b/x/x.go",
            "Main example.com/a/b -",
        ),
    ] {
        assert_eq!(compiled(package, source, workspace), expected, "{source}");
    }
}

#[test]
fn a_replaced_module_is_no_part_of_the_main_module() {
    let replaced = |settings: &mut Settings| {
        in_src(settings);
        settings.replaced = [
            ("example.com/hello/api", "/src/api"),
            ("example.com/more", "/elsewhere/more"),
        ]
        .map(|(path, dir)| WorkspaceModule {
            path: path.to_owned(),
            dir: dir.into(),
        })
        .into();
    };
    for (package, source, expected) in [
        (
            "example.com/hello/api/x",
            "/src/api/x/x.go",
            "Replaced example.com/hello/api -",
        ),
        (
            "example.com/more",
            "/elsewhere/more/x.go",
            "Replaced example.com/more -",
        ),
        (
            "example.com/hello/a",
            "/src/a/a.go",
            "Main example.com/hello -",
        ),
    ] {
        assert_eq!(compiled(package, source, replaced), expected, "{source}");
    }
}

#[test]
fn older_recordings_have_no_directory_of_the_module() {
    let unknown = |_: &mut Settings| {};
    assert_eq!(
        compiled("example.com/hello/a", "/src/a/a.go", unknown),
        "Main example.com/hello -"
    );
    assert_eq!(compiled("example.com/hello/a", "/src/b/a.go", unknown), "-");
    assert_eq!(
        compiled("command-line-arguments", "/src/b/a.go", unknown),
        "-"
    );
}
