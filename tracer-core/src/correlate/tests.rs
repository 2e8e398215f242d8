//! Builds described as small texts. Only `check` uses the API.

use std::fmt::Write;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::event::{
    BuildInfo, Call, Captured, Exec, Exit, Fork, Inspected, MainPackage, Point, Reaped, Rename,
    Settings, Status, Tgid, Usage,
};
use crate::model::{Build, ToolCall};

mod failures;
mod imports;
mod modules;
mod names;
mod probes;

/// One event from a line: `AT EVENT TGID ARGS`. A process is born at the time of its fork, or at zero.
fn events(text: &str) -> Vec<Event> {
    let mut born: BTreeMap<u32, u64> = BTreeMap::new();
    text.lines()
        .map(str::trim)
        .filter(|it| !it.is_empty())
        .map(|line| event(line, &mut born))
        .collect()
}

fn event(line: &str, born: &mut BTreeMap<u32, u64>) -> Event {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ms = words[0].parse::<u64>().unwrap();
    let at = Ktime(ms * 1_000_000);
    let tgid: u32 = words[2].parse().unwrap();
    let key = |tgid: u32, born: &BTreeMap<u32, u64>| ProcKey {
        tgid: Tgid(tgid),
        born: Ktime(born.get(&tgid).copied().unwrap_or(0)),
    };
    let process = key(tgid, born);
    match words[1] {
        "fork" => {
            let child = words[3].parse().unwrap();
            born.insert(child, at.0);
            Event::Fork(Fork {
                at,
                parent: process,
                child: key(child, born),
            })
        }
        "exec" => exec(at, process, &words[3..]),
        "exit" => Event::Exit(Exit {
            at,
            process,
            status: match words[3].strip_prefix("sig") {
                Some(signal) => Status::Signal(signal.parse().unwrap()),
                None if words[3] == "oom" => Status::Signal(9),
                None => Status::Code(words[3].parse().unwrap()),
            },
            usage: Usage {
                user_ns: 2_000_000,
                system_ns: 1_000_000,
                max_rss_bytes: Some(1 << 20),
                ..Usage::default()
            },
            is_oom_victim: words[3] == "oom",
        }),
        "reaped" => Event::Reaped(Reaped {
            at,
            process,
            ended: Some(Ktime(words[3].parse::<u64>().unwrap() * 1_000_000)),
            user_ns: 3_000_000,
            system_ns: 2_000_000,
            is_oom_victim: words.get(4) == Some(&"oom"),
        }),
        "rename" => Event::Rename(Rename {
            at,
            process,
            errno: words[3].parse().unwrap(),
            old: whole(words[4]),
            new: whole(words[5]),
            at_cwd: true,
        }),
        "settings" => Event::Settings(Settings {
            at,
            process,
            user: words.get(3).map(|line| crate::event::EnvFile {
                path: "/home/u/.config/go/env".into(),
                variables: line
                    .split_once('=')
                    .map(|(name, value)| (name.into(), value.into()))
                    .into_iter()
                    .collect(),
            }),
            root: None,
            module: Some("example.com/hello".to_owned()),
            module_dir: None,
            workspace: Vec::new(),
            replaced: Vec::new(),
            place: None,
        }),
        "inspected" => Event::Inspected(Inspected {
            at,
            process,
            path: words[3].into(),
            result: Ok(Artifact {
                size: words[4].parse().unwrap(),
                ..Artifact::default()
            }),
        }),
        "buildinfo" => Event::BuildInfo(BuildInfo {
            at,
            process,
            path: words[3].into(),
            main: words.get(4).map(|path| MainPackage {
                path: (*path).to_owned(),
                module: words.get(5).map(|it| (*it).to_owned()),
            }),
        }),
        "lost" => Event::Lost(Lost {
            at,
            kind: words[3].to_owned(),
            n: u64::from(tgid),
        }),
        call => Event::Call(Call {
            at,
            process,
            goroutine: words[3].parse().unwrap(),
            point: point(call, &words[4..]),
        }),
    }
}

