//! From the kernel's records to the core, for one command and for the whole machine: drain, log, apply, perform.
//!
//! Each event is logged before it is applied, if there is a log. What the core asks is answered at once or, by threads that read, later.

use std::io;

use tracer_core::correlate::Correlator;
use tracer_core::effect::Effect;
use tracer_core::event::{Event, ProcKey};
use tracer_core::sessions::Sessions;

use super::effects::{EffectResult, EffectRunner, NoTool};
use super::journal::Journal;
use super::output_reader::Depth;
use super::recorder::Recorder;
use super::source::Source;

/// What events are applied to.
pub(super) trait Core {
    fn apply(&mut self, event: Event) -> Vec<Effect>;
    /// A process runs no Go tool. Returns whether it need not be followed.
    fn is_no_tool(&mut self, process: ProcKey) -> bool;
}

/// What events are written to.
pub(super) trait Log<C> {
    /// Whether whoever comes after this process goes on with it. Then an event is written before its record leaves the ring.
    const IS_HANDED_OVER: bool;
    fn write(&mut self, event: &Event, core: &C);
    fn forget(&mut self, process: ProcKey);
}

pub(super) struct Pipeline<C, L> {
    pub(super) source: Source,
    pub(super) effects: EffectRunner,
    pub(super) core: C,
    pub(super) log: Option<L>,
}

impl<C: Core, L: Log<C>> Pipeline<C, L> {
    /// Applies the tools that were found before.
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
            log,
        };
        for tool in found {
            pipeline.take(Event::Tool(tool));
        }
        Ok(pipeline)
    }

    /// Applies what has come in, and returns whether there may be more than `limit`. `admit` sees each event before its record leaves
    /// the ring, and returns whether it is to be applied; `took` sees it afterwards.
    pub(super) fn drain(
        &mut self,
        limit: usize,
        mut admit: impl FnMut(&Event) -> bool,
        mut took: impl FnMut(&Event),
    ) -> bool {
        let is_handed_over = L::IS_HANDED_OVER && self.log.is_some();
        // Where nobody finds records again, the ring has room sooner if all are taken before any is applied. To whom an event is
        // written depends on those before it.
        let at_once = if is_handed_over { 1 } else { usize::MAX };
        let mut n_left = limit;
        while n_left > 0 {
            let Self {
                source, core, log, ..
            } = self;
            let events = source.take(at_once, |event| {
                let is_admitted = admit(event);
                if let (true, true, Some(log)) = (is_admitted, is_handed_over, &mut *log) {
                    log.write(event, core);
                }
                is_admitted
            });
            if events.is_empty() {
                break;
            }
            n_left = n_left.saturating_sub(events.len());
            for (event, is_admitted) in events {
                took(&event);
                match (is_admitted, is_handed_over) {
                    (true, true) => self.apply(event),
                    (true, false) => self.take(event),
                    (false, _) => {}
                }
            }
        }
        n_left == 0
    }

    /// Applies answers that have come.
    pub(super) fn answer(&mut self) {
        for answer in self.effects.answers(&mut self.source) {
            if let Some(event) = self.event_of(answer) {
                self.take(event);
            }
        }
    }

    /// Writes and applies an event that is in no ring.
    pub(super) fn take(&mut self, event: Event) {
        if let Some(log) = &mut self.log {
            log.write(&event, &self.core);
        }
        self.apply(event);
    }

    /// Applies an event that is written, and the answers to what the core asks because of it.
    fn apply(&mut self, event: Event) {
        let mut events = vec![(event, true)];
        while let Some((event, is_written)) = events.pop() {
            if let (false, Some(log)) = (is_written, &mut self.log) {
                log.write(&event, &self.core);
            }
            let ended = event.ended();
            for effect in self.core.apply(event) {
                events.extend(self.perform(effect).map(|it| (it, false)));
            }
            // What was asked about it holds its root as long as it needs it; nobody asks again.
            if let Some(process) = ended {
                self.effects.forget(process);
            }
        }
    }

    pub(super) fn perform(&mut self, effect: Effect) -> Option<Event> {
        let answer = self.effects.perform(effect, &mut self.source);
        answer.and_then(|it| self.event_of(it))
    }

    /// What the core is to be told. A program that only has the name of a tool is followed no longer.
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

/// One command: all that it started is followed to its end.
impl Core for Correlator {
    fn apply(&mut self, event: Event) -> Vec<Effect> {
        Self::apply(self, event)
    }

    fn is_no_tool(&mut self, _: ProcKey) -> bool {
        false
    }
}

impl Core for Sessions {
    fn apply(&mut self, event: Event) -> Vec<Effect> {
        Self::apply(self, event)
    }

    fn is_no_tool(&mut self, process: ProcKey) -> bool {
        Self::is_no_tool(self, process)
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
