//! The path from the kernel's records to the core, for one command and for the whole machine: drain, log, apply, perform.
//!
//! If there is a log, each event is logged before it is applied. Effects of the core are answered at once, or later by
//! reader threads.

use std::io;

use serde::{Deserialize, Serialize};
use tracer_core::correlate::Correlator;
use tracer_core::effect::Effect;
use tracer_core::event::{Event, ProcKey};
use tracer_core::sessions::Sessions;

use super::effects::{EffectResult, EffectRunner, NoTool};
use super::journal::Journal;
use super::output_reader::Depth;
use super::recorder::Recorder;
use super::source::Source;
use crate::clock;

/// The receiver of events.
pub(super) trait Core {
    fn apply(&mut self, event: Event) -> Vec<Effect>;
    /// Reports that a process runs no Go tool. Returns true if the process need not be traced any longer.
    fn is_no_tool(&mut self, process: ProcKey) -> bool;
    /// Sets whether every rename is observed in sessions that begin from now on.
    fn set_renames(&mut self, renames: bool);
}

/// The log of events.
pub(super) trait Log<C> {
    /// True if a later process resumes from this log. Then an event is written before its record leaves the ring.
    const IS_HANDED_OVER: bool;
    fn write(&mut self, event: &Event, core: &C);
    fn forget(&mut self, process: ProcKey);
}

/// CPU time of the loop's thread, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoopCpu {
    /// For reading the ring and decoding its records.
    pub decode_ns: u64,
    /// For applying the events of the ring, with the effects that are performed at once.
    pub apply_ns: u64,
}

pub(super) struct Pipeline<C, L> {
    pub(super) source: Source,
    pub(super) effects: EffectRunner,
    pub(super) core: C,
    pub(super) log: Option<L>,
    /// `None` with a log that is handed over: each event is then applied before the next is read.
    pub(super) cpu: Option<LoopCpu>,
}

impl<C: Core, L: Log<C>> Pipeline<C, L> {
    /// Creates the pipeline, and applies the tools that the source has already found.
    pub(super) fn new(
        mut source: Source,
        depth: Depth,
        core: C,
        log: Option<L>,
    ) -> io::Result<Self> {
        let found = source.take_found();
        let mut pipeline = Self {
            source,
            effects: EffectRunner::new(depth)?,
            core,
            cpu: (!(L::IS_HANDED_OVER && log.is_some())).then(LoopCpu::default),
            log,
        };
        for tool in found {
            pipeline.take(Event::Tool(tool));
        }
        Ok(pipeline)
    }

    /// Applies at most `limit` events of the ring, and returns true if there may be more. `admit` receives each event
    /// before its record leaves the ring, and returns true if the event shall be applied. `took` receives it afterwards.
    pub(super) fn drain(
        &mut self,
        limit: usize,
        mut admit: impl FnMut(&Event) -> bool,
        mut took: impl FnMut(&Event),
    ) -> bool {
        let is_handed_over = L::IS_HANDED_OVER && self.log.is_some();
        // Without handover, the ring is emptied before any event is applied, which frees its space sooner. With handover,
        // events are taken one by one: the log of an event depends on earlier events.
        let at_once = if is_handed_over { 1 } else { usize::MAX };
        let mut n_left = limit;
        while n_left > 0 {
            let Self {
                source,
                core,
                log,
                cpu,
                ..
            } = self;
            let began = cpu.as_ref().map(|_| clock::thread_cpu_ns());
            let are_complete = source.has_all_renames();
            let events = source.take(at_once, |event, begin_renames| {
                let is_admitted = admit(event);
                let is_late = is_admitted && !begin_renames(event);
                if let (true, true, Some(log)) = (is_admitted, is_handed_over, &mut *log) {
                    core.set_renames(are_complete && !is_late);
                    log.write(event, core);
                }
                (is_admitted, is_late)
            });
            if events.is_empty() {
                break;
            }
            let read = cpu.as_ref().map(|_| clock::thread_cpu_ns());
            n_left = n_left.saturating_sub(events.len());
            for (event, (is_admitted, is_late)) in events {
                took(&event);
                self.core.set_renames(are_complete && !is_late);
                match (is_admitted, is_handed_over) {
                    (true, true) => self.apply(event),
                    (true, false) => self.take(event),
                    (false, _) => {}
                }
            }
            if let (Some(cpu), Some(began), Some(read)) = (&mut self.cpu, began, read) {
                cpu.decode_ns += read.saturating_sub(began);
                cpu.apply_ns += clock::thread_cpu_ns().saturating_sub(read);
            }
            if !is_handed_over {
                break;
            }
        }
        n_left == 0
    }

