//! Traces a command for `run` and `record`: suspends it, attaches probes, releases it, follows it, and prints the report.
//!
//! A failure of gotrace never prevents the command from running, unless `--strict` is given.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use tracer_core::byte_string::ByteString;
use tracer_core::event::Status;
use tracer_core::finished::FinishedTrace;
use tracer_core::recording;
use tracer_core::redact;

use super::file::NewFile;
use super::report::{self, Report, Stream};
use super::{OWN_FAILURE, log};
use crate::bpf::SetupError;
use crate::digest_key;
use crate::driver::{
    self, CpuParts, LoopCpu, Recorder, Source, SourceOptions, TraceOutcome, Traced, Whose,
};
use crate::history::{Explained, Location};
use crate::launch::caller::{self, Caller};
use crate::launch::signal::Signals;
use crate::launch::{Held, LaunchError, Plan};
use crate::render::{Facts, units};
use crate::toolchain::SearchHint;

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// Do not run the command if it cannot be traced
    #[arg(long)]
    strict: bool,
    /// Under sudo, run the command as root instead of as the user who called sudo
    #[arg(long)]
    as_root: bool,
    /// Print more about the actions of gotrace and the reasons of failures
    #[arg(short, long)]
    verbose: bool,
}

/// Level of detail of a trace
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Detail {
    /// Processes: programs, arguments, times and exit codes
    Process,
    /// Also actions of the go command, phases of compiler and linker, and garbage collections
    Phase,
    /// Also the inputs of cache keys: the reason why a package was rebuilt
    CacheKey,
}

/// The arguments of a trace.
#[derive(Debug)]
pub(super) struct TraceRequest {
    pub(super) command: Vec<OsString>,
    pub(super) detail: Detail,
    pub(super) recording: Option<PathBuf>,
    /// A history to store the builds in.
    pub(super) store: Option<Location>,
    pub(super) report: report::Args,
    /// The stream of a report without a file; `None` for no report.
    pub(super) stream: Option<Stream>,
    pub(super) trace: Args,
}

/// The output files.
struct OutputFiles {
    report: Report,
    recording: Option<NewFile>,
    store: Option<Location>,
}

/// Returns the exit code.
pub(super) fn execute(request: &TraceRequest) -> u8 {
    match trace(request) {
        Ok(code) => code,
        Err(error) => {
            log(format_args!("{error:#}"));
            let launch = error.downcast_ref().map(LaunchError::exit_code);
            let setup = error.downcast_ref().map(SetupError::exit_code);
            launch.or(setup).unwrap_or(OWN_FAILURE)
        }
    }
}

fn trace(request: &TraceRequest) -> anyhow::Result<u8> {
    let strict = request.trace.strict;
    let caller = if request.trace.as_root {
        None
    } else {
        caller::of_sudo()?
    };
    if let Some(caller) = &caller {
        log_caller(caller, request.trace.verbose);
    }
    let files = prepare(request, caller.as_ref())?;
    let Some((name, args)) = request.command.split_first() else {
        anyhow::bail!("no command to run")
    };
    // Create the process while there is one thread.
    let held = Plan::new(name, args, caller.as_ref())?.hold()?;
    let mut signals = Signals::take()?;
    let source = match start(request, caller.as_ref(), &held) {
        Ok(source) => Some(source),
        Err(error) if strict => return Err(error.context("the command was not run")),
        Err(error) => {
            log(format_args!("{error:#}; running the command untraced"));
            log_verifier(&error, request.trace.verbose);
            None
        }
    };
    let OutputFiles {
        report,
        recording,
        store,
    } = files;
    let mut recorder = match (&source, &recording) {
        (Some(source), Some(file)) => Some(Recorder::new(
            file.file().try_clone()?,
            &driver::recording_header(source.context(), request.detail.into()),
        )?),
        (None, _) | (_, None) => None,
    };
    let running = held.release()?;
    let TraceOutcome { status, traced } =
        match driver::trace_command(&running, &mut signals, source, recorder.as_mut()) {
            Ok(watched) => watched,
            Err(error) => {
                log(format_args!(
                    "cannot follow the command, so it continues untraced: {error}"
                ));
                TraceOutcome {
                    status: running.wait()?,
                    traced: None,
                }
            }
        };
    // From here on, ^C ends gotrace.
    drop(signals);
    let shown = traced.map_or(Ok(()), |traced| {
        let Traced {
            trace,
            cost,
            parts,
            n_running,
            n_unread,
        } = traced;
        if request.trace.verbose {
            log_parts(parts);
        }
        let finished = FinishedTrace::of(trace);
        keep_recording(recorder, recording, &finished, request, caller.as_ref());
        let causes = store_builds(store.as_ref(), &finished, caller.as_ref());
        log_unfinished(n_running, n_unread);
        let facts = Facts {
            causes: &causes,
            cost: Some(&cost),
        };
        report.show(&finished, facts, request.stream, caller.as_ref())
    });
    let code = exit_code(status);
    Ok(match shown {
        Err(error) if !super::is_broken_pipe(&error) => {
            log(format_args!("{error:#}"));
            if strict && code == 0 {
                OWN_FAILURE
            } else {
                code
            }
        }
        Ok(()) | Err(_) => code,
    })
}

