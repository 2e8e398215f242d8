//! The events of a whole machine, taken apart: each process that was followed on its own account, and all that it made, is a session
//! with a correlator of its own, which ends when that process has.
//!
//! Events belong to a session by their process. What concerns all (a tool, a loss) is told to all. Like the correlator this has no
//! clock and does nothing itself; it holds what is under way and nothing of what is over.

use std::collections::BTreeMap;

use crate::correlate::{self, Context, Correlator};
use crate::effect::Effect;
use crate::event::{Event, Exec, FileId, Ktime, Lost, ProcKey, Role, Tgid, Tool};
use crate::model::Trace;

/// How long what outlives a session's first process still belongs to it: nanoseconds.
const AFTERMATH_NS: u64 = 500_000_000;
/// How long a session of tools with no `go` above them waits for another tool of the same parent: nanoseconds. That one is not followed,
/// so nothing tells whether it goes on.
const NEXT_TOOL_NS: u64 = 500_000_000;
/// How long such a session waits for a tool that still runs: nanoseconds.
const TOOL_NS: u64 = 3_600_000_000_000;
/// How long a session waits for the last times of its processes: nanoseconds. The kernel has them after a grace period, a few hundredths of
/// a second after the parent waited; for a process whose parent does not wait they do not come at all.
const REAPING_NS: u64 = 100_000_000;
/// How long a session waits for answers about its outputs: nanoseconds.
const PATIENCE_NS: u64 = 120_000_000_000;
/// Events that one session takes. A program under `go run` may start others for months.
const EVENTS_MAX: u64 = 4_000_000;
/// Sessions that are under way at once.
const SESSIONS_MAX: usize = 4096;

/// All that is under way.
#[derive(Debug, Default)]
pub struct Sessions {
    context: Context,
    tools: BTreeMap<FileId, Tool>,
    under_way: BTreeMap<ProcKey, Session>,
    /// Whose session a process belongs to; none for what outlived its own.
    of: BTreeMap<ProcKey, Option<ProcKey>>,
    /// Whose session a process belonged to that has exited, until its last times come.
    exited: BTreeMap<ProcKey, ProcKey>,
    /// Processes about which a session has asked; the answers may come when they have ended.
    asked: BTreeMap<ProcKey, ProcKey>,
    n_refused: u64,
}

/// Whom an event concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concerned {
    /// The session that began with this process, or begins with it now.
    One(ProcKey),
    /// All that are under way.
    All,
    /// None: it is about what outlived its session.
    Nobody,
}

#[derive(Debug)]
struct Session {
    correlator: Correlator,
    n_events: u64,
    /// Of them, those that were too many.
    n_left_out: u64,
    /// The parent of the first process, if that is a tool and no `go` command: other tools of this parent belong to the session, too.
    parent: Option<Tgid>,
    /// When its first process ended; of tools the last that did.
    ended: Option<Ktime>,
    /// Questions without an answer that may come later.
    n_asked: u64,
    /// Nobody was told of it yet.
    is_new: bool,
}

impl Sessions {
    /// What all sessions have in common.
    pub fn new(context: Context) -> Self {
        Self {
            context,
            ..Self::default()
        }
    }

