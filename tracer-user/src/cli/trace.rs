//! Tracing a command, as `run` and `record` both do it: hold it, attach, let it go, watch it, show what was seen.
//!
//! gotrace's own trouble never keeps the command from running; `--strict` is for those who want it to.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::ValueEnum;
use tracer_core::byte_string::ByteString;
use tracer_core::event::Status;
use tracer_core::finished::FinishedTrace;
use tracer_core::recording;
use tracer_core::redact;

use super::file::NewFile;
use super::report::{self, Report, Stream};
use super::{OWN_FAILURE, say};
use crate::bpf::SetupError;
use crate::digest_key;
use crate::driver::{self, Recorder, Source, SourceOptions, TraceOutcome, Traced, Whose};
use crate::history::Place;
use crate::launch::caller::{self, Caller};
use crate::launch::signal::Signals;
use crate::launch::{Held, LaunchError, Plan};
use crate::toolchain::SearchHint;

#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Args {
    /// Do not run the command if it cannot be traced
    #[arg(long)]
    strict: bool,
    /// Under sudo, run the command as root and not as the user who called sudo
    #[arg(long)]
    as_root: bool,
    /// Say more of what gotrace does and why something fails
    #[arg(short, long)]
    verbose: bool,
}

/// How much to see of a build
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Detail {
    /// Processes: what ran, with which arguments, how long, how it ended
    Process,
    /// Also actions of the go command, phases of compiler and linker, garbage collections
    Phase,
    /// Also the inputs of cache keys: why something was rebuilt
    CacheKey,
}

/// What is asked for.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) command: Vec<OsString>,
    pub(super) detail: Detail,
    pub(super) recording: Option<PathBuf>,
    /// A history to store the builds in.
    pub(super) store: Option<Place>,
    pub(super) report: report::Args,
    /// Where a report without a file goes; `None`: nowhere.
    pub(super) stream: Option<Stream>,
    pub(super) trace: Args,
}

/// Files to be written.
struct Files {
    report: Report,
    recording: Option<NewFile>,
    store: Option<Place>,
}

/// Returns the exit code.
pub(super) fn execute(order: &Order) -> u8 {
    match trace(order) {
        Ok(code) => code,
        Err(error) => {
            say(format_args!("{error:#}"));
            let launch = error.downcast_ref().map(LaunchError::exit_code);
            let setup = error.downcast_ref().map(SetupError::exit_code);
            launch.or(setup).unwrap_or(OWN_FAILURE)
        }
    }
}

fn trace(order: &Order) -> anyhow::Result<u8> {
    let strict = order.trace.strict;
    let caller = if order.trace.as_root {
        None
    } else {
        caller::of_sudo()?
    };
    if let Some(caller) = &caller {
        tell_of(caller, order.trace.verbose);
    }
    let files = prepare(order, caller.as_ref())?;
    let Some((name, args)) = order.command.split_first() else {
        anyhow::bail!("no command to run")
    };
    // The process is made while there is one thread.
    let held = Plan::new(name, args, caller.as_ref())?.hold()?;
    let mut signals = Signals::take()?;
    let source = match start(order, caller.as_ref(), &held) {
        Ok(source) => Some(source),
        Err(error) if strict => return Err(error.context("the command was not run")),
        Err(error) => {
            say(format_args!("{error:#}; running the command untraced"));
            tell_detail(&error, order.trace.verbose);
            None
        }
    };
    let Files {
        report,
        recording,
        store,
    } = files;
    let mut recorder = match (&source, &recording) {
        (Some(source), Some(file)) => Some(Recorder::new(
            file.file().try_clone()?,
            &driver::recording_header(source.context(), order.detail.into()),
        )?),
        (None, _) | (_, None) => None,
    };
    let running = held.release()?;
    let TraceOutcome { status, traced } =
        match driver::trace_command(&running, &mut signals, source, recorder.as_mut()) {
            Ok(watched) => watched,
            Err(error) => {
                say(format_args!(
                    "following the command failed, it goes on untraced: {error}"
                ));
                TraceOutcome {
                    status: running.wait()?,
                    traced: None,
                }
            }
        };
    // From here on ^C ends gotrace.
    drop(signals);
    let shown = traced.map_or(Ok(()), |traced| {
        let Traced {
            trace,
            cost,
            n_running,
            n_unread,
        } = traced;
        let finished = FinishedTrace::of(trace);
        keep_recording(recorder, recording, &finished, order, caller.as_ref());
        store_builds(store.as_ref(), &finished, caller.as_ref());
        tell_rest(n_running, n_unread);
        report.show(&finished, Some(&cost), order.stream, caller.as_ref())
    });
    let code = exit_code(status);
    Ok(match shown {
        Err(error) if !super::is_broken_pipe(&error) => {
            say(format_args!("{error:#}"));
            if strict && code == 0 {
                OWN_FAILURE
            } else {
                code
            }
        }
        Ok(()) | Err(_) => code,
    })
}

