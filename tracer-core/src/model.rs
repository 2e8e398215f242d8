//! What gotrace says of the builds it saw. Plain data: made by the correlator, read by every sink, and, as JSON, published.
//!
//! Times are nanoseconds: instants on the boot clock (add [`Trace::boot_to_wall_ns`] for Unix time), spans as differences.
//! What is not known is absent, and an [`Anomaly`] says why.

mod state;

pub use state::{FailureClass, State};

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::byte_string::ByteString;
use crate::event::{Ancestor, Artifact, Ktime, ProcKey, Refusal, Role, Status, Tgid, Usage};
use crate::origin::{Checkout, Ci, Place, TraceContext};

/// Version of the JSON form: only fields are added while it stays.
pub const SCHEMA: &str = "gotrace.trace/v1";

/// Everything that was seen under one command.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trace {
    /// [`SCHEMA`].
    pub schema: String,
    /// Name of the machine; absent where a recording is all there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// What was run, redacted.
    pub command: Vec<ByteString>,
    /// First and last event.
    pub start: Ktime,
    pub end: Ktime,
    /// Wall-clock time minus boot clock when the recording began.
    pub boot_to_wall_ns: i64,
    /// CPUs that could be busy at once.
    pub cpus: u32,
    /// How the command itself ended; absent while it runs, or if its exit was lost.
    pub status: Option<Status>,
    /// CPU of everything under the command; the largest single resident set.
    pub usage: Usage,
    /// In order of start. A nested build names its parent and stands after it.
    pub builds: Vec<Build>,
    /// Toolchain programs met, and what could be probed in them.
    pub tools: Vec<ToolProgram>,
    pub events: EventCounts,
    /// Gaps that belong to no single build.
    pub anomalies: Vec<Anomaly>,
}

impl Trace {
    /// Whether it is known of any output what its bytes are made of.
    pub fn is_analysed(&self) -> bool {
        let outputs = self.builds.iter().flat_map(|it| &it.outputs);
        let mut artifacts = outputs.filter_map(|it| it.artifact.as_ref());
        artifacts.any(|it| it.anatomy.is_some())
    }
}

/// How many of each kind entered the core.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventCounts {
    pub forks: u64,
    pub execs: u64,
    pub exits: u64,
    /// Processes whose last times came. Traces of before these were sent have none.
    #[serde(default)]
    pub reaped: u64,
    pub renames: u64,
    pub calls: u64,
    /// Of all kinds, never delivered by the kernel.
    pub lost: u64,
    /// Delivered, but not decodable.
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

/// One run of a `go` command, or of Go tools with no `go` above them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Build {
    /// The `go` process; for tools without one the first tool.
    pub process: ProcKey,
    /// The build that this one is nested in: `go generate` that runs `go run`.
    pub parent: Option<ProcKey>,
    /// The processes that led to it, nearest first, where nothing above `process` was followed: builds with one of them in common are
    /// of one run of it, say of `make`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub above: Vec<Ancestor>,
    pub command: Command,
    /// Working directory, `-C` applied.
    pub dir: Option<ByteString>,
    pub toolchain: Toolchain,
    /// Value that was in force, and where it came from.
    pub goflags: Setting,
    /// `go env` as the tools were given it: resolved, allow-listed, redacted.
    pub env: BTreeMap<String, ByteString>,
    /// The pipeline that it ran in, by the environment of `process`.
    pub ci: Option<Ci>,
    /// The span that it was started under, by the environment of `process`.
    pub trace_context: Option<TraceContext>,
    /// The checkout that it began in; absent where the environment of `process` says as much.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkout: Option<Checkout>,
    /// The container and pod that it ran in, by the cgroup of `process`.
    pub place: Option<Place>,
    /// Path of the main module.
    pub module: Option<String>,
    pub start: Ktime,
    /// Absent if its exit was not seen.
    pub end: Option<Ktime>,
    pub status: Option<Status>,
    pub failure: Option<Failure>,
    /// CPU of the `go` process and everything under it, programs that it ran for the user (tests, `go run`) left out.
    pub usage: Usage,
    pub packages: Packages,
    /// Units of the `go` command's action graph that were executed, in order of start. Empty without the span probes.
    pub actions: Vec<Action>,
    /// Runs of tools, in order of start.
    pub calls: Vec<ToolCall>,
    /// Spans of loading packages and the like, outermost only.
    pub stages: Vec<Phase>,
    pub outputs: Vec<Output>,
    /// Gaps in what is known of this build. Empty: it is whole.
    pub anomalies: Vec<Anomaly>,
}

