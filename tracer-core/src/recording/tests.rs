use std::io::{Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::read::KINDS;
use super::*;
use crate::decode::PointKind;
use crate::event::{
    Ancestor, Artifact, BuildInfo, Call, Captured, CheckedOut, EnvFile, Event, Exec, Exit, FileId,
    Fork, Inspected, Ktime, Lineage, Lost, MainPackage, Point, ProcKey, Refusal, Rename,
    ResponseFile, Role, Settings, Status, Tgid, Tool, Unreadable, Usage, WorkspaceModule,
};
use crate::origin::{Checkout, Place};

fn header() -> Header {
    Header::new(About {
        gotrace: "0.1.0".to_owned(),
        kernel: "6.18.44".to_owned(),
        arch: "x86_64".to_owned(),
        cpus: 2,
        page_size: 4096,
        boot_to_wall_ns: -5,
        command: vec!["go".into(), "build".into()],
        detail: Detail::Phase,
        renames: true,
        host: None,
    })
}

const AT: Ktime = Ktime(7);
const PROCESS: ProcKey = ProcKey {
    tgid: Tgid(1),
    born: Ktime(2),
};

fn text() -> Captured<ByteString> {
    Captured::Whole("x".into())
}

fn odd() -> Captured<ByteString> {
    Captured::Cut {
        kept: (&b"\xff\n\"\\"[..]).into(),
        total: 9,
    }
}

/// One event of each kind, and one of each point.
fn events() -> Vec<Event> {
    [kinds(), points()].concat()
}

fn lineage(at: Ktime, process: ProcKey) -> Event {
    let name = "make".into();
    Event::Lineage(Lineage {
        at,
        process,
        above: vec![Ancestor { process, name }],
    })
}

const FILE: FileId = FileId {
    dev: 1,
    ino: 2,
    size: 3,
    ctime_ns: 4,
};

fn kinds() -> Vec<Event> {
    let (at, process, file) = (AT, PROCESS, FILE);
    let variables = vec![("GOFLAGS".into(), "-v".into())];
    vec![
        Event::Fork(Fork {
            at,
            parent: process,
            child: process,
        }),
        Event::Exec(Box::new(Exec {
            at,
            process,
            parent: Tgid(0),
            file,
            exe: text(),
            cwd: odd(),
            argv: Captured::Whole(vec!["a".into(), (&b"\xc3"[..]).into()]),
            env: Captured::Missing,
            uid: 0,
            cgroup: u64::MAX,
        })),
        Event::Exit(Exit {
            at,
            process,
            status: Status::Signal(9),
            usage: Usage::default(),
            is_oom_victim: false,
        }),
        Event::Rename(Rename {
            at,
            process,
            errno: 18,
            old: text(),
            new: Captured::Missing,
            at_cwd: true,
        }),
        lineage(at, process),
        Event::Tool(Tool {
            at,
            file,
            path: "/go".into(),
            role: Role::Go,
            version: "go1.27.3".to_owned(),
            attached: vec!["span_start".to_owned()],
            refused: vec![Refusal {
                probe: "span_done".to_owned(),
                why: "no such function".to_owned(),
            }],
        }),
        settings(at, process, variables),
        Event::ResponseFile(ResponseFile {
            at,
            process,
            args: Captured::Whole(vec!["-o".into()]),
        }),
        Event::Inspected(Inspected {
            at,
            process,
            path: "/o".into(),
            result: Ok(Artifact::default()),
        }),
        Event::Inspected(Inspected {
            at,
            process,
            path: "/o".into(),
            result: Err("gone".to_owned()),
        }),
        Event::CheckedOut(CheckedOut {
            at,
            process,
            checkout: Some(Checkout {
                branch: Some("main".to_owned()),
                ..Checkout::default()
            }),
        }),
        build_info(at, process),
        Event::Lost(Lost {
            at,
            kind: "exec".to_owned(),
            n: 3,
        }),
        Event::Unreadable(Unreadable {
            kind: 9,
            len: 8,
            why: "unknown".to_owned(),
        }),
    ]
}

fn build_info(at: Ktime, process: ProcKey) -> Event {
    Event::BuildInfo(BuildInfo {
        at,
        process,
        path: "/o".into(),
        main: Some(MainPackage {
            path: "example.com/m/cmd".to_owned(),
            module: Some("example.com/m".to_owned()),
        }),
    })
}

fn settings(at: Ktime, process: ProcKey, variables: Vec<(ByteString, ByteString)>) -> Event {
    Event::Settings(Settings {
        at,
        process,
        user: Some(EnvFile {
            path: "/e".into(),
            variables,
        }),
        root: None,
        module: Some("example.com/m".to_owned()),
        module_dir: None,
        workspace: workspace(),
        replaced: workspace(),
        place: Place::of_path(b"/kubepods/pod1d4d0cf5-0e5c-4a9e-9a3e-0123456789ab"),
    })
}

fn workspace() -> Vec<WorkspaceModule> {
    vec![WorkspaceModule {
        path: "example.com/m".to_owned(),
        dir: "/m".into(),
    }]
}

fn points() -> Vec<Event> {
    [
        Point::SpanStart { name: text() },
        Point::SpanDone,
        Point::Install {
            target: text(),
            built: odd(),
        },
        Point::MoveOrCopy {
            to: text(),
            from: odd(),
        },
        Point::CompilePhase {
            name: Captured::Whole("".into()),
        },
        Point::LinkPhase { name: text() },
        Point::GcStart { heap_live: Some(1) },
        Point::GcEnd { heap_marked: None },
        Point::KeyOpen { name: text() },
        Point::KeyWrite {
            hash: u64::MAX,
            line: odd(),
        },
        Point::KeySum { hash: 1 },
        Point::Fatal { format: text() },
    ]
    .into_iter()
    .map(|point| {
        Event::Call(Call {
            at: AT,
            process: PROCESS,
            goroutine: 3,
            point,
        })
    })
    .collect()
}

fn written(events: &[Event]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), &header()).expect("memory can be written to");
    for event in events {
        writer.event(event).expect("memory can be written to");
    }
    writer.finish().expect("memory can be written to")
}

