//! Commands other than `go build`, failed builds, and Go below other processes.
#![cfg(test)]

use std::os::unix::fs::symlink;
use std::process::Command;

use tests::{Module, Traced, toolchain, toolchains, with_each_toolchain};
use tracer_core::event::Status;
use tracer_core::model::{Build, CallKind, FailureClass, Installed, Outcome};

/// Kinds of the tool runs that did work.
fn kinds(build: &Build) -> Vec<CallKind> {
    let mut kinds: Vec<CallKind> = build
        .calls
        .iter()
        .filter(|it| !it.is_query)
        .map(|it| it.kind)
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

fn modes(build: &Build) -> Vec<&str> {
    let mut modes: Vec<&str> = build.actions.iter().map(|it| it.mode.as_str()).collect();
    modes.sort_unstable();
    modes.dedup();
    modes
}

fn failure(traced: &Traced) -> (FailureClass, Option<String>) {
    let failure = traced.build().failure.clone().expect("a failure");
    (failure.class, failure.package.map(|it| it.to_string()))
}

#[test]
fn go_test_compiles_and_runs_variants_and_their_time_is_separate() {
    with_each_toolchain("cmds", |toolchain, module| {
        let traced = module.trace(toolchain, &["go", "test", "./lib"]);
        traced.assert_success().assert_complete();
        let build = traced.build();
        assert_eq!(build.command.name, "test");
        let packages: Vec<String> = build
            .calls
            .iter()
            .filter(|it| it.kind == CallKind::Compile && !it.is_query)
            .filter_map(|it| it.package.as_ref())
            .map(ToString::to_string)
            .collect();
        assert!(
            packages.contains(&"example.com/cmds/lib_test [example.com/cmds/lib.test]".to_owned()),
            "{packages:?}"
        );
        assert!(
            packages.contains(&"example.com/cmds/lib.test".to_owned()),
            "{packages:?}"
        );
        assert!(
            kinds(build).contains(&CallKind::Test) && kinds(build).contains(&CallKind::Link),
            "{:?}",
            kinds(build)
        );
        assert!(modes(build).contains(&"test run"), "{:?}", modes(build));
        assert!(
            build
                .outputs
                .iter()
                .all(|it| it.how == Installed::Temporary),
            "{:?}",
            build.outputs
        );

        let again = module.trace(toolchain, &["go", "test", "./lib"]);
        again.assert_success().assert_complete();
        assert!(
            !kinds(again.build()).contains(&CallKind::Test),
            "a cached result runs nothing"
        );
    });
}

#[test]
fn go_vet_is_reported_as_vet() {
    with_each_toolchain("cmds", |toolchain, module| {
        let traced = module.trace(toolchain, &["go", "vet", "./..."]);
        traced.assert_success().assert_complete();
        assert_eq!(traced.build().command.name, "vet");
        assert!(kinds(traced.build()).contains(&CallKind::Vet));
        let vetted = traced
            .build()
            .actions
            .iter()
            .find(|it| it.mode == "vet" && it.package == Some("example.com/cmds/lib".into()));
        assert_eq!(vetted.map(|it| it.outcome), Some(Outcome::Executed));
    });
}

#[test]
fn go_run_inside_go_generate_is_a_build_inside_a_build() {
    with_each_toolchain("generate", |toolchain, module| {
        let traced = module.trace(toolchain, &["go", "generate", "./..."]);
        traced.assert_success().assert_complete();
        let outer = traced.named("generate");
        let inner = traced.named("run");
        assert_eq!(inner.parent, Some(outer.process));
        assert_eq!(outer.parent, None);
        assert!(
            kinds(inner).contains(&CallKind::Program),
            "{:?}",
            kinds(inner)
        );
        assert!(
            outer.calls.iter().all(|it| it.is_query),
            "the outer build contains calls of the inner build: {:?}",
            outer.calls
        );
    });
}

#[test]
fn cgo_and_the_c_compiler_belong_to_their_package() {
    with_each_toolchain("cgo", |toolchain, module| {
        let traced = module.trace(toolchain, &["go", "build", "-o", "/dev/null", "."]);
        traced.assert_success().assert_complete();
        let build = traced.build();
        let of = |kind: CallKind| {
            build
                .calls
                .iter()
                .filter(|it| it.kind == kind && it.package == Some("example.com/cgo".into()))
                .count()
        };
        assert!(of(CallKind::Cgo) >= 1, "{:?}", build.calls);
        assert!(of(CallKind::Cc) >= 1, "{:?}", build.calls);
        assert!(of(CallKind::Ld) >= 1, "external linking: {:?}", build.calls);
        assert!(
            build.actions.iter().all(|it| it.outcome != Outcome::Failed),
            "cgo's trials are no failures"
        );
        let link = build
            .actions
            .iter()
            .find(|it| it.mode == "link")
            .expect("a link action");
        assert!(
            link.calls
                .iter()
                .any(|it| build.calls[*it as usize].kind == CallKind::Ld),
            "ld belongs to the link"
        );
    });
}

#[test]
fn failures_are_classified_by_the_failed_tool() {
    for toolchain in toolchains() {
        let check = |name: &str, args: &[&str]| {
            let module = Module::copy(name);
            module.sandbox.make_warm(&toolchain);
            let traced = module.trace(&toolchain, &[&["go"], args].concat());
            assert!(!traced.output.status.success());
            let code = traced
                .output
                .status
                .code()
                .map(|it| Status::Code(u8::try_from(it).unwrap()));
            assert_eq!(traced.trace.status, code, "the command's exit is passed on");
            traced.assert_complete();
            failure(&traced)
        };
        let broken = Some("example.com/broken".to_owned());
        assert_eq!(
            check("broken", &["build", "./..."]),
            (FailureClass::Compile, broken),
            "{}",
            toolchain.version
        );
        let linkerr = Some("example.com/linkerr".to_owned());
        assert_eq!(
            check("linkerr", &["build"]),
            (FailureClass::Link, linkerr),
            "{}",
            toolchain.version
        );
        assert_eq!(
            check("hello", &["build", "./nowhere"]),
            (FailureClass::Load, None),
            "{}",
            toolchain.version
        );
        assert_eq!(
            check("hello", &["build", "-nosuchflag"]),
            (FailureClass::Unknown, None),
            "{}",
            toolchain.version
        );
    }
}

#[test]
fn a_failing_test_is_a_test_failure() {
    with_each_toolchain("cmds", |toolchain, module| {
        module.write("lib/fail_test.go", "package lib\n\nimport \"testing\"\n\nfunc TestFail(t *testing.T) { t.Fatal(\"no\") }\n");
        let traced = module.trace(toolchain, &["go", "test", "./lib"]);
        assert_eq!(failure(&traced).0, FailureClass::Test);
    });
}

#[test]
fn a_toolchain_switch_is_one_build_by_the_second_toolchain() {
    let (old, new) = (toolchain("1.21"), toolchain("1.24"));
    let module = Module::copy("hello");
    module.sandbox.make_warm(&new);
    let bin = module.sandbox.path().join("switch");
    std::fs::create_dir(&bin).expect("a directory");
    let name = format!("go{}", new.version);
    symlink(&new.go, bin.join(&name)).expect("a link");
    let path = format!(
        "{}:{}:/usr/bin:/bin",
        old.go.parent().unwrap().display(),
        bin.display()
    );
    let wanted = format!("{name}+path");
    let output = module.sandbox.out().join("hello");
    let env = [("PATH", path.as_str()), ("GOTOOLCHAIN", wanted.as_str())];
    let traced = module.trace_with(
        &old,
        &env,
        &["go", "build", "-o", output.to_str().unwrap(), "."],
    );
    traced.assert_success().assert_complete();
    let build = traced.build();
    assert_eq!(build.toolchain.version, Some(name.clone()));
    assert_eq!(
        build.toolchain.switched_from,
        Some(format!("go{}", old.version))
    );
    assert_eq!(
        build.outputs[0]
            .artifact
            .as_ref()
            .and_then(|it| it.go_version.clone()),
        Some(name)
    );
}

#[test]
fn tools_without_a_go_command_are_a_build() {
    with_each_toolchain("wasm", |toolchain, module| {
        // `go list -export` builds the standard library; the tools then run as in a build system.
        let std = module.run_go(
            toolchain,
            &[
                "list",
                "-export",
                "-deps",
                "-f",
                "packagefile {{.ImportPath}}={{.Export}}",
                ".",
            ],
        );
        let lines: String = String::from_utf8_lossy(&std.stdout)
            .lines()
            .filter(|it| !it.contains("example.com") && !it.ends_with('='))
            .fold(String::new(), |text, line| text + line + "\n");
        module.write("importcfg", &lines);
        module.write("build.sh", &format!(
            "set -e\n{} -p main -importcfg importcfg -o main.a main.go\n{} -importcfg importcfg -o app main.a\n",
            toolchain.tool("compile").display(),
            toolchain.tool("link").display(),
        ));
        let traced = module.trace(toolchain, &["sh", "build.sh"]);
        traced.assert_success().assert_complete();
        let build = traced.build();
        assert_eq!(build.command.name, "tools");
        assert_eq!(kinds(build), [CallKind::Compile, CallKind::Link]);
        let outputs = tests::traced::paths(&build.outputs);
        let expected = [module.dir().join("app"), module.dir().join("main.a")]
            .map(|it| it.to_string_lossy().into_owned());
        assert_eq!(outputs, expected);
        assert!(build.outputs.iter().all(|it| it.how == Installed::Direct));
        assert!(build.calls.iter().all(|it| !it.phases.is_empty()));
    });
}

#[test]
fn parallel_builds_under_make_stay_separate() {
    let toolchain = toolchain("1.27");
    let module = Module::copy("cmds");
    module.sandbox.make_warm(&toolchain);
    module.write(
        "Makefile",
        "all: one two three\none two three:\n\tgo build -o $@.bin ./cmd/$@\n.PHONY: all one two three\n",
    );
    let traced = module.trace(&toolchain, &["make", "-j3", "all"]);
    traced.assert_success().assert_complete();
    assert_eq!(traced.trace.builds.len(), 3);
    for build in &traced.trace.builds {
        assert_eq!(build.outputs.len(), 1, "{:?}", build.outputs);
        let name = build.outputs[0].path.to_string();
        let package = build.outputs[0]
            .package
            .clone()
            .expect("a package")
            .to_string();
        let stem = name
            .rsplit('/')
            .next()
            .and_then(|it| it.strip_suffix(".bin"))
            .expect("a name");
        assert!(package.ends_with(stem), "{name} is made from {package}");
        assert!(
            build
                .calls
                .iter()
                .any(|it| it.kind == CallKind::Link && !it.is_query)
        );
    }
}

#[test]
fn a_wrapper_around_the_tools_hides_nothing() {
    let toolchain = toolchain("1.24");
    let module = Module::copy("hello");
    module.sandbox.make_warm(&toolchain);
    module.write("wrap.sh", "#!/bin/sh\nexec \"$@\"\n");
    let wrapper = module.dir().join("wrap.sh");
    let chmod = Command::new("chmod")
        .arg("+x")
        .arg(&wrapper)
        .status()
        .expect("chmod runs");
    assert!(chmod.success());
    let traced = module.trace(
        &toolchain,
        &[
            "go",
            "build",
            &format!("-toolexec={}", wrapper.display()),
            "-o",
            "/dev/null",
            ".",
        ],
    );
    traced.assert_success().assert_complete();
    let link = traced
        .build()
        .calls
        .iter()
        .find(|it| it.kind == CallKind::Link && !it.is_query)
        .expect("a link");
    assert!(link.phases.len() > 30);
}

#[test]
fn a_killed_or_interrupted_build_is_reported_as_such() {
    let toolchain = toolchain("1.27");
    for (signal, class, number) in [
        ("INT", FailureClass::Interrupted, 2),
        ("KILL", FailureClass::Killed, 9),
    ] {
        let module = Module::copy("hello");
        // The cache is cold, so that the build still runs when the signal arrives: the script waits until a compiler runs. A shell
        // without a terminal starts background jobs with SIGINT ignored; `env` undoes that.
        let script = format!(
            "env --default-signal=INT go build -o hello . & pid=$!; until grep -qs compile /proc/[0-9]*/comm; do :; done; kill -{signal} $pid; wait $pid"
        );
        let traced = module.trace(&toolchain, &["sh", "-c", &script]);
        let build = traced.named("build");
        assert_eq!(build.status, Some(Status::Signal(number)), "{signal}");
        assert_eq!(build.failure.as_ref().map(|it| it.class), Some(class));
        assert_eq!(build.outputs, []);
    }
}