/// Words before the program that contain `=` are its environment; the program is given by its path.
fn exec(at: Ktime, process: ProcKey, words: &[&str]) -> Event {
    let is_variable =
        |it: &&&str| it.contains('=') && it.starts_with(|first: char| first.is_ascii_uppercase());
    let (env, argv): (Vec<&str>, Vec<&str>) = words.iter().partition(is_variable);
    let mut env: Vec<(ByteString, ByteString)> = env
        .iter()
        .filter_map(|it| it.split_once('='))
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    env.sort();
    let exe = argv[0];
    Event::Exec(Box::new(Exec {
        at,
        process,
        parent: Tgid(0),
        file: file(exe),
        exe: whole(exe),
        cwd: whole("/src"),
        argv: Captured::Whole(argv.iter().map(|it| ByteString::from(*it)).collect()),
        env: Captured::Whole(env),
        uid: 1000,
        cgroup: 1,
    }))
}

fn file(path: &str) -> FileId {
    FileId {
        dev: 1,
        ino: path
            .bytes()
            .fold(7, |sum, byte| sum * 31 % 1_000_003 + u64::from(byte)),
        size: 1,
        ctime_ns: 1,
    }
}

/// The toolchain of all these builds, probed before they began.
fn tools() -> impl Iterator<Item = Event> {
    [
        ("/go/bin/go", Role::Go, "span_start fatal"),
        (
            "/go/pkg/tool/linux_amd64/compile",
            Role::Compile,
            "compile_phase",
        ),
        ("/go/pkg/tool/linux_amd64/link", Role::Link, "link_phase"),
        ("/go/pkg/tool/linux_amd64/cgo", Role::Cgo, ""),
    ]
    .into_iter()
    .map(|(path, role, probe)| {
        Event::Tool(Tool {
            at: Ktime(0),
            file: file(path),
            path: path.into(),
            role,
            version: "go1.27.3".to_owned(),
            attached: probe.split_whitespace().map(ToOwned::to_owned).collect(),
            refused: Vec::new(),
        })
    })
}

fn point(name: &str, words: &[&str]) -> Point {
    let rest = || whole(&words.join(" "));
    match name {
        "span" => Point::SpanStart { name: rest() },
        "done" => Point::SpanDone,
        "install" => Point::Install {
            target: whole(words[0]),
            built: whole(words[1]),
        },
        "move" => Point::MoveOrCopy {
            to: whole(words[0]),
            from: whole(words[1]),
        },
        "phase" => Point::CompilePhase { name: rest() },
        "linkphase" => Point::LinkPhase { name: rest() },
        "fatal" => Point::Fatal { format: rest() },
        "key" => Point::KeyOpen { name: rest() },
        "line" => Point::KeyWrite {
            hash: words[0].parse().unwrap(),
            line: match words[1] {
                "cut" => Captured::Cut {
                    kept: format!("{}\n", words[2..].join(" ")).into(),
                    total: 1_000_000,
                },
                "missing" => Captured::Missing,
                _ => whole(&format!("{}\n", words[1..].join(" "))),
            },
        },
        "sum" => Point::KeySum {
            hash: words[0].parse().unwrap(),
        },
        other => panic!("no such event: {other}"),
    }
}

fn whole(text: &str) -> Captured<ByteString> {
    Captured::Whole(text.into())
}

fn correlator() -> Correlator {
    Correlator::new(Context {
        cpus: 2,
        phases: true,
        renames: true,
        ..Context::default()
    })
}

fn replay(events: Vec<Event>) -> (Trace, Vec<Effect>) {
    let mut correlator = correlator();
    let effects = tools()
        .chain(events)
        .flat_map(|it| correlator.apply(it))
        .filter(|it| !matches!(it, Effect::Identify { .. } | Effect::ReadSettings { .. }))
        .collect();
    (correlator.finish(), effects)
}

fn check(text: &str, expect: &Expect) {
    let (trace, effects) = replay(events(text));
    let mut out = String::new();
    for build in &trace.builds {
        out.push_str(&describe(build));
    }
    for anomaly in &trace.anomalies {
        writeln!(out, "trace: {anomaly:?}").unwrap();
    }
    for effect in effects {
        if let Effect::Inspect { process, path, .. } = effect {
            writeln!(out, "inspect {path} of {}", process.tgid.0).unwrap();
        }
    }
    expect.assert_eq(&out);
}

