//! Traces for the tests of all formats, written by hand after real builds: `go build` of a program that imports `net/http`, with
//! Go 1.27 on two CPUs. Times of packages, phases and processes come from `-debug-actiongraph`, `-bench` and `-benchmark=cpu`. Other
//! traces are variants with failures and gaps.

use std::collections::BTreeMap;

use tracer_core::byte_string::ByteString;
use tracer_core::event::{
    Anatomy, Artifact, Ktime, ProcKey, Refusal, Role, Section, Stamp, Status, Tgid, Usage, Vcs,
};
use tracer_core::model::{
    Anomaly, Build, CallKind, Command, EventCounts, Failure, FailureClass, Flag, FlagOrigin,
    GcCycle, Installed, ModuleKind, Origin, Output, Packages, Phase, SCHEMA, Setting, SourceModule,
    ToolCall, ToolProgram, Toolchain, Trace,
};

const START: u64 = 86_400_000_000_000;
const MS: u64 = 1_000_000;

/// Runs of a cold build: kind, package, start and length in ms, CPU in ms, memory in MiB.
const RUNS: &[(CallKind, &str, u64, u64, u64, u64)] = &[
    (CallKind::Asm, "runtime", 2060, 13, 11, 12),
    (CallKind::Compile, "runtime", 2081, 2890, 4510, 291),
    (CallKind::Compile, "reflect", 5100, 790, 830, 121),
    (CallKind::Compile, "syscall", 5150, 380, 350, 74),
    (CallKind::Compile, "os", 5900, 471, 467, 80),
    (CallKind::Compile, "math/big", 6100, 470, 530, 92),
    (
        CallKind::Compile,
        "vendor/golang.org/x/text/unicode/norm",
        6500,
        376,
        387,
        64,
    ),
    (CallKind::Compile, "crypto/ecdsa", 7100, 411, 430, 77),
    (CallKind::Cgo, "net", 7600, 190, 21, 30),
    (CallKind::Cc, "net", 7810, 120, 4, 9),
    (CallKind::Compile, "net", 7950, 790, 1120, 140),
    (CallKind::Compile, "crypto/x509", 8800, 520, 711, 111),
    (CallKind::Compile, "crypto/tls", 9400, 1018, 1640, 165),
    (
        CallKind::Compile,
        "net/http/internal/http2",
        10_450,
        655,
        1022,
        120,
    ),
    (CallKind::Compile, "net/http", 11_200, 1118, 1810, 214),
    (CallKind::Compile, "example.com/hello", 12_350, 24, 22, 38),
    (CallKind::Link, "example.com/hello", 12_420, 377, 610, 98),
];

const COMPILER: &[(&str, u64)] = &[
    ("fe:init", 1),
    ("fe:loadsys", 1),
    ("fe:parse", 140),
    ("fe:pgo-load-profile", 0),
    ("fe:devirtualize-and-inline", 72),
    ("fe:escapes", 26),
    ("be:compilefuncs", 684),
    ("be:dumpobj", 76),
];

const LINKER: &[(&str, u64)] = &[
    ("libinit", 0),
    ("loadlib", 548),
    ("deadcode", 60),
    ("dwarfGenerateDebugInfo", 63),
    ("pclntab", 48),
    ("dwarfGenerateDebugSyms", 43),
    ("symtab", 14),
    ("dodata", 28),
    ("dwarfcompress", 111),
    ("Asmb", 45),
    ("Asmb2", 17),
    ("hostlink", 0),
];

pub(crate) fn at(ms: u64) -> Ktime {
    Ktime(START + ms * MS)
}

fn key(tgid: u32) -> ProcKey {
    ProcKey {
        tgid: Tgid(tgid),
        born: Ktime(START + u64::from(tgid)),
    }
}

fn words(text: &str) -> Vec<ByteString> {
    text.split(' ').map(ByteString::from).collect()
}

fn usage(cpu_ms: u64, rss_mib: u64) -> Usage {
    Usage {
        user_ns: cpu_ms * MS * 4 / 5,
        system_ns: cpu_ms * MS / 5,
        max_rss_bytes: Some(rss_mib << 20),
        max_rss_at_most_bytes: None,
        run_delay_ns: None,
        block_io_ns: None,
        is_final: true,
    }
}