/// The lines without compression.
fn plain(events: &[Event]) -> Vec<u8> {
    let mut text = Vec::new();
    flate2::read::GzDecoder::new(written(events).as_slice())
        .read_to_end(&mut text)
        .expect("what was written");
    text
}

fn compressed(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).expect("memory can be written to");
    encoder.finish().expect("memory can be written to")
}

/// Events, number of skipped lines, and the message about the end.
fn read(bytes: &[u8]) -> (Vec<Event>, u64, Option<String>) {
    let mut reader = Reader::open(bytes).expect("a recording");
    let events: Vec<_> = reader.by_ref().collect();
    assert!(reader.next().is_none());
    let Summary {
        n_events,
        n_skipped,
        damage,
    } = reader.summary();
    assert_eq!(n_events, events.len() as u64);
    (events, n_skipped, damage.map(|it| it.to_string()))
}

fn open_error(bytes: &[u8]) -> String {
    Reader::open(bytes)
        .map(|_| ())
        .expect_err("no recording")
        .to_string()
}

#[test]
fn written_events_are_read_back() {
    let events = events();
    assert_eq!(read(&written(&events)), (events.clone(), 0, None));
    assert_eq!(read(&plain(&events)), (events.clone(), 0, None));
    let reader = Reader::open(written(&[]).as_slice()).map(|it| it.header().clone());
    assert_eq!(reader.expect("a recording"), header());
    // Two members in one file are one stream.
    let text = plain(&events);
    let (head, tail) = text.split_at(text.len() / 2);
    assert_eq!(
        read(&[compressed(head), compressed(tail)].concat()),
        (events, 0, None)
    );
}

