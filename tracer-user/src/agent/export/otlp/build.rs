//! The attributes of a whole build, for its span and its log record. They contain the names of flags, but no command line.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::trace::v1::Status as SpanStatus;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tracer_core::event::{Status, Usage};
use tracer_core::finished::{self, FinishedBuild};
use tracer_core::history::Entry;
use tracer_core::model::{Anomaly, Build, FailureClass, State, Trace};

use super::attribute::Attributes;
use crate::render::metrics::label;

/// The name of a build, such as `go build`. Unknown commands are `go other`.
pub(super) fn name(build: &Build) -> String {
    match label::command(&build.command.name) {
        "tools" => "go tools".to_owned(),
        command => format!("go {command}"),
    }
}

/// The result of a task in the terms of the conventions. `None` if the end was not observed. See the table in
/// `docs/otlp.md`.
pub(super) fn result(entry: &Entry) -> Option<&'static str> {
    match (entry.state, entry.failure) {
        (State::Succeeded, _) => Some("success"),
        (State::Failed, Some(FailureClass::Interrupted)) => Some("cancellation"),
        (State::Failed, Some(FailureClass::Killed)) => Some("error"),
        (State::Failed, _) => Some("failure"),
        (State::Running | State::CutOff | State::Unknown, _) => None,
    }
}

/// The class of a failure, or `None`. The conventions define a value for unknown errors.
pub(super) fn error(entry: &Entry) -> Option<&'static str> {
    entry.failure.map(|class| match class {
        FailureClass::Unknown => "_OTHER",
        FailureClass::Compile
        | FailureClass::Link
        | FailureClass::Vet
        | FailureClass::Test
        | FailureClass::Program
        | FailureClass::Generate
        | FailureClass::Fix
        | FailureClass::Load
        | FailureClass::Install
        | FailureClass::Interrupted
        | FailureClass::Killed => class.name(),
    })
}

/// The status of a process.
pub(super) fn error_of(status: Status) -> Option<&'static str> {
    match status {
        Status::Code(0) => None,
        Status::Code(_) => Some("exit_code"),
        Status::Signal(_) => Some("signal"),
    }
}

/// The status of a build. It is unset for success, as the conventions require of instrumentation.
pub(super) fn status(error: Option<&str>) -> Option<SpanStatus> {
    error.map(|error| SpanStatus {
        code: StatusCode::Error.into(),
        message: error.to_owned(),
    })
}

/// All attributes of a build.
pub(super) fn attributes(finished: FinishedBuild<'_>, argv: bool) -> Attributes {
    let (trace, build, id) = (finished.trace, finished.build, &finished.entry.id);
    let mut all = Attributes::default();
    let name = name(build);
    all.text("go.build.id", id.as_str());
    all.text("cicd.pipeline.task.name", &name);
    all.text("cicd.pipeline.task.type", task(build));
    all.text("cicd.pipeline.task.run.id", id.as_str());
    all.text_of("cicd.pipeline.task.run.result", result(finished.entry));
    process(&mut all, build.process.tgid.0, build.status, build.usage);
    all.text_of("error.type", error(finished.entry));
    if let Some(package) = build.failure.as_ref().and_then(|it| it.package.as_ref()) {
        all.text("go.build.failure.package", &package.to_str());
    }
    command(&mut all, build, argv);
    toolchain(&mut all, build);
    all.text_of("go.build.project", build.module.as_deref());
    let targets: BTreeSet<&str> = build.outputs.iter().filter_map(finished::target).collect();
    all.list("go.build.targets", targets.into_iter());
    all.number("go.build.packages.compiled", build.packages.compiled.into());
    all.number("go.build.packages.failed", build.packages.failed.into());
    if let Some(cached) = build.packages.cached {
        all.number("go.build.packages.cached", cached.into());
    }
    gaps(&mut all, trace, build);
    all
}

