use super::*;
use crate::event::{
    Ancestor, Captured, CheckedOut, Exec, Exit, Fork, Lineage, Reaped, Role, Settings, Status,
    Tgid, Usage,
};

const FIRST: ProcKey = key(10);
const SECOND: ProcKey = key(20);

const fn key(tgid: u32) -> ProcKey {
    ProcKey {
        tgid: Tgid(tgid),
        born: Ktime(tgid as u64),
    }
}

fn exec(process: ProcKey, exe: &str, at: u64) -> Event {
    Event::Exec(Box::new(Exec {
        at: Ktime(at),
        process,
        parent: Tgid(1),
        file: FileId {
            dev: 1,
            ino: u64::from(process.tgid.0),
            size: 1,
            ctime_ns: 1,
        },
        exe: Captured::Whole(exe.into()),
        cwd: Captured::Whole("/".into()),
        argv: Captured::Whole(vec!["go".into(), "build".into()]),
        env: Captured::Whole(Vec::new()),
        uid: 0,
        cgroup: 1,
    }))
}

fn exit(process: ProcKey, at: u64) -> Event {
    Event::Exit(Exit {
        at: Ktime(at),
        process,
        status: Status::Code(0),
        usage: Usage {
            is_final: true,
            ..Usage::default()
        },
        is_oom_victim: false,
    })
}

/// The exit of a process and its final times, which arrive later.
fn long_exit(process: ProcKey, at: u64) -> [Event; 2] {
    let Event::Exit(mut exit) = exit(process, at) else {
        panic!("no exit")
    };
    exit.usage.is_final = false;
    let reaped = Reaped {
        at: Ktime(at + 20),
        process,
        ended: Some(Ktime(at + 10)),
        user_ns: 7,
        system_ns: 8,
        is_oom_victim: false,
    };
    [Event::Exit(exit), Event::Reaped(reaped)]
}

fn fork(parent: ProcKey, child: ProcKey, at: u64) -> Event {
    Event::Fork(Fork {
        at: Ktime(at),
        parent,
        child,
    })
}

/// The answers to the requests about a `go` command.
fn answers(process: ProcKey) -> [Event; 2] {
    let at = Ktime(1);
    let checkout = None;
    [
        Event::Settings(Settings {
            at,
            process,
            user: None,
            root: None,
            module: None,
            module_dir: None,
            workspace: Vec::new(),
            replaced: Vec::new(),
            place: None,
        }),
        Event::CheckedOut(CheckedOut {
            at,
            process,
            checkout,
        }),
    ]
}

const GO: &str = "/usr/local/go/bin/go";

#[test]
fn a_build_names_its_ancestors() {
    let mut sessions = Sessions::new(Context::default());
    let above = vec![Ancestor {
        process: key(5),
        name: "make".into(),
    }];
    let lineage = |process| {
        Event::Lineage(Lineage {
            at: Ktime(101),
            process,
            above: above.clone(),
        })
    };
    sessions.apply(exec(FIRST, GO, 100));
    sessions.apply(lineage(FIRST));
    // Of a process that is not traced.
    sessions.apply(lineage(SECOND));
    sessions.apply(exit(FIRST, 150));
    for event in answers(FIRST) {
        sessions.apply(event);
    }
    let [trace] = &sessions.ended(Ktime(150))[..] else {
        panic!("not one session ended");
    };
    assert_eq!(trace.builds[0].above, above);
}

#[test]
fn a_session_waits_for_final_times_but_not_long() {
    for comes in [true, false] {
        let mut sessions = Sessions::new(Context::default());
        let [exited, reaped] = long_exit(FIRST, 150);
        sessions.apply(exec(FIRST, GO, 100));
        for event in answers(FIRST).into_iter().chain([exited]) {
            sessions.apply(event);
        }
        assert!(sessions.ended(Ktime(160)).is_empty() && sessions.is_reaping(Ktime(160)));
        if comes {
            sessions.apply(reaped.clone());
        }
        let now = Ktime(if comes { 170 } else { 151 + REAPING_NS });
        assert!(!sessions.is_reaping(now));
        let [trace] = &sessions.ended(now)[..] else {
            panic!("not one session ended");
        };
        let build = &trace.builds[0];
        let end = if comes { 160 } else { 150 };
        assert_eq!(build.end, Some(Ktime(end)));
        assert_eq!(build.usage.is_final, comes);
        assert_eq!(build.usage.user_ns, if comes { 7 } else { 0 });
        // Later it belongs to no session.
        assert_eq!(sessions.scope(&reaped), EventScope::NoSession);
        sessions.apply(reaped);
        assert!(sessions.n_running() == 0 && sessions.exited.is_empty());
    }
}