    /// Takes one event; says what the rim should find out because of it.
    pub fn apply(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Fork(fork) => {
                let root = self.root_of(fork.parent);
                self.of.insert(fork.child, root);
                self.tell(root, Event::Fork(fork))
            }
            Event::Exec(exec) => {
                let root = match self.known(exec.process).or_else(|| self.beside(&exec)) {
                    Some(root) => {
                        self.of.insert(exec.process, Some(root));
                        Some(root)
                    }
                    None => self.begin(exec.process),
                };
                let parent = self.is_part(&exec).then_some(exec.parent);
                if let Some(session) = self.under_way.get_mut(&exec.process) {
                    session.parent = parent;
                }
                self.tell(root, Event::Exec(exec))
            }
            Event::Exit(exit) => {
                let root = self.root_of(exit.process);
                self.of.remove(&exit.process);
                if let Some(root) = root {
                    self.exited.insert(exit.process, root);
                }
                if let Some(root) = root
                    && let Some(session) = self.under_way.get_mut(&root)
                    && (root == exit.process || session.parent.is_some())
                {
                    session.ended = session.ended.max(Some(exit.at));
                }
                self.tell(root, Event::Exit(exit))
            }
            Event::Reaped(reaped) => {
                let root = self.exited.remove(&reaped.process);
                self.tell(root, Event::Reaped(reaped))
            }
            Event::Rename(rename) => {
                let root = self.root_of(rename.process);
                self.tell(root, Event::Rename(rename))
            }
            Event::Call(call) => {
                let root = self.root_of(call.process);
                self.tell(root, Event::Call(call))
            }
            Event::Lineage(lineage) => {
                let root = self.known(lineage.process);
                self.tell(root, Event::Lineage(lineage))
            }
            Event::Settings(settings) => {
                let root = self.asked.get(&settings.process).copied();
                self.tell(root, Event::Settings(settings))
            }
            Event::ResponseFile(file) => {
                let root = self.asked.get(&file.process).copied();
                self.tell(root, Event::ResponseFile(file))
            }
            Event::Inspected(inspected) => {
                let root = self.asked.get(&inspected.process).copied();
                self.tell(root, Event::Inspected(inspected))
            }
            Event::CheckedOut(answer) => {
                let root = self.asked.get(&answer.process).copied();
                self.tell(root, Event::CheckedOut(answer))
            }
            Event::BuildInfo(answer) => {
                let root = self.asked.get(&answer.process).copied();
                self.tell(root, Event::BuildInfo(answer))
            }
            Event::Tool(tool) => {
                self.tools.insert(tool.file, tool.clone());
                self.tell_all(&Event::Tool(tool))
            }
            Event::Lost(_) | Event::Unreadable(_) => self.tell_all(&event),
        }
    }

    /// Whom an event concerns that is about to be applied: whoever takes all that concerned a session, and nothing else, has that session.
    pub fn concerned(&self, event: &Event) -> Concerned {
        let or_itself = |process: ProcKey| match self.of.get(&process) {
            Some(root) => *root,
            None => Some(process),
        };
        let root = match event {
            Event::Fork(fork) => or_itself(fork.parent),
            Event::Exec(exec) => {
                let root = self.known(exec.process).or_else(|| self.beside(exec));
                Some(root.unwrap_or(exec.process))
            }
            Event::Exit(exit) => or_itself(exit.process),
            Event::Reaped(reaped) => self.exited.get(&reaped.process).copied(),
            Event::Rename(rename) => or_itself(rename.process),
            Event::Call(call) => or_itself(call.process),
            Event::Lineage(lineage) => self.known(lineage.process),
            Event::Settings(settings) => self.asked.get(&settings.process).copied(),
            Event::ResponseFile(file) => self.asked.get(&file.process).copied(),
            Event::Inspected(inspected) => self.asked.get(&inspected.process).copied(),
            Event::CheckedOut(answer) => self.asked.get(&answer.process).copied(),
            Event::BuildInfo(answer) => self.asked.get(&answer.process).copied(),
            Event::Tool(_) | Event::Lost(_) | Event::Unreadable(_) => return Concerned::All,
        };
        root.map_or(Concerned::Nobody, Concerned::One)
    }

    /// Whether the session that began with this process is under way.
    pub fn is_under_way(&self, root: ProcKey) -> bool {
        self.under_way.contains_key(&root)
    }

    /// What sessions have in common that begin now.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// A file that was asked about is no Go tool. If it is what a session began with, and no tool runs under it (a script of that name may
    /// have started one), there is none: says so, and the process need not be followed.
    pub fn is_no_tool(&mut self, process: ProcKey) -> bool {
        let is_wrong = self
            .under_way
            .get(&process)
            .is_some_and(|it| !it.correlator.is_tool(process) && !it.correlator.has_tool());
        if is_wrong {
            self.end(process);
        }
        is_wrong
    }

    /// Sessions that began since the last call and are those of a Go tool, as far as they are seen.
    pub fn begun(&mut self) -> Vec<Trace> {
        let mut begun = Vec::new();
        for (root, session) in &mut self.under_way {
            if session.is_new && session.correlator.is_tool(*root) {
                session.is_new = false;
                begun.push(session.correlator.so_far());
            }
        }
        begun
    }

    /// First processes of sessions that have not ended, as far as was seen.
    pub fn roots(&self) -> impl Iterator<Item = ProcKey> {
        let running = self.under_way.iter().filter(|(_, it)| it.ended.is_none());
        running.map(|(root, _)| *root)
    }

    /// The first process of a session is gone, and its exit was not seen. What of it comes later than that is still the session's.
    pub fn miss(&mut self, root: ProcKey, now: Ktime) {
        if let Some(session) = self.under_way.get_mut(&root) {
            session.ended.get_or_insert(now);
        }
    }

    /// What the wall clock shows when the boot clock shows zero, for sessions that begin from now on. It is set anew by an operator or
    /// by the network.
    pub fn set_boot_to_wall_ns(&mut self, ns: i64) {
        self.context.boot_to_wall_ns = ns;
    }

    /// Sessions that are over by `now`.
    pub fn ended(&mut self, now: Ktime) -> Vec<Trace> {
        let over: Vec<ProcKey> = self
            .under_way
            .iter()
            .filter(|(_, it)| it.is_over(now))
            .map(|(root, _)| *root)
            .collect();
        over.into_iter().filter_map(|root| self.end(root)).collect()
    }

    /// Whether a session waits for last times, which nobody announces.
    pub fn is_reaping(&self, now: Ktime) -> bool {
        self.under_way.values().any(|it| it.is_reaping(now))
    }

    /// Ends everything, over or not.
    pub fn finish(mut self) -> Vec<Trace> {
        let roots: Vec<ProcKey> = self.under_way.keys().copied().collect();
        roots
            .into_iter()
            .filter_map(|root| self.end(root))
            .collect()
    }

    /// Sessions under way.
    pub fn n_running(&self) -> usize {
        self.under_way.len()
    }

    /// Sessions that were not begun because there were too many.
    pub fn n_refused(&self) -> u64 {
        self.n_refused
    }

    fn known(&self, process: ProcKey) -> Option<ProcKey> {
        self.of.get(&process).copied().flatten()
    }

    /// Whether a program is a tool that needs a `go` command above it to be a build of its own.
    fn is_part(&self, exec: &Exec) -> bool {
        let role = exec
            .exe
            .get()
            .and_then(|exe| correlate::role(&self.tools, exec.file, exe));
        role.is_some_and(|it| it != Role::Go)
    }

    /// The session of tools that have the same parent as this one.
    fn beside(&self, exec: &Exec) -> Option<ProcKey> {
        if !self.is_part(exec) {
            return None;
        }
        let mut under_way = self.under_way.iter();
        let session = under_way.find(|(_, it)| it.parent == Some(exec.parent));
        session.map(|(root, _)| *root)
    }

    /// The session of a process; a new one for a process that was under way before it was followed.
    fn root_of(&mut self, process: ProcKey) -> Option<ProcKey> {
        match self.of.get(&process) {
            Some(root) => *root,
            None => self.begin(process),
        }
    }

    fn begin(&mut self, root: ProcKey) -> Option<ProcKey> {
        // What is told of a process after its end belongs to what is there of it: another session in its place would be the end of that
        // without a word.
        if self.under_way.contains_key(&root) {
            return Some(root);
        }
        if self.under_way.len() >= SESSIONS_MAX {
            self.n_refused += 1;
            self.of.insert(root, None);
            return None;
        }
        let mut correlator = Correlator::new(self.context.clone());
        for tool in self.tools.values() {
            // Nobody runs it yet, so there is nothing to ask.
            correlator.apply(Event::Tool(tool.clone()));
        }
        self.under_way.insert(
            root,
            Session {
                correlator,
                n_events: 0,
                n_left_out: 0,
                parent: None,
                ended: None,
                n_asked: 0,
                is_new: true,
            },
        );
        self.of.insert(root, Some(root));
        Some(root)
    }

    fn tell(&mut self, root: Option<ProcKey>, event: Event) -> Vec<Effect> {
        let Some((root, session)) = root.and_then(|it| Some((it, self.under_way.get_mut(&it)?)))
        else {
            return Vec::new();
        };
        let effects = session.apply(event);
        note_asked(&mut self.asked, root, &effects);
        effects
    }

    fn tell_all(&mut self, event: &Event) -> Vec<Effect> {
        let mut all = Vec::new();
        for (root, session) in &mut self.under_way {
            let effects = session.apply(event.clone());
            note_asked(&mut self.asked, *root, &effects);
            all.extend(effects);
        }
        all
    }

    /// Takes a session out; its processes that still run are nobody's from now on.
    fn end(&mut self, root: ProcKey) -> Option<Trace> {
        let session = self.under_way.remove(&root)?;
        self.asked.retain(|_, of| *of != root);
        self.exited.retain(|_, of| *of != root);
        for of in self.of.values_mut().filter(|it| **it == Some(root)) {
            *of = None;
        }
        // It is gone, so nobody will take it out later.
        self.of.remove(&root);
        Some(session.finish())
    }
}