fn call(
    tgid: u32,
    kind: CallKind,
    package: &str,
    start: u64,
    length: u64,
    cpu: u64,
    rss: u64,
) -> ToolCall {
    let parts = if kind == CallKind::Compile {
        COMPILER
    } else if kind == CallKind::Link {
        LINKER
    } else {
        &[]
    };
    let mut phases = Vec::new();
    let mut from = start * MS;
    for (name, per_mille) in parts {
        let end = from + per_mille * length * MS / 1000;
        phases.push(Phase {
            name: (*name).to_owned(),
            start: Ktime(START + from),
            end: Some(Ktime(START + end)),
        });
        from = end;
    }
    let collects = rss > 90 && !parts.is_empty();
    let gc = GcCycle {
        start: at(start + length / 2),
        end: Some(at(start + length / 2 + 20)),
        heap_live: Some(69 << 20),
        heap_marked: None,
    };
    ToolCall {
        process: key(tgid),
        parent: Tgid(1000),
        started_by: Some(key(1000)),
        kind,
        program: if kind == CallKind::Cc { "gcc" } else { "tool" }.into(),
        package: (!package.is_empty()).then(|| package.into()),
        module: (!package.is_empty()).then(|| module(package)),
        is_query: false,
        start: at(start),
        end: Some(at(start + length)),
        status: Some(Status::Code(0)),
        killed_by: None,
        usage: usage(cpu, rss),
        phases,
        gc_cycles: if collects { vec![gc] } else { Vec::new() },
    }
}

/// The module of a package. Those of the numbered packages are dependencies.
fn module(package: &str) -> SourceModule {
    const DEPENDENCIES: [&str; 8] = [
        "golang.org/x/net v0.55.0",
        "golang.org/x/text v0.31.0",
        "google.golang.org/protobuf v1.36.10",
        "k8s.io/apimachinery v0.34.2",
        "github.com/Azure/azure-sdk-for-go/sdk/azcore v1.20.0",
        "gopkg.in/yaml.v3 v3.0.1",
        "go.uber.org/zap v1.27.1",
        "golang.org/x/sys v0.38.0",
    ];
    let (kind, path, version) = if package.starts_with("example.com/hello") {
        (ModuleKind::Main, "example.com/hello", None)
    } else if package.starts_with("internal/p1") {
        let number: usize = package.trim_start_matches("internal/p").parse().unwrap();
        let named = DEPENDENCIES[number * number / 7 % DEPENDENCIES.len()];
        let (path, version) = named.split_once(' ').unwrap();
        (ModuleKind::Dependency, path, Some(version.to_owned()))
    } else {
        (ModuleKind::Standard, "std", None)
    };
    SourceModule {
        kind,
        path: Some(path.to_owned()),
        version,
    }
}

