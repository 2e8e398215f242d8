//! Causes of failed builds, the files they leave behind, and commands that are not builds.

use super::*;
use crate::model::{CallKind, FailureClass, Killer};

/// Of the first build: the class, the package and the number of the process that failed.
fn failure_of(text: &str) -> (FailureClass, Option<String>, Option<u32>) {
    let (trace, _) = replay(events(text));
    let failure = trace.builds[0].failure.clone().unwrap();
    (
        failure.class,
        failure.package.map(|it| it.to_string()),
        failure.process.map(|it| it.tgid.0),
    )
}

fn of(
    class: FailureClass,
    package: &str,
    process: u32,
) -> (FailureClass, Option<String>, Option<u32>) {
    (class, Some(package.to_owned()), Some(process))
}

#[test]
fn a_failure_under_a_wrapper_is_that_of_the_tool() {
    let text = "0 exec 100 /go/bin/go build -toolexec=/w .
         1 fork 100 101
         2 exec 101 TOOLEXEC_IMPORTPATH=example.com/a /bin/sh /w /go/pkg/tool/linux_amd64/link -o /tmp/go-build1/b001/exe/a.out
         3 fork 101 102
         4 exec 102 TOOLEXEC_IMPORTPATH=example.com/a /go/pkg/tool/linux_amd64/link -o /tmp/go-build1/b001/exe/a.out
         5 exit 102 1
         6 exit 101 1
         7 exit 100 1";
    assert_eq!(
        failure_of(text),
        of(FailureClass::Link, "example.com/a", 102)
    );
    // A wrapper may fail by itself, and may hide a failure of the tool.
    let text = "0 exec 100 /go/bin/go build -toolexec=/w .
         1 fork 100 101
         2 exec 101 TOOLEXEC_IMPORTPATH=example.com/a /bin/sh /w /go/pkg/tool/linux_amd64/compile -o /tmp/go-build1/b002/_pkg_.a
         3 fork 101 102
         4 exec 102 TOOLEXEC_IMPORTPATH=example.com/a /go/pkg/tool/linux_amd64/compile -o /tmp/go-build1/b002/_pkg_.a
         5 exit 102 1
         6 exit 101 0
         7 fork 100 103
         8 exec 103 TOOLEXEC_IMPORTPATH=example.com/b /bin/sh /w /go/pkg/tool/linux_amd64/compile -o /tmp/go-build1/b003/_pkg_.a
         9 exit 103 9
         10 exit 100 1";
    assert_eq!(
        failure_of(text),
        of(FailureClass::Compile, "example.com/b", 103)
    );
}

#[test]
fn other_processes_that_end_under_a_child_are_ignored() {
    // A watchdog of the wrapper.
    let text = "0 exec 100 /go/bin/go build -toolexec=/w .
         1 fork 100 101
         2 exec 101 TOOLEXEC_IMPORTPATH=example.com/a /bin/sh /w /go/pkg/tool/linux_amd64/compile -o /tmp/go-build1/b002/_pkg_.a
         3 fork 101 102
         4 exec 102 /bin/sleep 100
         5 fork 101 103
         6 exec 103 TOOLEXEC_IMPORTPATH=example.com/a /go/pkg/tool/linux_amd64/compile -o /tmp/go-build1/b002/_pkg_.a
         7 exit 103 2
         8 exit 102 sig15
         9 exit 101 2
         10 exit 100 1";
    assert_eq!(
        failure_of(text),
        of(FailureClass::Compile, "example.com/a", 103)
    );
    // A helper that a test kills.
    let text = "0 exec 100 /go/bin/go test .
         1 fork 100 102
         2 exec 102 /tmp/go-build1/b001/m.test -test.timeout=10m0s
         3 fork 102 103
         4 exec 103 /bin/sleep 100
         5 exit 103 sig9
         6 exit 102 1
         7 exit 100 1";
    assert_eq!(failure_of(text), (FailureClass::Test, None, Some(102)));
    // The generator decides how to handle the failure of its child.
    let text = "0 exec 100 /go/bin/go generate .
         1 fork 100 101
         2 exec 101 /bin/sh -c 'x'
         3 fork 101 102
         4 exec 102 /bin/sh -c 'y'
         5 exit 102 sig9
         6 exit 101 4
         7 exit 100 1";
    assert_eq!(failure_of(text), (FailureClass::Generate, None, Some(101)));
    // A program that executes another one.
    let text = "0 exec 100 /go/bin/go run .
         1 fork 100 101
         2 exec 101 /tmp/go-build1/b001/exe/m
         3 exec 101 /bin/sh -c 'exit 3'
         4 exit 101 3
         5 exit 100 1";
    assert_eq!(failure_of(text), (FailureClass::Program, None, Some(101)));
}