#[test]
fn concurrent_builds_are_separate_sessions() {
    let mut sessions = Sessions::new(Context::default());
    for event in [exec(FIRST, GO, 100), exec(SECOND, GO, 110)] {
        sessions.apply(event);
    }
    assert_eq!(sessions.begun().len(), 2);
    assert!(sessions.begun().is_empty());
    for event in [
        fork(FIRST, key(11), 120),
        fork(SECOND, key(21), 130),
        exit(key(11), 140),
        exit(FIRST, 150),
    ] {
        sessions.apply(event);
    }
    // The session waits for the answers about them.
    let [settings, checkout] = answers(FIRST);
    sessions.apply(settings);
    assert!(sessions.ended(Ktime(150)).is_empty());
    sessions.apply(checkout);
    for event in answers(SECOND) {
        sessions.apply(event);
    }
    let [first] = &sessions.ended(Ktime(150))[..] else {
        panic!("not one session ended");
    };
    assert_eq!(first.events.forks, 1);
    assert_eq!(first.builds.len(), 1);
    assert_eq!(sessions.n_running(), 1);
    // Its other process still runs, so the session waits for it, but not for long.
    sessions.apply(exit(SECOND, 160));
    assert!(sessions.ended(Ktime(160)).is_empty());
    assert_eq!(sessions.ended(Ktime(160 + AFTERMATH_NS + 1)).len(), 1);
    // A remaining process begins a session only by an exec, not by other events.
    sessions.apply(fork(key(21), key(22), 170));
    sessions.apply(exit(key(22), 180));
    assert_eq!(sessions.n_running(), 0);
    sessions.apply(exec(key(21), GO, 190));
    assert_eq!(sessions.n_running(), 1);
}

#[test]
fn answers_arrive_also_if_a_tool_becomes_known_late() {
    let mut sessions = Sessions::new(Context::default());
    sessions.apply(exec(FIRST, "/opt/odd", 100));
    let tool = Event::Tool(Tool {
        at: Ktime(105),
        file: FileId {
            dev: 1,
            ino: 10,
            size: 1,
            ctime_ns: 1,
        },
        path: "/opt/odd".into(),
        role: Role::Go,
        version: "go1.27.3".to_owned(),
        attached: Vec::new(),
        refused: Vec::new(),
    });
    let pending = sessions.apply(tool);
    assert!(pending.iter().any(|it| pending_process(it) == Some(FIRST)));
    sessions.apply(exit(FIRST, 150));
    assert!(sessions.ended(Ktime(150)).is_empty());
    for event in answers(FIRST) {
        sessions.apply(event);
    }
    assert_eq!(sessions.ended(Ktime(150)).len(), 1);
}

#[test]
fn a_session_can_be_rebuilt_from_the_events_in_its_scope() {
    let events = [
        exec(FIRST, GO, 100),
        exec(SECOND, GO, 110),
        fork(FIRST, key(11), 120),
        Event::Lost(Lost {
            at: Ktime(125),
            kind: "call".to_owned(),
            n: 3,
        }),
        exit(key(11), 130),
        exit(SECOND, 140),
        exit(FIRST, 150),
        // A remaining process of it.
        exit(key(12), 700_000_000),
    ];
    let mut sessions = Sessions::new(Context::default());
    let mut again = Sessions::new(Context::default());
    let events = events.into_iter();
    let events = events.chain(answers(FIRST)).chain(answers(SECOND));
    for event in events {
        match sessions.scope(&event) {
            EventScope::One(FIRST) | EventScope::All => drop(again.apply(event.clone())),
            EventScope::One(_) | EventScope::NoSession => {}
        }
        sessions.apply(event);
    }
    assert!(sessions.is_running(FIRST) && !again.is_running(SECOND));
    let end = Ktime(1_000_000_000);
    let [first, ..] = &sessions.ended(end)[..] else {
        panic!("none ended");
    };
    assert_eq!(again.ended(end).first(), Some(first));
}

