//! The observer: the privileged process of the agent. It traces builds and sends them to the storage process.
//!
//! `driver::service` contains its loop. This module never waits for a disk, a network or the storage process: unsent
//! builds wait in a bounded backlog.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tracer_core::event::ProcKey;
use tracer_core::history::Entry;
use tracer_core::model::Trace;
use tracer_core::recording::Detail;

use super::backlog::Backlog;
use super::ipc::{FrameError, REQUEST_LIMIT, Request, encode};
use super::startup::beside;
use super::supervisor::{Launch, Supervisor};
use super::{Config, IDLE_TIME, Load, SHUTDOWN_LIMIT, notify};
use crate::clock;
use crate::config::File;
use crate::digest_key;
use crate::doctor;
use crate::driver::service::{self, Sink};
use crate::driver::{ObserverStatus, Pin, SelfTestVerdict, Source, SourceOptions, Whose};
use crate::launch::signal::Signals;
use crate::log::{self, Level, Log};
use crate::proc::{self, ProcessUsage};
use crate::toolchain::SearchHint;

/// Reads the file of the configuration.
type Read<'a> = &'a dyn Fn() -> anyhow::Result<File>;

/// Extra time for the exit of the storage process after its deadline.
const EXIT_GRACE: Duration = Duration::from_millis(300);

/// Traces every build until a signal. `read` reads the configuration file, which the storage process may be unable to
/// open. `load` combines the file with flags and environment, and `args` let the storage process do the same. `log`
/// receives messages for the operator.
pub fn observe(
    read: Read<'_>,
    load: Load<'_>,
    args: Vec<OsString>,
    log: Log,
) -> anyhow::Result<()> {
    // Mistakes in the configuration are reported before any start.
    let file = read()?;
    let Config {
        store,
        pin,
        log: config,
        ..
    } = load(&file)?;
    log::reconfigure(config);
    let store = std::path::absolute(store)?;
    let mut signals = Signals::take()?;
    let storage = Supervisor::start(Launch::own(args)?, file, log.clone())?;
    let detail = storage.opened()?;
    let (digest_key, trouble) = digest_key::of_agent(&store);
    if let Some(trouble) = trouble {
        log.warn(trouble);
    }
    let source = Source::start(SourceOptions {
        command: Vec::new(),
        detail,
        hint: SearchHint {
            path: std::env::var_os("PATH"),
            home: std::env::var_os("HOME").map(PathBuf::from),
            ..SearchHint::default()
        },
        whose: Whose::Everybody,
        pin: pin.map(|place| Pin {
            place,
            own: beside(&store, "-under-way"),
        }),
        digest_key,
    })?;
    if source.is_adopted() {
        log.info("resumed the traces of the previous agent");
    }
    for note in source.notes() {
        log.warn(note);
    }
    let limits = doctor::limits();
    for limit in &limits {
        log.warn(format_args!("tracing is limited: {limit}"));
    }
    storage.follow(source.n_probes())?;
    let mut observer = Observer {
        storage,
        read,
        has_probes: has_probes(detail),
        n_ended: 0,
        n_dropped: 0,
        self_test: SelfTestVerdict::Pending,
        limits,
        has_watchdog: notify::has_watchdog(),
        busy: Some(Instant::now()),
        log,
    };
    let own = beside(&store, "-self-test");
    service::serve(source, own, &mut signals, &mut observer)?;
    observer.finish()
}

struct Observer<'a> {
    storage: Supervisor,
    read: Read<'a>,
    /// True if probes were attached. This never changes.
    has_probes: bool,
    /// Traces with builds so far; the number of the last one.
    n_ended: u64,
    /// Builds that were dropped, as last reported.
    n_dropped: u64,
    /// The result of the self-test, as last reported.
    self_test: SelfTestVerdict,
    /// The effects of missing privileges.
    limits: Vec<String>,
    /// True if the service manager expects regular signs of life.
    has_watchdog: bool,
    /// Time of the last activity. `None` if memory was returned to the kernel since.
    busy: Option<Instant>,
    log: Log,
}

