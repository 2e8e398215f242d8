use abi::{Kind, PATH_MAX};
use proptest::prelude::*;
use zerocopy::IntoBytes;

use super::*;
use crate::event::{Exec, Point, Status, Usage};

const POINTS: &[PointKind] = &[
    PointKind::SpanStart,
    PointKind::SpanDone,
    PointKind::Install,
    PointKind::CompilePhase,
    PointKind::GcStart,
    PointKind::KeyOpen,
    PointKind::KeyWrite,
    PointKind::KeySum,
    PointKind::MoveOrCopy,
    PointKind::LinkPhase,
    PointKind::GcEnd,
    PointKind::Fatal,
];

fn decode(bytes: &[u8]) -> Event {
    Decoder::new(POINTS.to_vec(), 4096).decode(bytes)
}

fn header(kind: Kind) -> abi::Header {
    abi::Header {
        kind,
        cpu: 1,
        len: 0,
        ktime_ns: 900,
        born_ns: 100,
        tgid: 7,
        tid: 8,
    }
}

/// A record's bytes: with its length set, and followed by its tail.
fn record(fixed: &impl IntoBytesRecord, tail: &[&[u8]]) -> Vec<u8> {
    let mut bytes = fixed.bytes();
    for part in tail {
        bytes.extend_from_slice(part);
    }
    let len = u32::try_from(bytes.len()).expect("a short record");
    // `len` is the third field of the header.
    bytes[4..8].copy_from_slice(&len.to_ne_bytes());
    bytes
}

trait IntoBytesRecord {
    fn bytes(&self) -> Vec<u8>;
}

impl<T: IntoBytes + zerocopy::Immutable> IntoBytesRecord for T {
    fn bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
}

fn exec_record(argv: &[u8], env: &[u8], cwd: &[u8], exe: &[u8]) -> abi::Exec {
    let len = |it: &[u8]| u32::try_from(it.len()).expect("a short part");
    abi::Exec {
        header: header(Kind::EXEC),
        ino: 3,
        size: 4,
        ctime_ns: 5,
        cgroup: 6,
        dev: 2,
        uid: 1000,
        argv_len: len(argv),
        argv_total: len(argv),
        env_len: len(env),
        env_total: len(env),
        cwd_len: len(cwd),
        exe_len: len(exe),
        flags: 0,
        parent: 1,
    }
}

fn exec(fixed: &abi::Exec, tail: &[&[u8]]) -> Exec {
    let event = decode(&record(fixed, tail));
    let Event::Exec(exec) = event else {
        panic!("not an exec: {event:?}")
    };
    *exec
}

/// An exec of these blocks, all whole.
fn whole(argv: &[u8], env: &[u8], cwd: &[u8], exe: &[u8]) -> Exec {
    exec(&exec_record(argv, env, cwd, exe), &[argv, env, cwd, exe])
}

fn call_record(spec: u16) -> abi::Call {
    abi::Call {
        header: header(Kind::CALL),
        goroutine: 0xc0,
        value: [11, 12, 13, 14],
        text_total: [0; 4],
        text_len: [0; 4],
        target: 1,
        spec,
        missing: 0,
    }
}

fn call(spec: u16, texts: &[&str], missing: u16) -> Point {
    let mut fixed = call_record(spec);
    fixed.missing = missing;
    for (i, text) in texts.iter().enumerate() {
        fixed.text_len[i] = u32::try_from(text.len()).expect("a short text");
        fixed.text_total[i] = fixed.text_len[i];
    }
    let tail: Vec<&[u8]> = texts.iter().map(|it| it.as_bytes()).collect();
    let event = decode(&record(&fixed, &tail));
    let Event::Call(call) = event else {
        panic!("not a call: {event:?}")
    };
    assert_eq!(call.goroutine, 0xc0);
    call.point
}

fn text(text: &str) -> Captured<ByteString> {
    Captured::Whole(text.into())
}

fn why(event: &Event) -> &str {
    let Event::Unreadable(unreadable) = event else {
        panic!("readable: {event:?}")
    };
    &unreadable.why
}

