//! Compares the events of a recorded build with its action graph. Each gap becomes a text complaint. The checks use no knowledge of
//! gotrace's implementation.

use std::collections::BTreeMap;
use std::fmt;

use tests::oracle::{self, Action};
use tests::phases;
use tracer_core::event::{Captured, Event, Exec, Point, ProcKey};

/// The numbers found, and the complaints about gaps.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    n_processes: usize,
    /// Command lines in the action graph.
    pub(crate) n_commands: usize,
    n_compilations: usize,
    n_links: usize,
    n_phases: usize,
    pub(crate) complaints: Vec<String>,
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} processes, {} commands, {} compilations, {} links, {} phases, {} complaints",
            self.n_processes,
            self.n_commands,
            self.n_compilations,
            self.n_links,
            self.n_phases,
            self.complaints.len()
        )
    }
}

/// The recorded events of one process.
#[derive(Default)]
struct ProcessEvents<'a> {
    n_forks: usize,
    execs: Vec<&'a Exec>,
    n_exits: usize,
    /// Phase names in order; `None` is the end of the last phase.
    compile_phases: Vec<Option<String>>,
    link_phases: Vec<String>,
}

pub(crate) fn check(events: &[Event], graph: &[Action], minor: u32) -> Findings {
    let mut found = Findings::default();
    let process_events = process_events(events, &mut found.complaints);
    found.n_processes = process_events.len();
    for (key, events_of_process) in &process_events {
        check_process(*key, events_of_process, &mut found.complaints);
        let Some(exec) = events_of_process.execs.last() else {
            continue;
        };
        if is_query(exec) {
            continue;
        }
        match program(exec).as_str() {
            "compile" => {
                found.n_compilations += 1;
                found.n_phases += events_of_process.compile_phases.len();
                let expected = phases::compile_phases(minor)
                    .into_iter()
                    .map(|it| Some(it.to_owned()))
                    .chain([None]);
                if !events_of_process
                    .compile_phases
                    .iter()
                    .cloned()
                    .eq(expected)
                {
                    found.complaints.push(format!(
                        "compile {key}: phases are {:?}",
                        events_of_process.compile_phases
                    ));
                }
            }
            "link" => {
                found.n_links += 1;
                found.n_phases += events_of_process.link_phases.len();
                if events_of_process.link_phases != phases::link_phases(minor) {
                    found.complaints.push(format!(
                        "link {key}: phases are {:?}",
                        events_of_process.link_phases
                    ));
                }
            }
            _ => {}
        }
    }
    found.n_commands = check_commands(&process_events, graph, &mut found.complaints);
    found
}

fn process_events<'a>(
    events: &'a [Event],
    complaints: &mut Vec<String>,
) -> BTreeMap<ProcKey, ProcessEvents<'a>> {
    let mut process_events: BTreeMap<ProcKey, ProcessEvents<'a>> = BTreeMap::new();
    for event in events {
        match event {
            Event::Fork(fork) => process_events.entry(fork.child).or_default().n_forks += 1,
            Event::Exec(exec) => process_events
                .entry(exec.process)
                .or_default()
                .execs
                .push(exec),
            Event::Exit(exit) => process_events.entry(exit.process).or_default().n_exits += 1,
            Event::Call(call) => {
                let events_of_process = process_events.entry(call.process).or_default();
                match &call.point {
                    Point::CompilePhase { name } => events_of_process
                        .compile_phases
                        .push(text(name).filter(|it| !it.is_empty())),
                    Point::LinkPhase { name } => {
                        events_of_process
                            .link_phases
                            .push(text(name).unwrap_or_default());
                    }
                    Point::SpanStart { .. }
                    | Point::SpanDone
                    | Point::Install { .. }
                    | Point::MoveOrCopy { .. }
                    | Point::GcStart { .. }
                    | Point::GcEnd { .. }
                    | Point::KeyOpen { .. }
                    | Point::KeyWrite { .. }
                    | Point::KeySum { .. }
                    | Point::Fatal { .. } => {}
                }
            }
            Event::Lost(lost) => complaints.push(format!(
                "{} records of kind {} were lost",
                lost.n, lost.kind
            )),
            Event::Unreadable(record) => {
                complaints.push(format!("a record cannot be decoded: {}", record.why));
            }
            Event::Reaped(_)
            | Event::Rename(_)
            | Event::Lineage(_)
            | Event::Tool(_)
            | Event::Settings(_)
            | Event::ResponseFile(_)
            | Event::Inspected(_)
            | Event::CheckedOut(_)
            | Event::BuildInfo(_) => {}
        }
    }
    process_events
}

