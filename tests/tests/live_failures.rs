//! Causes of failed builds, for each way to fail, each toolchain and each wrapper. Class and package equal those in Go's own
//! messages. Needs root.
#![cfg(test)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use tests::{MemoryLimit, Module, Toolchain, Traced, toolchain, toolchains};
use tracer_core::model::{FailureClass, Installed, Killer};

/// Wrappers between the `go` command and the programs it runs. `{}` is replaced by the module's directory.
const WRAPPERS: [&str; 5] = ["", "{}/above", "{}/become", "env", "nice -n 1"];

/// The wrappers for one of `toolchains()`, by its index. A wrapper stands between processes, so no release changes it. The oldest
/// and the newest release run under every wrapper, each other release under one of them, in turn.
fn wrappers(index: usize) -> Vec<&'static str> {
    if index == 0 || index + 1 == toolchains().len() {
        WRAPPERS.to_vec()
    } else {
        vec![WRAPPERS[0], WRAPPERS[1 + index % (WRAPPERS.len() - 1)]]
    }
}

/// A module with every way to fail, each in its own package.
fn module(toolchain: &Toolchain) -> Module {
    let module = Module::copy("tiny");
    module.sandbox.make_warm(toolchain);
    for (path, text) in [
        ("go.mod", "module example.com/m\n\ngo 1.19\n"),
        ("main.go", "package main\n\nfunc main() {}\n"),
        ("compile/c.go", "package compile\n\nvar A int = \"no\"\n"),
        ("assemble/a.go", "package assemble\n\nfunc A()\n"),
        (
            "assemble/a.s",
            "#include \"textflag.h\"\n\nTEXT \u{b7}A(SB),NOSPLIT,$0\n\tNOSUCH AX\n",
        ),
        (
            "cgo/c.go",
            "package cgo\n\n// int f(void);\nimport \"C\"\n\nfunc A() { C.g() }\n",
        ),
        (
            "native/n.go",
            "package native\n\n// int f(void);\nimport \"C\"\n\nfunc A() { C.f() }\n",
        ),
        ("native/f.c", "int f(void) { return nowhere; }\n"),
        (
            "cmd/link/main.go",
            "package main\n\nfunc nowhere()\n\nfunc main() { nowhere() }\n",
        ),
        ("cmd/link/empty.s", ""),
        (
            "vet/v.go",
            "package vet\n\nimport \"fmt\"\n\nfunc A() { fmt.Printf(\"%d\\n\", \"x\") }\n",
        ),
        ("test/t.go", "package test\n"),
        (
            "test/t_test.go",
            "package test\n\nimport \"testing\"\n\nfunc TestA(t *testing.T) { t.Fatal(\"no\") }\n",
        ),
        (
            "crash/main.go",
            "package main\n\nfunc main() { panic(\"no\") }\n",
        ),
        ("generate/g.go", "package generate\n\n//go:generate false\n"),
        (
            "describe/g.go",
            "package describe\n\n//go:generate git no-such-command\n",
        ),
        (
            "nested/g.go",
            "package nested\n\n//go:generate go run ../crash\n",
        ),
        (
            "wait/w_test.go",
            "package wait\n\nimport (\n\t\"testing\"\n\t\"time\"\n)\n\nfunc TestA(t *testing.T) { time.Sleep(time.Minute) }\n",
        ),
        (
            "waits/main.go",
            "package main\n\nimport \"time\"\n\nfunc main() { time.Sleep(time.Minute) }\n",
        ),
        ("cmd/directory/main.go", "package main\n\nfunc main() {}\n"),
        (
            "cmd/unloadable/main.go",
            "package main\n\nimport _ \"example.com/m/nowhere\"\n\nfunc main() {}\n",
        ),
        ("unparsable/u.go", "package\n"),
        ("notes", "my notes\n"),
        ("above", "#!/bin/sh\n\"$@\"\n"),
        ("become", "#!/bin/sh\nexec \"$@\"\n"),
        ("cc", "#!/bin/sh\ngcc \"$@\"\nexit $?\n"),
        (
            "no",
            "#!/bin/sh\ncase \"$*\" in *-V=full*) exec \"$@\" ;; esac\nexit 3\n",
        ),
    ] {
        module.write(path, text);
    }
    for program in ["above", "become", "cc", "no"] {
        let path = module.dir().join(program);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    module
}

/// Runs a command; returns class and package of its failure.
fn failure(
    module: &Module,
    toolchain: &Toolchain,
    command: &[&str],
) -> (FailureClass, Option<String>) {
    let traced = module.trace(toolchain, command);
    class(&traced, toolchain, command)
}

fn class(
    traced: &Traced,
    toolchain: &Toolchain,
    command: &[&str],
) -> (FailureClass, Option<String>) {
    let printed = String::from_utf8_lossy(&traced.output.stderr);
    let at = format!("{} {command:?}: {printed}", toolchain.version);
    assert!(!traced.output.status.success(), "{at}");
    let mut builds = traced.trace.builds.iter();
    let build = builds.find(|it| it.parent.is_none()).expect(&at);
    let failure = build.failure.clone().expect(&at);
    let mut outputs = build.outputs.iter();
    let is_run = |how| matches!(how, Installed::Temporary | Installed::FromCache);
    assert!(outputs.all(|it| is_run(it.how)), "{at}");
    (failure.class, failure.package.map(|it| it.to_string()))
}

fn of(class: FailureClass, package: &str) -> (FailureClass, Option<String>) {
    (class, Some(format!("example.com/m/{package}")))
}

#[test]
fn a_failed_tool_is_classified_under_any_wrapper() {
    for (index, toolchain) in toolchains().into_iter().enumerate() {
        let module = module(&toolchain);
        let dir = module.dir().display().to_string();
        for wrapper in wrappers(index) {
            let wrapper = wrapper.replace("{}", &dir);
            let flag = format!("-toolexec={wrapper}");
            let flags: &[&str] = if wrapper.is_empty() { &[] } else { &[&flag] };
            for (command, package, class) in [
                ("build", "compile", FailureClass::Compile),
                ("build", "assemble", FailureClass::Compile),
                ("build", "cgo", FailureClass::Compile),
                ("build", "native", FailureClass::Compile),
                ("build", "cmd/link", FailureClass::Link),
                ("vet", "vet", FailureClass::Vet),
            ] {
                let package_path = format!("./{package}");
                let command = [&["go", command][..], flags, &[&package_path]].concat();
                let why = failure(&module, &toolchain, &command);
                // Since Go 1.26 the tool succeeds, and no process reports the package of the finding.
                let is_silent = class == FailureClass::Vet && toolchain.minor() >= 26;
                let expected = if is_silent {
                    (class, None)
                } else {
                    of(class, package)
                };
                assert_eq!(why, expected, "{} {command:?}", toolchain.version);
            }
        }
        // The wrapper itself fails, and runs no tool.
        let flag = format!("-toolexec={dir}/no");
        let command = ["go", "build", "-a", &flag, "./generate"];
        let (class, _) = failure(&module, &toolchain, &command);
        assert_eq!(class, FailureClass::Compile, "{}", toolchain.version);
    }
}

#[test]
fn a_failed_c_compiler_is_classified_under_any_name() {
    for toolchain in toolchains() {
        let module = module(&toolchain);
        let script = module.dir().join("cc").display().to_string();
        for cc in ["gcc", script.as_str(), "env gcc", "nice -n 1 gcc"] {
            let cc = format!("CC={cc}");
            let command = ["env", &cc, "go", "build", "./native"];
            let why = failure(&module, &toolchain, &command);
            let expected = of(FailureClass::Compile, "native");
            assert_eq!(why, expected, "{} {cc}", toolchain.version);
        }
    }
}

#[test]
fn a_failed_user_program_is_classified_under_any_wrapper() {
    for (index, toolchain) in toolchains().into_iter().enumerate() {
        let module = module(&toolchain);
        let dir = module.dir().display().to_string();
        for wrapper in wrappers(index) {
            let wrapper = wrapper.replace("{}", &dir);
            let flags: &[&str] = if wrapper.is_empty() {
                &[]
            } else {
                &["-exec", &wrapper]
            };
            let command = [&["go", "test", "-count=1"][..], flags, &["./test"]].concat();
            let tested = failure(&module, &toolchain, &command);
            let expected = of(FailureClass::Test, "test");
            assert_eq!(tested, expected, "{} {wrapper}", toolchain.version);
            let command = [&["go", "run"][..], flags, &["./crash"]].concat();
            let (ran, _) = failure(&module, &toolchain, &command);
            assert_eq!(
                ran,
                FailureClass::Program,
                "{} {wrapper}",
                toolchain.version
            );
        }
        for package in ["./generate", "./describe", "./nested"] {
            let (class, _) = failure(&module, &toolchain, &["go", "generate", package]);
            assert_eq!(
                class,
                FailureClass::Generate,
                "{} {package}",
                toolchain.version
            );
        }
    }
}

#[test]
fn a_failure_without_a_failed_tool_is_classified_by_the_running_action() {
    for toolchain in toolchains() {
        let module = module(&toolchain);
        let check_all = |expected: (FailureClass, Option<&str>), command: &[&str]| {
            let (class, package) = failure(&module, &toolchain, command);
            let at = format!("{} {command:?}", toolchain.version);
            assert_eq!((class, package.as_deref()), expected, "{at}");
        };
        let check = |class, command: &[&str]| check_all((class, None), command);
        // The package comes from the action that should install the file.
        let check_install = |command: &[&str]| {
            check_all((FailureClass::Install, Some("example.com/m")), command);
        };
        check(FailureClass::Load, &["go", "build", "./nowhere"]);
        check(FailureClass::Load, &["go", "vet", "./nowhere"]);
        check(FailureClass::Unknown, &["go", "build", "-nosuchflag"]);
        check(
            FailureClass::Unknown,
            &["env", "GOFLAGS=-nosuchflag", "go", "build", "."],
        );
        // Some releases overwrite a file that is not a program.
        if !module
            .go(&toolchain, &["build", "-o", "notes", "."])
            .output()
            .unwrap()
            .status
            .success()
        {
            check_install(&["go", "build", "-o", "notes", "."]);
        }
        check_install(&["go", "build", "-o", "notes/x", "."]);
        check_install(&["go", "build", "-o", "/proc/x", "."]);
        check(FailureClass::Load, &["go", "run", "./nowhere"]);
        check(FailureClass::Load, &["go", "build", "./unparsable"]);
        // The directory exists in both cases, and is the cause in one.
        fs::create_dir_all(module.dir().join("directory")).unwrap();
        fs::create_dir_all(module.dir().join("unloadable")).unwrap();
        check(FailureClass::Install, &["go", "build", "./cmd/directory"]);
        check(FailureClass::Load, &["go", "build", "./cmd/unloadable"]);
        // The linker has its inputs, but refuses the command line.
        check(
            FailureClass::Unknown,
            &["go", "build", "-o", "one", "./cmd/directory", "./crash"],
        );
        check(
            FailureClass::Unknown,
            &["go", "build", "-o", "bin/", "./generate"],
        );
        module.write("go.mod", "module example.com/m\n\nnosuchverb\n");
        let (class, _) = failure(&module, &toolchain, &["go", "build", "."]);
        assert!(
            matches!(class, FailureClass::Load | FailureClass::Unknown),
            "{class:?}"
        );
        module.write("go.mod", "module example.com/m\n\ngo 1.19\n");
        fs::create_dir_all(module.dir().join("bin/m")).unwrap();
        check_install(&["go", "build", "-o", "bin/", "."]);
        if toolchain.minor() >= 26 {
            module.write(
                "vet/v.go",
                "package vet\n\nfunc A() { var x interface{}; _ = x }\n",
            );
            check(FailureClass::Fix, &["go", "fix", "-diff", "./vet"]);
            check(FailureClass::Fix, &["go", "fix", "-diff", "./vet"]);
        }
    }
}

#[test]
fn a_build_ended_by_a_signal_is_classified_as_interrupted() {
    for toolchain in toolchains() {
        let module = module(&toolchain);
        for (signal, class) in [
            ("INT", FailureClass::Interrupted),
            ("TERM", FailureClass::Interrupted),
            ("KILL", FailureClass::Killed),
        ] {
            // The `go` command waits for both programs, and exits with 1. A shell's background jobs would ignore SIGINT without
            // `env`.
            for (command, program) in [("test ./wait", "wait.test"), ("run ./waits", "waits")] {
                let script = format!(
                    "env --default-signal=INT go {command} & go=$!; until pid=$(pgrep -P $go -x {program}); do sleep 0.1; done; kill -{signal} $pid; wait $go"
                );
                let command = ["bash", "-c", &script];
                let (found, _) = failure(&module, &toolchain, &command);
                assert_eq!(found, class, "{} {script}", toolchain.version);
            }
        }
    }
}

/// The compiler copies a literal of 64 MiB more than once; the `go` command reads only the first lines of the file.
#[test]
fn a_tool_that_the_out_of_memory_killer_ended_is_named() {
    let toolchain = toolchain("1.27");
    let module = Module::copy("tiny");
    let literal = "a".repeat(64 << 20);
    module.write(
        "large/a.go",
        &format!("package large\n\nvar A = `{literal}`\n"),
    );
    let limit = MemoryLimit::of_bytes(96 << 20);
    let enter = limit.script("go build ./large");
    module.write("small/a.go", "package small\n");
    let kill = module.dir().join("kill.sh");
    let by_itself = "case $* in *-V=full*) exec \"$@\";; esac; kill -9 $$\n";
    module.write("kill.sh", by_itself);
    let kill = format!("go build -toolexec 'sh {}' ./small", kill.display());
    for (script, package, killer) in [
        (enter, "large", Killer::OutOfMemoryKiller),
        (kill, "small", Killer::Unknown),
    ] {
        let traced = module.trace(&toolchain, &["sh", "-c", &script]);
        let build = &traced.trace.builds[0];
        let Some(failure) = &build.failure else {
            panic!("{script} did not fail: {:?}", traced.output)
        };
        assert_eq!(failure.class, FailureClass::Killed, "{script}");
        assert_eq!(failure.killed_by, Some(killer), "{script}");
        let failed = failure.package.as_ref().map(ToString::to_string);
        assert_eq!(failed, Some(format!("example.com/tiny/{package}")));
        let mut calls = build.calls.iter();
        let call = calls
            .find(|it| Some(it.process) == failure.process)
            .unwrap();
        assert_eq!(call.killed_by, Some(killer), "{script}");
    }
}