fn describe(build: &Build) -> String {
    let mut out = String::new();
    let name = |it: &Option<ByteString>| it.as_ref().map_or("-".to_owned(), ToString::to_string);
    let parent = build
        .parent
        .map_or(String::new(), |it| format!(" in {}", it.tgid.0));
    writeln!(
        out,
        "go {} {}{parent}: {:?} {:?}, {}+{:?} cached, cpu {} ms",
        build.command.name,
        build.process.tgid.0,
        build.status,
        build
            .failure
            .as_ref()
            .map(|it| (it.class, name(&it.package))),
        build.packages.compiled,
        build.packages.cached,
        (build.usage.user_ns + build.usage.system_ns) / 1_000_000,
    )
    .unwrap();
    for action in &build.actions {
        writeln!(
            out,
            "  {} {} {:?} {:?}",
            action.mode,
            name(&action.package),
            action.outcome,
            action.calls
        )
        .unwrap();
    }
    for call in &build.calls {
        let ToolCall { kind, package, .. } = call;
        write!(
            out,
            "  {kind:?} {}{}",
            name(package),
            if call.is_query { " query" } else { "" }
        )
        .unwrap();
        for phase in &call.phases {
            let span = phase.end.map(|end| end.since(phase.start) / 1_000_000);
            write!(out, ", {} {span:?}", phase.name).unwrap();
        }
        out.push('\n');
    }
    for output in &build.outputs {
        writeln!(
            out,
            "  -> {} of {} {:?} {:?}",
            output.path,
            name(&output.package),
            output.how,
            output.artifact.as_ref().map(|it| it.size)
        )
        .unwrap();
    }
    for anomaly in &build.anomalies {
        writeln!(out, "  ! {anomaly:?}").unwrap();
    }
    out
}

/// A small build whose dependency is cached, as Go 1.27 runs it.
const SMALL: &str = "
    0 exec 100 HOME=/home/u /go/bin/go build -o out/hello .
    1 settings 100 GOFLAGS=-trimpath
    2 span 100 1 Running build command
    3 span 100 1 load.PackagesAndErrors
    4 done 100 1
    5 fork 100 101
    6 exec 101 GOFLAGS=-trimpath GOVERSION=go1.27.3 GOOS=linux GOARCH=amd64 /go/pkg/tool/linux_amd64/compile -V=full
    7 phase 101 5 fe:init
    8 exit 101 0
    10 span 100 7 Executing action (build fmt)
    11 done 100 7
    12 span 100 8 Executing action (build example.com/hello)
    13 fork 100 102
    14 exec 102 TOOLEXEC_IMPORTPATH=example.com/hello /go/pkg/tool/linux_amd64/compile -o /tmp/go-build1/b001/_pkg_.a -p main a.go
    15 phase 102 1 fe:init
    16 phase 102 1 fe:parse
    20 phase 102 1
    21 exit 102 0
    22 done 100 8
    23 span 100 8 Executing action (link example.com/hello)
    24 fork 100 103
    25 exec 103 TOOLEXEC_IMPORTPATH=example.com/hello /go/pkg/tool/linux_amd64/link -o /tmp/go-build1/b001/exe/a.out /tmp/go-build1/b001/_pkg_.a
    26 linkphase 103 1 libinit
    30 linkphase 103 1 archive
    31 exit 103 0
    32 done 100 8
    33 span 100 9 Executing action (link-install example.com/hello)
    34 install 100 9 out/hello /tmp/go-build1/b001/exe/a.out
    35 move 100 9 out/hello /tmp/go-build1/b001/exe/a.out
    36 rename 100 0 /tmp/go-build1/b001/exe/a.out out/hello
    37 done 100 9
    38 done 100 1
    39 exit 100 0
    40 inspected 100 /src/out/hello 4242
";

