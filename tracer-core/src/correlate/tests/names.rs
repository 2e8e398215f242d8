//! The names of builds and their outputs.

use super::*;
use crate::event::WorkspaceModule;
use crate::history::Baseline;

/// The resulting build.
fn build_of(text: &str, settle: impl Fn(&mut Settings)) -> Build {
    let mut all = events(text);
    for event in &mut all {
        if let Event::Settings(settings) = event {
            settle(settings);
        }
    }
    replay(all).0.builds.remove(0)
}

/// A workspace with one module inside another and one beside them; the working directory is in the first.
fn workspace(settings: &mut Settings) {
    settings.workspace = [
        ("example.com/a", "/src"),
        ("example.com/a/b", "/src/b"),
        ("example.com/c", "/other"),
    ]
    .map(|(path, dir)| WorkspaceModule {
        path: path.to_owned(),
        dir: dir.into(),
    })
    .into();
}

#[test]
fn files_on_the_command_line_are_named_by_their_path() {
    let made = |env: &str, files: &str, settle: fn(&mut Settings)| {
        let text = format!(
            "0 exec 100 {env} /go/bin/go build -o x {files}
             1 settings 100
             2 span 100 1 Executing action (link-install command-line-arguments)
             3 fork 100 101
             4 exec 101 GOPATH=/gp:/src/gp /go/pkg/tool/linux_amd64/link -o /tmp/go-build1/b001/exe/a.out
             5 exit 101 0
             6 install 100 1 x /tmp/go-build1/b001/exe/a.out
             7 rename 100 0 /tmp/go-build1/b001/exe/a.out x
             8 done 100 1
             9 exit 100 0"
        );
        let build = build_of(&text, settle);
        build.outputs[0].package.clone().unwrap()
    };
    let module = |settings: &mut Settings| settings.module_dir = Some("/src".into());
    for (files, expected) in [
        ("cmd/one/main.go", "example.com/hello/cmd/one"),
        ("cmd/two/main.go", "example.com/hello/cmd/two"),
        ("main.go", "example.com/hello"),
        (
            "cmd/one/app.go cmd/one/main.go",
            "example.com/hello/cmd/one",
        ),
        ("tools/a.go", "example.com/hello/tools/a.go"),
        ("tools/a.go tools/common.go", "example.com/hello/tools/a.go"),
        ("/elsewhere/main.go", "/elsewhere"),
        ("/srcs/main.go", "/srcs"),
    ] {
        assert_eq!(made("A=1", files, module), expected, "{files}");
    }
    for (files, expected) in [
        ("cmd/one/main.go", "example.com/a/cmd/one"),
        ("b/cmd/main.go", "example.com/a/b/cmd"),
        ("/other/main.go", "example.com/c"),
        ("/elsewhere/main.go", "/elsewhere"),
    ] {
        assert_eq!(made("A=1", files, workspace), expected, "{files}");
    }
    for (files, expected) in [
        ("gp/src/example.com/x/main.go", "example.com/x"),
        ("/gp/src/x/a.go", "x/a.go"),
        ("main.go", "/src"),
    ] {
        assert_eq!(made("GO111MODULE=off", files, module), expected, "{files}");
        let neither = |_: &mut Settings| {};
        assert_eq!(
            made("GO111MODULE=auto", files, neither),
            expected,
            "{files}"
        );
    }
    // A workspace turns modules on.
    assert_eq!(
        made("GO111MODULE=auto", "x.go", workspace),
        "example.com/a/x.go"
    );
    assert_eq!(
        made("GO111MODULE=auto", "/gp/src/x/a.go", workspace),
        "/gp/src/x/a.go"
    );
}

#[test]
fn a_workspace_identifies_the_module_of_a_package() {
    let module = |command: &str| {
        let text = format!("0 exec 100 /go/bin/go {command}\n1 settings 100\n2 exit 100 0");
        build_of(&text, workspace).module
    };
    for (command, expected) in [
        ("vet", Some("example.com/a")),
        ("vet ./...", Some("example.com/a")),
        ("vet ./b/...", Some("example.com/a/b")),
        ("test ./b ./b/x", Some("example.com/a/b")),
        ("test ./bb", Some("example.com/a")),
        ("build ../other/x", Some("example.com/c")),
        ("build /other", Some("example.com/c")),
        ("build example.com/a/b/x", Some("example.com/a/b")),
        ("build example.com/a/bb", Some("example.com/a")),
        ("build example.com/c/...", Some("example.com/c")),
        ("run b/main.go", Some("example.com/a/b")),
        // Packages of several modules, and of none.
        ("vet ./... ../other", None),
        ("vet fmt", None),
    ] {
        assert_eq!(module(command).as_deref(), expected, "{command}");
    }
}

