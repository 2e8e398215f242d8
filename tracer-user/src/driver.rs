//! The loop of a live trace: poll, record, apply, report. The loop contains no knowledge of Go and no decisions about builds.
//!
//! One thread waits for the ring, for signals and for results of the reader threads. It therefore needs no lock, and
//! its output is never older than the last wake-up. Replay (`replay`) passes events to the same core.

mod delay;
mod effects;
mod fair_queue;
mod handover;
mod journal;
mod known_outputs;
mod loaded;
mod output_analysis;
mod output_reader;
mod pipeline;
mod programs;
mod readers;
mod recent;
mod recorder;
mod renames;
mod replay;
mod roots;
mod self_test;
pub mod service;
mod source;
mod status;
mod texts;

use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use tracer_core::correlate::Correlator;
use tracer_core::event::{Event, Status, Tgid};
use tracer_core::model::Trace;

use self::effects::EffectRunner;
pub use self::output_analysis::AnalysisCounts as Analyses;
use self::output_reader::Depth;
pub use self::pipeline::LoopCpu;
use self::pipeline::Pipeline;
pub use self::recorder::{Recorder, header as recording_header};
pub use self::replay::{Replayed, replay};
pub use self::self_test::{COMMAND as SELF_TEST_COMMAND, Verdict as SelfTestVerdict};
pub(crate) use self::source::host;
pub use self::source::{Pin, Source, SourceOptions, Whose};
pub use self::status::{Events, ObserverStatus};
use crate::clock;
use crate::launch::signal::{Received, Signals, stop};
use crate::launch::{Change, Running};
pub use crate::proc::page_size;
use crate::render::Cost;

/// Time for which processes that outlive the command are still traced.
const SURVIVOR_LIMIT: Duration = Duration::from_millis(500);
/// Time to wait for the final CPU times of processes. The kernel has them only after the parent has reaped the process.
const REAP_LIMIT: Duration = Duration::from_millis(100);
/// Interval of polling for these times: their records wake no reader.
const REAP_POLL: Duration = Duration::from_millis(10);
/// Time for reading outputs after the command has ended.
const READ_LIMIT: Duration = Duration::from_mins(2);
/// Longest wait of the loop, and interval of periodic work.
const TICK: Duration = Duration::from_secs(1);
/// Pause before gotrace checks again that the command is stopped. A SIGSTOP for the whole group also stops gotrace; after
/// that, the report of the stop is stale.
const STOP_RECHECK: Duration = Duration::from_millis(50);

/// The result of a live trace.
#[derive(Debug)]
pub struct TraceOutcome {
    pub status: Status,
    /// `None` if the command ran without tracing.
    pub traced: Option<Traced>,
}

/// The trace and its costs.
#[derive(Debug)]
pub struct Traced {
    pub trace: Trace,
    pub cost: Cost,
    pub parts: CpuParts,
    /// Processes of the command that were still running when tracing ended.
    pub n_running: usize,
    /// Files that were not read in time.
    pub n_unread: usize,
}

/// Parts of gotrace's own CPU time, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuParts {
    /// From the start of gotrace until all probes were attached.
    pub start_ns: u64,
    pub of_loop: LoopCpu,
}

/// A live trace.
struct Live<'a> {
    pipeline: Pipeline<Correlator, &'a mut Recorder>,
    n_events: u64,
}

/// Traces the command to its end and forwards the signals meant for it. `source` is `None` if tracing is impossible.
pub fn trace_command(
    running: &Running,
    signals: &mut Signals,
    source: Option<Source>,
    recorder: Option<&mut Recorder>,
) -> io::Result<TraceOutcome> {
    let mut live = source
        .map(|source| Live::new(source, recorder))
        .transpose()?;
    let mut command = Command {
        running,
        status: None,
        is_given_up: false,
        recheck_stop: None,
    };
    let mut ended: Option<Instant> = None;
    loop {
        let timeout = match (command.recheck_stop, ended) {
            (Some(_), _) => STOP_RECHECK,
            (None, Some(since)) if since.elapsed() <= REAP_LIMIT => REAP_POLL,
            (None, _) => TICK,
        };
        let pipeline = live.as_ref().map(|it| &it.pipeline);
        let seen = pipeline.map(|it| (&it.source, &it.effects));
        let have_changed = wait(signals, seen, timeout)?;
        // Signals come first: when the exit of the command is known, the ring contains all its earlier records.
        command.handle_signals(signals, live.as_mut().map(|it| &mut it.pipeline.source))?;
        if let Some(live) = &mut live {
            if have_changed {
                live.pipeline.source.release_changed();
            }
            live.turn();
        }
        if let Some(status) = command.status {
            let since = ended.get_or_insert_with(Instant::now).elapsed();
            if live.as_ref().is_none_or(|live| live.is_over(since)) || command.is_given_up {
                return Ok(TraceOutcome {
                    status,
                    traced: live.map(Live::finish),
                });
            }
        }
    }
}