#[test]
fn a_build_has_its_cache_phases_and_output() {
    check(
        SMALL,
        &expect![[r#"
            go build 100: Some(Code(0)) None, 1+Some(1) cached, cpu 12 ms
              build fmt Cached []
              build example.com/hello Executed [1]
              link example.com/hello Executed [2]
              link-install example.com/hello Executed []
              Compile - query
              Compile example.com/hello, fe:init Some(1), fe:parse Some(4)
              Link example.com/hello, libinit Some(4), archive Some(1)
              -> /src/out/hello of example.com/hello Renamed Some(4242)
            inspect /src/out/hello of 100
        "#]],
    );
}

#[test]
fn an_interrupted_build_keeps_what_it_did_and_announces_no_output() {
    check(
        "0 exec 100 /go/bin/go build
         1 span 100 1 Executing action (build example.com/hello)
         2 fork 100 101
         3 exec 101 TOOLEXEC_IMPORTPATH=example.com/hello /go/pkg/tool/linux_amd64/compile -o /tmp/go-build1/b001/_pkg_.a
         4 phase 101 1 fe:parse
         5 exit 100 sig2
         9 exit 101 0",
        &expect![[r#"
            go build 100: Some(Signal(2)) Some((Interrupted, "-")), 1+Some(0) cached, cpu 6 ms
              build example.com/hello Executed [0]
              Compile example.com/hello, fe:parse Some(5)
        "#]],
    );
}

#[test]
fn the_first_failing_tool_names_the_failure() {
    check(
        "0 exec 100 /go/bin/go build ./...
         1 span 100 1 Executing action (build example.com/a)
         2 fork 100 101
         3 exec 101 TOOLEXEC_IMPORTPATH=example.com/a /go/pkg/tool/linux_amd64/compile -o /tmp/go-build1/b002/_pkg_.a
         4 exit 101 2
         5 done 100 1
         6 exit 100 1",
        &expect![[r#"
            go build 100: Some(Code(1)) Some((Compile, "example.com/a")), 0+Some(0) cached, cpu 6 ms
              build example.com/a Failed [0]
              Compile example.com/a
        "#]],
    );
}

#[test]
fn a_c_compiler_belongs_to_its_package_and_its_trials_are_ignored() {
    check(
        "0 exec 100 /go/bin/go build
         1 span 100 1 Executing action (build example.com/c)
         2 fork 100 101
         3 exec 101 TOOLEXEC_IMPORTPATH=example.com/c /go/pkg/tool/linux_amd64/cgo -objdir /tmp/go-build1/b001/ -importpath example.com/c -- a.go
         4 fork 101 102
         5 exec 102 TOOLEXEC_IMPORTPATH=example.com/c /usr/bin/gcc -w trial.c
         6 fork 102 103
         7 exec 103 TOOLEXEC_IMPORTPATH=example.com/c /usr/lib/gcc/x86_64-linux-gnu/12/cc1 trial.c
         8 exit 103 1
         9 exit 102 1
         10 exit 101 0
         11 done 100 1
         12 exit 100 0",
        &expect![[r#"
            go build 100: Some(Code(0)) None, 0+Some(0) cached, cpu 12 ms
              build example.com/c Executed [0, 1, 2]
              Cgo example.com/c
              Cc example.com/c
              Cc example.com/c
        "#]],
    );
}

#[test]
fn nested_go_commands_are_builds_of_their_own() {
    check(
        "0 exec 100 /bin/sh -c make
         1 fork 100 101
         2 exec 101 /go/bin/go generate ./...
         3 fork 101 102
         4 exec 102 /go/bin/go run gen.go
         5 fork 102 103
         6 exec 103 /tmp/go-build9/b001/exe/gen
         7 exit 103 0
         8 exit 102 0
         9 fork 101 104
         10 exec 104 /usr/bin/stringer -type T
         11 exit 104 0
         12 exit 101 0
         13 exit 100 0",
        &expect![[r#"
            go generate 101: Some(Code(0)) None, 0+Some(0) cached, cpu 3 ms
              Generate -
            go run 102 in 101: Some(Code(0)) None, 0+Some(0) cached, cpu 3 ms
              Program -
              -> /tmp/go-build9/b001/exe/gen of - Temporary None
        "#]],
    );
}

#[test]
fn settings_are_those_that_the_tools_received() {
    let text = "0 exec 100 GOPROXY=off /go/bin/go build
         1 fork 100 101
         2 exec 101 GOPROXY=off GO_TELEMETRY_CHILD=1 /go/bin/go
         3 exit 101 0
         4 fork 100 102
         5 exec 102 GOPROXY=off GOAMD64=v3 GOTOOLDIR=/go/pkg/tool/linux_amd64 /go/pkg/tool/linux_amd64/compile -o a -p app a.go
         6 exit 102 0
         7 exit 100 0";
    let (trace, _) = replay(tools().chain(events(text)).collect());
    let env = &trace.builds[0].env;
    assert_eq!(env.get("GOAMD64"), Some(&"v3".into()));
    assert_eq!(env.get("GO_TELEMETRY_CHILD"), None);
}

#[test]
fn the_final_times_of_the_kernel_count() {
    let text = "0 exec 100 /go/bin/go build .
         1 fork 100 101
         2 exec 101 TOOLEXEC_IMPORTPATH=example.com/a /go/pkg/tool/linux_amd64/compile -o /tmp/go-build1/b001/_pkg_.a
         5 exit 101 0
         7 exit 100 0";
    let at_exit = replay(events(text)).0;
    // The final times arrive when another process may have the number, and those of the command may not arrive at all.
    let (trace, _) = replay(events(&format!("{text}\n9 reaped 101 6")));
    let (before, after) = (&at_exit.builds[0], &trace.builds[0]);
    assert_eq!(before.calls[0].end, Some(Ktime(5_000_000)));
    assert_eq!(after.calls[0].end, Some(Ktime(6_000_000)));
    assert!(after.calls[0].usage.is_final && !after.usage.is_final && !before.usage.is_final);
    assert_eq!(
        (after.calls[0].usage.user_ns, after.calls[0].usage.system_ns),
        (3_000_000, 2_000_000)
    );
    assert_eq!(after.usage.system_ns, before.usage.system_ns + 1_000_000);
    assert_eq!(trace.end, Ktime(7_000_000));
}

#[test]
fn tools_with_no_go_above_are_one_build_and_write_their_outputs_themselves() {
    check(
        "0 exec 100 /usr/bin/bazel build
         1 fork 100 101
         2 exec 101 GOOS=linux /go/pkg/tool/linux_amd64/compile -o lib.a -p lib lib.go
         3 exit 101 0
         4 fork 100 102
         5 exec 102 /go/pkg/tool/linux_amd64/link -o bin/app main.a
         6 exit 102 0
         7 exit 100 0",
        &expect![[r#"
            go tools 101: Some(Code(0)) None, 1+None cached, cpu 6 ms
              Compile lib
              Link -
              -> /src/lib.a of lib Direct None
              -> /src/bin/app of - Direct None
              ! PhasesUnseen { process: 101@1000000, role: Compile }
              ! PhasesUnseen { process: 102@4000000, role: Link }
            inspect /src/lib.a of 101
            inspect /src/bin/app of 102
        "#]],
    );
}

#[test]
fn an_up_to_date_target_is_an_output() {
    check(
        "0 exec 100 /go/bin/go build
         1 span 100 1 Executing action (link-install example.com/hello)
         2 install 100 1 hello hello
         3 done 100 1
         4 exit 100 0",
        &expect![[r#"
            go build 100: Some(Code(0)) None, 0+Some(0) cached, cpu 3 ms
              link-install example.com/hello Executed []
              -> /src/hello of example.com/hello UpToDate None
            inspect /src/hello of 100
        "#]],
    );
}

#[test]
fn a_failed_rename_is_a_copy() {
    check(
        "0 exec 100 /go/bin/go build
         1 span 100 1 Executing action (link-install example.com/hello)
         2 install 100 1 /mnt/hello /tmp/go-build1/b001/exe/a.out
         3 move 100 1 /mnt/hello /tmp/go-build1/b001/exe/a.out
         4 rename 100 18 /tmp/go-build1/b001/exe/a.out /mnt/hello
         5 done 100 1
         6 exit 100 0",
        &expect![[r#"
            go build 100: Some(Code(0)) None, 0+Some(0) cached, cpu 3 ms
              link-install example.com/hello Executed []
              -> /mnt/hello of example.com/hello Copied None
            inspect /mnt/hello of 100
        "#]],
    );
}

#[test]
fn a_reused_tgid_is_a_new_process() {
    check(
        "0 exec 100 /go/bin/go build
         1 fork 100 101
         2 exec 101 /usr/bin/git status
         3 exit 101 0
         4 fork 100 101
         5 exec 101 /usr/bin/git log
         6 exit 101 0
         7 exit 100 0",
        &expect![[r#"
            go build 100: Some(Code(0)) None, 0+Some(0) cached, cpu 9 ms
              Vcs -
              Vcs -
        "#]],
    );
}

#[test]
fn lost_records_mark_the_build() {
    check(
        "0 exec 100 /go/bin/go build
         1 fork 100 101
         2 lost 3 exec
         3 exit 100 0",
        &expect![[r#"
            go build 100: Some(Code(0)) None, 0+Some(0) cached, cpu 3 ms
              ! Lost { kind: "exec", n: 3 }
              ! EndUnseen { process: 101@1000000, program: "" }
            trace: Lost { kind: "exec", n: 3 }
        "#]],
    );
}

/// Whatever is missing or out of order, the parts of a build are consistent.
fn assert_coherent(trace: &Trace) {
    let mut seen = BTreeSet::new();
    for build in &trace.builds {
        assert!(seen.insert(build.process), "a process is one build");
        let mut calls = BTreeSet::new();
        for call in &build.calls {
            assert!(calls.insert(call.process), "a process is one run of a tool");
        }
        let mut owned = BTreeSet::new();
        for index in build.actions.iter().flat_map(|it| it.calls.iter()) {
            assert!((*index as usize) < build.calls.len());
            assert!(owned.insert(*index), "a run belongs to one action");
        }
        let mut outputs = BTreeSet::new();
        for output in &build.outputs {
            assert!(
                outputs.insert((&output.path, output.how))
                    || output.how == crate::model::Installed::Temporary
            );
        }
        if let Some(parent) = build.parent {
            assert!(trace.builds.iter().any(|it| it.process == parent));
            assert_ne!(parent, build.process);
        }
    }
    assert!(trace.start <= trace.end);
}

proptest! {
    #[test]
    fn any_order_and_any_loss_gives_a_coherent_trace(
        order in Just((0..events(SMALL).len()).collect::<Vec<_>>()).prop_shuffle(),
        keep in proptest::collection::vec(any::<bool>(), 64),
    ) {
        let all = events(SMALL);
        let some = order.iter().filter(|it| keep[**it % keep.len()]).map(|it| all[*it].clone()).collect();
        assert_coherent(&replay(some).0);
    }

    #[test]
    fn a_truncated_stream_reports_that_the_build_did_not_end(n in 1..33usize) {
        let (trace, _) = replay(events(SMALL).into_iter().take(n).collect());
        assert_coherent(&trace);
        prop_assert_eq!(trace.builds.len(), 1);
        let unended = trace.builds[0].anomalies.iter().any(|it| matches!(it, Anomaly::EndUnseen { .. }));
        prop_assert!(unended);
    }

    #[test]
    fn events_of_different_processes_may_come_in_any_order(swaps in proptest::collection::vec(0..60usize, 0..20)) {
        let mut shuffled = events(SMALL);
        for at in swaps {
            let at = at % (shuffled.len() - 1);
            if owner(&shuffled[at]) != owner(&shuffled[at + 1]) && !is_birth(&shuffled[at], &shuffled[at + 1]) {
                shuffled.swap(at, at + 1);
            }
        }
        prop_assert_eq!(replay(shuffled).0.builds, replay(events(SMALL)).0.builds);
    }
}

fn owner(event: &Event) -> Option<ProcKey> {
    match event {
        Event::Fork(it) => Some(it.parent),
        Event::Exec(it) => Some(it.process),
        Event::Exit(it) => Some(it.process),
        Event::Reaped(it) => Some(it.process),
        Event::Rename(it) => Some(it.process),
        Event::Call(it) => Some(it.process),
        Event::Lineage(it) => Some(it.process),
        Event::Settings(it) => Some(it.process),
        Event::ResponseFile(it) => Some(it.process),
        Event::Inspected(it) => Some(it.process),
        Event::CheckedOut(it) => Some(it.process),
        Event::BuildInfo(it) => Some(it.process),
        Event::Tool(_) | Event::Lost(_) | Event::Unreadable(_) => None,
    }
}

/// A child's own events come after its birth, and the parent of the very first event is the root.
fn is_birth(first: &Event, second: &Event) -> bool {
    matches!((first, owner(second)), (Event::Fork(fork), Some(key)) if fork.child == key)
}
