//! The loop of a trace without an end: every build on the machine, for as long as gotrace runs.
//!
//! It takes the same road from an event to a build as a traced command does, but by sessions, and hands each over when it is over. What
//! becomes of it is the sink's to say; a sink must not wait.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tracer_core::effect::Effect;
use tracer_core::event::{Event, Ktime, Lost, ProcKey};
use tracer_core::model::Trace;
use tracer_core::recording::Detail;
use tracer_core::sessions::Sessions;

use super::delay::Delay;
use super::inspector::Depth;
use super::journal::{Journal, is_of_kernel};
use super::self_test::SelfTest;
use super::source::Source;
use super::status::{Events, ObserverStatus};
use super::world::{Answer, NoTool, World};
use super::{REAPING_TICK, TICK, wait};
use crate::clock;
use crate::launch::signal::{Received, Signals};
use crate::proc;

/// Events that are taken before anything else has its turn.
const AT_ONCE: u32 = 4096;
/// How often that is done at the end.
const TURNS_MAX: u32 = 64;
/// How often it is looked whether a process is gone whose exit was lost. One that was gone two times in a row has had so long to be told of.
const ROUND: Duration = Duration::from_secs(10);

/// How much sooner than others the loop gets a processor, as nice(2) counts. What it uses of it is the same, only that it uses it before
/// the ring is full and before the processes are gone that it has to look at.
const NICE: i32 = -10;

/// Where builds go.
pub trait Sink {
    /// Builds that have begun, as far as they are seen.
    fn begun(&mut self, trace: &Trace);
    /// Builds that are over.
    fn ended(&mut self, trace: Trace);
    /// The same of builds that another has followed, too: that one may have been told already that they are over.
    /// Where nobody can tell, they are taken as if they were not.
    fn ended_again(&mut self, trace: Trace) {
        self.ended(trace);
    }
    /// Whether builds of that process are over and would be gone if the sink were killed now.
    fn still_has(&self, process: ProcKey) -> bool;
    /// Called about once a second, and when the self-test has come to another verdict.
    fn status(&mut self, status: ObserverStatus);
    /// The operator asks to read the configuration again.
    fn reload(&mut self);
    /// How much is to be seen from now on, if that was decided since it was last asked.
    fn detail(&mut self) -> Option<Detail>;
}

struct Service {
    source: Source,
    world: World,
    sessions: Sessions,
    self_test: SelfTest,
    /// Of each kind, as last told.
    lost: BTreeMap<u16, u64>,
    n_unreadable: u64,
    journal: Option<Journal>,
    taken_up: TakenUp,
    /// First processes of sessions that were gone when it was last looked.
    gone: BTreeSet<ProcKey>,
    delay: Delay,
}

/// What another has followed before.
#[derive(Default)]
struct TakenUp {
    /// First processes of its sessions.
    roots: BTreeSet<ProcKey>,
    /// What is over of it.
    ended: Vec<Trace>,
    /// The last of each session that it wrote down: one of them may still be in the ring, where it is the first then.
    last: Vec<Event>,
}

/// Hands over every build until a signal ends it. Builds that are under way then are not handed over; those that are over and only
/// wait for their outputs to be read are, as they stand. `own` is a directory for the self-test alone.
pub fn serve(
    source: Source,
    own: PathBuf,
    signals: &mut Signals,
    sink: &mut dyn Sink,
) -> io::Result<()> {
    let mut service = Service::new(source, own)?;
    go_first();
    let mut ticked = Instant::now();
    let mut looked = Instant::now();
    sink.status(service.status());
    loop {
        let timeout = if service.sessions.is_reaping(clock::boot()) {
            REAPING_TICK
        } else {
            TICK
        };
        let have_changed = wait(signals, Some((&service.source, &service.world)), timeout)?;
        if have_changed {
            service.source.release_changed();
        }
        let is_behind = service.turn();
        for trace in service.sessions.begun() {
            sink.begun(&trace);
        }
        // What is over is told in a moment, and has to know by then what may be missing in it.
        if service.sessions.n_running() > service.sessions.roots().count() {
            service.tell_losses();
        }
        service.hand_over(clock::boot(), sink);
        if let Some(detail) = sink.detail() {
            service.source.set_detail(detail)?;
        }
        if ticked.elapsed() >= TICK || service.self_test.has_changed() {
            ticked = Instant::now();
            service.tell_losses();
            if let Some(journal) = &mut service.journal {
                journal.tidy(&service.sessions, ticked, |it| sink.still_has(it));
            }
            service
                .sessions
                .set_boot_to_wall_ns(clock::boot_to_wall_ns());
            sink.status(service.status());
        }
        if looked.elapsed() >= ROUND && !is_behind {
            looked = Instant::now();
            service.miss();
        }
        while let Some(received) = signals.read()? {
            match received {
                Received::FromProcess { number, .. } | Received::FromKernel { number } => {
                    match number {
                        libc::SIGHUP => sink.reload(),
                        libc::SIGTERM | libc::SIGINT | libc::SIGQUIT => {
                            service.end(sink);
                            return Ok(());
                        }
                        libc::SIGTSTP => service.source.stop(Signal::TSTP),
                        _ => {}
                    }
                }
                Received::Child => {}
            }
        }
    }
}