#[test]
fn the_lines_are_as_documented() {
    let text = plain(&events()[..1]);
    expect_test::expect![[r#"
        {"format":"gotrace-recording","version":1,"gotrace":"0.1.0","kernel":"6.18.44","arch":"x86_64","cpus":2,"page_size":4096,"boot_to_wall_ns":-5,"command":["go","build"],"detail":"phase","renames":true}
        {"event":"fork","at":7,"parent":{"tgid":1,"born":2},"child":{"tgid":1,"born":2}}
        {"event":"end","n_events":1}
    "#]]
    .assert_eq(&String::from_utf8_lossy(&text));
}

#[test]
fn every_kind_and_point_has_a_known_name() {
    let mut seen = std::collections::BTreeSet::new();
    for event in events() {
        // If a variant is added, the compiler stops here: add it above, and its name to `KINDS`.
        let (Event::Fork(_)
        | Event::Exec(_)
        | Event::Exit(_)
        | Event::Reaped(_)
        | Event::Rename(_)
        | Event::Call(_)
        | Event::Lineage(_)
        | Event::Tool(_)
        | Event::Settings(_)
        | Event::ResponseFile(_)
        | Event::Inspected(_)
        | Event::CheckedOut(_)
        | Event::BuildInfo(_)
        | Event::Lost(_)
        | Event::Unreadable(_)) = &event;
        let line = serde_json::to_value(&event).expect("an event");
        seen.insert(line["event"].as_str().expect("a tag").to_owned());
        if let Some(point) = line.get("point") {
            serde_json::from_value::<PointKind>(point["point"].clone())
                .expect("a kind of point has its point's name");
        }
    }
    let kinds: std::collections::BTreeSet<_> = KINDS.iter().map(|it| (*it).to_owned()).collect();
    assert_eq!(seen, kinds);
}

#[test]
fn a_newer_gotraces_lines_are_skipped_and_counted() {
    let text = String::from_utf8(plain(&events()[..2])).expect("text");
    let lines: Vec<_> = text.lines().collect();
    let newer = r#"{"event":"teleport","at":1,"x":[1,{"y":2}]}"#;
    let point = r#"{"event":"call","at":1,"process":{"tgid":1,"born":2},"goroutine":1,"point":{"point":"warp"}}"#;
    let text = [
        lines[0],
        newer,
        lines[1],
        point,
        lines[2],
        r#"{"event":"end","n_events":4,"more":1}"#,
    ]
    .join("\n")
        + "\n";
    assert_eq!(read(text.as_bytes()), (events()[..2].to_vec(), 2, None));
}

#[test]
fn a_cut_recording_yields_the_part_before() {
    let events = events();
    let text = plain(&events);
    let n_lines = events.len() + 2;
    let without_end = text.len()
        - text
            .split(|it| *it == b'\n')
            .rev()
            .nth(1)
            .map_or(0, <[u8]>::len)
        - 1;
    let (found, _, damage) = read(&text[..without_end]);
    assert_eq!(found, events);
    let message = format!(
        "the recording stops after line {}, without its end mark: the file was cut, or gotrace was killed",
        n_lines - 1
    );
    assert_eq!(damage, Some(message.clone()));
    assert_eq!(read(&text[..without_end + 5]).2, Some(message));

    let packed = written(&events);
    let (found, _, damage) = read(&packed[..packed.len() - 4]);
    assert_eq!(
        (found.len(), damage),
        (events.len(), None),
        "only the checksum is missing, after the end mark"
    );
    assert!(open_error(&packed[..30]).starts_with("cannot read the recording: "));
}

#[test]
fn a_killed_recorder_leaves_the_flushed_part() {
    let events = events();
    let mut file = Vec::new();
    let mut writer = Writer::new(&mut file, &header()).expect("memory");
    for event in &events {
        writer.event(event).expect("memory");
    }
    writer.flush().expect("memory");
    // Not dropped, because a killed process drops nothing.
    std::mem::forget(writer);
    let (found, _, damage) = read(&file);
    assert_eq!(found, events);
    assert!(damage.is_some_and(|it| it.contains("after line 27")));
}

#[test]
fn a_damaged_line_ends_the_recording() {
    let text = String::from_utf8(plain(&events()[..3])).expect("text");
    let lines: Vec<_> = text.lines().collect();
    let with =
        |line: &str| [lines[0], lines[1], line, lines[2], lines[3], lines[4]].join("\n") + "\n";
    for bad in [
        "",
        "nonsense",
        "{}",
        r#"{"event":"fork"}"#,
        r#"{"event":7}"#,
        "[[[[",
        "\u{0}",
        r#"{"event":"call","point":7}"#,
    ] {
        let (events, n_skipped, damage) = read(with(bad).as_bytes());
        assert_eq!((events.len(), n_skipped), (1, 0), "{bad}");
        assert!(
            damage.is_some_and(|it| it.starts_with("line 3 of the recording is not an event: ")),
            "{bad}"
        );
    }
    let deep = "[".repeat(200_000);
    assert!(
        read(with(&deep).as_bytes())
            .2
            .is_some_and(|it| it.starts_with("line 3 of the recording is not an event"))
    );
    let without = [lines[0], lines[1], lines[4]].join("\n") + "\n";
    let message = "lines are missing: the end mark in line 3 counts 3 events, and the recording has 1 before it";
    assert_eq!(read(without.as_bytes()).2.as_deref(), Some(message));
}

#[test]
#[cfg_attr(miri, ignore = "moves megabytes, too slow under an interpreter")]
fn a_decompression_bomb_costs_one_line() {
    let mut text = plain(&events()[..1]);
    let end = text.len() - r#"{"event":"end","n_events":1}"#.len() - 1;
    text.truncate(end);
    text.extend(std::iter::repeat_n(b' ', 64 << 20));
    let bomb = compressed(&text);
    assert!(bomb.len() < 128 << 10, "{}", bomb.len());
    let mut reader = Reader::open(bomb.as_slice()).expect("a recording");
    assert_eq!(reader.by_ref().count(), 1);
    let damage = reader.summary().damage.expect("a line too long");
    assert_eq!(
        damage.to_string(),
        "line 3 of the recording is longer than 4194304 bytes"
    );
}

#[test]
#[cfg_attr(miri, ignore = "moves megabytes, too slow under an interpreter")]
fn an_event_that_is_too_long_is_recorded_as_unreadable() {
    let args = Captured::Whole(vec![ByteString::from("x".repeat(LINE_MAX))]);
    let process = ProcKey {
        tgid: Tgid(1),
        born: Ktime(2),
    };
    let event = Event::ResponseFile(ResponseFile {
        at: Ktime(1),
        process,
        args,
    });
    let (events, _, damage) = read(&written(&[event]));
    assert!(damage.is_none());
    assert!(
        matches!(events.as_slice(), [Event::Unreadable(it)] if it.why == "too long for a recording")
    );
}

#[test]
fn other_files_are_rejected() {
    let not = "not a recording of gotrace: make one with `gotrace record -o FILE -- COMMAND`";
    for bytes in [
        &b""[..],
        b"\n",
        b"x",
        b"{}\n",
        b"\x7fELF\x02\x01\n",
        b"{\"format\":\"other\",\"version\":1}\n",
        b"[1]\n",
    ] {
        assert_eq!(open_error(bytes), not);
    }
    assert_eq!(
        open_error(b"{\"format\":\"gotrace-recording\",\"version\":2,\"x\":1}\n"),
        "the recording has version 2, this gotrace reads version 1: use a newer gotrace"
    );
    assert!(
        open_error(b"{\"format\":\"gotrace-recording\",\"version\":1}\n")
            .starts_with("the first line of the recording is damaged")
    );
}

/// The contract for any bytes.
fn contract(bytes: &[u8]) {
    if let Ok(mut reader) = Reader::open(bytes) {
        let n = reader.by_ref().count() as u64;
        let Summary {
            n_events, damage, ..
        } = reader.summary();
        assert_eq!(n_events, n);
        assert!(damage.is_none_or(|it| !it.to_string().is_empty()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { ProptestConfig::default().cases }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_accepted(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        contract(&bytes);
        contract(&[&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3], bytes.as_slice()].concat());
    }

    #[test]
    fn any_change_of_a_byte_is_tolerated(at in 0usize..20_000, byte: u8, pack: bool) {
        let mut bytes = if pack { written(&events()) } else { plain(&events()) };
        let at = at % bytes.len();
        bytes[at] = byte;
        contract(&bytes);
        contract(&bytes[..at]);
    }
}