/// Creates the files before the command runs, because a path that cannot be written should be reported at once.
fn prepare(request: &TraceRequest, caller: Option<&Caller>) -> anyhow::Result<OutputFiles> {
    let (report, mut errors) = request.report.prepare(caller);
    let recording = match request
        .recording
        .as_ref()
        .map(|path| NewFile::create(path, caller))
    {
        None => None,
        Some(Ok(file)) => Some(file),
        Some(Err(error)) => {
            errors.push(error);
            None
        }
    };
    let store = request.store.as_ref();
    let opened = store.map(|it| it.prepare(caller).map(|()| it.clone()));
    let store = match opened.transpose() {
        Ok(store) => store,
        Err(error) => {
            errors.push(error.into());
            None
        }
    };
    for error in errors {
        if request.trace.strict {
            return Err(error.context("the command was not run"));
        }
        log(format_args!("{error:#}"));
    }
    Ok(OutputFiles {
        report,
        recording,
        store,
    })
}

fn start(request: &TraceRequest, caller: Option<&Caller>, held: &Held) -> anyhow::Result<Source> {
    let command = request
        .command
        .iter()
        .map(|arg| ByteString::from(arg.as_bytes()))
        .collect();
    let program = request
        .command
        .first()
        .map_or(&[][..], |name| name.as_bytes());
    let digest_key = if request.detail == Detail::CacheKey {
        let (key, trouble) = digest_key::of_run(request.store.as_ref(), caller);
        trouble.iter().for_each(log);
        key
    } else {
        // This level of detail has no digests.
        digest_key::of_this_run()
    };
    let wanted = SourceOptions {
        command: redact::argv(redact::Program::of(program), command),
        detail: request.detail.into(),
        hint: hint(request.command.first(), caller),
        whose: Whose::Followed,
        pin: None,
        digest_key,
    };
    let mut source = Source::start(wanted)?;
    source.follow(held.tgid())?;
    if request.trace.verbose {
        source.notes().iter().for_each(log);
    }
    Ok(source)
}

/// Locations where the command would find its Go.
pub(super) fn hint(program: Option<&OsString>, caller: Option<&Caller>) -> SearchHint {
    let variable = |name: &str| match caller {
        Some(caller) => caller.variable(name).map(OsStr::to_owned),
        None => std::env::var_os(name),
    };
    let dir = |name: &str| {
        variable(name)
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from)
    };
    SearchHint {
        // A bare name is found through PATH.
        program: program
            .map(PathBuf::from)
            .filter(|program| program.components().count() > 1),
        path: variable("PATH"),
        home: dir("HOME"),
        goroot: dir("GOROOT"),
        gopath: dir("GOPATH"),
    }
}

fn keep_recording(
    recorder: Option<Recorder>,
    file: Option<NewFile>,
    finished: &FinishedTrace,
    request: &TraceRequest,
    caller: Option<&Caller>,
) {
    let (Some(recorder), Some(file)) = (recorder, file) else {
        return;
    };
    let kept = recorder
        .finish()
        .map_err(anyhow::Error::from)
        .and_then(|n_events| file.keep(caller).map(|()| n_events));
    match kept {
        // Without a report, print this summary only.
        Ok(n_events) if request.stream.is_none() => {
            let path = request
                .recording
                .as_deref()
                .unwrap_or("".as_ref())
                .display();
            let trace = finished.trace();
            let (n_builds, n_lost) = (trace.builds.len(), trace.events.lost);
            log(format_args!(
                "recorded {n_events} events of {} to {path} ({n_lost} lost)",
                units::counted(n_builds as u64, "build", "builds")
            ));
        }
        Ok(_) => {}
        Err(error) => log(format_args!("cannot keep the recording: {error:#}")),
    }
}

/// Stores the builds, and returns their causes.
fn store_builds(
    store: Option<&Location>,
    finished: &FinishedTrace,
    caller: Option<&Caller>,
) -> Vec<Explained> {
    let kept = store.map(|it| it.store_builds(finished, caller));
    kept.unwrap_or(Ok(Vec::new())).unwrap_or_else(|error| {
        let error = anyhow::Error::from(error);
        log(format_args!("the builds are not stored: {error:#}"));
        Vec::new()
    })
}

fn log_caller(caller: &Caller, verbose: bool) {
    if !caller.is_recovered {
        log(
            "cannot read the environment of the user who called sudo, so the command gets only the part that sudo kept",
        );
    } else if verbose {
        log(format_args!(
            "the command runs as user {}, who called sudo",
            caller.identity.uid
        ));
    }
}

fn log_parts(parts: CpuParts) {
    let CpuParts { start_ns, of_loop } = parts;
    let LoopCpu {
        decode_ns,
        apply_ns,
    } = of_loop;
    let [start, decode, apply] =
        [start_ns, decode_ns, apply_ns].map(|ns| Duration::from_nanos(ns).as_secs_f64() * 1e3);
    log(format_args!(
        "CPU time of gotrace: {start:.1} ms to start, {decode:.1} ms to decode records, {apply:.1} ms to correlate events"
    ));
}

fn log_verifier(error: &anyhow::Error, verbose: bool) {
    if let Some(detail) = error
        .downcast_ref::<SetupError>()
        .and_then(SetupError::detail)
        && verbose
    {
        log(detail);
    }
}

fn log_unfinished(n_running: usize, n_unread: usize) {
    match n_running {
        0 => {}
        1 => log("1 process of the command is still running; it is no longer followed"),
        n => log(format_args!(
            "{n} processes of the command are still running; they are no longer followed"
        )),
    }
    if n_unread > 0 {
        log(format_args!("{n_unread} outputs could not be read in time"));
    }
}

/// The exit code by the convention of shells.
fn exit_code(status: Status) -> u8 {
    match status {
        Status::Code(code) => code,
        Status::Signal(signal) => signal.saturating_add(128),
    }
}

impl From<Detail> for recording::Detail {
    fn from(detail: Detail) -> Self {
        match detail {
            Detail::Process => Self::Process,
            Detail::Phase => Self::Phase,
            Detail::CacheKey => Self::CacheKey,
        }
    }
}