/// The status and resource use of a process.
pub(super) fn process(to: &mut Attributes, pid: u32, status: Option<Status>, usage: Usage) {
    let Usage {
        user_ns,
        system_ns,
        max_rss_bytes,
        max_rss_at_most_bytes: _,
        run_delay_ns: _,
        block_io_ns: _,
        is_final,
    } = usage;
    to.number("process.pid", pid.into());
    match status {
        Some(Status::Code(code)) => to.number("process.exit.code", code.into()),
        Some(Status::Signal(signal)) => to.number("go.build.signal", signal.into()),
        None => to.truth("go.build.end_unseen", true),
    }
    to.number("go.build.cpu.user_ns", user_ns);
    to.number("go.build.cpu.system_ns", system_ns);
    to.truth("go.build.cpu.is_final", is_final);
    if let Some(bytes) = max_rss_bytes {
        to.number("go.build.memory.max_rss_bytes", bytes);
    }
}

/// The type of a task: `test` and `vet` are tests, other commands are builds.
fn task(build: &Build) -> &'static str {
    match label::command(&build.command.name) {
        "test" | "vet" => "test",
        _ => "build",
    }
}

fn command(to: &mut Attributes, build: &Build, argv: bool) {
    let command = &build.command;
    if argv {
        let words: Vec<_> = command.argv.iter().map(|it| it.to_str()).collect();
        to.list("process.command_args", words.iter().map(|it| &**it));
    }
    let flags: BTreeSet<&str> = command.flags.iter().map(|it| &*it.name).collect();
    to.list("go.build.flags", flags.into_iter());
    to.truth("go.build.goflags_set", !build.goflags.value.is_empty());
}

fn toolchain(to: &mut Attributes, build: &Build) {
    let toolchain = &build.toolchain;
    to.text_of("go.build.go_version", toolchain.version.as_deref());
    to.text_of("go.build.goos", toolchain.goos.as_deref());
    to.text_of("go.build.goarch", toolchain.goarch.as_deref());
    let from = toolchain.switched_from.as_deref();
    to.text_of("go.build.toolchain.switched_from", from);
}

/// The gaps in the data of a build, so that a reader does not take incomplete data as complete.
fn gaps(to: &mut Attributes, trace: &Trace, build: &Build) {
    let mut anomalies: BTreeSet<&Anomaly> = build.anomalies.iter().collect();
    anomalies.extend(&trace.anomalies);
    to.truth("go.build.is_whole", anomalies.is_empty());
    if anomalies.is_empty() {
        return;
    }
    let n = u64::try_from(anomalies.len()).unwrap_or(u64::MAX);
    to.number("go.build.anomalies", n);
    let kinds: BTreeSet<&str> = anomalies.iter().map(|it| kind(it)).collect();
    to.list("go.build.anomaly.kinds", kinds.into_iter());
    let lost = anomalies.iter().filter_map(|it| it.n_lost());
    to.number("go.build.lost", lost.fold(0, u64::saturating_add));
}

fn kind(anomaly: &Anomaly) -> &'static str {
    match anomaly {
        Anomaly::Lost { .. } => "lost",
        Anomaly::Unreadable { .. } => "unreadable",
        Anomaly::StartUnseen { .. } => "start_unseen",
        Anomaly::EndUnseen { .. } => "end_unseen",
        Anomaly::Reused { .. } => "reused",
        Anomaly::Cut { .. } => "cut",
        Anomaly::ProbesLate { .. } => "probes_late",
        Anomaly::ProbesChanged { .. } => "probes_changed",
        Anomaly::ProbesRefused { .. } => "probes_refused",
        Anomaly::PhasesUnseen { .. } => "phases_unseen",
        Anomaly::SpanUnpaired { .. } => "span_unpaired",
        Anomaly::InstallUnseen { .. } => "install_unseen",
        Anomaly::ToolUnknown { .. } => "tool_unknown",
    }
}