impl Session {
    fn apply(&mut self, event: Event) -> Vec<Effect> {
        let is_answer = matches!(
            event,
            Event::Inspected(_)
                | Event::CheckedOut(_)
                | Event::BuildInfo(_)
                | Event::Settings(_)
                | Event::ResponseFile(_)
        );
        if is_answer {
            self.n_asked = self.n_asked.saturating_sub(1);
        }
        self.n_events += 1;
        // An end is worth more than the rest.
        let is_end = matches!(event, Event::Exit(_) | Event::Reaped(_));
        if self.n_events > EVENTS_MAX && !is_answer && !is_end {
            self.n_left_out += 1;
            return Vec::new();
        }
        let effects = self.correlator.apply(event);
        let n_asked = effects.iter().filter_map(asked_later).count();
        self.n_asked += n_asked as u64;
        effects
    }

    fn is_over(&self, now: Ktime) -> bool {
        self.ended.is_some_and(|ended| {
            let since = now.0.saturating_sub(ended.0);
            let n_running = self.correlator.n_running();
            let all_ended = match self.parent {
                None => since > AFTERMATH_NS || n_running == 0,
                // An exit may have been lost.
                Some(_) if n_running > 0 => since > TOOL_NS,
                Some(_) => since > NEXT_TOOL_NS,
            };
            let all_read = since > PATIENCE_NS || self.n_asked == 0;
            all_ended && all_read && !self.is_reaping(now)
        })
    }