/// The command line as meant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Command {
    /// `build`, `test`, `mod tidy`, `tool nm`; `tools` where no `go` command was above the tools.
    pub name: String,
    /// As typed, redacted.
    pub argv: Vec<ByteString>,
    /// In force, those of GOFLAGS included.
    pub flags: Vec<Flag>,
    /// Package patterns, or files.
    pub packages: Vec<ByteString>,
}

/// A flag in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Flag {
    /// Without dash.
    pub name: String,
    /// Absent for a boolean flag given without one.
    pub value: Option<ByteString>,
    pub origin: FlagOrigin,
}

/// Where a flag was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FlagOrigin {
    Argv,
    Goflags,
}

/// A setting's value and where it came from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Setting {
    /// Empty where unset.
    pub value: ByteString,
    pub origin: Origin,
}

/// Where Go took a setting from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The process's environment.
    Environment,
    /// The user's settings file (`go env -w`).
    UserFile(ByteString),
    /// `$GOROOT/go.env`.
    RootFile(ByteString),
    /// Nowhere: Go's built-in value.
    #[default]
    Default,
    /// The tools were given it, but no source that was readable has it.
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
    /// The toolchain that was started and handed over to this one (`GOTOOLCHAIN`).
    pub switched_from: Option<String>,
}

/// Why a build failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    pub class: FailureClass,
    /// The package whose tool failed first.
    pub package: Option<ByteString>,
    /// The first tool that failed, inside its wrappers. Where the class is not by a tool, the last child of the `go` command that failed.
    pub process: Option<ProcKey>,
}

/// Packages of a build by outcome. `test` variants count as packages of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Packages {
    pub compiled: u32,
    pub failed: u32,
    /// From the build cache; absent without the span probes.
    pub cached: Option<u32>,
}

/// One executed unit of the action graph.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Action {
    /// As the `go` command calls it: `build`, `link`, `link-install`, `vet`, `test run`.
    pub mode: String,
    /// Import path, with the test variant: `p [p.test]`.
    pub package: Option<ByteString>,
    pub start: Ktime,
    pub end: Option<Ktime>,
    pub outcome: Outcome,
    /// Its tool runs: indices into [`Build::calls`].
    pub calls: Vec<u32>,
}

/// What became of an action.
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
    /// No tool ran, and nobody looked whether one had to: with `-n`, where `go list` links nothing, where `go vet` compiles nothing.
    Unknown,
}

/// One run of a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ToolCall {
    pub process: ProcKey,
    /// The number of the process that started it, or of the `go` command if that was not seen. It may be used again: see `started_by`.
    pub parent: Tgid,
    /// The nearest process above it that ran a program: the `go` command or a tool. Absent if the start of the process was not seen.
    pub started_by: Option<ProcKey>,
    pub kind: CallKind,
    /// Name of the program, for people.
    pub program: ByteString,
    pub package: Option<ByteString>,
    /// Asked for its version or flags; does no work.
    pub is_query: bool,
    pub start: Ktime,
    pub end: Option<Ktime>,
    pub status: Option<Status>,
    pub usage: Usage,
    /// Phases of compiler and linker, in order.
    pub phases: Vec<Phase>,
    pub gc_cycles: Vec<GcCycle>,
}

impl ToolCall {
    /// Whether this run failed, and with it its package, in a build of the process `head`. The `go` command and cgo try C compilers out and
    /// expect some of that to fail: a C tool decides only where the `go` command itself ran it, for a package.
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

/// What a tool run is for.
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
    /// C, C++, Fortran: driver and compiler proper.
    Cc,
    /// Assembler of the C toolchain.
    As,
    /// Linker of the C toolchain.
    Ld,
    /// Version control.
    Vcs,
    /// A test binary.
    Test,
    /// What `go run` or `go tool` ran.
    Program,
    /// What `go generate` ran.
    Generate,
    Other,
}