#[test]
fn a_fork_has_two_processes() {
    let fork = abi::Fork {
        header: header(Kind::FORK),
        child_born_ns: 800,
        child: 9,
        pad: 0,
    };
    let expected = Fork {
        at: Ktime(900),
        parent: ProcKey {
            tgid: Tgid(7),
            born: Ktime(100),
        },
        child: ProcKey {
            tgid: Tgid(9),
            born: Ktime(800),
        },
    };
    assert_eq!(decode(&record(&fork, &[])), Event::Fork(expected.clone()));
    // A slot may be larger than its record.
    let mut slot = record(&fork, &[]);
    slot.extend([0xff; 64]);
    assert_eq!(decode(&slot), Event::Fork(expected));
}

#[test]
fn an_exit_has_status_and_usage() {
    let exit = abi::Exit {
        header: header(Kind::EXIT),
        utime_ns: 3,
        stime_ns: 1,
        runtime_ns: 100,
        max_rss_pages: 2,
        inherited_rss_pages: 1,
        own_rss_pages: 0,
        status: 0x200,
        threads: 0,
        run_delay_ns: 5,
        block_io_ns: abi::Exit::UNKNOWN,
        is_oom_victim: 1,
        pad: 0,
    };
    let Event::Exit(exit) = decode(&record(&exit, &[])) else {
        panic!("not an exit")
    };
    assert_eq!(exit.status, Status::Code(2));
    assert!(exit.is_oom_victim);
    assert_eq!(
        exit.usage,
        Usage {
            user_ns: 75,
            system_ns: 25,
            max_rss_bytes: Some(8192),
            run_delay_ns: Some(5),
            ..Usage::default()
        }
    );
}

#[test]
fn a_reaped_process_has_final_times() {
    for (ended_ns, ended) in [(7, Some(Ktime(7))), (0, None)] {
        let header = header(Kind::REAPED);
        let reaped = abi::Reaped {
            header,
            utime_ns: 3,
            stime_ns: 1,
            runtime_ns: 100,
            ended_ns,
            is_oom_victim: 0,
            pad: 0,
        };
        let expected = Reaped {
            at: Ktime(header.ktime_ns),
            process: process(header),
            ended,
            user_ns: 75,
            system_ns: 25,
            is_oom_victim: false,
        };
        assert_eq!(decode(&record(&reaped, &[])), Event::Reaped(expected));
    }
}

#[test]
fn an_exec_has_its_strings() {
    let exec = whole(
        b"go\0build\0-o\0\0x y\0",
        b"SHELL=/bin/sh\0PATH=/b\0GOFLAGS=-v\0GOFLAGS=-x\0GITHUB_TOKEN=t\0noequals\0=x\0HOME=\0",
        b"hello\0src\0",
        b"go\0bin\0usr\0",
    );
    assert_eq!(
        exec.argv,
        Captured::Whole(
            ["go", "build", "-o", "", "x y"]
                .map(ByteString::from)
                .to_vec()
        )
    );
    let env = [("GOFLAGS", "-v"), ("HOME", ""), ("PATH", "/b")]
        .map(|(k, v)| (k.into(), v.into()))
        .to_vec();
    assert_eq!(exec.env, Captured::Whole(env));
    assert_eq!(
        (exec.cwd, exec.exe),
        (text("/src/hello"), text("/usr/bin/go"))
    );
    assert_eq!(
        (
            exec.file.dev,
            exec.file.ino,
            exec.file.size,
            exec.file.ctime_ns
        ),
        (2, 3, 4, 5)
    );
    assert_eq!((exec.uid, exec.cgroup, exec.parent), (1000, 6, Tgid(1)));
}

#[test]
fn odd_blocks_are_split_as_they_are() {
    for (block, expected) in [
        (&b""[..], &[][..]),
        (b"\0", &[""][..]),
        (b"\0\0", &["", ""]),
        (b"a\0", &["a"]),
        (b"a", &["a"]),
        (b"a\0\0b", &["a", "", "b"]),
    ] {
        let argv = whole(block, b"", b"", b"").argv;
        assert_eq!(
            argv,
            Captured::Whole(expected.iter().map(|it| ByteString::from(*it)).collect()),
            "{block:?}"
        );
    }
    assert_eq!(
        whole(b"\xff\xfe\0", b"", b"", b"").argv,
        Captured::Whole(vec![(&b"\xff\xfe"[..]).into()])
    );
    assert_eq!(whole(b"", b"", b"", b"").cwd, text("/"));
}