fn check_process(
    key: ProcKey,
    events_of_process: &ProcessEvents<'_>,
    complaints: &mut Vec<String>,
) {
    if events_of_process.n_exits != 1 {
        complaints.push(format!(
            "process {key}: {} exits",
            events_of_process.n_exits
        ));
    }
    // The command itself can be forked before tracing begins.
    if events_of_process.n_forks > 1
        || (events_of_process.n_forks == 0 && events_of_process.execs.is_empty())
    {
        complaints.push(format!(
            "process {key}: {} forks, {} execs",
            events_of_process.n_forks,
            events_of_process.execs.len()
        ));
    }
    for exec in &events_of_process.execs {
        let parts = [
            ("arguments", exec.argv.is_whole()),
            ("environment", exec.env.is_whole()),
            ("working directory", exec.cwd.is_whole()),
            ("path", exec.exe.is_whole()),
        ];
        for (what, _) in parts.into_iter().filter(|(_, is_whole)| !is_whole) {
            complaints.push(format!("process {key}: its {what} is incomplete"));
        }
    }
}

/// Checks that each command of the graph was executed once, with the same arguments, and that `go` executed no other for an action.
fn check_commands(
    process_events: &BTreeMap<ProcKey, ProcessEvents<'_>>,
    graph: &[Action],
    complaints: &mut Vec<String>,
) -> usize {
    let mut balance: BTreeMap<Vec<String>, i64> = BTreeMap::new();
    let commands: Vec<_> = graph.iter().flat_map(|it| &it.commands).collect();
    for command in &commands {
        *balance
            .entry(by_base_name(oracle::words(command)))
            .or_default() += 1;
    }
    let execs: Vec<&Exec> = process_events
        .values()
        .flat_map(|it| it.execs.iter().copied())
        .collect();
    let go = execs
        .iter()
        .find(|it| program(it) == "go")
        .map(|it| it.process.tgid);
    for exec in execs
        .iter()
        .filter(|it| Some(it.parent) == go && !is_query(it) && has_package(it))
    {
        *balance.entry(by_base_name(argv(exec))).or_default() -= 1;
    }
    for (words, n) in balance.into_iter().filter(|(_, n)| *n != 0) {
        let line: String = words.join(" ").chars().take(200).collect();
        let how = if n > 0 {
            "was executed and not recorded"
        } else {
            "is not in the action graph"
        };
        complaints.push(format!("{} times too {how}: {line}", n.abs()));
    }
    commands.len()
}

/// The graph contains the C compiler as configured (`gcc`), the process as found (`/usr/bin/gcc`).
fn by_base_name(mut argv: Vec<String>) -> Vec<String> {
    if let Some(first) = argv.first_mut() {
        *first = first.rsplit('/').next().unwrap_or_default().to_owned();
    }
    argv
}

/// Returns whether the process was executed for an action: the `go` command passes the package to every such tool.
fn has_package(exec: &Exec) -> bool {
    let env = exec.env.get().map(Vec::as_slice).unwrap_or_default();
    env.iter().any(|(name, _)| *name == "TOOLEXEC_IMPORTPATH")
}

/// Returns whether the process only printed its version or flags.
pub(crate) fn is_query(exec: &Exec) -> bool {
    argv(exec)
        .iter()
        .any(|it| it.starts_with("-V") || it == "-flags")
}

/// File name in `argv[0]`.
pub(crate) fn program(exec: &Exec) -> String {
    let name = argv(exec).into_iter().next().unwrap_or_default();
    name.rsplit('/').next().unwrap_or_default().to_owned()
}

fn argv(exec: &Exec) -> Vec<String> {
    exec.argv
        .get()
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect()
}

fn text(name: &Captured<tracer_core::byte_string::ByteString>) -> Option<String> {
    name.get().map(ToString::to_string)
}
