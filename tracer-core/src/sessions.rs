//! Splits the events of a whole machine into sessions. A session is a process that is traced for its own sake, and all processes that it
//! starts. Each session has its own correlator and ends with its first process.
//!
//! Events are assigned to a session by their process. Events that affect all sessions (a tool, a loss) are applied to all. Like the
//! correlator, this module has no clock and performs no effects. It keeps only running sessions.

use std::collections::BTreeMap;

use crate::correlate::{self, Context, Correlator};
use crate::effect::Effect;
use crate::event::{Event, Exec, FileId, Ktime, Lost, ProcKey, Role, Tgid, Tool};
use crate::model::Trace;

/// Time for which the remaining processes still belong to a session after its first process has ended, in nanoseconds.
const AFTERMATH_NS: u64 = 500_000_000;
/// Time for which a session of tools without a `go` command above waits for another tool of the same parent, in nanoseconds. The parent is
/// not traced, so its end is unknown.
const NEXT_TOOL_NS: u64 = 500_000_000;
/// Time for which such a session waits for a running tool, in nanoseconds.
const TOOL_NS: u64 = 3_600_000_000_000;
/// Time for which a session waits for the final times of its processes, in nanoseconds. The kernel has them after a grace period, a few
/// hundredths of a second after the parent waited. If a parent does not wait, they never arrive.
const REAPING_NS: u64 = 100_000_000;
/// Time for which a session waits for answers about its outputs, in nanoseconds.
const PATIENCE_NS: u64 = 120_000_000_000;
/// Most events of one session. A program under `go run` may start others for months.
const EVENTS_MAX: u64 = 4_000_000;
/// Most sessions at one time.
const SESSIONS_MAX: usize = 4096;

/// All running sessions.
#[derive(Debug, Default)]
pub struct Sessions {
    context: Context,
    tools: BTreeMap<FileId, Tool>,
    running: BTreeMap<ProcKey, Session>,
    /// The session of each process; `None` for a process that outlived its session.
    of: BTreeMap<ProcKey, Option<ProcKey>>,
    /// The session of each exited process, until its final times arrive.
    exited: BTreeMap<ProcKey, ProcKey>,
    /// The session that requested facts about a process; the answers may arrive after the end of the process.
    pending: BTreeMap<ProcKey, ProcKey>,
    n_refused: u64,
}

/// The sessions that an event affects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventScope {
    /// The session whose first process this is, or that begins with it now.
    One(ProcKey),
    /// All running sessions.
    All,
    /// No session: the event belongs to a process that outlived its session.
    NoSession,
}

#[derive(Debug)]
struct Session {
    correlator: Correlator,
    n_events: u64,
    /// Events above the limit, which were not applied.
    n_left_out: u64,
    /// The parent of the first process if that is a tool and not a `go` command. Other tools of this parent belong to the session, too.
    parent: Option<Tgid>,
    /// The end of its first process; for tools, of the last process that ended.
    ended: Option<Ktime>,
    /// Requests whose answer may still arrive.
    n_pending: u64,
    /// True until the session has been reported.
    is_new: bool,
}

impl Sessions {
    /// `context` is common to all sessions.
    pub fn new(context: Context) -> Self {
        Self {
            context,
            ..Self::default()
        }
    }

    /// Applies one event; returns the effects that the rim must carry out.
    pub fn apply(&mut self, event: Event) -> Vec<Effect> {
        let root = match self.scope(&event) {
            EventScope::One(root) => self.begin(root),
            EventScope::NoSession => None,
            EventScope::All => {
                if let Event::Tool(tool) = &event {
                    self.tools.insert(tool.file, tool.clone());
                }
                return self.apply_to_all(&event);
            }
        };
        self.record_process(&event, root);
        self.apply_to(root, event)
    }