    /// Applies the results that have arrived.
    pub(super) fn answer(&mut self) {
        for answer in self.effects.answers(&mut self.source) {
            if let Some(event) = self.event_of(answer) {
                self.take(event);
            }
        }
    }

    /// Logs and applies an event that does not come from the ring.
    pub(super) fn take(&mut self, event: Event) {
        if let Some(log) = &mut self.log {
            log.write(&event, &self.core);
        }
        self.apply(event);
    }

    /// Applies an event that is already logged, and the immediate results of its effects.
    fn apply(&mut self, event: Event) {
        let mut answers = self.step(event);
        while let Some(event) = answers.pop() {
            if let Some(log) = &mut self.log {
                log.write(&event, &self.core);
            }
            answers.extend(self.step(event));
        }
    }

    /// Applies one event; returns the immediate results of its effects.
    fn step(&mut self, event: Event) -> Vec<Event> {
        let ended = event.ended();
        let mut answers = Vec::new();
        for effect in self.core.apply(event) {
            answers.extend(self.perform(effect));
        }
        // Pending requests hold the root of the process as long as they need it. There are no new requests.
        if let Some(process) = ended {
            self.effects.forget(process);
        }
        answers
    }

    pub(super) fn perform(&mut self, effect: Effect) -> Option<Event> {
        let answer = self.effects.perform(effect, &mut self.source);
        answer.and_then(|it| self.event_of(it))
    }

    /// Returns the event of a result. A program that has only the name of a tool is not traced any longer.
    fn event_of(&mut self, answer: EffectResult) -> Option<Event> {
        let NoTool { process, file } = match answer {
            Ok(event) => return Some(event),
            Err(it) => it,
        };
        if self.core.is_no_tool(process) {
            self.source.unfollow(process, file);
            if let Some(log) = &mut self.log {
                log.forget(process);
            }
        }
        None
    }
}

/// One command: all its processes are traced to their end.
impl Core for Correlator {
    fn apply(&mut self, event: Event) -> Vec<Effect> {
        Self::apply(self, event)
    }

    fn is_no_tool(&mut self, _: ProcKey) -> bool {
        false
    }

    // The hook is attached before the command starts.
    fn set_renames(&mut self, _: bool) {}
}

impl Core for Sessions {
    fn apply(&mut self, event: Event) -> Vec<Effect> {
        Self::apply(self, event)
    }

    fn is_no_tool(&mut self, process: ProcKey) -> bool {
        Self::is_no_tool(self, process)
    }

    fn set_renames(&mut self, renames: bool) {
        Self::set_renames(self, renames);
    }
}

impl Log<Correlator> for &mut Recorder {
    const IS_HANDED_OVER: bool = false;

    fn write(&mut self, event: &Event, _: &Correlator) {
        self.record(event);
    }

    fn forget(&mut self, _: ProcKey) {}
}

impl Log<Sessions> for Journal {
    const IS_HANDED_OVER: bool = true;

    fn write(&mut self, event: &Event, sessions: &Sessions) {
        Self::write(self, event, sessions);
    }

    fn forget(&mut self, process: ProcKey) {
        Self::forget(self, process);
    }
}