#[test]
fn secrets_do_not_pass() {
    let exec = whole(
        b"link\0-X\0main.t=a b\0",
        b"GOPROXY=https://u:p@h\0",
        b"",
        b"link\0",
    );
    assert_eq!(
        exec.argv,
        Captured::Whole(
            ["link", "-X", "main.t=<redacted>"]
                .map(ByteString::from)
                .to_vec()
        )
    );
    assert_eq!(
        exec.env,
        Captured::Whole(vec![("GOPROXY".into(), "https://<redacted>@h".into())])
    );
    // Only one of the two names is `go`: the line is read as that of an unknown program.
    let exec = whole(b"compile\0--token\0x\0", b"", b"", b"sh\0bin\0");
    assert_eq!(
        exec.argv,
        Captured::Whole(
            ["compile", "--token", "<redacted>"]
                .map(ByteString::from)
                .to_vec()
        )
    );
}

#[test]
fn cut_blocks_are_marked() {
    let (argv, env) = (b"env\0DB_PASSWORD=hunt", b"PATH=/b\0GOFLAGS=-mod=");
    let mut fixed = exec_record(argv, env, b"b\0a\0", b"");
    (fixed.argv_total, fixed.env_total) = (500, 600);
    fixed.flags = abi::Exec::CWD_CUT | abi::Exec::EXE_UNREADABLE;
    let cut = exec(&fixed, &[argv, env, b"b\0a\0"]);
    let kept = ["env", "<redacted>"].map(ByteString::from).to_vec();
    assert_eq!(cut.argv, Captured::Cut { kept, total: 500 });
    assert_eq!(
        cut.env,
        Captured::Cut {
            kept: vec![("PATH".into(), "/b".into())],
            total: 600
        }
    );
    assert_eq!(
        cut.cwd,
        Captured::Cut {
            kept: "a/b".into(),
            total: 4
        }
    );
    assert_eq!(cut.exe, Captured::Missing);
    fixed.flags =
        abi::Exec::ARGV_UNREADABLE | abi::Exec::ENV_UNREADABLE | abi::Exec::CWD_UNREADABLE;
    let missing = exec(&fixed, &[argv, env, b"b\0a\0"]);
    assert_eq!(
        (missing.argv, missing.env, missing.cwd),
        (Captured::Missing, Captured::Missing, Captured::Missing)
    );
}

#[test]
fn a_rename_has_two_paths() {
    let rename = |old: &[u8], new: &[u8], dirs: (i32, i32), ret| {
        let fixed = abi::Rename {
            header: header(Kind::RENAME),
            ret,
            old_dir: dirs.0,
            new_dir: dirs.1,
            old_len: u32::try_from(old.len()).expect("short"),
            new_len: u32::try_from(new.len()).expect("short"),
        };
        let event = decode(&record(&fixed, &[old, new]));
        let Event::Rename(rename) = event else {
            panic!("not a rename: {event:?}")
        };
        rename
    };
    let done = rename(b"/w/a.out", b"x", (-100, -100), 0);
    assert_eq!(
        (done.errno, done.at_cwd, done.old, done.new),
        (0, true, text("/w/a.out"), text("x"))
    );
    let failed = rename(b"/w/a.out", b"x", (3, 5), -18);
    assert_eq!((failed.errno, failed.at_cwd), (18, false));
    assert!(rename(b"/w/a.out", b"/x", (3, 5), 0).at_cwd);
    let odd = rename(b"", &[b'x'; PATH_MAX], (-100, -100), i64::MIN);
    assert_eq!((odd.errno, odd.old), (u16::MAX, Captured::Missing));
    assert!(matches!(odd.new, Captured::Cut { total: 4096, .. }));
}