#[test]
fn events_after_the_end_do_not_begin_another_session() {
    for is_missed in [true, false] {
        let mut sessions = Sessions::new(Context::default());
        sessions.apply(exec(FIRST, GO, 100));
        sessions.apply(fork(FIRST, key(11), 110));
        if is_missed {
            sessions.mark_exit_missed(FIRST, Ktime(1_000));
            sessions.apply(exit(FIRST, 150));
        } else {
            sessions.apply(exit(FIRST, 150));
            sessions.mark_exit_missed(FIRST, Ktime(1_000));
        }
        // Its outputs are still being read.
        for event in [
            fork(FIRST, key(12), 120),
            exit(key(12), 130),
            exit(key(11), 140),
        ] {
            sessions.apply(event);
        }
        assert_eq!(sessions.n_running(), 1);
        for event in answers(FIRST) {
            sessions.apply(event);
        }
        let [trace] = &sessions.ended(Ktime(150))[..] else {
            panic!("not one session ended");
        };
        assert_eq!((trace.builds.len(), trace.events.exits), (1, 3));
        assert_eq!(trace.builds[0].end, Some(Ktime(150)));
        assert!(sessions.of.is_empty() && sessions.pending.is_empty());
    }
}

#[test]
fn consecutive_tools_of_one_parent_are_one_build() {
    let compile = |process: ProcKey, parent: u32, at| {
        let Event::Exec(mut it) = exec(process, "/usr/local/go/pkg/tool/linux_amd64/compile", at)
        else {
            panic!("no exec")
        };
        it.parent = Tgid(parent);
        it.argv = Captured::Whole(vec!["compile".into(), "-p".into(), "a".into()]);
        Event::Exec(it)
    };
    let mut sessions = Sessions::new(Context::default());
    for event in [
        compile(key(10), 5, 100),
        exit(key(10), 200),
        compile(key(11), 5, 300),
        // Of another parent.
        compile(key(12), 6, 310),
        exit(key(12), 320),
    ] {
        assert_ne!(sessions.scope(&event), EventScope::NoSession);
        sessions.apply(event);
    }
    assert_eq!(sessions.known(key(11)), Some(key(10)));
    // One of them runs longer than the session waits for the next.
    let later = 400 + NEXT_TOOL_NS;
    assert_eq!(sessions.ended(Ktime(later)).len(), 1);
    sessions.apply(exit(key(11), later));
    assert!(sessions.ended(Ktime(later + NEXT_TOOL_NS)).is_empty());
    let [trace] = &sessions.ended(Ktime(later + NEXT_TOOL_NS + 1))[..] else {
        panic!("not one session ended");
    };
    assert_eq!((trace.builds.len(), trace.builds[0].calls.len()), (1, 2));
    // A later tool is another build.
    sessions.apply(compile(key(13), 5, later + 2 * NEXT_TOOL_NS));
    assert_eq!(sessions.known(key(13)), Some(key(13)));
}

#[test]
fn another_program_is_not_a_session() {
    let mut sessions = Sessions::new(Context::default());
    sessions.apply(exec(FIRST, "/usr/bin/link", 100));
    assert!(sessions.is_no_tool(FIRST));
    assert_eq!(sessions.n_running(), 0);
    // A tool whose file could not be read is known by its path.
    sessions.apply(exec(SECOND, GO, 100));
    assert!(!sessions.is_no_tool(SECOND));
    // A script of that name runs a tool.
    let third = key(30);
    sessions.apply(exec(third, "/usr/bin/link", 100));
    sessions.apply(fork(third, key(31), 110));
    sessions.apply(exec(key(31), GO, 120));
    assert!(!sessions.is_no_tool(third));
    // Its child may be any program.
    sessions.apply(fork(SECOND, key(21), 110));
    sessions.apply(exec(key(21), "/usr/bin/gcc", 120));
    assert!(!sessions.is_no_tool(key(21)));
}

#[test]
fn a_process_that_ran_before_has_a_session_with_a_gap() {
    let mut sessions = Sessions::new(Context::default());
    sessions.apply(fork(FIRST, key(11), 100));
    sessions.apply(exit(key(11), 110));
    sessions.apply(exit(FIRST, 120));
    assert_eq!(sessions.ended(Ktime(120)).len(), 1);
}

#[test]
fn the_number_of_sessions_is_limited() {
    let mut sessions = Sessions::new(Context::default());
    for tgid in (1..).take(SESSIONS_MAX + 3) {
        sessions.apply(exec(key(tgid), GO, 1));
    }
    assert_eq!(sessions.n_running(), SESSIONS_MAX);
    assert_eq!(sessions.n_refused(), 3);
    assert_eq!(sessions.finish().len(), SESSIONS_MAX);
}
