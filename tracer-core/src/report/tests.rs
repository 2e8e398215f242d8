//! Builds written as lines of text, and their reports.
#![expect(
    clippy::needless_raw_string_hashes,
    reason = "as expect-test writes them"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::event::{Status, Tgid};
use crate::model::{
    Anomaly, CallKind, Command, EventCounts, GcCycle, ModuleKind, Packages, Phase, SCHEMA, Setting,
    SourceModule, ToolCall, Toolchain,
};

/// A build of `wall` ms on `cpus` CPUs. Each line is a call: `id<parent kind package start..end cpu [rss] [word..]`, times in ms,
/// resident set in MiB. Words: `query`, `failed`, `in=module`, `gc=start..end`, `name=start..end` for phases. `go` is process 1.
pub(crate) fn trace(cpus: u32, wall: u64, lines: &str) -> Trace {
    let calls: Vec<ToolCall> = lines
        .lines()
        .map(str::trim)
        .filter(|it| !it.is_empty())
        .map(call)
        .collect();
    let tools_cpu: u64 = calls.iter().map(|it| cpu_ns(it.usage)).sum();
    let usage = Usage {
        user_ns: tools_cpu + ms(7),
        system_ns: 0,
        ..Usage::default()
    };
    let compiled = calls
        .iter()
        .filter(|it| it.kind == CallKind::Compile && !it.is_query)
        .count();
    let build = Build {
        process: key(1),
        parent: None,
        above: Vec::new(),
        command: Command {
            name: "build".to_owned(),
            ..Command::default()
        },
        dir: None,
        toolchain: Toolchain::default(),
        goflags: Setting::default(),
        env: BTreeMap::new(),
        ci: None,
        trace_context: None,
        checkout: None,
        place: None,
        module: None,
        start: Ktime(0),
        end: Some(Ktime(ms(wall))),
        status: Some(Status::Code(0)),
        failure: None,
        usage,
        packages: Packages {
            compiled: u32::try_from(compiled).unwrap(),
            failed: 0,
            cached: Some(3),
        },
        actions: Vec::new(),
        keys: Vec::new(),
        imports: None,
        calls,
        stages: Vec::new(),
        outputs: Vec::new(),
        anomalies: Vec::new(),
    };
    Trace {
        schema: SCHEMA.to_owned(),
        host: None,
        command: Vec::new(),
        start: Ktime(0),
        end: Ktime(ms(wall)),
        boot_to_wall_ns: 0,
        cpus,
        status: Some(Status::Code(0)),
        usage,
        builds: vec![build],
        tools: Vec::new(),
        events: EventCounts::default(),
        anomalies: Vec::new(),
    }
}

fn call(line: &str) -> ToolCall {
    let mut words = line.split_whitespace();
    let (id, parent) = words.next().unwrap().split_once('<').unwrap();
    let kind = serde_json::from_value(serde_json::Value::from(words.next().unwrap())).unwrap();
    let package = words.next().unwrap();
    let (start, end) = span(words.next().unwrap());
    let cpu = ms(words.next().unwrap().parse().unwrap());
    let mut call = ToolCall {
        process: key(id.parse().unwrap()),
        parent: Tgid(parent.parse().unwrap()),
        started_by: Some(key(parent.parse().unwrap())),
        kind,
        program: "tool".into(),
        package: (package != "-").then(|| package.into()),
        module: None,
        is_query: false,
        start,
        end: Some(end),
        status: Some(Status::Code(0)),
        killed_by: None,
        usage: Usage {
            user_ns: cpu,
            ..Usage::default()
        },
        phases: Vec::new(),
        gc_cycles: Vec::new(),
    };
    for word in words {
        match word.split_once('=') {
            None if word == "query" => call.is_query = true,
            None if word == "failed" => call.status = Some(Status::Code(2)),
            None => call.usage.max_rss_bytes = Some(word.parse::<u64>().unwrap() << 20),
            Some(("in", path)) => call.module = Some(module(path)),
            Some(("gc", times)) => {
                let (start, end) = span(times);
                call.gc_cycles.push(GcCycle {
                    start,
                    end: Some(end),
                    heap_live: None,
                    heap_marked: None,
                });
            }
            Some((name, times)) => {
                let (start, end) = span(times);
                call.phases.push(Phase {
                    name: name.to_owned(),
                    start,
                    end: Some(end),
                });
            }
        }
    }
    call
}