/// `go build -o bin/hello ./cmd/hello` with nothing in the cache.
pub(crate) fn cold() -> Trace {
    let mut calls: Vec<ToolCall> = Vec::new();
    for (n, query) in (0_u32..).zip(["compile", "asm", "link", "cgo"]) {
        let mut call = call(1001 + n, CallKind::GoTool, "", 70 + u64::from(n), 9, 9, 12);
        call.kind = [
            CallKind::Compile,
            CallKind::Asm,
            CallKind::Link,
            CallKind::Cgo,
        ][n as usize];
        (call.is_query, call.phases, call.program) = (true, Vec::new(), query.into());
        calls.push(call);
    }
    for (n, &(kind, package, start, length, cpu, rss)) in (0_u32..).zip(RUNS) {
        calls.push(call(1010 + n, kind, package, start, length, cpu, rss));
        if kind == CallKind::Cgo || kind == CallKind::Cc {
            let mut cc1 = call(
                1200 + n,
                CallKind::Cc,
                package,
                start + 10,
                length - 20,
                90,
                33,
            );
            cc1.parent = Tgid(1010 + n);
            cc1.started_by = Some(key(1010 + n));
            cc1.program = "cc1".into();
            calls.push(cc1);
        }
    }
    for n in 0..174_u32 {
        let start = 90 + u64::from(n) * 68;
        calls.push(call(
            1400 + n,
            CallKind::Compile,
            &format!("internal/p{n:03}"),
            start,
            60,
            55,
            36,
        ));
    }
    for n in 0..44_u32 {
        calls.push(call(
            1600 + n,
            CallKind::Asm,
            &format!("internal/p{n:03}"),
            100 + u64::from(n) * 120,
            4,
            4,
            11,
        ));
    }
    calls.sort_by_key(|it| it.start);

    let mut build = empty("go build -o bin/hello ./cmd/hello", 12_880);
    build.command.flags = vec![
        Flag {
            name: "o".to_owned(),
            value: Some("bin/hello".into()),
            origin: FlagOrigin::Argv,
        },
        Flag {
            name: "trimpath".to_owned(),
            value: None,
            origin: FlagOrigin::Goflags,
        },
    ];
    build.goflags = Setting {
        value: "-trimpath".into(),
        origin: Origin::UserFile("/home/build/.config/go/env".into()),
    };
    build.env = BTreeMap::from([
        ("CGO_ENABLED".to_owned(), "1".into()),
        ("GOAMD64".to_owned(), "v1".into()),
    ]);
    build.usage = usage(25_180, 291);
    let compiled = calls
        .iter()
        .filter(|it| it.kind == CallKind::Compile && !it.is_query)
        .count();
    build.packages = Packages {
        compiled: u32::try_from(compiled).unwrap(),
        failed: 0,
        cached: Some(0),
    };
    build.calls = calls;
    let stage = |name: &str, start, end| Phase {
        name: name.to_owned(),
        start: at(start),
        end: Some(at(end)),
    };
    build.stages = vec![
        stage("command", 8, 12_878),
        stage("load", 12, 61),
        stage("execute", 70, 12_870),
    ];
    build.outputs = vec![output("/home/build/hello/bin/hello", Installed::Renamed)];
    trace(build)
}

fn output(path: &str, how: Installed) -> Output {
    let artifact = Artifact {
        size: 5_372_374,
        sha256: "d06aff76f7a3f25c1b1d4a5e1f6b0c9d3ad6b6a2b1f4a0c6f2b7f1f00957c4aa".to_owned(),
        go_version: Some("go1.27.3".to_owned()),
        main_package: Some("example.com/hello/cmd/hello".to_owned()),
        main_module: Some("example.com/hello".to_owned()),
        main_module_version: Some("(devel)".to_owned()),
        format: Some("ELF".to_owned()),
        stamp: Some(Stamp {
            buildmode: Some("exe".to_owned()),
            cgo: Some(true),
            vcs: Some(Vcs {
                revision: Some("0fda12ab4c8e0fda12ab4c8e0fda12ab4c8e0fda".to_owned()),
                modified: Some(true),
                ..Vcs::default()
            }),
            ..Stamp::default()
        }),
        anatomy: Some(Box::new(anatomy())),
        unanalysed: None,
    };
    Output {
        path: path.into(),
        package: Some("example.com/hello/cmd/hello".into()),
        how,
        at: at(12_850),
        artifact: Some(artifact),
        unread: None,
    }
}

fn anatomy() -> Anatomy {
    let section = |name: &str, size, millibits| Section {
        name: name.to_owned(),
        debug: name.starts_with(".debug"),
        size,
        entropy_millibits: Some(millibits),
    };
    Anatomy {
        sections: vec![
            section(".text", 2_400_000, 6_103),
            section(".debug_info", 600_000, 7_990),
            section(".note.go.buildid", 100, 5_250),
        ],
        n_sections: 3,
        ..Anatomy::default()
    }
}

fn empty(command: &str, wall: u64) -> Build {
    let argv = words(command);
    Build {
        process: key(1000),
        parent: None,
        above: Vec::new(),
        command: Command {
            name: argv[1].to_string(),
            argv,
            flags: Vec::new(),
            packages: words("./cmd/hello"),
        },
        dir: Some("/home/build/hello".into()),
        toolchain: Toolchain {
            version: Some("go1.27.3".to_owned()),
            goroot: Some("/usr/local/go".into()),
            goos: Some("linux".to_owned()),
            goarch: Some("amd64".to_owned()),
            switched_from: None,
        },
        goflags: Setting::default(),
        env: BTreeMap::new(),
        ci: None,
        trace_context: None,
        checkout: None,
        place: None,
        module: Some("example.com/hello".to_owned()),
        start: at(0),
        end: Some(at(wall)),
        status: Some(Status::Code(0)),
        failure: None,
        usage: usage(60, 31),
        packages: Packages {
            compiled: 0,
            failed: 0,
            cached: Some(190),
        },
        actions: Vec::new(),
        keys: Vec::new(),
        imports: None,
        calls: Vec::new(),
        stages: Vec::new(),
        outputs: Vec::new(),
        anomalies: Vec::new(),
    }
}