    fn is_reaping(&self, now: Ktime) -> bool {
        let is_in_time = |ended: Ktime| now.since(ended) <= REAPING_NS;
        self.ended.is_some_and(is_in_time) && self.correlator.n_unreaped() > 0
    }

    fn finish(mut self) -> Trace {
        if self.n_left_out > 0 {
            self.correlator.apply(Event::Lost(Lost {
                at: self.ended.unwrap_or_default(),
                kind: "event".to_owned(),
                n: self.n_left_out,
            }));
        }
        self.correlator.finish()
    }
}

fn note_asked(asked: &mut BTreeMap<ProcKey, ProcKey>, root: ProcKey, effects: &[Effect]) {
    asked.extend(
        effects
            .iter()
            .filter_map(asked_later)
            .map(|process| (process, root)),
    );
}

/// The process of a question that may be answered later.
fn asked_later(effect: &Effect) -> Option<ProcKey> {
    match effect {
        Effect::Inspect { process, .. }
        | Effect::ReadCheckout { process, .. }
        | Effect::ReadBuildInfo { process, .. }
        | Effect::ReadSettings { process, .. }
        | Effect::ReadResponseFile { process, .. } => Some(*process),
        Effect::Identify { .. } => None,
    }
}

#[cfg(test)]
mod tests {
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
        })
    }

    /// The exit of a process whose last times come later, and these.
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

    /// To what is asked of a `go` command.
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
    fn a_build_keeps_what_led_to_it() {
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
        // Of a process that turned out to be none of ours.
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
    fn a_session_waits_for_last_times_but_not_long() {
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
            // Later it is nobody's.
            assert_eq!(sessions.concerned(&reaped), Concerned::Nobody);
            sessions.apply(reaped);
            assert!(sessions.n_running() == 0 && sessions.exited.is_empty());
        }
    }

    #[test]
    fn builds_side_by_side_are_told_apart() {
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
        // What was asked about them is waited for.
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
        // Its other process still runs, so it is waited for, but not for long.
        sessions.apply(exit(SECOND, 160));
        assert!(sessions.ended(Ktime(160)).is_empty());
        assert_eq!(sessions.ended(Ktime(160 + AFTERMATH_NS + 1)).len(), 1);
        // What it left behind begins no session by what it does, only by a program of its own.
        sessions.apply(fork(key(21), key(22), 170));
        sessions.apply(exit(key(22), 180));
        assert_eq!(sessions.n_running(), 0);
        sessions.apply(exec(key(21), GO, 190));
        assert_eq!(sessions.n_running(), 1);
    }

    #[test]
    fn what_is_asked_when_a_tool_becomes_known_is_answered_too() {
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
        let asked = sessions.apply(tool);
        assert!(asked.iter().any(|it| asked_later(it) == Some(FIRST)));
        sessions.apply(exit(FIRST, 150));
        assert!(sessions.ended(Ktime(150)).is_empty());
        for event in answers(FIRST) {
            sessions.apply(event);
        }
        assert_eq!(sessions.ended(Ktime(150)).len(), 1);
    }

    #[test]
    fn a_session_is_made_again_of_what_concerned_it() {
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
            // What it left behind.
            exit(key(12), 700_000_000),
        ];
        let mut sessions = Sessions::new(Context::default());
        let mut again = Sessions::new(Context::default());
        let events = events.into_iter();
        let events = events.chain(answers(FIRST)).chain(answers(SECOND));
        for event in events {
            match sessions.concerned(&event) {
                Concerned::One(FIRST) | Concerned::All => drop(again.apply(event.clone())),
                Concerned::One(_) | Concerned::Nobody => {}
            }
            sessions.apply(event);
        }
        assert!(sessions.is_under_way(FIRST) && !again.is_under_way(SECOND));
        let end = Ktime(1_000_000_000);
        let [first, ..] = &sessions.ended(end)[..] else {
            panic!("none ended");
        };
        assert_eq!(again.ended(end).first(), Some(first));
    }

    #[test]
    fn what_comes_after_the_end_is_not_another_session() {
        for is_missed in [true, false] {
            let mut sessions = Sessions::new(Context::default());
            sessions.apply(exec(FIRST, GO, 100));
            sessions.apply(fork(FIRST, key(11), 110));
            if is_missed {
                sessions.miss(FIRST, Ktime(1_000));
                sessions.apply(exit(FIRST, 150));
            } else {
                sessions.apply(exit(FIRST, 150));
                sessions.miss(FIRST, Ktime(1_000));
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
            assert!(sessions.of.is_empty() && sessions.asked.is_empty());
        }
    }

    #[test]
    fn tools_of_one_parent_are_one_build_as_long_as_they_follow_each_other() {
        let compile = |process: ProcKey, parent: u32, at| {
            let Event::Exec(mut it) =
                exec(process, "/usr/local/go/pkg/tool/linux_amd64/compile", at)
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
            assert_ne!(sessions.concerned(&event), Concerned::Nobody);
            sessions.apply(event);
        }
        assert_eq!(sessions.known(key(11)), Some(key(10)));
        // One of them runs longer than the next is waited for.
        let later = 400 + NEXT_TOOL_NS;
        assert_eq!(sessions.ended(Ktime(later)).len(), 1);
        sessions.apply(exit(key(11), later));
        assert!(sessions.ended(Ktime(later + NEXT_TOOL_NS)).is_empty());
        let [trace] = &sessions.ended(Ktime(later + NEXT_TOOL_NS + 1))[..] else {
            panic!("not one session ended");
        };
        assert_eq!((trace.builds.len(), trace.builds[0].calls.len()), (1, 2));
        // What comes later is another build.
        sessions.apply(compile(key(13), 5, later + 2 * NEXT_TOOL_NS));
        assert_eq!(sessions.known(key(13)), Some(key(13)));
    }

    #[test]
    fn what_is_no_go_tool_is_no_session() {
        let mut sessions = Sessions::new(Context::default());
        sessions.apply(exec(FIRST, "/usr/bin/link", 100));
        assert!(sessions.is_no_tool(FIRST));
        assert_eq!(sessions.n_running(), 0);
        // A tool whose file could not be read is known by its place.
        sessions.apply(exec(SECOND, GO, 100));
        assert!(!sessions.is_no_tool(SECOND));
        // A script of that name runs one.
        let third = key(30);
        sessions.apply(exec(third, "/usr/bin/link", 100));
        sessions.apply(fork(third, key(31), 110));
        sessions.apply(exec(key(31), GO, 120));
        assert!(!sessions.is_no_tool(third));
        // A child of it may be anything.
        sessions.apply(fork(SECOND, key(21), 110));
        sessions.apply(exec(key(21), "/usr/bin/gcc", 120));
        assert!(!sessions.is_no_tool(key(21)));
    }

    #[test]
    fn a_process_that_was_under_way_has_a_session_with_a_gap() {
        let mut sessions = Sessions::new(Context::default());
        sessions.apply(fork(FIRST, key(11), 100));
        sessions.apply(exit(key(11), 110));
        sessions.apply(exit(FIRST, 120));
        assert_eq!(sessions.ended(Ktime(120)).len(), 1);
    }

    #[test]
    fn there_is_a_limit_to_what_is_under_way() {
        let mut sessions = Sessions::new(Context::default());
        for tgid in (1..).take(SESSIONS_MAX + 3) {
            sessions.apply(exec(key(tgid), GO, 1));
        }
        assert_eq!(sessions.n_running(), SESSIONS_MAX);
        assert_eq!(sessions.n_refused(), 3);
        assert_eq!(sessions.finish().len(), SESSIONS_MAX);
    }
}