#[test]
fn a_lineage_has_the_processes_that_led_there() {
    let mut above = [abi::Above::default(); abi::LINEAGE_MAX];
    for (n, name) in [(0, &b"make\0rest"[..]), (1, b"sixteen-letters!")] {
        above[n].born_ns = 7;
        above[n].tgid = u32::try_from(n).expect("small") + 40;
        above[n].name[..name.len()].copy_from_slice(name);
    }
    let lineage = |n| {
        let fixed = abi::Lineage {
            header: header(Kind::LINEAGE),
            n,
            pad: 0,
            above,
        };
        decode(&record(&fixed, &[]))
    };
    let Event::Lineage(decoded) = lineage(2) else {
        panic!("not a lineage")
    };
    let names: Vec<_> = decoded.above.iter().map(|it| it.name.to_str()).collect();
    assert_eq!(names, ["make", "sixteen-letters!"]);
    assert_eq!(decoded.above[1].process.tgid, Tgid(41));
    // More than the maximum is not a lineage.
    assert!(matches!(lineage(9), Event::Unreadable(_)));
    assert!(matches!(lineage(u32::MAX), Event::Unreadable(_)));
}

#[test]
fn calls_become_points() {
    assert_eq!(
        call(0, &["Executing action (build fmt)"], 0),
        Point::SpanStart {
            name: text("Executing action (build fmt)")
        }
    );
    assert_eq!(
        call(0, &[], 1),
        Point::SpanStart {
            name: Captured::Missing
        }
    );
    assert_eq!(call(1, &[], 0), Point::SpanDone);
    assert_eq!(
        call(2, &["/o/x", "/w/a"], 0),
        Point::Install {
            target: text("/o/x"),
            built: text("/w/a")
        }
    );
    assert_eq!(
        call(2, &["/o/x", ""], 2),
        Point::Install {
            target: text("/o/x"),
            built: Captured::Missing
        }
    );
    assert_eq!(
        call(3, &["fe:parse"], 0),
        Point::CompilePhase {
            name: text("fe:parse")
        }
    );
    assert_eq!(call(3, &[""], 0), Point::CompilePhase { name: text("") });
    assert_eq!(
        call(4, &[], 0),
        Point::GcStart {
            heap_live: Some(11)
        }
    );
    assert_eq!(call(4, &[], 1), Point::GcStart { heap_live: None });
    assert_eq!(
        call(5, &["build fmt"], 0),
        Point::KeyOpen {
            name: text("build fmt")
        }
    );
    let line = text("linkflags [\"-X=main.t=<redacted>\"]\n");
    assert_eq!(
        call(6, &["", "linkflags [\"-X=main.t=a b\"]\n"], 0),
        Point::KeyWrite { hash: 11, line }
    );
    assert_eq!(call(7, &[], 0), Point::KeySum { hash: 11 });
    assert_eq!(
        call(8, &["/to", "/from"], 0),
        Point::MoveOrCopy {
            to: text("/to"),
            from: text("/from")
        }
    );
    assert_eq!(
        call(9, &["dodata"], 0),
        Point::LinkPhase {
            name: text("dodata")
        }
    );
    assert_eq!(
        call(10, &[], 0),
        Point::GcEnd {
            heap_marked: Some(11)
        }
    );
    assert_eq!(
        call(11, &["no packages to build"], 0),
        Point::Fatal {
            format: text("no packages to build")
        }
    );
}

#[test]
fn a_cut_text_keeps_no_half_of_a_secret() {
    let mut fixed = call_record(6);
    let line = b"goproxy https://user:pa";
    fixed.text_len[1] = u32::try_from(line.len()).expect("short");
    fixed.text_total[1] = 9000;
    let Event::Call(call) = decode(&record(&fixed, &[line])) else {
        panic!("not a call")
    };
    let cut = Captured::Cut {
        kept: "goproxy <redacted>".into(),
        total: 9000,
    };
    assert_eq!(
        call.point,
        Point::KeyWrite {
            hash: 11,
            line: cut
        }
    );
}