fn module(path: &str) -> SourceModule {
    SourceModule {
        kind: ModuleKind::Dependency,
        path: Some(path.to_owned()),
        version: None,
    }
}

fn span(text: &str) -> (Ktime, Ktime) {
    let (start, end) = text.split_once("..").unwrap();
    (
        Ktime(ms(start.parse().unwrap())),
        Ktime(ms(end.parse().unwrap())),
    )
}

fn key(tgid: u32) -> ProcKey {
    ProcKey {
        tgid: Tgid(tgid),
        born: Ktime(u64::from(tgid)),
    }
}

fn ms(n: u64) -> u64 {
    n * 1_000_000
}

fn check(cpus: u32, wall: u64, lines: &str, expected: &Expect) {
    expected.assert_eq(&show(&analyze(&trace(cpus, wall, lines))));
}

fn show(report: &Report) -> String {
    let mut text = String::new();
    let build = &report.builds[0];
    let ms = |ns: u64| ns / 1_000_000;
    let phases = |phases: &[PhaseTime]| {
        phases.iter().fold(String::new(), |text, it| {
            format!("{text} {}={}", it.name, ms(it.ns))
        })
    };
    let name = |it: &Option<crate::byte_string::ByteString>| {
        it.as_ref().map_or("-".to_owned(), ToString::to_string)
    };
    writeln!(
        text,
        "wall {} cpu {} busy {:.2} go {} tools {}",
        ms(build.wall_ns),
        ms(build.cpu_ns),
        build.cores_busy.unwrap(),
        ms(build.go_cpu_ns()),
        ms(build.tools_running_ns)
    )
    .unwrap();
    for it in &build.kinds {
        let cpu = ms(it.cpu_ns());
        writeln!(
            text,
            "{:?}: {}+{} runs, wall {}, running {}, cpu {cpu}",
            it.kind,
            it.runs,
            it.nested,
            ms(it.wall_ns),
            ms(it.running_ns)
        )
        .unwrap();
    }
    writeln!(
        text,
        "queries: {}, wall {}, cpu {}",
        build.queries.runs,
        ms(build.queries.wall_ns),
        ms(build.queries.cpu_ns)
    )
    .unwrap();
    for it in &build.packages {
        let (running, alone, cpu) = (ms(it.running_ns), ms(it.alone_ns), ms(it.cpu_ns));
        let failed = if it.failed { " failed" } else { "" };
        writeln!(
            text,
            "{}: running {running}, alone {alone}, cpu {cpu}, rss {}, {} runs{failed}{}",
            it.package,
            it.max_rss_bytes.unwrap_or(0) >> 20,
            it.runs,
            phases(&it.phases)
        )
        .unwrap();
    }
    for it in &build.links {
        writeln!(
            text,
            "link {}: wall {}, cpu {}, external {}{}",
            name(&it.package),
            ms(it.wall_ns),
            ms(it.cpu_ns),
            ms(it.external_ns),
            phases(&it.phases)
        )
        .unwrap();
    }
    writeln!(
        text,
        "gc: {} cycles, {} of {}, {} tools",
        build.gc.cycles,
        ms(build.gc.ns),
        ms(build.gc.of_ns),
        build.gc.tools
    )
    .unwrap();
    for hint in &build.hints {
        writeln!(text, "{hint:?}").unwrap();
    }
    text
}