/// Makes the files before the command runs: a path that cannot be written should not be found out after half an hour.
fn prepare(order: &Order, caller: Option<&Caller>) -> anyhow::Result<Files> {
    let (report, mut errors) = order.report.prepare(caller);
    let recording = match order
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
    let store = order.store.as_ref();
    let opened = store.map(|it| it.prepare(caller).map(|()| it.clone()));
    let store = match opened.transpose() {
        Ok(store) => store,
        Err(error) => {
            errors.push(error.into());
            None
        }
    };
    for error in errors {
        if order.trace.strict {
            return Err(error.context("the command was not run"));
        }
        say(format_args!("{error:#}"));
    }
    Ok(Files {
        report,
        recording,
        store,
    })
}

fn start(order: &Order, caller: Option<&Caller>, held: &Held) -> anyhow::Result<Source> {
    let command = order
        .command
        .iter()
        .map(|arg| ByteString::from(arg.as_bytes()))
        .collect();
    let program = order
        .command
        .first()
        .map_or(&[][..], |name| name.as_bytes());
    let digest_key = if order.detail == Detail::CacheKey {
        let (key, trouble) = digest_key::of_run(order.store.as_ref(), caller);
        trouble.iter().for_each(say);
        key
    } else {
        // There will be no digests.
        digest_key::of_this_run()
    };
    let wanted = SourceOptions {
        command: redact::argv(redact::Program::of(program), command),
        detail: order.detail.into(),
        hint: hint(order.command.first(), caller),
        whose: Whose::Followed,
        pin: None,
        digest_key,
    };
    let mut source = Source::start(wanted)?;
    source.follow(held.tgid())?;
    if order.trace.verbose {
        source.notes().iter().for_each(say);
    }
    Ok(source)
}

/// Where the command would find its Go.
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
    order: &Order,
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
        // Without a report this is all there is to say.
        Ok(n_events) if order.stream.is_none() => {
            let path = order.recording.as_deref().unwrap_or("".as_ref()).display();
            let trace = finished.trace();
            let (n_builds, n_lost) = (trace.builds.len(), trace.events.lost);
            say(format_args!(
                "recorded {n_events} events of {n_builds} builds to {path} ({n_lost} lost)"
            ));
        }
        Ok(_) => {}
        Err(error) => say(format_args!("the recording is not kept: {error:#}")),
    }
}

fn store_builds(store: Option<&Place>, finished: &FinishedTrace, caller: Option<&Caller>) {
    let kept = store.map(|it| it.keep(finished, caller));
    if let Some(Err(error)) = kept {
        let error = anyhow::Error::from(error);
        say(format_args!("the builds are not stored: {error:#}"));
    }
}

fn tell_of(caller: &Caller, verbose: bool) {
    if !caller.is_recovered {
        say(
            "the environment of the user who called sudo is not to be had: the command gets what sudo left of it",
        );
    } else if verbose {
        say(format_args!(
            "the command runs as user {}, who called sudo",
            caller.identity.uid
        ));
    }
}

fn tell_detail(error: &anyhow::Error, verbose: bool) {
    if let Some(detail) = error
        .downcast_ref::<SetupError>()
        .and_then(SetupError::detail)
        && verbose
    {
        say(detail);
    }
}

fn tell_rest(n_running: usize, n_unread: usize) {
    match n_running {
        0 => {}
        1 => say("1 process of the command is still running; it is no longer followed"),
        n => say(format_args!(
            "{n} processes of the command are still running; they are no longer followed"
        )),
    }
    if n_unread > 0 {
        say(format_args!("{n_unread} outputs were not read in time"));
    }
}

/// As shells have it.
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