/// This thread alone, and what it starts later: `setpriority` of Linux takes threads for processes.
fn go_first() {
    // An operator who chose another has a reason.
    if rustix::process::getpriority_process(None) == Ok(0) {
        // Not allowed: then its turn comes as everybody's does.
        let _as_others = rustix::process::setpriority_process(None, NICE);
    }
}

impl Service {
    fn new(mut source: Source, own: PathBuf) -> io::Result<Self> {
        let found = source.take_found();
        let mut service = Self {
            world: World::new(Depth::Anatomy)?,
            sessions: Sessions::new(source.context()),
            self_test: SelfTest::new(own, Instant::now()),
            lost: source.told_losses(),
            journal: source.journal(),
            source,
            n_unreadable: 0,
            taken_up: TakenUp::default(),
            gone: BTreeSet::new(),
            delay: Delay::new(Instant::now()),
        };
        for tool in found {
            service.take(Event::Tool(tool));
        }
        service.take_up();
        Ok(service)
    }

    /// Hands over what is over. If another is about to come, all stays on for it.
    fn end(mut self, sink: &mut dyn Sink) {
        for _ in 0..TURNS_MAX {
            if !self.turn() {
                break;
            }
        }
        if self.source.is_upgrade_announced() {
            self.hand_over(clock::boot(), sink);
            self.source.leave();
        } else {
            self.hand_over(Ktime(u64::MAX), sink);
            self.source.end();
        }
    }

    /// Hands over what is over by `now`.
    fn hand_over(&mut self, now: Ktime, sink: &mut dyn Sink) {
        for trace in mem::take(&mut self.taken_up.ended) {
            sink.ended_again(trace);
        }
        for trace in self.sessions.ended(now) {
            let roots = &self.taken_up.roots;
            if trace.builds.iter().any(|it| roots.contains(&it.process)) {
                sink.ended_again(trace);
            } else {
                sink.ended(trace);
            }
        }
    }

    /// Goes on with what another wrote down, as if it had been seen here.
    fn take_up(&mut self) {
        let Some(past) = self.journal.as_ref().map(Journal::past) else {
            return;
        };
        let boot_to_wall_ns = self.sessions.context().boot_to_wall_ns;
        for root in past {
            let taken_up = self.journal.as_mut().and_then(|it| it.take_up(root));
            let Some(session) = taken_up else {
                continue;
            };
            // The name of a build depends on it.
            let then = session.header().boot_to_wall_ns;
            self.sessions.set_boot_to_wall_ns(then);
            self.taken_up.roots.insert(root);
            let mut last = None;
            let mut asked: Vec<Effect> = Vec::new();
            for event in session {
                if let Some(i) = asked.iter().position(|it| it.is_answered_by(&event)) {
                    asked.remove(i);
                }
                if is_of_kernel(&event) {
                    last = Some(event.clone());
                }
                asked.extend(self.sessions.apply(event));
            }
            self.taken_up.last.extend(last);
            // What was not answered before is asked again.
            for effect in asked {
                if let Some(event) = self.perform(effect) {
                    self.take(event);
                }
            }
            let ended = self.sessions.ended(clock::boot());
            self.taken_up.ended.extend(ended);
        }
        self.sessions.set_boot_to_wall_ns(boot_to_wall_ns);
    }

    /// Takes what has come in, but no more than that others have their turn; whether there may be more.
    fn turn(&mut self) -> bool {
        let mut n_left = AT_ONCE;
        if self.journal.is_none() {
            // Nobody finds them again: the ring has room sooner if they are believed afterwards.
            for event in self.source.drain() {
                self.delay.take(&event, clock::boot());
                self.n_unreadable += u64::from(matches!(event, Event::Unreadable(_)));
                if !self.self_test.take(&event) {
                    self.apply(event);
                }
            }
        }
        while n_left > 0
            && self.journal.is_some()
            && let Some((event, is_news)) = self.next()
        {
            n_left -= 1;
            self.delay.take(&event, clock::boot());
            if is_news {
                self.apply(event);
            }
        }
        let lost = || self.source.tallies().iter().map(|(_, it)| it.lost).sum();
        self.self_test.turn(Instant::now(), lost);
        for answer in self.world.answers(&mut self.source) {
            if let Some(event) = self.heed(answer) {
                self.take(event);
            }
        }
        n_left == 0
    }