#[test]
fn a_test_that_fails_under_a_wrapper_is_a_test() {
    check(
        "0 exec 100 /go/bin/go test -exec=/w .
         1 fork 100 101
         2 exec 101 TOOLEXEC_IMPORTPATH=example.com/m.test /go/pkg/tool/linux_amd64/link -o /tmp/go-build1/b001/m.test
         3 linkphase 101 1 libinit
         4 exit 101 0
         5 fork 100 102
         6 exec 102 /bin/sh /w /tmp/go-build1/b001/m.test -test.timeout=10m0s
         7 fork 102 103
         8 exec 103 /tmp/go-build1/b001/m.test -test.timeout=10m0s
         9 exit 103 1
         10 exit 102 1
         11 exit 100 1",
        &expect![[r#"
            go test 100: Some(Code(1)) Some((Test, "example.com/m")), 0+Some(0) cached, cpu 6 ms
              Link example.com/m.test, libinit Some(1)
              Test example.com/m
              -> /tmp/go-build1/b001/m.test of - Temporary None
        "#]],
    );
}

#[test]
fn a_program_in_place_of_a_tool_does_its_work() {
    let cc = "0 exec 100 CC=/w/cc /go/bin/go build .
         1 fork 100 101
         2 exec 101 CC=/w/cc TOOLEXEC_IMPORTPATH=example.com/a /bin/sh /w/cc -I . -c f.c
         3 fork 101 102
         4 exec 102 CC=/w/cc TOOLEXEC_IMPORTPATH=example.com/a /usr/bin/gcc -I . -c f.c
         5 exit 102 1
         6 exit 101 1
         7 exit 100 1";
    assert_eq!(
        failure_of(cc),
        of(FailureClass::Compile, "example.com/a", 102)
    );
    let vet = "0 exec 100 /go/bin/go vet -vettool=/w/check .
         1 fork 100 101
         2 exec 101 /w/check -flags
         3 exit 101 1
         4 fork 100 102
         5 exec 102 TOOLEXEC_IMPORTPATH=example.com/a /w/check /tmp/go-build1/b001/vet.cfg
         6 exit 102 1
         7 exit 100 1";
    assert_eq!(failure_of(vet), of(FailureClass::Vet, "example.com/a", 102));
    let helper = "0 exec 100 /go/bin/go build .
         1 fork 100 101
         2 exec 101 TOOLEXEC_IMPORTPATH=example.com/a /usr/bin/pkg-config --cflags x
         3 exit 101 1
         4 exit 100 1";
    assert_eq!(
        failure_of(helper),
        of(FailureClass::Compile, "example.com/a", 101)
    );
}

#[test]
fn a_link_whose_failure_go_tolerates_is_not_the_cause() {
    let text = "0 exec 100 /go/bin/go build .
         1 fork 100 101
         2 exec 101 TOOLEXEC_IMPORTPATH=example.com/a /usr/bin/gcc -o /tmp/go-build1/b001/_cgo_.o a.o
         3 exit 101 1
         4 fork 100 102
         5 exec 102 TOOLEXEC_IMPORTPATH=example.com/b /go/pkg/tool/linux_amd64/compile -o /tmp/go-build1/b002/_pkg_.a
         6 exit 102 1
         7 exit 100 1";
    assert_eq!(
        failure_of(text),
        of(FailureClass::Compile, "example.com/b", 102)
    );
}

#[test]
fn without_a_failed_process_the_interrupted_work_decides() {
    let of = |class| (class, None, None);
    let vet = "0 exec 100 /go/bin/go vet .
         1 span 100 1 Executing action (vet example.com/a)
         2 done 100 1
         3 exit 100 1";
    assert_eq!(failure_of(vet), of(FailureClass::Vet));
    assert_eq!(
        failure_of(&vet.replace("go vet", "go fix -diff")),
        of(FailureClass::Fix)
    );
    assert_eq!(
        failure_of(&vet.replace("go vet", "go test")),
        of(FailureClass::Unknown)
    );
    let load = "0 exec 100 /go/bin/go build ./nowhere
         1 span 100 1 load.PackagesAndErrors
         2 done 100 1
         3 exit 100 1";
    assert_eq!(failure_of(load), of(FailureClass::Load));
    // The command failed inside the span.
    assert_eq!(
        failure_of(&load.replace("2 done 100 1", "2 fatal 100 1 go: errors parsing %s")),
        of(FailureClass::Load)
    );
    let flags = "0 exec 100 /go/bin/go build -nosuchflag
         1 exit 100 2";
    assert_eq!(failure_of(flags), of(FailureClass::Unknown));
    // Version control is not a tool of a package, so it is unknown whether it mattered.
    let vcs = "0 exec 100 /go/bin/go build
         1 fork 100 101
         2 exec 101 /usr/bin/git status
         3 exit 101 128
         4 exit 100 1";
    assert_eq!(failure_of(vcs), (FailureClass::Unknown, None, Some(101)));
}

#[test]
fn signals_are_reported_at_any_level() {
    let text = "0 exec 100 /go/bin/go test .
         1 fork 100 101
         2 exec 101 /tmp/go-build1/b001/m.test -test.timeout=10m0s
         3 exit 101 sig2
         4 exit 100 1";
    assert_eq!(failure_of(text).0, FailureClass::Interrupted);
    assert_eq!(
        failure_of(&text.replace("sig2", "sig9")).0,
        FailureClass::Killed
    );
    assert_eq!(
        failure_of(&text.replace("sig2", "sig11")).0,
        FailureClass::Test
    );
}

#[test]
fn the_sender_of_a_kill_is_the_out_of_memory_killer_or_unknown() {
    let text = "0 exec 100 /go/bin/go build
         1 fork 100 101
         2 exec 101 /go/pkg/tool/linux_amd64/compile -p example.com/hello -o $WORK/b001/_pkg_.a a.go
         3 exit 101 oom
         4 exit 100 1";
    let killer = |text: &str| {
        let (trace, _) = replay(events(text));
        let build = &trace.builds[0];
        let failure = build.failure.as_ref().unwrap();
        assert_eq!(build.calls[0].killed_by, failure.killed_by, "{text}");
        (failure.class, failure.killed_by)
    };
    let by_kernel = (FailureClass::Killed, Some(Killer::OutOfMemoryKiller));
    assert_eq!(killer(text), by_kernel);
    let by_unknown = text.replace("oom", "sig9");
    assert_eq!(
        killer(&by_unknown),
        (FailureClass::Killed, Some(Killer::Unknown))
    );
    // The mark can follow the exit.
    let late = by_unknown.replace("4 exit", "3 reaped 101 3 oom\n 4 exit");
    assert_eq!(killer(&late), by_kernel);
    // A process that is chosen while it ends was not killed.
    let ends = text
        .replace("101 oom", "101 1")
        .replace("4 exit", "3 reaped 101 3 oom\n 4 exit");
    assert_eq!(killer(&ends), (FailureClass::Compile, None));
}

#[test]
fn a_generator_that_is_a_build_fails_as_a_generator() {
    let text = "0 exec 100 /go/bin/go generate .
         1 fork 100 101
         2 exec 101 /go/bin/go run gen.go
         3 fork 101 102
         4 exec 102 /tmp/go-build9/b001/exe/gen
         5 exit 102 2
         6 exit 101 1
         7 exit 100 1";
    assert_eq!(failure_of(text).0, FailureClass::Generate);
    let (trace, _) = replay(events(text));
    let inner = trace.builds[1].failure.as_ref().unwrap();
    assert_eq!(inner.class, FailureClass::Program);
}

#[test]
fn git_is_a_generator_if_a_directive_runs_it() {
    let text = "0 exec 100 GOLINE=3 GOFILE=a.go /go/bin/go generate .
         1 fork 100 101
         2 exec 101 GOLINE=3 GOFILE=a.go /usr/bin/git describe
         3 exit 101 128
         4 exit 100 1";
    assert_eq!(failure_of(text).0, FailureClass::Unknown);
    let of_directive = text.replace("101 GOLINE=3", "101 GOLINE=5");
    assert_eq!(failure_of(&of_directive).0, FailureClass::Generate);
}

#[test]
fn a_target_that_could_not_be_installed_is_not_an_output() {
    check(
        "0 exec 100 /go/bin/go build -o /mnt/hello .
         1 span 100 1 Executing action (link-install example.com/hello)
         2 install 100 1 /mnt/hello /tmp/go-build1/b001/exe/a.out
         3 move 100 1 /mnt/hello /tmp/go-build1/b001/exe/a.out
         4 rename 100 18 /tmp/go-build1/b001/exe/a.out /mnt/hello
         5 done 100 1
         6 exit 100 1",
        &expect![[r#"
            go build 100: Some(Code(1)) Some((Install, "example.com/hello")), 0+Some(0) cached, cpu 3 ms
              link-install example.com/hello Failed []
        "#]],
    );
}

#[test]
fn a_dry_run_makes_no_outputs_and_has_no_cache_hits() {
    check(
        "0 exec 100 GOFLAGS=-n /go/bin/go build -o x .
         1 span 100 1 Executing action (build fmt)
         2 done 100 1
         3 install 100 1 x /tmp/go-build1/b001/exe/a.out
         4 move 100 1 x /tmp/go-build1/b001/exe/a.out
         5 exit 100 0",
        &expect![[r#"
            go build 100: Some(Code(0)) None, 0+None cached, cpu 3 ms
              build fmt Unknown []
        "#]],
    );
}

#[test]
fn a_build_begins_when_its_process_becomes_the_go_command() {
    let text = "0 exec 100 /bin/sh -c make
         1 fork 100 101
         2 exec 101 /usr/bin/python3 large.py
         50 exec 101 /go/bin/go build .
         60 exit 101 0
         61 fork 100 102
         62 exec 102 /go/bin/go build .
         70 exit 102 0
         71 exit 100 0";
    let (trace, _) = replay(events(text));
    let starts: Vec<u64> = trace
        .builds
        .iter()
        .map(|it| it.start.0 / 1_000_000)
        .collect();
    assert_eq!(starts, [50, 61]);
}

#[test]
fn a_query_is_not_a_build_unless_it_compiles() {
    check(
        "0 exec 100 /bin/sh -c make
         1 fork 100 101
         2 exec 101 /go/bin/go env GOROOT
         3 exit 101 0
         4 fork 100 102
         5 exec 102 /go/bin/go list -export ./...
         6 fork 102 103
         7 exec 103 TOOLEXEC_IMPORTPATH=example.com/a /go/pkg/tool/linux_amd64/asm -o /tmp/go-build1/b001/a.o
         8 exit 103 0
         9 fork 102 104
         10 exec 104 TOOLEXEC_IMPORTPATH=example.com/a /go/pkg/tool/linux_amd64/cgo -objdir /tmp/go-build1/b001/ -importpath example.com/a -- a.go
         11 exit 104 0
         12 exit 102 0
         13 fork 100 105
         14 exec 105 /go/bin/go list ./...
         15 exit 105 0
         16 exit 100 0",
        &expect![[r#"
            go list 102: Some(Code(0)) None, 0+Some(0) cached, cpu 9 ms
              Asm example.com/a
              Cgo example.com/a
        "#]],
    );
}

#[test]
fn a_tool_whose_go_command_began_before_tracing_is_not_a_build() {
    let text = "0 exec 100 TOOLEXEC_IMPORTPATH=example.com/a /go/pkg/tool/linux_amd64/compile -o /tmp/go-build1/b001/_pkg_.a
         1 phase 100 1 fe:init
         2 exit 100 0";
    check(text, &expect![""]);
    // A rule of Bazel has no such directory.
    let text = text.replace("/tmp/go-build1/b001/", "bazel-out/");
    assert_eq!(replay(events(&text)).0.builds.len(), 1);
}

#[test]
fn loading_failed_only_if_no_other_step_can_have_failed() {
    let text = "0 exec 100 /go/bin/go build ./a
         1 span 100 1 load.PackagesAndErrors
         2 done 100 1
         5 exit 100 1";
    let with = |line: &str| {
        let text = text.replace("5 exit", &format!("3 {line}\n4 span 100 1 Running\n5 exit"));
        failure_of(&text).0
    };
    assert_eq!(with("span 100 1 Running build command"), FailureClass::Load);
    assert_eq!(
        with("fatal 100 1 go: build output %q already exists and is a directory"),
        FailureClass::Install
    );
    for other in [
        "fatal 100 1 go: cannot write multiple packages to non-directory %s",
        "span 100 1 InstallPackages",
        "span 100 1 exec.Builder.Do",
        "span 100 1 Executing action (go build)",
    ] {
        assert_eq!(with(other), FailureClass::Unknown, "{other}");
    }
    for (command, class) in [
        ("go run ./a", FailureClass::Load),
        ("go test ./a", FailureClass::Load),
        ("go test -c ./a", FailureClass::Unknown),
        ("go generate ./a", FailureClass::Unknown),
    ] {
        assert_eq!(failure_of(&text.replace("go build ./a", command)).0, class);
    }
    // The first loaded package needs the cache.
    for (fatal, class) in [
        ("go: errors parsing %s", FailureClass::Load),
        (
            "failed to initialize build cache at %s: %s",
            FailureClass::Unknown,
        ),
    ] {
        let fatal = format!("2 fatal 100 1 {fatal}");
        assert_eq!(failure_of(&text.replace("2 done 100 1", &fatal)).0, class);
    }
    // The lost records may have been any of these.
    let lost = format!("{text}\n6 lost 3 call");
    assert_eq!(failure_of(&lost).0, FailureClass::Unknown);
    // Without the probe, a fatal message is not seen.
    let mut unseen: Vec<Event> = tools().collect();
    for event in &mut unseen {
        if let Event::Tool(tool) = event {
            tool.attached.retain(|it| it != "fatal");
        }
    }
    unseen.extend(events(text));
    let mut correlator = correlator();
    for event in unseen {
        correlator.apply(event);
    }
    let build = &correlator.finish().builds[0];
    assert_eq!(build.failure.as_ref().unwrap().class, FailureClass::Unknown);
}

#[test]
fn processes_under_a_test_count_with_it() {
    let text = "0 exec 100 /go/bin/go test -fuzz=. .
         1 fork 100 101
         2 exec 101 TOOLEXEC_IMPORTPATH=example.com/m.test /go/pkg/tool/linux_amd64/link -o /tmp/go-build1/b001/m.test
         3 exit 101 0
         4 fork 100 102
         5 exec 102 /tmp/go-build1/b001/m.test -test.fuzz=.
         6 fork 102 103
         7 exec 103 /tmp/go-build1/b001/m.test -test.fuzzworker
         8 fork 103 104
         9 exec 104 /usr/bin/helper
         10 fork 102 105
         11 exec 105 /go/bin/go build .
         12 fork 105 106
         13 exec 106 /go/pkg/tool/linux_amd64/compile -V=full
         14 exit 106 0
         15 exit 105 0
         16 exit 104 0
         17 exit 103 0
         18 exit 102 0
         19 exit 100 0";
    let (trace, _) = replay(events(text));
    let build = &trace.builds[0];
    let mut runs = build.calls.iter().filter(|it| it.kind == CallKind::Test);
    let whole = runs.next().unwrap();
    // The binary, its worker and the helper of the worker; not the nested build.
    assert_eq!(whole.usage.user_ns, 3 * 2_000_000);
    assert_eq!(runs.count(), 0);
    assert_eq!(trace.builds[1].usage.user_ns, 2 * 2_000_000);
}