fn trace(build: Build) -> Trace {
    let tool = |path: &str, role| ToolProgram {
        path: path.into(),
        role,
        version: "go1.27.3".to_owned(),
        attached: vec!["a".to_owned(), "b".to_owned()],
        refused: Vec::new(),
    };
    Trace {
        schema: SCHEMA.to_owned(),
        host: None,
        command: build.command.argv.clone(),
        start: build.start,
        end: build.end.unwrap_or(at(20_000)),
        boot_to_wall_ns: 1_795_000_000_000_000_000,
        cpus: 2,
        status: build.status,
        usage: build.usage,
        builds: vec![build],
        tools: vec![
            tool("/usr/local/go/bin/go", Role::Go),
            tool("/usr/local/go/pkg/tool/linux_amd64/compile", Role::Compile),
            tool("/usr/local/go/pkg/tool/linux_amd64/link", Role::Link),
        ],
        events: EventCounts {
            forks: 430,
            execs: 428,
            exits: 430,
            reaped: 430,
            renames: 2,
            calls: 2901,
            lost: 0,
            unreadable: 0,
        },
        anomalies: Vec::new(),
    }
}

/// The same build again, without work.
pub(crate) fn up_to_date() -> Trace {
    let mut build = empty("go build -o bin/hello ./cmd/hello", 214);
    build.outputs = vec![output("/home/build/hello/bin/hello", Installed::UpToDate)];
    build.calls = cold().builds[0]
        .calls
        .iter()
        .filter(|it| it.is_query)
        .cloned()
        .collect();
    trace(build)
}

/// A package that does not compile.
pub(crate) fn failed() -> Trace {
    let mut build = empty("go build ./...", 3120);
    let mut compile = call(
        1011,
        CallKind::Compile,
        "example.com/hello/api",
        2200,
        610,
        702,
        88,
    );
    (compile.status, compile.program) = (Some(Status::Code(2)), "compile".into());
    compile.phases.truncate(3);
    build.failure = Some(Failure {
        class: FailureClass::Compile,
        package: Some("example.com/hello/api".into()),
        process: Some(compile.process),
        killed_by: None,
    });
    build.calls = vec![
        call(
            1010,
            CallKind::Compile,
            "example.com/hello/store",
            400,
            1700,
            1820,
            130,
        ),
        compile,
    ];
    build.packages = Packages {
        compiled: 1,
        failed: 1,
        cached: Some(188),
    };
    build.status = Some(Status::Code(1));
    build.usage = usage(2900, 130);
    trace(build)
}

/// `make release`: a build, a generator that builds another, and a test that fails.
pub(crate) fn several() -> Trace {
    let mut trace = cold();
    trace.command = words("make release");
    let mut generate = empty("go generate ./...", 900);
    (generate.process, generate.packages.cached) = (key(3000), None);
    let mut run = empty("go run ./internal/gen", 700);
    (run.process, run.parent) = (key(3100), Some(key(3000)));
    run.calls = vec![call(
        3101,
        CallKind::Link,
        "example.com/hello/internal/gen",
        100,
        300,
        420,
        80,
    )];
    run.usage = usage(500, 80);
    let mut test = failed().builds.remove(0);
    test.process = key(4000);
    test.command.argv = ["go", "test", "-run", "Test A", "./..."]
        .map(ByteString::from)
        .to_vec();
    test.failure = Some(Failure {
        class: FailureClass::Test,
        package: Some("example.com/hello/api".into()),
        process: None,
        killed_by: None,
    });
    trace.builds.extend([generate, run, test]);
    trace.status = Some(Status::Code(2));
    trace.usage = usage(31_500, 291);
    trace.end = at(18_200);
    trace
}

