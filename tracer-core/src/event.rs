//! Everything that can enter the core, as one enum. A recording is a list of these.
//!
//! Events come from three places: the kernel (decoded records), the rim's answers to an [`crate::effect::Effect`], and the rim's
//! own doings (probes attached, losses counted, the end). Live and replay feed the same enum to the same correlator.

mod artifact;
mod end;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::byte_string::ByteString;
use crate::origin::{Checkout, Place};

pub use artifact::{Anatomy, Artifact, Section, Stamp, Vcs};
pub use end::{Exit, Reaped, Status, Usage};

/// Nanoseconds on the kernel's boot clock (suspend included). A recording's header ties it to wall time.
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
    /// Nanoseconds from `earlier` to this; zero if it is not earlier.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The kernel's thread group id: what user space calls a pid. Reused; see [`ProcKey`].
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Tgid(pub u32);

/// Names one process for ever; a [`Tgid`] does not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct ProcKey {
    pub tgid: Tgid,
    /// When its leader started.
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

/// One content of one file: an overwritten file has another size or change time.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct FileId {
    /// `(major << 20) | minor`.
    pub dev: u32,
    pub ino: u64,
    pub size: u64,
    /// Last status change, nanoseconds since 1970.
    pub ctime_ns: u64,
}

impl FileId {
    /// Whether both are one content. The device is left out: some file systems (btrfs, overlayfs) show another one to stat(2) than the
    /// kernel's own.
    pub fn is_content_of(self, other: Self) -> bool {
        let content = |it: Self| (it.ino, it.size, it.ctime_ns);
        content(self) == content(other)
    }
}

/// What the kernel could hand over of a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Captured<T> {
    Whole(T),
    /// The first part of it; `total` bytes there were.
    Cut {
        kept: T,
        total: u64,
    },
    /// Nothing: it was not readable at that moment.
    Missing,
}

impl<T> Captured<T> {
    /// What there is of it, whole or cut.
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

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    Fork(Fork),
    Exec(Box<Exec>),
    Exit(Exit),
    /// Comes after the exit, if at all.
    Reaped(Reaped),
    Rename(Rename),
    Call(Call),
    /// Who is above a process that is followed by its name. Comes after its exec.
    Lineage(Lineage),
    /// A toolchain program was found and its probes attached, or not. Comes before the exec of it, or after.
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
    /// Records of one kind that the ring buffer had no room for, since the last such event.
    Lost(Lost),
    /// A record that could not be decoded.
    Unreadable(Unreadable),
}

impl Event {
    /// The process that it is the end of.
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

/// A process made another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork {
    pub at: Ktime,
    pub parent: ProcKey,
    pub child: ProcKey,
}

/// A process became another program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exec {
    pub at: Ktime,
    pub process: ProcKey,
    pub parent: Tgid,
    /// Which file was executed.
    pub file: FileId,
    /// Absolute path of that file in the process's own root.
    pub exe: Captured<ByteString>,
    pub cwd: Captured<ByteString>,
    /// Redacted.
    pub argv: Captured<Vec<ByteString>>,
    /// Allow-listed variables only, redacted; sorted by name; the first of a repeated name.
    pub env: Captured<Vec<(ByteString, ByteString)>>,
    pub uid: u32,
    /// cgroup v2 id; that of the root on a machine with v1 only.
    pub cgroup: u64,
}

/// Who was above a process when it began to be followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    pub at: Ktime,
    pub process: ProcKey,
    /// Nearest first, without the first process of the machine; at most [`tracer_abi::LINEAGE_MAX`].
    pub above: Vec<Ancestor>,
}

/// A process above another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ancestor {
    pub process: ProcKey,
    /// As the kernel calls it: the first 15 bytes of its program's name, or what it called itself.
    pub name: ByteString,
}

/// A file was renamed, or that was tried. Paths as the caller gave them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rename {
    pub at: Ktime,
    pub process: ProcKey,
    /// Errno, 0 for success.
    pub errno: u16,
    pub old: Captured<ByteString>,
    pub new: Captured<ByteString>,
    /// Relative paths are relative to the working directory, not to a descriptor.
    pub at_cwd: bool,
}

/// A probed function of a toolchain program was called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    pub at: Ktime,
    pub process: ProcKey,
    /// Address of `g`: names the goroutine within the process while it lives.
    pub goroutine: u64,
    pub point: Point,
}

