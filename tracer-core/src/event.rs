//! Every input of the core, as one enum. A recording is a list of these events.
//!
//! Events have three sources: the kernel (decoded records), the rim's answers to an [`crate::effect::Effect`], and the rim's own actions
//! (probes attached, losses counted, the end). Live tracing and replay feed the same enum to the same correlator.

mod artifact;
mod end;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::byte_string::ByteString;
use crate::origin::{Checkout, Place};

pub use artifact::{
    Anatomy, Artifact, PackageBytes, PackageSize, ProgramModule, Section, Stamp, Vcs,
};
pub use end::{Exit, Reaped, Status, Usage};

/// Nanoseconds on the kernel's boot clock, including suspend. A recording's header relates it to wall-clock time.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct Ktime(pub u64);

impl Ktime {
    /// Nanoseconds from `earlier` to this instant; zero if it is not earlier.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The kernel's thread group id, called pid in user space. Ids are reused; see [`ProcKey`].
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Tgid(pub u32);

/// Identifies one process for ever; a [`Tgid`] does not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ProcKey {
    pub tgid: Tgid,
    /// The time at which its leader started.
    pub born: Ktime,
}

impl fmt::Debug for ProcKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.tgid.0, self.born.0)
    }
}

impl fmt::Display for ProcKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.tgid.0, self.born.0)
    }
}

/// Identifies one content of one file: an overwritten file has another size or change time.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct FileId {
    /// `(major << 20) | minor`.
    pub dev: u32,
    pub ino: u64,
    pub size: u64,
    /// Time of the last status change, nanoseconds since 1970.
    pub ctime_ns: u64,
}

impl FileId {
    /// True if both are the same content. The device is not compared: for stat(2), some file systems (btrfs, overlayfs) report another one
    /// than the kernel's own.
    pub fn is_content_of(self, other: Self) -> bool {
        let content = |it: Self| (it.ino, it.size, it.ctime_ns);
        content(self) == content(other)
    }
}

/// A value as the kernel could capture it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Captured<T> {
    Whole(T),
    /// The first part of the value. `total` is its full length in bytes.
    Cut {
        kept: T,
        total: u64,
    },
    /// The value was not readable at that moment.
    Missing,
}

impl<T> Captured<T> {
    /// The captured value, whole or cut.
    pub fn get(&self) -> Option<&T> {
        match self {
            Self::Whole(value) | Self::Cut { kept: value, .. } => Some(value),
            Self::Missing => None,
        }
    }

    pub fn is_whole(&self) -> bool {
        matches!(self, Self::Whole(_))
    }
}

/// One observed event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    Fork(Fork),
    Exec(Box<Exec>),
    Exit(Exit),
    /// Comes after the exit, or not at all.
    Reaped(Reaped),
    Rename(Rename),
    Call(Call),
    /// The ancestors of a process that is traced because of its name. Comes after its exec.
    Lineage(Lineage),
    /// A toolchain program was found, and its probes were attached or refused. Comes before or after its exec.
    Tool(Tool),
    /// Answer to `Effect::ReadSettings`.
    Settings(Settings),
    /// Answer to `Effect::ReadResponseFile`.
    ResponseFile(ResponseFile),
    /// Answer to `Effect::Inspect`.
    Inspected(Inspected),
    /// Answer to `Effect::ReadCheckout`.
    CheckedOut(CheckedOut),
    /// Answer to `Effect::ReadBuildInfo`.
    BuildInfo(BuildInfo),
    /// The number of records of one kind that the ring buffer had no room for, since the last such event.
    Lost(Lost),
    /// A record that could not be decoded.
    Unreadable(Unreadable),
}

impl Event {
    /// The process whose end this event reports.
    pub fn ended(&self) -> Option<ProcKey> {
        match self {
            Self::Exit(exit) => Some(exit.process),
            Self::Fork(_)
            | Self::Exec(_)
            | Self::Reaped(_)
            | Self::Rename(_)
            | Self::Call(_)
            | Self::Lineage(_)
            | Self::Tool(_)
            | Self::Settings(_)
            | Self::ResponseFile(_)
            | Self::Inspected(_)
            | Self::CheckedOut(_)
            | Self::BuildInfo(_)
            | Self::Lost(_)
            | Self::Unreadable(_) => None,
        }
    }
}

/// A process forked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork {
    pub at: Ktime,
    pub parent: ProcKey,
    pub child: ProcKey,
}

/// A process executed a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    pub at: Ktime,
    pub process: ProcKey,
    pub parent: Tgid,
    pub file: FileId,
    /// Absolute path of that file in the process's own root.
    pub exe: Captured<ByteString>,
    pub cwd: Captured<ByteString>,
    /// Redacted.
    pub argv: Captured<Vec<ByteString>>,
    /// Allow-listed variables only, redacted and sorted by name. Of a repeated name the first is kept.
    pub env: Captured<Vec<(ByteString, ByteString)>>,
    pub uid: u32,
    /// The cgroup v2 id. On a machine with v1 only, the id of the root.
    pub cgroup: u64,
}

/// The ancestors of a process when tracing of it began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    pub at: Ktime,
    pub process: ProcKey,
    /// The ancestors, nearest first, without the first process of the machine; at most [`tracer_abi::LINEAGE_MAX`].
    pub above: Vec<Ancestor>,
}

/// An ancestor of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ancestor {
    pub process: ProcKey,
    /// Its name in the kernel: the first 15 bytes of its program's name, or a name that it set itself.
    pub name: ByteString,
}

/// A file was renamed, or a rename failed. Paths are as the caller gave them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rename {
    pub at: Ktime,
    pub process: ProcKey,
    /// Errno, 0 for success.
    pub errno: u16,
    pub old: Captured<ByteString>,
    pub new: Captured<ByteString>,
    /// True if relative paths are relative to the working directory and not to a descriptor.
    pub at_cwd: bool,
}