#[test]
fn packages_are_summed_by_the_module_of_their_sources() {
    let mut trace = trace(
        2,
        1000,
        "2<1 compile a/x 0..10 5 in=a
         3<1 cgo a/y 0..10 7 in=a
         4<3 cc a/y 0..10 20
         5<1 compile a/y 0..10 1
         6<1 compile b 0..10 40 in=b
         7<1 asm b 0..10 2 in=a
         8<1 compile c 0..10 3
         9<1 link a/x 0..10 900
         10<1 compile t 0..10 1 in=t
         11<1 compile t_test 0..10 1 in=t
         12<1 compile t.test 0..10 4
         13<1 compile u.test 0..10 6",
    );
    // A line cannot contain the names of test variants.
    for call in &mut trace.builds[0].calls {
        let package = call.package.as_ref().unwrap().to_str();
        if package == "t" || package == "t_test" {
            call.package = Some(format!("{package} [t.test]").as_str().into());
        }
    }
    let report = analyze(&trace);
    let mut text = String::new();
    for it in &report.builds[0].cpu_by_module {
        let path = it.module.as_ref().and_then(|it| it.path.as_deref());
        let (path, cpu) = (path.unwrap_or("not known"), it.cpu_ns / 1_000_000);
        writeln!(text, "{path}: {} packages, cpu {cpu}", it.packages).unwrap();
    }
    // The sources of `b` are in two modules, and `u` was not compiled.
    expect![[r#"
        not known: 3 packages, cpu 51
        a: 2 packages, cpu 33
        t: 3 packages, cpu 6
    "#]]
    .assert_eq(&text);
}

#[test]
fn time_goes_to_the_kind_of_the_outermost_run() {
    check(
        2,
        1000,
        "2<1 compile - 0..10 5 query
         3<1 compile fmt 20..120 90 40 fe:parse=20..40 be:compilefuncs=40..110
         4<1 asm fmt 130..134 3
         5<1 cgo net 30..130 20
         6<5 cc net 40..60 1
         7<6 cc net 41..59 15
         8<1 cc net 131..160 2
         9<8 as net 150..158 6
         10<1 link hello 200..700 400 300 loadlib=200..300 dodata=300..650
         11<10 cc hello 500..600 1
         12<11 ld hello 510..599 80",
        &expect![[r#"
            wall 1000 cpu 630 busy 0.63 go 7 tools 640
            Link: 1+2 runs, wall 500, running 500, cpu 481
            Compile: 1+0 runs, wall 100, running 100, cpu 90
            Cgo: 1+2 runs, wall 100, running 100, cpu 36
            Cc: 1+1 runs, wall 29, running 29, cpu 8
            Asm: 1+0 runs, wall 4, running 4, cpu 3
            queries: 1, wall 10, cpu 5
            net: running 129, alone 36, cpu 44, rss 0, 5 runs
            fmt: running 104, alone 11, cpu 93, rss 40, 2 runs fe:parse=20 be:compilefuncs=70
            link hello: wall 500, cpu 481, external 100 dodata=350 loadlib=100
            gc: 0 cycles, 0 of 600, 0 tools
            Linking { links: 1, ns: 500000000 }
        "#]],
    );
}

#[test]
fn a_wrapper_has_the_kind_of_its_tool() {
    check(
        2,
        100,
        "2<1 other - 0..10 1
         3<2 compile - 1..9 5 query
         4<1 other fmt 10..60 1
         5<4 other - 10..59 1
         6<5 compile fmt 11..58 40
         7<1 other fmt 60..70 2",
        &expect![[r#"
            wall 100 cpu 57 busy 0.57 go 7 tools 60
            Compile: 1+2 runs, wall 50, running 50, cpu 42
            Other: 1+0 runs, wall 10, running 10, cpu 2
            queries: 1, wall 10, cpu 6
            fmt: running 50, alone 50, cpu 42, rss 0, 1 runs
            gc: 0 cycles, 0 of 47, 0 tools
        "#]],
    );
}

#[test]
fn a_reused_id_is_not_a_parent() {
    let trace = trace(2, 100, "5<1 cgo net 0..10 1\n6<5 cc net 20..30 1");
    let trace = trace_with(&trace, |build| {
        build.calls[1].started_by.as_mut().unwrap().born = Ktime(1);
    });
    expect![[r#"
            wall 100 cpu 9 busy 0.09 go 7 tools 20
            Cgo: 1+0 runs, wall 10, running 10, cpu 1
            Cc: 1+0 runs, wall 10, running 10, cpu 1
            queries: 0, wall 0, cpu 0
            net: running 20, alone 20, cpu 2, rss 0, 2 runs
            gc: 0 cycles, 0 of 0, 0 tools
        "#]]
    .assert_eq(&show(&analyze(&trace)));
}

#[test]
fn hints_name_the_slow_parts_of_a_build() {
    check(
        8,
        10_000,
        "2<1 compile runtime 0..3000 3000 200 gc=100..2000
         3<1 compile fmt 3000..4000 900
         4<1 compile net 3000..5000 1900
         5<1 link hello 5000..9800 700
         6<5 ld hello 6000..9700 3600",
        &expect![[r#"
            wall 10000 cpu 10107 busy 1.01 go 7 tools 9800
            Compile: 3+0 runs, wall 6000, running 5000, cpu 5800
            Link: 1+1 runs, wall 4800, running 4800, cpu 4300
            queries: 0, wall 0, cpu 0
            runtime: running 3000, alone 3000, cpu 3000, rss 200, 1 runs
            net: running 2000, alone 1000, cpu 1900, rss 0, 1 runs
            fmt: running 1000, alone 0, cpu 900, rss 0, 1 runs
            link hello: wall 4800, cpu 4300, external 3700
            gc: 1 cycles, 1900 of 10800, 1 tools
            Linking { links: 1, ns: 4800000000 }
            ExternalLink { package: Some("hello"), ns: 3700000000 }
            Alone { kind: Compile, package: Some("runtime"), ns: 3000000000 }
        "#]],
    );
}

#[test]
fn a_build_with_queries_only_is_up_to_date() {
    let trace = trace(
        2,
        100,
        "2<1 compile - 0..10 5 query\n3<1 link - 0..10 5 query",
    );
    assert!(analyze(&trace).builds[0].is_up_to_date);
    let failed = trace_with(&trace, |build| build.status = Some(Status::Code(1)));
    assert!(!analyze(&failed).builds[0].is_up_to_date);
    for (line, is_up_to_date) in [
        ("4<1 cc - 0..10 1", true),
        ("4<1 vet fmt 0..10 1", false),
        ("4<1 test - 0..10 1", false),
    ] {
        let trace = super::tests::trace(2, 100, line);
        assert_eq!(
            analyze(&trace).builds[0].is_up_to_date,
            is_up_to_date,
            "{line}"
        );
    }
    let trace = trace_with(&trace, |build| build.packages.compiled = 1);
    assert!(!analyze(&trace).builds[0].is_up_to_date);
}

#[test]
fn cached_packages_are_unknown_if_unknown_in_one_build() {
    let one = trace(2, 100, "");
    assert_eq!(analyze(&one).totals.packages_cached, Some(3));
    let mut two = one.clone();
    two.builds
        .extend(trace_with(&one, |build| build.packages.cached = None).builds);
    assert_eq!(analyze(&two).totals.packages_cached, None);
}

#[test]
fn only_the_stage_load_counts_as_loading() {
    let trace = trace_with(&trace(2, 1000, ""), |build| {
        let stage = |name: &str, (start, end)| Phase {
            name: name.to_owned(),
            start,
            end: Some(end),
        };
        build.stages = vec![
            stage("command", span("0..1000")),
            stage("load", span("10..60")),
            stage("execute", span("60..990")),
        ];
    });
    assert_eq!(analyze(&trace).builds[0].loading_ns, ms(50));
}

#[test]
fn a_loss_in_every_build_counts_once() {
    let lost = Anomaly::Lost {
        kind: "exec".to_owned(),
        n: 3,
    };
    let reused = Anomaly::Reused { process: key(7) };
    let mut trace = trace_with(&trace(2, 1000, ""), |build| {
        build.anomalies = vec![lost.clone(), reused.clone()];
    });
    trace.anomalies = vec![lost.clone()];
    trace.builds.extend(trace.builds.clone());
    assert_eq!(analyze(&trace).totals.anomalies, 3);
}

fn trace_with(trace: &Trace, change: impl Fn(&mut Build)) -> Trace {
    let mut trace = trace.clone();
    trace.builds.iter_mut().for_each(change);
    trace
}

fn any_call() -> impl Strategy<Value = ToolCall> {
    let kinds = prop_oneof![
        Just(CallKind::Compile),
        Just(CallKind::Link),
        Just(CallKind::Cgo),
        Just(CallKind::Cc),
        Just(CallKind::Test),
    ];
    let ids = (2_u32..9, 1_u32..9, 0_u64..3);
    let times = (0_u64..50, prop::option::of(0_u64..50), any::<[u64; 3]>());
    (
        kinds,
        ids,
        times,
        any::<[bool; 2]>(),
        prop::option::of("[ab]"),
        prop::collection::vec(any::<[u64; 2]>(), 0..3),
    )
        .prop_map(
            |(
                kind,
                (tgid, parent, born),
                (start, end, [user_ns, system_ns, max_rss_bytes]),
                [is_query, is_huge],
                package,
                spans,
            )| {
                // Mostly plausible numbers, sometimes numbers of a broken recording.
                let scale = |n: u64| if is_huge { n } else { n % 1000 };
                ToolCall {
                    process: ProcKey {
                        tgid: Tgid(tgid),
                        born: Ktime(born),
                    },
                    parent: Tgid(parent),
                    started_by: (parent > 1).then_some(ProcKey {
                        tgid: Tgid(parent),
                        born: Ktime(born),
                    }),
                    kind,
                    program: "tool".into(),
                    module: package
                        .as_deref()
                        .filter(|_| is_query == is_huge)
                        .map(module),
                    package: package.map(Into::into),
                    is_query,
                    start: Ktime(start),
                    end: end.map(Ktime),
                    status: None,
                    killed_by: None,
                    usage: Usage {
                        user_ns: scale(user_ns),
                        system_ns: scale(system_ns),
                        max_rss_bytes: Some(scale(max_rss_bytes)),
                        ..Usage::default()
                    },
                    phases: spans
                        .iter()
                        .map(|&[start, end]| Phase {
                            name: "p".to_owned(),
                            start: Ktime(start),
                            end: Some(Ktime(end)),
                        })
                        .collect(),
                    gc_cycles: spans
                        .iter()
                        .map(|&[start, end]| GcCycle {
                            start: Ktime(start),
                            end: Some(Ktime(end)),
                            heap_live: None,
                            heap_marked: None,
                        })
                        .collect(),
                }
            },
        )
}

proptest! {
    /// For any input in any order, every nanosecond of CPU counts once, and no span is longer than its whole.
    #[test]
    fn numbers_add_up(calls in prop::collection::vec(any_call(), 0..20), cpus in 0_u32..4, wall in 0_u64..60) {
        let mut trace = trace(cpus, 1, "");
        trace.end = Ktime(wall);
        let build = &mut trace.builds[0];
        build.end = Some(Ktime(wall));
        build.calls = calls;
        let all_cpu = sum(build.calls.iter().map(|it| cpu_ns(it.usage)));
        let roots_and_nested = build.calls.len() as u64;
        let of_compilers = build.calls.iter().filter(|it| it.package.is_some()).count() as u64;

        let report = analyze(&trace);
        let build = &report.builds[0];
        prop_assert_eq!(sum(build.kinds.iter().map(KindTime::cpu_ns).chain([build.queries.cpu_ns])), all_cpu);
        prop_assert!(build.kinds.iter().map(|it| it.runs + it.nested).sum::<u64>() + build.queries.runs <= roots_and_nested);
        for kind in &build.kinds {
            prop_assert!(kind.running_ns <= kind.wall_ns);
            prop_assert!(kind.running_ns <= build.tools_running_ns);
        }
        prop_assert!(build.tools_running_ns <= sum(build.kinds.iter().map(|it| it.running_ns)));
        prop_assert!(sum(build.packages.iter().map(|it| it.alone_ns)) <= build.tools_running_ns);
        prop_assert!(build.packages.iter().map(|it| it.runs).sum::<u64>() <= of_compilers.max(roots_and_nested));
        prop_assert_eq!(sum(build.cpu_by_module.iter().map(|it| it.cpu_ns)), sum(build.packages.iter().map(|it| it.cpu_ns)));
        prop_assert_eq!(build.cpu_by_module.iter().map(|it| it.packages).sum::<u64>(), len(&build.packages));
        prop_assert!(build.cores_busy.is_none_or(|it| it.is_finite() && it >= 0.0));
        prop_assert!(serde_json::to_string(&report).is_ok());
    }
}