impl Sink for Observer<'_> {
    fn begun(&mut self, trace: &Trace) {
        for build in &trace.builds {
            let entry = Entry::of(trace, build);
            match encode(&Request::Begun(Box::new(entry)), REQUEST_LIMIT) {
                Ok(request) => self.storage.update(|it| it.begun(build.process, request)),
                Err(error) => self.report_unsent(&error),
            }
        }
    }

    fn ended(&mut self, trace: Trace) {
        self.hand_over(trace, false);
    }

    fn ended_resumed(&mut self, trace: Trace) {
        self.hand_over(trace, true);
    }

    fn is_unstored(&self, process: ProcKey) -> bool {
        self.storage.read(|it| it.has(process))
    }

    fn status(&mut self, status: ObserverStatus) {
        if self.has_watchdog {
            // The loop that reads the ring makes this call, so the manager also detects a loop that hangs.
            let _unsent = notify::notify(notify::WATCHDOG);
        }
        if status.self_test != self.self_test {
            self.report_readiness(&status.self_test);
        }
        let (n_waiting, n_dropped) = self.storage.read(|it| (it.n_builds(), it.n_dropped()));
        if n_dropped > self.n_dropped {
            let n = n_dropped - self.n_dropped;
            self.log.with(
                Level::Warn,
                format_args!("{n} builds were dropped: the storage process is too slow"),
                &[("builds", n.into())],
            );
            self.n_dropped = n_dropped;
        }
        let status = ObserverStatus {
            cpu_ns: clock::own_cpu_ns() + status.analyses.cpu_ns,
            resident_bytes: proc::own_resident_bytes(),
            process: ProcessUsage::own(),
            n_waiting,
            n_dropped,
            limits: self.limits.clone(),
            ..status
        };
        let is_busy = status.n_sessions > 0;
        match encode(&Request::Status(Box::new(status)), REQUEST_LIMIT) {
            Ok(request) => self.storage.update(|it| it.status(request)),
            Err(error) => self.report_unsent(&error),
        }
        if is_busy {
            self.busy = Some(Instant::now());
        } else if self.busy.is_some_and(|it| it.elapsed() > IDLE_TIME) {
            self.busy = None;
            proc::give_back_memory();
        }
    }

    fn note(&mut self, note: &str) {
        self.log.warn(note);
    }

    fn reload(&mut self) {
        let file = (self.read)().map_err(|error| format!("{error:#}"));
        if let Err(error) = self.storage.reload(file) {
            self.report_unsent(&error);
        }
    }

    fn detail(&mut self) -> Option<Detail> {
        let detail = self.storage.detail();
        detail.filter(|it| has_probes(*it) == self.has_probes)
    }
}

impl Observer<'_> {
    /// `is_known` is true if another agent may have stored builds of this trace.
    fn hand_over(&mut self, trace: Trace, is_known: bool) {
        let n = trace.builds.len();
        let processes: Vec<ProcKey> = trace.builds.iter().map(|it| it.process).collect();
        let request = (n > 0).then(|| {
            self.n_ended += 1;
            let trace = Box::new(trace);
            let n = self.n_ended;
            encode(&Request::Ended { n, is_known, trace }, REQUEST_LIMIT)
        });
        self.storage.update(|backlog| {
            for process in &processes {
                backlog.build_ended(*process);
            }
            match &request {
                // The backlog counts the dropped builds; the next status reports them.
                Some(Ok(request)) => {
                    let _no_room = backlog.ended(self.n_ended, n, processes, request.clone());
                }
                Some(Err(_)) => backlog.drop_builds(n),
                None => {}
            }
        });
        if let Some(Err(error)) = request {
            self.report_unsent(&error);
        }
    }

    fn report_unsent(&self, error: &FrameError) {
        self.log.error(format_args!(
            "cannot send a message to the storage process: {error}"
        ));
    }

    /// Reports the result to the service manager, and changes to the operator.
    fn report_readiness(&mut self, verdict: &SelfTestVerdict) {
        match verdict {
            SelfTestVerdict::Pending => {}
            SelfTestVerdict::Seen => {
                if matches!(self.self_test, SelfTestVerdict::Unseen(_)) {
                    self.log.info("ready: the self-test succeeds again");
                }
                if let Err(error) = notify::notify(notify::READY) {
                    self.log.warn(format_args!(
                        "cannot notify the service manager that gotrace is ready: {error}"
                    ));
                }
            }
            SelfTestVerdict::Unseen(why) => self.log.error(format_args!("not ready: {why}")),
        }
        self.self_test = verdict.clone();
    }

    /// Lets the storage process store the backlog, as far as time permits.
    fn finish(self) -> anyhow::Result<()> {
        let until = Instant::now() + SHUTDOWN_LIMIT;
        // The service manager detects the exit without this notification.
        let _unsent = notify::notify(notify::STOPPING);
        let nanos = u64::try_from(SHUTDOWN_LIMIT.as_nanos()).unwrap_or(u64::MAX);
        let request = Request::End {
            until_ns: clock::boot_ns().saturating_add(nanos),
            n_dropped: self.storage.read(Backlog::n_dropped),
        };
        self.storage
            .finish(encode(&request, REQUEST_LIMIT)?, until + EXIT_GRACE)
    }
}

fn has_probes(detail: Detail) -> bool {
    detail != Detail::Process
}
