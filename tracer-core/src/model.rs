//! The builds that gotrace saw, as plain data: made by the correlator, read by every sink, and published as JSON.
//!
//! Times are nanoseconds. Instants are on the boot clock (add [`Trace::boot_to_wall_ns`] for Unix time); spans are differences. An unknown
//! value is absent, and an [`Anomaly`] gives the reason.

mod import;
mod key;
mod module;
mod state;

pub use import::Imports;
pub use key::{ActionKey, KeyKind, test_line};
pub use module::{ModuleKind, SourceModule};
pub use state::{Failure, FailureClass, Killer, State};

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::byte_string::ByteString;
use crate::event::{Ancestor, Artifact, Ktime, ProcKey, Refusal, Role, Status, Tgid, Usage};
use crate::origin::{Checkout, Ci, Place, TraceContext};

/// Version of the JSON form. While it stays the same, fields are only added.
pub const SCHEMA: &str = "gotrace.trace/v1";

/// Everything that was seen under one command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trace {
    /// [`SCHEMA`].
    pub schema: String,
    /// Name of the machine; absent if a recording without it is the only source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The traced command, redacted.
    pub command: Vec<ByteString>,
    /// Time of the first and of the last event.
    pub start: Ktime,
    pub end: Ktime,
    /// Wall-clock time minus boot clock when the recording began.
    pub boot_to_wall_ns: i64,
    /// Number of CPUs that could be busy at once.
    pub cpus: u32,
    /// The exit status of the command itself; absent while it runs, or if its exit was lost.
    pub status: Option<Status>,
    /// CPU time of all processes under the command, and the largest resident set of a single process.
    pub usage: Usage,
    /// In order of start. A nested build names its parent and comes after it.
    pub builds: Vec<Build>,
    /// Toolchain programs that ran, and their probes.
    pub tools: Vec<ToolProgram>,
    pub events: EventCounts,
    /// Gaps that belong to no single build.
    pub anomalies: Vec<Anomaly>,
}

impl Trace {
    /// True if the bytes of any output were analysed.
    pub fn is_analysed(&self) -> bool {
        let outputs = self.builds.iter().flat_map(|it| &it.outputs);
        let mut artifacts = outputs.filter_map(|it| it.artifact.as_ref());
        artifacts.any(|it| it.anatomy.is_some())
    }
}

/// The number of events of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventCounts {
    pub forks: u64,
    pub execs: u64,
    pub exits: u64,
    /// Processes with final times. Older traces do not contain them.
    #[serde(default)]
    pub reaped: u64,
    pub renames: u64,
    pub calls: u64,
    /// Records of all kinds that the kernel lost.
    pub lost: u64,
    /// Records that were delivered but could not be decoded.
    pub unreadable: u64,
}

/// A program of a Go toolchain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolProgram {
    pub path: ByteString,
    pub role: Role,
    pub version: String,
    pub attached: Vec<String>,
    pub refused: Vec<Refusal>,
}

/// One run of a `go` command, or of Go tools without a `go` command above them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Build {
    /// The `go` process; for tools without one, the first tool.
    pub process: ProcKey,
    /// The build that contains this one, such as a `go generate` that runs `go run`.
    pub parent: Option<ProcKey>,
    /// The ancestors of the build, nearest first, if no process above `process` was traced. Builds with a common ancestor belong to the
    /// same run of it, for example of `make`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub above: Vec<Ancestor>,
    pub command: Command,
    /// Working directory, with `-C` applied.
    pub dir: Option<ByteString>,
    pub toolchain: Toolchain,
    /// The value in force, and its source.
    pub goflags: Setting,
    /// `go env` as the tools received it: resolved, allow-listed, redacted.
    pub env: BTreeMap<String, ByteString>,
    /// The CI pipeline of the build, from the environment of `process`.
    pub ci: Option<Ci>,
    /// The parent span of the build, from the environment of `process`.
    pub trace_context: Option<TraceContext>,
    /// The checkout in which the build started; absent if the environment of `process` contains the same facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkout: Option<Checkout>,
    /// The container and pod of the build, from the cgroup of `process`.
    pub place: Option<Place>,
    /// Path of the main module.
    pub module: Option<String>,
    pub start: Ktime,
    /// Absent if its exit was not seen.
    pub end: Option<Ktime>,
    pub status: Option<Status>,
    pub failure: Option<Failure>,
    /// CPU time of the `go` process and all processes under it, without programs that it ran for the user (tests, `go run`).
    pub usage: Usage,
    pub packages: Packages,
    /// Executed units of the `go` command's action graph, in order of start. Empty without the span probes.
    pub actions: Vec<Action>,
    /// Runs of tools, in order of start.
    pub calls: Vec<ToolCall>,
    /// Cache keys of the actions that ran a tool or a test, in order of the actions. Empty without the probes of cache keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<ActionKey>,
    /// The import graph; absent without the probes of cache keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imports: Option<Imports>,
    /// Outermost spans of the `go` command: `command`, `load`, `install`, `execute`. Each download of a module and each request to a module
    /// proxy is one more, `download` and `query_proxy`; these can overlap.
    pub stages: Vec<Phase>,
    pub outputs: Vec<Output>,
    /// Gaps in the known facts of this build. Empty: the build is complete.
    pub anomalies: Vec<Anomaly>,
}