impl CallKind {
    /// Whether the `go` command was asked to run it, rather than needing it: its time is not the build's.
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

/// A named part of something's time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Phase {
    pub name: String,
    pub start: Ktime,
    /// Absent where the process was gone or killed before its end was seen.
    pub end: Option<Ktime>,
}

/// A garbage collection inside a tool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GcCycle {
    pub start: Ktime,
    pub end: Option<Ktime>,
    /// Live heap in bytes that started it, and what was left after marking.
    pub heap_live: Option<u64>,
    pub heap_marked: Option<u64>,
}

/// A file that a build was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Output {
    /// Absolute, in the build's own root.
    pub path: ByteString,
    /// Import path of what it was made from; of files on the command line that of their directory, or of the first of them if its name is
    /// not `main.go`.
    pub package: Option<ByteString>,
    pub how: Installed,
    pub at: Ktime,
    /// What it turned out to be.
    pub artifact: Option<Artifact>,
    /// Why there is no artifact.
    pub unread: Option<String>,
}

impl Output {
    /// The module that it says it is of, else the build's: a build in a workspace may make programs of several.
    pub fn project<'a>(&'a self, build: &'a Build) -> Option<&'a str> {
        let artifact = self.artifact.as_ref();
        let own = artifact.and_then(|it| it.main_module.as_deref());
        own.or(build.module.as_deref())
    }
}

/// How an output came to its place.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Installed {
    /// Renamed out of the work directory.
    Renamed,
    /// Copied: other file system, setgid directory, or from the build cache.
    Copied,
    /// Was there already, and current.
    UpToDate,
    /// A tool wrote it there itself.
    Direct,
    /// Linked and run from the work directory, then deleted (`go run`, `go test`).
    Temporary,
    /// Run from the build cache, not linked again.
    FromCache,
    /// Announced by the `go` command; how was not seen.
    Announced,
}

/// A gap or a contradiction in what was seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "anomaly", rename_all = "snake_case")]
pub enum Anomaly {
    /// Records that the kernel had no room for.
    Lost { kind: String, n: u64 },
    /// Records that could not be decoded.
    Unreadable { n: u64 },
    /// A process was seen whose start was not.
    StartUnseen { process: ProcKey },
    /// A process had not ended when tracing did, or its exit was lost.
    EndUnseen {
        process: ProcKey,
        program: ByteString,
    },
    /// An id was in use again though the exit of its last holder was not seen.
    Reused { process: ProcKey },
    /// Arguments, environment, working directory or path of a process were cut or unreadable.
    Cut { process: ProcKey, what: String },
    /// The tool ran before its probes were on: spans or phases are missing.
    ProbesLate { process: ProcKey, path: ByteString },
    /// Probes that the tool should have are not on.
    ProbesRefused {
        path: ByteString,
        refused: Vec<Refusal>,
    },
    /// A tool did work, but its probes, though on, said nothing.
    PhasesUnseen { process: ProcKey, role: Role },
    /// Spans that began and were not seen to end, though the process ended well.
    SpanUnpaired { process: ProcKey, n: u64 },
    /// A package was announced as installed, and no rename or copy of it was seen.
    InstallUnseen { path: ByteString },
    /// By its place a Go tool, but its content could not be read in time: it was not probed.
    ToolUnknown { process: ProcKey, path: ByteString },
}

impl Anomaly {
    /// Records that are missing; absent where it is no matter of records.
    pub fn n_lost(&self) -> Option<u64> {
        match self {
            Self::Lost { n, .. } | Self::Unreadable { n } => Some(*n),
            Self::StartUnseen { .. }
            | Self::EndUnseen { .. }
            | Self::Reused { .. }
            | Self::Cut { .. }
            | Self::ProbesLate { .. }
            | Self::ProbesRefused { .. }
            | Self::PhasesUnseen { .. }
            | Self::SpanUnpaired { .. }
            | Self::InstallUnseen { .. }
            | Self::ToolUnknown { .. } => None,
        }
    }
}
