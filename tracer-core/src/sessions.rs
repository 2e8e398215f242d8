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
        let root = match self.concerned(&event) {
            Concerned::One(root) => self.begin(root),
            Concerned::Nobody => None,
            Concerned::All => {
                if let Event::Tool(tool) = &event {
                    self.tools.insert(tool.file, tool.clone());
                }
                return self.tell_all(&event);
            }
        };
        self.note(&event, root);
        self.tell(root, event)
    }

    /// Notes whose session a process belongs to from now on.
    fn note(&mut self, event: &Event, root: Option<ProcKey>) {
        match event {
            Event::Fork(fork) => {
                self.of.insert(fork.child, root);
            }
            Event::Exec(exec) => {
                self.of.insert(exec.process, root);
                let parent = self.is_part(exec).then_some(exec.parent);
                if let Some(session) = self.under_way.get_mut(&exec.process) {
                    session.parent = parent;
                }
            }
            Event::Exit(exit) => {
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
            }
            Event::Reaped(reaped) => {
                self.exited.remove(&reaped.process);
            }
            Event::Rename(_)
            | Event::Call(_)
            | Event::Lineage(_)
            | Event::Settings(_)
            | Event::ResponseFile(_)
            | Event::Inspected(_)
            | Event::CheckedOut(_)
            | Event::BuildInfo(_)
            | Event::Tool(_)
            | Event::Lost(_)
            | Event::Unreadable(_) => {}
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

    /// The session that began with this process; a new one, if there is none and there is room.
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
mod tests;