/// Waits for work. Returns true if probed files may have changed.
fn wait(
    signals: &Signals,
    seen: Option<(&Source, &EffectRunner)>,
    timeout: Duration,
) -> io::Result<bool> {
    let timeout = Timespec::try_from(timeout).map_err(io::Error::other)?;
    let mut fds = vec![PollFd::new(signals, PollFlags::IN)];
    if let Some((source, effects)) = seen {
        fds.push(PollFd::from_borrowed_fd(source.as_fd(), PollFlags::IN));
        fds.push(PollFd::from_borrowed_fd(effects.as_fd(), PollFlags::IN));
        fds.extend(
            source
                .changes()
                .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)),
        );
    }
    match poll(&mut fds, Some(&timeout)) {
        // Changes that cannot be watched are checked whenever nothing else happens.
        Ok(0) => Ok(true),
        Ok(_) => Ok(fds
            .get(3)
            .is_some_and(|changes| !changes.revents().is_empty())),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

impl<'a> Live<'a> {
    fn new(source: Source, recorder: Option<&'a mut Recorder>) -> io::Result<Self> {
        let correlator = Correlator::new(source.context());
        // A user who waits for a command does not wait for an analysis that `gotrace analyze` provides.
        let pipeline = Pipeline::new(source, Depth::Identity, correlator, recorder)?;
        Ok(Self {
            pipeline,
            n_events: 0,
        })
    }

    /// Processes all available records and results.
    fn turn(&mut self) {
        let Self { pipeline, n_events } = self;
        pipeline.drain(usize::MAX, |_| true, |_| *n_events += 1);
        pipeline.answer();
    }

    fn is_over(&self, since_end: Duration) -> bool {
        let Pipeline { core, effects, .. } = &self.pipeline;
        let all_exited = since_end > SURVIVOR_LIMIT || core.n_running() == 0;
        let all_read = since_end > READ_LIMIT || effects.n_pending() == 0;
        let all_reaped = since_end > REAP_LIMIT || core.n_unreaped() == 0;
        all_exited && all_reaped && all_read
    }

    fn finish(mut self) -> Traced {
        self.turn();
        for lost in self.pipeline.source.lost() {
            self.pipeline.take(Event::Lost(lost));
        }
        let Self { pipeline, n_events } = self;
        let Pipeline {
            source,
            effects,
            core: correlator,
            log: _,
            cpu,
        } = pipeline;
        let cost = Cost {
            gotrace_cpu_ns: clock::own_cpu_ns() + effects.analyses().cpu_ns,
            events: n_events,
            attach_ns: source.attach_ns(),
        };
        let parts = CpuParts {
            start_ns: source.start_cpu_ns(),
            of_loop: cpu.unwrap_or_default(),
        };
        let n_running = correlator.n_running();
        Traced {
            trace: correlator.finish(),
            cost,
            parts,
            n_running,
            n_unread: effects.n_pending(),
        }
    }
}

/// The command and the state of its signals.
struct Command<'a> {
    running: &'a Running,
    status: Option<Status>,
    /// True if the user has interrupted the wait for the rest of the trace.
    is_given_up: bool,
    /// The signal that stopped the command, according to the last report.
    recheck_stop: Option<i32>,
}

impl Command<'_> {
    fn handle_signals(
        &mut self,
        signals: &mut Signals,
        source: Option<&mut Source>,
    ) -> io::Result<()> {
        if let Some(signal) = self.recheck_stop.take()
            && self.running.is_stopped()
        {
            self.stop_too(signal, source);
        }
        while let Some(received) = signals.read()? {
            match received {
                Received::Child => {}
                Received::FromKernel { .. } => self.is_given_up |= self.status.is_some(),
                Received::FromProcess { number, sender } => self.pass_on(number, sender),
            }
        }
        while self.status.is_none()
            && let Some(change) = self.running.change()?
        {
            match change {
                Change::Ended(status) => self.status = Some(status),
                Change::Stopped(signal) => self.recheck_stop = Some(signal),
            }
        }
        Ok(())
    }

    /// Forwards a signal that was sent only to gotrace. A signal that the command sent to its whole group is not forwarded.
    fn pass_on(&mut self, number: i32, sender: u32) {
        if self.status.is_some() {
            self.is_given_up = true;
        } else if !self.running.is_self_or_ancestor_of(Tgid(sender))
            && let Some(signal) = Signal::from_named_raw(number)
        {
            self.running.kill(signal);
        }
    }

    /// Stops gotrace, because the command has stopped itself; on continuation, the command continues too. Otherwise a
    /// shell would wait for gotrace forever.
    fn stop_too(&self, signal: i32, source: Option<&mut Source>) {
        if let Some(signal) = Signal::from_named_raw(signal) {
            match source {
                Some(source) => source.stop(signal),
                None => stop(signal),
            }
            self.running.kill(Signal::CONT);
        }
    }
}