/// The command line as meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Command {
    /// `build`, `test`, `mod tidy`, `tool nm`; `tools` if no `go` command was above the tools.
    pub name: String,
    /// As typed, redacted.
    pub argv: Vec<ByteString>,
    /// Flags in force, including those of GOFLAGS.
    pub flags: Vec<Flag>,
    /// Package patterns, or files.
    pub packages: Vec<ByteString>,
}

/// A flag in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Flag {
    /// Without the dash.
    pub name: String,
    /// Absent for a boolean flag without a value.
    pub value: Option<ByteString>,
    pub origin: FlagOrigin,
}

/// The source of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FlagOrigin {
    Argv,
    Goflags,
}

/// The value of a setting and its source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    /// Empty if unset.
    pub value: ByteString,
    pub origin: Origin,
}

/// The source of a Go setting.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The process's environment.
    Environment,
    /// The user's settings file (`go env -w`).
    UserFile(ByteString),
    /// `$GOROOT/go.env`.
    RootFile(ByteString),
    /// No source: Go's built-in value.
    #[default]
    Default,
    /// The tools received the value, but no readable source contains it.
    Unknown,
}

/// The toolchain that did the work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Toolchain {
    /// `go1.27.3`.
    pub version: Option<String>,
    pub goroot: Option<ByteString>,
    pub goos: Option<String>,
    pub goarch: Option<String>,
    /// The toolchain that was started and then replaced by this one (`GOTOOLCHAIN`).
    pub switched_from: Option<String>,
}

/// Packages of a build by outcome. `test` variants count as separate packages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Packages {
    pub compiled: u32,
    pub failed: u32,
    /// Packages from the build cache; absent without the span probes.
    pub cached: Option<u32>,
}

/// One executed unit of the action graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Action {
    /// The `go` command's name for it: `build`, `link`, `link-install`, `vet`, `test run`.
    pub mode: String,
    /// Import path, with the test variant: `p [p.test]`.
    pub package: Option<ByteString>,
    pub start: Ktime,
    pub end: Option<Ktime>,
    pub outcome: Outcome,
    /// The tool runs of the action: indices into [`Build::calls`].
    pub calls: Vec<u32>,
}

/// The outcome of an action.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// A tool ran.
    Executed,
    /// No tool had to run.
    Cached,
    Failed,
    /// No tool ran, and the `go` command did not check whether one had to: with `-n`, in `go list` without a link, in `go vet` without a
    /// compilation.
    Unknown,
}

/// One run of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolCall {
    pub process: ProcKey,
    /// The number of the process that started it, or of the `go` command if that was not seen. Numbers are reused: see `started_by`.
    pub parent: Tgid,
    /// The nearest process above that executed a program: the `go` command or a tool. Absent if the start of the process was not seen.
    pub started_by: Option<ProcKey>,
    pub kind: CallKind,
    /// Display name of the program.
    pub program: ByteString,
    pub package: Option<ByteString>,
    /// The module of the sources that it read; absent if their place does not show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module: Option<SourceModule>,
    /// True if the tool was queried for its version or flags; it then does no work.
    pub is_query: bool,
    pub start: Ktime,
    pub end: Option<Ktime>,
    pub status: Option<Status>,
    /// The sender of the SIGKILL that ended it. Absent if no SIGKILL did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub killed_by: Option<Killer>,
    pub usage: Usage,
    /// Phases of compiler and linker, in order.
    pub phases: Vec<Phase>,
    pub gc_cycles: Vec<GcCycle>,
}

impl ToolCall {
    /// True if this run failed and made its package fail, in a build of the process `head`. The `go` command and cgo test C compilers and
    /// expect some tests to fail. A C tool therefore counts only if the `go` command itself ran it for a package.
    pub fn is_decisive(&self, head: ProcKey) -> bool {
        let works = match self.kind {
            CallKind::Compile
            | CallKind::Asm
            | CallKind::Cgo
            | CallKind::Link
            | CallKind::Vet
            | CallKind::Cover
            | CallKind::Pack
            | CallKind::GoTool
            | CallKind::Test
            | CallKind::Program
            | CallKind::Generate => true,
            CallKind::Cc | CallKind::As | CallKind::Ld => {
                self.package.is_some() && self.started_by == Some(head)
            }
            CallKind::Vcs | CallKind::Other => false,
        };
        works && !self.is_query && self.status.is_some_and(|it| !it.is_success())
    }
}