    /// The next event out of the ring, written down; and whether it is any, or nobody's business, or known.
    fn next(&mut self) -> Option<(Event, bool)> {
        let Self {
            source,
            self_test,
            journal,
            sessions,
            taken_up,
            ..
        } = self;
        let mut is_news = true;
        let event = source.next(|event| {
            let known = mem::take(&mut taken_up.last);
            is_news = !self_test.take(event) && !known.contains(event);
            if let (true, Some(journal)) = (is_news, journal) {
                journal.write(event, sessions);
            }
        })?;
        self.n_unreadable += u64::from(matches!(event, Event::Unreadable(_)));
        Some((event, is_news))
    }

    /// Takes what did not come out of the ring.
    fn take(&mut self, event: Event) {
        self.write_down(&event);
        self.apply(event);
    }

    fn write_down(&mut self, event: &Event) {
        if let Some(journal) = &mut self.journal {
            journal.write(event, &self.sessions);
        }
    }

    fn apply(&mut self, event: Event) {
        let mut events = vec![(event, true)];
        while let Some((event, is_written)) = events.pop() {
            if !is_written {
                self.write_down(&event);
            }
            let ended = event.ended();
            for effect in self.sessions.apply(event) {
                events.extend(self.perform(effect).map(|it| (it, false)));
            }
            // What was asked about it holds its root as long as it needs it; nobody asks again.
            if let Some(process) = ended {
                self.world.forget(process);
            }
        }
    }

    fn perform(&mut self, effect: Effect) -> Option<Event> {
        let answer = self.world.perform(effect, &mut self.source);
        answer.and_then(|it| self.heed(it))
    }

    /// What the core is to be told. A program that only has the name of a tool is followed no longer.
    fn heed(&mut self, answer: Answer) -> Option<Event> {
        let NoTool { process, file } = match answer {
            Ok(event) => return Some(event),
            Err(it) => it,
        };
        if self.sessions.is_no_tool(process) {
            self.source.unfollow(process, file);
            if let Some(journal) = &mut self.journal {
                journal.forget(process);
            }
        }
        None
    }

    /// Sessions under way learn what may be missing in them.
    fn tell_losses(&mut self) {
        let mut is_news = false;
        for (kind, tally) in self.source.tallies() {
            let before = self.lost.insert(kind.0, tally.lost).unwrap_or(0);
            if tally.lost > before {
                is_news = true;
                self.take(Event::Lost(Lost {
                    at: clock::boot(),
                    kind: kind.name().to_owned(),
                    n: tally.lost - before,
                }));
            }
        }
        if is_news {
            self.source.note_told_losses(&self.lost);
        }
    }

    /// A session whose first process is gone and whose exit was lost would never end.
    ///
    /// A process tells of its exit before it is gone (`do_exit` of `kernel/exit.c`: the tracepoint comes before `exit_notify`), so at the
    /// second look that is taken, if it was told: in between the ring was emptied. On a busy machine we come to it late.
    fn miss(&mut self) {
        let gone: BTreeSet<ProcKey> = self
            .sessions
            .roots()
            .filter(|root| !proc::is_there(*root))
            .collect();
        for root in gone.intersection(&self.gone) {
            self.sessions.miss(*root, clock::boot());
            self.world.forget(*root);
        }
        self.gone = gone;
    }

    fn status(&mut self) -> ObserverStatus {
        let tallies = self.source.tallies().into_iter();
        let events = tallies.map(|(kind, it)| Events {
            kind: kind.0,
            seen: it.seen,
            lost: it.lost,
        });
        ObserverStatus {
            events: events.collect(),
            n_unreadable: self.n_unreadable,
            n_probes: self.source.n_probes(),
            n_sessions: self.sessions.n_running(),
            n_refused: self.sessions.n_refused(),
            n_unread: self.world.n_pending(),
            n_never_read: self.world.n_dropped(),
            analyses: self.world.analyses(),
            self_test: self.self_test.verdict().clone(),
            delay_ns: self.delay.longest_ns(Instant::now()),
            ..ObserverStatus::default()
        }
    }
}