#[test]
fn an_unreadable_record_has_a_reason() {
    let fork = record(
        &abi::Fork {
            header: header(Kind::FORK),
            child_born_ns: 0,
            child: 0,
            pad: 0,
        },
        &[],
    );
    assert_eq!(
        why(&decode(b"")),
        "the record is shorter than its kind requires"
    );
    assert_eq!(
        why(&decode(&fork[..31])),
        "the record is shorter than its kind requires"
    );
    assert_eq!(
        why(&decode(&fork[..47])),
        "the length in the record exceeds the received bytes"
    );
    assert_eq!(
        why(&decode(&record(&header(Kind::FORK), &[]))),
        "the record is shorter than its kind requires"
    );
    for kind in [Kind::TRACK, Kind(0), Kind(999)] {
        let event = decode(&record(&header(kind), &[]));
        assert_eq!(why(&event), "unknown kind of record");
        assert!(matches!(event, Event::Unreadable(it) if it.kind == kind.0 && it.len == 32));
    }
    let mut exec = exec_record(b"", b"", b"", b"");
    exec.env_len = u32::MAX;
    assert_eq!(
        why(&decode(&record(&exec, &[b"abc"]))),
        "the length of a part exceeds the record"
    );
    assert_eq!(
        why(&decode(&record(&call_record(99), &[]))),
        "unknown probe"
    );
    let mut sum = call_record(7);
    sum.missing = 1;
    assert_eq!(
        why(&decode(&record(&sum, &[]))),
        "the address of the cache key could not be read"
    );
}

/// The contract for any bytes: decoding never fails, and invents nothing.
fn contract(bytes: &[u8]) {
    let event = decode(bytes);
    let line = serde_json::to_string(&event).expect("every event can be written");
    assert_eq!(
        serde_json::from_str::<Event>(&line).expect("and read again"),
        event
    );
    match event {
        Event::Exec(exec) => {
            assert!(exec.argv.get().is_none_or(|it| it.len() <= bytes.len()));
            let env = exec.env.get().cloned().unwrap_or_default();
            assert!(env.is_sorted_by(|(a, _), (b, _)| a < b));
            assert!(
                env.iter()
                    .all(|(name, _)| crate::environment::is_allowed(name.as_bytes()))
            );
        }
        Event::Unreadable(it) => {
            assert!(usize::try_from(it.len).is_ok_and(|len| len == bytes.len()));
        }
        Event::Fork(_)
        | Event::Exit(_)
        | Event::Reaped(_)
        | Event::Rename(_)
        | Event::Call(_)
        | Event::Lineage(_) => {
            assert!(bytes.len() >= 48);
        }
        Event::Tool(_)
        | Event::Settings(_)
        | Event::ResponseFile(_)
        | Event::Inspected(_)
        | Event::CheckedOut(_)
        | Event::BuildInfo(_)
        | Event::Lost(_) => {
            panic!("the kernel sends no such event: {line}")
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 8 } else { ProptestConfig::default().cases }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_become_an_event(kind in 0u16..8, len in 0u32..400, bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut bytes = bytes;
        if let Some(head) = bytes.get_mut(..8) {
            head[..2].copy_from_slice(&kind.to_ne_bytes());
            head[4..].copy_from_slice(&len.to_ne_bytes());
        }
        contract(&bytes);
    }

    #[test]
    fn lengths_of_parts_are_not_trusted(lens in prop::array::uniform4(0u32..90), flags in 0u32..64, total in 0u32..200, tail in prop::collection::vec(prop::sample::select(b"\0=aGOPATH/\xff".to_vec()), 0..200)) {
        let mut fixed = exec_record(b"", b"", b"", b"");
        [fixed.argv_len, fixed.env_len, fixed.cwd_len, fixed.exe_len] = lens;
        (fixed.flags, fixed.argv_total, fixed.env_total) = (flags, total, total);
        contract(&record(&fixed, &[&tail]));
    }

    #[test]
    fn strings_come_through(args in prop::collection::vec("[a-z/._-]{0,12}", 0..9)) {
        let block: Vec<u8> = args.iter().flat_map(|it| it.bytes().chain([0])).collect();
        let args: Vec<ByteString> = args.into_iter().map(ByteString::from).collect();
        prop_assert_eq!(whole(&block, b"", b"", b"").argv, Captured::Whole(redact_as_stranger(args)));
    }
}

fn redact_as_stranger(args: Vec<ByteString>) -> Vec<ByteString> {
    crate::redact::argv(crate::redact::Program::Other, args)
}