/// The kind of a tool run.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum CallKind {
    Compile,
    Asm,
    Cgo,
    Link,
    Vet,
    Cover,
    Pack,
    /// Another Go tool: `preprofile`, `fix`, `buildid`.
    GoTool,
    /// Drivers and compilers of C, C++ and Fortran.
    Cc,
    /// Assembler of the C toolchain.
    As,
    /// Linker of the C toolchain.
    Ld,
    /// Version control.
    Vcs,
    /// A test binary.
    Test,
    /// The program of `go run` or `go tool`.
    Program,
    /// A program that `go generate` ran.
    Generate,
    Other,
}

impl CallKind {
    /// True if the user asked the `go` command to run it. Its time does not belong to the build.
    pub fn is_for_user(self) -> bool {
        match self {
            Self::Test | Self::Program | Self::Generate => true,
            Self::Compile
            | Self::Asm
            | Self::Cgo
            | Self::Link
            | Self::Vet
            | Self::Cover
            | Self::Pack
            | Self::GoTool
            | Self::Cc
            | Self::As
            | Self::Ld
            | Self::Vcs
            | Self::Other => false,
        }
    }
}

/// A named interval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Phase {
    pub name: String,
    pub start: Ktime,
    /// Absent if the process was gone or killed before the end was seen.
    pub end: Option<Ktime>,
}

/// A garbage collection inside a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GcCycle {
    pub start: Ktime,
    pub end: Option<Ktime>,
    /// Bytes of live heap that started the cycle, and that were left after marking.
    pub heap_live: Option<u64>,
    pub heap_marked: Option<u64>,
}

/// A requested output of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Absolute, in the build's own root directory.
    pub path: ByteString,
    /// Import path of the package that it was made from. For files on the command line, the path of their directory, or of the first file
    /// if its name is not `main.go`.
    pub package: Option<ByteString>,
    pub how: Installed,
    pub at: Ktime,
    /// The description of the file.
    pub artifact: Option<Artifact>,
    /// The reason why `artifact` is absent.
    pub unread: Option<String>,
}

impl Output {
    /// The module recorded in the file, else that of the build. A build in a workspace may make programs of several modules.
    pub fn project<'a>(&'a self, build: &'a Build) -> Option<&'a str> {
        let artifact = self.artifact.as_ref();
        let own = artifact.and_then(|it| it.main_module.as_deref());
        own.or(build.module.as_deref())
    }
}

/// The way an output was installed.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Installed {
    /// Renamed out of the work directory.
    Renamed,
    /// Copied: to another file system, into a setgid directory, or from the build cache.
    Copied,
    /// Already present and up to date.
    UpToDate,
    /// Written to its path by a tool.
    Direct,
    /// Linked and run in the work directory, then deleted (`go run`, `go test`).
    Temporary,
    /// Run from the build cache, not linked again.
    FromCache,
    /// Announced by the `go` command; its installation was not seen.
    Announced,
}

/// A gap or a contradiction in the observed events.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "anomaly", rename_all = "snake_case")]
pub enum Anomaly {
    /// Records that the kernel lost.
    Lost { kind: String, n: u64 },
    /// Records that could not be decoded.
    Unreadable { n: u64 },
    /// A process was seen, but not its start.
    StartUnseen { process: ProcKey },
    /// A process was still running when tracing ended, or its exit was lost.
    EndUnseen {
        process: ProcKey,
        program: ByteString,
    },
    /// An id was reused, but the exit of its last process was not seen.
    Reused { process: ProcKey },
    /// Arguments, environment, working directory or path of a process were cut or unreadable.
    Cut { process: ProcKey, what: String },
    /// The tool ran before its probes were attached: spans or phases are missing.
    ProbesLate { process: ProcKey, path: ByteString },
    /// The level of detail changed while the tool ran, and with it the tool's probes: spans, phases or cache keys are missing.
    ProbesChanged { process: ProcKey, path: ByteString },
    /// Probes of the tool are not attached.
    ProbesRefused {
        path: ByteString,
        refused: Vec<Refusal>,
    },
    /// A tool did work and was probed, but reported no phase.
    PhasesUnseen { process: ProcKey, role: Role },
    /// Spans that began and were not seen to end, though the process ended with success.
    SpanUnpaired { process: ProcKey, n: u64 },
    /// A package was announced as installed, but no rename or copy of it was seen.
    InstallUnseen { path: ByteString },
    /// A Go tool according to its path, but its content could not be read in time: it was not probed.
    ToolUnknown { process: ProcKey, path: ByteString },
}

impl Anomaly {
    /// The number of missing records; absent for an anomaly of another kind.
    pub fn n_lost(&self) -> Option<u64> {
        match self {
            Self::Lost { n, .. } | Self::Unreadable { n } => Some(*n),
            Self::StartUnseen { .. }
            | Self::EndUnseen { .. }
            | Self::Reused { .. }
            | Self::Cut { .. }
            | Self::ProbesLate { .. }
            | Self::ProbesChanged { .. }
            | Self::ProbesRefused { .. }
            | Self::PhasesUnseen { .. }
            | Self::SpanUnpaired { .. }
            | Self::InstallUnseen { .. }
            | Self::ToolUnknown { .. } => None,
        }
    }
}