/// Which probed function, and what it was called with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "point", rename_all = "snake_case")]
pub enum Point {
    /// `cmd/go/internal/trace.StartSpan`.
    SpanStart { name: Captured<ByteString> },
    /// `cmd/go/internal/trace.(*Span).Done`; ends the innermost span of the goroutine.
    SpanDone,
    /// `cmd/go/internal/work.BuildInstallFunc`: the target, and the file it is made from. Equal: it was up to date.
    Install {
        target: Captured<ByteString>,
        built: Captured<ByteString>,
    },
    /// `cmd/go/internal/work.(*Shell).moveOrCopyFile`.
    MoveOrCopy {
        to: Captured<ByteString>,
        from: Captured<ByteString>,
    },
    /// `cmd/compile/internal/base.(*Timings).append`: a phase begins (`fe:parse`), or, with no name, the last one ends.
    CompilePhase { name: Captured<ByteString> },
    /// `cmd/link/internal/benchmark.(*Metrics).Start`: a phase begins.
    LinkPhase { name: Captured<ByteString> },
    /// `runtime.(*gcControllerState).startCycle`; bytes of live heap that triggered it.
    GcStart { heap_live: Option<u64> },
    /// `runtime.(*gcControllerState).resetLive`; bytes of live heap after marking.
    GcEnd { heap_marked: Option<u64> },
    /// `cmd/go/internal/cache.NewHash`. The key's address is not known yet: it ties to the next write on this goroutine.
    KeyOpen { name: Captured<ByteString> },
    /// `cmd/go/internal/cache.(*Hash).Write`, redacted. `hash` is the address that ties the lines of one key together.
    KeyWrite {
        hash: u64,
        line: Captured<ByteString>,
    },
    /// `cmd/go/internal/cache.(*Hash).Sum`.
    KeySum { hash: u64 },
    /// `cmd/go/internal/base.Fatalf`: the `go` command gives up. The format of its message, without what is put into it.
    Fatal { format: Captured<ByteString> },
}

/// What a toolchain program is, from the `path` line of its build info.
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

/// A toolchain program, and what could be probed in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// When its probes were on, or it was clear that there would be none.
    pub at: Ktime,
    pub file: FileId,
    /// Where it was seen.
    pub path: ByteString,
    pub role: Role,
    /// As in its build info: `go1.27.3`.
    pub version: String,
    /// Names of the probes that are on.
    pub attached: Vec<String>,
    /// Probes that are not, each with a sentence.
    pub refused: Vec<Refusal>,
}

/// Why a probe is not on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Refusal {
    pub probe: String,
    pub why: String,
}

/// The files that Go's settings come from, as found when a `go` command started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    pub at: Ktime,
    pub process: ProcKey,
    /// The user's file (`$GOENV`): its `KEY=value` lines with allow-listed keys, redacted. `None`: not there or not readable.
    pub user: Option<EnvFile>,
    /// `$GOROOT/go.env`, likewise.
    pub root: Option<EnvFile>,
    /// Path of the main module, from the nearest `go.mod` above the working directory, or from the file that `-modfile` names.
    pub module: Option<String>,
    /// Where that `go.mod` is. Recordings of before this was asked for have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module_dir: Option<ByteString>,
    /// Modules of the workspace that the directory lies in, in the order of its `go.work`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workspace: Vec<WorkspaceModule>,
    /// The container and pod that it runs in, by its cgroup. Recordings of before this was asked for have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
}

/// A module that a `go.work` names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkspaceModule {
    pub path: String,
    /// Where its `go.mod` is.
    pub dir: ByteString,
}

/// A settings file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvFile {
    pub path: ByteString,
    /// In the file's order.
    pub variables: Vec<(ByteString, ByteString)>,
}

/// Arguments that a tool was given in a file (`@file`), redacted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResponseFile {
    pub at: Ktime,
    pub process: ProcKey,
    pub args: Captured<Vec<ByteString>>,
}

/// What an output turned out to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspected {
    pub at: Ktime,
    /// The `go` command, or the tool, that made it.
    pub process: ProcKey,
    pub path: ByteString,
    pub result: Result<Artifact, String>,
}

/// The checkout that a `go` command began in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckedOut {
    pub at: Ktime,
    pub process: ProcKey,
    /// None: there is none, or nothing of it could be read.
    pub checkout: Option<Checkout>,
}

/// What is said of a program that a `go` command makes to run it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildInfo {
    pub at: Ktime,
    /// The linker that writes it, or a process that runs it.
    pub process: ProcKey,
    /// The program, or the linker's `-importcfg`.
    pub path: ByteString,
    /// None: the file was gone, could not be read or says nothing.
    pub main: Option<MainPackage>,
}

/// The main package of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MainPackage {
    pub path: String,
    /// Path of its module.
    pub module: Option<String>,
}

/// Records lost.
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