    /// Records the session of a process.
    fn record_process(&mut self, event: &Event, root: Option<ProcKey>) {
        match event {
            Event::Fork(fork) => {
                self.of.insert(fork.child, root);
            }
            Event::Exec(exec) => {
                self.of.insert(exec.process, root);
                let parent = self.is_part(exec).then_some(exec.parent);
                if let Some(session) = self.running.get_mut(&exec.process) {
                    session.parent = parent;
                }
            }
            Event::Exit(exit) => {
                self.of.remove(&exit.process);
                if let Some(root) = root {
                    self.exited.insert(exit.process, root);
                }
                if let Some(root) = root
                    && let Some(session) = self.running.get_mut(&root)
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

    /// The sessions that an event will affect when it is applied. The events with a session in their scope are sufficient to rebuild that
    /// session.
    pub fn scope(&self, event: &Event) -> EventScope {
        let or_itself = |process: ProcKey| match self.of.get(&process) {
            Some(root) => *root,
            None => Some(process),
        };
        let root = match event {
            Event::Fork(fork) => or_itself(fork.parent),
            Event::Exec(exec) => {
                let root = self
                    .known(exec.process)
                    .or_else(|| self.session_of_siblings(exec));
                Some(root.unwrap_or(exec.process))
            }
            Event::Exit(exit) => or_itself(exit.process),
            Event::Reaped(reaped) => self.exited.get(&reaped.process).copied(),
            Event::Rename(rename) => or_itself(rename.process),
            Event::Call(call) => or_itself(call.process),
            Event::Lineage(lineage) => self.known(lineage.process),
            Event::Settings(settings) => self.pending.get(&settings.process).copied(),
            Event::ResponseFile(file) => self.pending.get(&file.process).copied(),
            Event::Inspected(inspected) => self.pending.get(&inspected.process).copied(),
            Event::CheckedOut(answer) => self.pending.get(&answer.process).copied(),
            Event::BuildInfo(answer) => self.pending.get(&answer.process).copied(),
            Event::Tool(_) | Event::Lost(_) | Event::Unreadable(_) => return EventScope::All,
        };
        root.map_or(EventScope::NoSession, EventScope::One)
    }

    /// True if the session with this first process is running.
    pub fn is_running(&self, root: ProcKey) -> bool {
        self.running.contains_key(&root)
    }

    /// The common context of sessions that begin now.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// The rim found that a file is not a Go tool. The session of this process ends if the process is its first and no tool runs under it.
    /// A script of such a name may have started one. Returns true if the session ended; the process then need not be traced.
    pub fn is_no_tool(&mut self, process: ProcKey) -> bool {
        let is_wrong = self
            .running
            .get(&process)
            .is_some_and(|it| !it.correlator.is_tool(process) && !it.correlator.has_tool());
        if is_wrong {
            self.end(process);
        }
        is_wrong
    }

    /// Sessions that began since the last call and run a Go tool, in their present state.
    pub fn begun(&mut self) -> Vec<Trace> {
        let mut begun = Vec::new();
        for (root, session) in &mut self.running {
            if session.is_new && session.correlator.is_tool(*root) {
                session.is_new = false;
                begun.push(session.correlator.so_far());
            }
        }
        begun
    }

    /// First processes of sessions that have not ended, as far as was seen.
    pub fn roots(&self) -> impl Iterator<Item = ProcKey> {
        let running = self.running.iter().filter(|(_, it)| it.ended.is_none());
        running.map(|(root, _)| *root)
    }

    /// Marks a session as ended if its first process is gone and its exit was not seen. Later events of the process still belong to the
    /// session.
    pub fn mark_exit_missed(&mut self, root: ProcKey, now: Ktime) {
        if let Some(session) = self.running.get_mut(&root) {
            session.ended.get_or_insert(now);
        }
    }

    /// Sets the offset from the boot clock to the wall clock for sessions that begin from now on. An operator or the network may set the
    /// wall clock at any time.
    pub fn set_boot_to_wall_ns(&mut self, ns: i64) {
        self.context.boot_to_wall_ns = ns;
    }

    /// Sets whether phases are observed in sessions that begin from now on.
    pub fn set_phases(&mut self, phases: bool) {
        self.context.phases = phases;
    }

    /// Sets whether every rename is observed in sessions that begin from now on.
    pub fn set_renames(&mut self, renames: bool) {
        self.context.renames = renames;
    }

    /// True if a session has ended at `now`.
    pub fn has_ended(&self, now: Ktime) -> bool {
        self.running.values().any(|it| it.has_ended(now))
    }

    /// Sessions that have ended at `now`.
    pub fn ended(&mut self, now: Ktime) -> Vec<Trace> {
        let over: Vec<ProcKey> = self
            .running
            .iter()
            .filter(|(_, it)| it.has_ended(now))
            .map(|(root, _)| *root)
            .collect();
        over.into_iter().filter_map(|root| self.end(root)).collect()
    }

    /// True if a session waits for final times, which no event announces.
    pub fn is_reaping(&self, now: Ktime) -> bool {
        self.running.values().any(|it| it.is_reaping(now))
    }

    /// Ends all sessions.
    pub fn finish(mut self) -> Vec<Trace> {
        let roots: Vec<ProcKey> = self.running.keys().copied().collect();
        roots
            .into_iter()
            .filter_map(|root| self.end(root))
            .collect()
    }

    /// The number of running sessions.
    pub fn n_running(&self) -> usize {
        self.running.len()
    }

    /// The number of sessions that were refused because there were too many.
    pub fn n_refused(&self) -> u64 {
        self.n_refused
    }

    fn known(&self, process: ProcKey) -> Option<ProcKey> {
        self.of.get(&process).copied().flatten()
    }

    /// True if a program is a tool that needs a `go` command above it to be a build.
    fn is_part(&self, exec: &Exec) -> bool {
        let role = exec
            .exe
            .get()
            .and_then(|exe| correlate::role(&self.tools, exec.file, exe));
        role.is_some_and(|it| it != Role::Go)
    }

    /// The session of tools that have the same parent as this one.
    fn session_of_siblings(&self, exec: &Exec) -> Option<ProcKey> {
        if !self.is_part(exec) {
            return None;
        }
        let mut running = self.running.iter();
        let session = running.find(|(_, it)| it.parent == Some(exec.parent));
        session.map(|(root, _)| *root)
    }

    /// The session that began with this process. If no session did and there is room, a new one.
    fn begin(&mut self, root: ProcKey) -> Option<ProcKey> {
        // An event after the end of a process belongs to its present session. A new session in its place would silently discard the old
        // one.
        if self.running.contains_key(&root) {
            return Some(root);
        }
        if self.running.len() >= SESSIONS_MAX {
            self.n_refused += 1;
            self.of.insert(root, None);
            return None;
        }
        let mut correlator = Correlator::new(self.context.clone());
        for tool in self.tools.values() {
            // No process runs the tool yet, so there are no effects.
            correlator.apply(Event::Tool(tool.clone()));
        }
        self.running.insert(
            root,
            Session {
                correlator,
                n_events: 0,
                n_left_out: 0,
                parent: None,
                ended: None,
                n_pending: 0,
                is_new: true,
            },
        );
        self.of.insert(root, Some(root));
        Some(root)
    }

    fn apply_to(&mut self, root: Option<ProcKey>, event: Event) -> Vec<Effect> {
        let Some((root, session)) = root.and_then(|it| Some((it, self.running.get_mut(&it)?)))
        else {
            return Vec::new();
        };
        let effects = session.apply(event);
        note_pending(&mut self.pending, root, &effects);
        effects
    }

    fn apply_to_all(&mut self, event: &Event) -> Vec<Effect> {
        let mut all = Vec::new();
        for (root, session) in &mut self.running {
            let effects = session.apply(event.clone());
            note_pending(&mut self.pending, *root, &effects);
            all.extend(effects);
        }
        all
    }

    /// Removes a session. Its processes that still run belong to no session from now on.
    fn end(&mut self, root: ProcKey) -> Option<Trace> {
        let session = self.running.remove(&root)?;
        self.pending.retain(|_, of| *of != root);
        self.exited.retain(|_, of| *of != root);
        for of in self.of.values_mut().filter(|it| **it == Some(root)) {
            *of = None;
        }
        // The first process is gone, so no later event would remove it.
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
            self.n_pending = self.n_pending.saturating_sub(1);
        }
        self.n_events += 1;
        // The end of a process is more important than other events.
        let is_end = matches!(event, Event::Exit(_) | Event::Reaped(_));
        if self.n_events > EVENTS_MAX && !is_answer && !is_end {
            self.n_left_out += 1;
            return Vec::new();
        }
        let effects = self.correlator.apply(event);
        let n_pending = effects.iter().filter_map(pending_process).count();
        self.n_pending += n_pending as u64;
        effects
    }

    fn has_ended(&self, now: Ktime) -> bool {
        self.ended.is_some_and(|ended| {
            let since = now.0.saturating_sub(ended.0);
            let n_running = self.correlator.n_running();
            let all_ended = match self.parent {
                None => since > AFTERMATH_NS || n_running == 0,
                // An exit may have been lost.
                Some(_) if n_running > 0 => since > TOOL_NS,
                Some(_) => since > NEXT_TOOL_NS,
            };
            let all_read = since > PATIENCE_NS || self.n_pending == 0;
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

fn note_pending(pending: &mut BTreeMap<ProcKey, ProcKey>, root: ProcKey, effects: &[Effect]) {
    pending.extend(
        effects
            .iter()
            .filter_map(pending_process)
            .map(|process| (process, root)),
    );
}

/// The process of a request that may be answered later.
fn pending_process(effect: &Effect) -> Option<ProcKey> {
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