#[test]
fn a_version_on_the_command_line_belongs_to_the_module_of_the_package() {
    const RUN: &str = "0 exec 100 /go/bin/go run example.com/!t@v1
         1 settings 100
         2 fork 100 101
         3 exec 101 TOOLEXEC_IMPORTPATH=example.com/T/cmd GOMODCACHE=/mod /go/pkg/tool/linux_amd64/compile -o /tmp/go-build1/b001/_pkg_.a -p main /mod/example.com/!t@v1.2.3/cmd/main.go
         4 exit 101 0
         5 fork 100 102
         6 exec 102 TOOLEXEC_IMPORTPATH=example.com/T/cmd /go/pkg/tool/linux_amd64/link -o /tmp/go-build1/b001/exe/cmd -importcfg /tmp/go-build1/b001/importcfg.link
         7 exit 102 0
         9 fork 100 103
         10 exec 103 /tmp/go-build1/b001/exe/cmd
         11 exit 103 0
         12 exit 100 0";
    let run = |package: &str| RUN.replace("example.com/!t@v1\n", &format!("{package}\n"));
    let nothing = |_: &mut Settings| {};
    // By the place that it was compiled from.
    for (package, expected) in [
        ("example.com/T/cmd@latest", Some("example.com/T")),
        ("example.com/T/...@v1", Some("example.com/T")),
        ("example.com/other@v1", None),
        ("./cmd", Some("example.com/hello")),
    ] {
        let build = build_of(&run(package), nothing);
        assert_eq!(build.module.as_deref(), expected, "{package}");
    }
    // By the linker's configuration, which is read while it exists.
    let (_, effects) = replay(events(&run("example.com/T/cmd@latest")));
    let asked = |effect: &Effect| {
        let Effect::ReadBuildInfo { process, path, uid } = effect else {
            return None;
        };
        Some((process.tgid.0, path.to_string(), *uid))
    };
    let questions: Vec<_> = effects.iter().filter_map(asked).collect();
    let config = "/tmp/go-build1/b001/importcfg.link".to_owned();
    assert_eq!(questions, [(102, config, 1000)]);
    let text = run("example.com/T/cmd@latest").replace(
        "12 exit",
        "11 buildinfo 102 /tmp/go-build1/b001/importcfg.link example.com/T/x/cmd example.com/T/x\n12 exit",
    );
    let build = build_of(&text, nothing);
    assert_eq!(build.module.as_deref(), Some("example.com/T/x"));
    let baseline = Baseline::of(&build, &build.outputs[0]).unwrap();
    assert_eq!(baseline.package, "example.com/T/x/cmd");
    assert_eq!(baseline.project.as_deref(), Some("example.com/T/x"));
}

#[test]
fn the_build_info_of_a_program_from_the_cache_is_read() {
    let program = format!("/cache/05/05{}-d/cmd", "0".repeat(62));
    let text = format!(
        "0 exec 100 GOCACHE=/cache /go/bin/go run -exec=/w example.com/t@v1
         1 settings 100
         2 fork 100 101
         3 exec 101 /w {program}
         4 buildinfo 101 {program} example.com/t example.com/t
         5 exit 101 0
         6 exit 100 0"
    );
    let (trace, effects) = replay(events(&text));
    let asked = |it: &Effect| matches!(it, Effect::ReadBuildInfo { path, .. } if path.to_string() == program);
    assert_eq!(effects.iter().filter(|it| asked(it)).count(), 1);
    assert_eq!(trace.builds[0].module.as_deref(), Some("example.com/t"));
    let output = &trace.builds[0].outputs[0];
    assert_eq!(output.package, Some("example.com/t".into()));
}

#[test]
fn outputs_of_several_modules_name_their_own_module() {
    let text = "0 exec 100 /go/bin/go install ./a ./b
         1 settings 100
         2 install 100 1 /bin/a /tmp/go-build1/b001/exe/a.out
         3 rename 100 0 /tmp/go-build1/b001/exe/a.out /bin/a
         4 install 100 2 /bin/b /tmp/go-build1/b002/exe/a.out
         5 rename 100 0 /tmp/go-build1/b002/exe/a.out /bin/b
         6 exit 100 0";
    let mut all = events(text);
    for name in ["a", "b"] {
        all.push(Event::Inspected(Inspected {
            at: Ktime(7),
            process: ProcKey {
                tgid: Tgid(100),
                born: Ktime(0),
            },
            path: format!("/bin/{name}").as_str().into(),
            result: Ok(Artifact {
                main_package: Some(format!("example.com/{name}")),
                main_module: Some(format!("example.com/{name}")),
                ..Artifact::default()
            }),
        }));
    }
    let (trace, _) = replay(all);
    let build = &trace.builds[0];
    assert_eq!(build.module, None);
    let projects = build.outputs.iter().map(|it| {
        let baseline = Baseline::of(build, it).unwrap();
        (baseline.project.unwrap(), baseline.package)
    });
    let expected = ["example.com/a", "example.com/b"].map(|it| (it.to_owned(), it.to_owned()));
    assert_eq!(projects.collect::<Vec<_>>(), expected);
}