/// A probed function of a toolchain program was called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    pub at: Ktime,
    pub process: ProcKey,
    /// Address of `g`: identifies the goroutine within the process while it lives.
    pub goroutine: u64,
    pub point: Point,
}

/// The probed function and its captured arguments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "point", rename_all = "snake_case")]
pub enum Point {
    /// `cmd/go/internal/trace.StartSpan`.
    SpanStart { name: Captured<ByteString> },
    /// `cmd/go/internal/trace.(*Span).Done`; ends the innermost span of the goroutine.
    SpanDone,
    /// `cmd/go/internal/work.BuildInstallFunc`: the target, and the file that it is made from. If both are equal, the target was up to
    /// date.
    Install {
        target: Captured<ByteString>,
        built: Captured<ByteString>,
    },
    /// `cmd/go/internal/work.(*Shell).moveOrCopyFile`.
    MoveOrCopy {
        to: Captured<ByteString>,
        from: Captured<ByteString>,
    },
    /// `cmd/compile/internal/base.(*Timings).append`: a phase begins (`fe:parse`); without a name, the last phase ends.
    CompilePhase { name: Captured<ByteString> },
    /// `cmd/link/internal/benchmark.(*Metrics).Start`: a phase begins.
    LinkPhase { name: Captured<ByteString> },
    /// `runtime.(*gcControllerState).startCycle`: bytes of live heap that triggered the cycle.
    GcStart { heap_live: Option<u64> },
    /// `runtime.(*gcControllerState).resetLive`: bytes of live heap after marking.
    GcEnd { heap_marked: Option<u64> },
    /// `cmd/go/internal/cache.NewHash`. The address of the key is not known yet; the next write on this goroutine belongs to the key.
    KeyOpen { name: Captured<ByteString> },
    /// `cmd/go/internal/cache.(*Hash).Write`, redacted. `hash` is the address that connects the lines of one key.
    KeyWrite {
        hash: u64,
        line: Captured<ByteString>,
    },
    /// `cmd/go/internal/cache.(*Hash).Sum`.
    KeySum { hash: u64 },
    /// `cmd/go/internal/base.Fatalf`: the `go` command ends with an error. The format of its message, without the inserted values.
    Fatal { format: Captured<ByteString> },
}

/// The kind of a toolchain program, from the `path` line of its build info.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Go,
    Compile,
    Asm,
    Link,
    Cgo,
    Vet,
    Cover,
    Pack,
    Preprofile,
    Fix,
    BuildId,
}

/// A toolchain program and its probes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// The time at which its probes were attached or were all refused.
    pub at: Ktime,
    pub file: FileId,
    /// The path at which it was seen.
    pub path: ByteString,
    pub role: Role,
    /// The version in its build info: `go1.27.3`.
    pub version: String,
    /// Names of the attached probes.
    pub attached: Vec<String>,
    /// Probes that are not attached, each with a reason.
    pub refused: Vec<Refusal>,
}

/// The reason why a probe is not attached.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    pub probe: String,
    pub why: String,
}

/// The files that contain Go's settings, as found when a `go` command started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    pub at: Ktime,
    pub process: ProcKey,
    /// The user's file (`$GOENV`): its `KEY=value` lines with allow-listed keys, redacted. `None`: missing or not readable.
    pub user: Option<EnvFile>,
    /// `$GOROOT/go.env`, in the same form.
    pub root: Option<EnvFile>,
    /// Path of the main module, from the nearest `go.mod` at or above the working directory, or from the file that `-modfile` names.
    pub module: Option<String>,
    /// Directory of that `go.mod`. Older recordings do not contain it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module_dir: Option<ByteString>,
    /// Modules of the workspace that contains the directory, in the order of its `go.work`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workspace: Vec<WorkspaceModule>,
    /// Modules that directories replace, by these `go.mod` and `go.work`. Older recordings do not contain them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<WorkspaceModule>,
    /// The container and pod of the process, from its cgroup. Older recordings do not contain it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// A module in a directory, by a line of `go.work` or `go.mod`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceModule {
    pub path: String,
    /// Directory of its `go.mod`.
    pub dir: ByteString,
}

/// A settings file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvFile {
    pub path: ByteString,
    /// In the order of the file.
    pub variables: Vec<(ByteString, ByteString)>,
}

/// Arguments that a tool received in a file (`@file`), redacted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseFile {
    pub at: Ktime,
    pub process: ProcKey,
    pub args: Captured<Vec<ByteString>>,
}

/// The result of the inspection of an output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspected {
    pub at: Ktime,
    /// The `go` command or the tool that made the output.
    pub process: ProcKey,
    pub path: ByteString,
    pub result: Result<Artifact, String>,
}

/// The checkout in which a `go` command started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedOut {
    pub at: Ktime,
    pub process: ProcKey,
    /// `None`: there is no checkout, or it could not be read.
    pub checkout: Option<Checkout>,
}

/// The build info of a program that a `go` command makes to run it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildInfo {
    pub at: Ktime,
    /// The linker that writes the program, or a process that runs it.
    pub process: ProcKey,
    /// The path of the program, or of the linker's `-importcfg`.
    pub path: ByteString,
    /// `None`: the file was gone, could not be read or contains no build info.
    pub main: Option<MainPackage>,
}

/// The main package of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MainPackage {
    pub path: String,
    /// Path of its module.
    pub module: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lost {
    pub at: Ktime,
    /// `fork`, `exec`, `exit`, `rename`, `call` or `track`.
    pub kind: String,
    pub n: u64,
}

/// A record that could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unreadable {
    pub kind: u16,
    pub len: u32,
    pub why: String,
}