/// A script that builds many programs.
pub(crate) fn many() -> Trace {
    let mut trace = several();
    trace.command = words("./build-all.sh");
    for n in 0..30_u32 {
        let mut build = empty(
            &format!("go build -o bin/tool{n} ./cmd/tool{n}"),
            200 + u64::from(n) * 37,
        );
        build.process = key(5000 + n);
        trace.builds.push(build);
    }
    trace
}

/// A hostile build with a lossy tracer.
pub(crate) fn broken() -> Trace {
    let mut trace = failed();
    let evil = "evil\u{1b}[2J\u{202e}\n\"}\\x 日本語 go_build_builds_total 7";
    let process = key(1011);
    let refusal = |probe: &str| Refusal {
        probe: probe.to_owned(),
        why: "the function begins in a way that is not known".to_owned(),
    };
    trace.command = vec![evil.into(), vec![0xff, 0xfe].into()];
    trace.cpus = 0;
    trace.anomalies = vec![
        Anomaly::Lost {
            kind: "exec".to_owned(),
            n: 12,
        },
        Anomaly::Lost {
            kind: "call".to_owned(),
            n: 3,
        },
    ];
    (trace.events.lost, trace.events.unreadable) = (17, 1);
    let tool = &mut trace.tools[2];
    (tool.attached, tool.refused) = (Vec::new(), vec![refusal("link_phase"), refusal("gc_start")]);
    let build = &mut trace.builds[0];
    build.status = None;
    build.end = None;
    build.command.name = evil.to_owned();
    build.command.argv.push(evil.into());
    build.module = Some(evil.to_owned());
    build.goflags = Setting {
        value: evil.into(),
        origin: Origin::UserFile(evil.into()),
    };
    build.toolchain.version = Some(evil.to_owned());
    build.outputs = vec![
        Output {
            path: evil.into(),
            package: Some(evil.into()),
            unread: Some(evil.to_owned()),
            artifact: None,
            ..output("", Installed::Announced)
        },
        Output {
            path: "/srv/out".into(),
            package: Some(evil.repeat(20).into()),
            ..output("", Installed::Copied)
        },
    ];
    for call in &mut build.calls {
        call.package = Some(evil.into());
        call.program = evil.into();
        call.phases
            .iter_mut()
            .for_each(|it| it.name = format!("{evil}{}", it.name));
    }
    build.failure = Some(Failure {
        class: FailureClass::Killed,
        package: Some(evil.into()),
        process: Some(process),
        killed_by: None,
    });
    build.anomalies = every_anomaly(evil, process, &refusal);
    trace
}

/// Anomalies of every kind.
fn every_anomaly(evil: &str, process: ProcKey, refusal: &dyn Fn(&str) -> Refusal) -> Vec<Anomaly> {
    vec![
        Anomaly::Lost {
            kind: "exec".to_owned(),
            n: 12,
        },
        Anomaly::EndUnseen {
            process,
            program: evil.into(),
        },
        Anomaly::Cut {
            process,
            what: evil.to_owned(),
        },
        Anomaly::Cut {
            process,
            what: "argv".to_owned(),
        },
        Anomaly::PhasesUnseen {
            process,
            role: Role::Link,
        },
        Anomaly::StartUnseen { process },
        Anomaly::Reused { process },
        Anomaly::ProbesLate {
            process,
            path: "/usr/local/go/bin/go".into(),
        },
        Anomaly::ProbesChanged {
            process,
            path: "/usr/local/go/bin/go".into(),
        },
        Anomaly::SpanUnpaired { process, n: 2 },
        Anomaly::InstallUnseen { path: evil.into() },
        Anomaly::ToolUnknown {
            process,
            path: evil.into(),
        },
        Anomaly::Unreadable { n: 1 },
        Anomaly::ProbesRefused {
            path: evil.into(),
            refused: vec![refusal(evil)],
        },
    ]
}

/// A command that ran no Go tool.
pub(crate) fn no_go() -> Trace {
    let mut trace = up_to_date();
    (trace.command, trace.builds, trace.tools) = (words("make clean"), Vec::new(), Vec::new());
    trace
}

/// All samples, by name.
pub(crate) fn all() -> Vec<(&'static str, Trace)> {
    vec![
        ("cold", cold()),
        ("up-to-date", up_to_date()),
        ("failed", failed()),
        ("several", several()),
        ("many", many()),
        ("broken", broken()),
        ("no-go", no_go()),
    ]
}
