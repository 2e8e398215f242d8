//! What the correlator asks of the rim. Each question is answered by an event, so a recording holds the answers and a replay
//! needs no world.

use crate::byte_string::ByteString;
use crate::event::{Event, FileId, ProcKey};
use crate::golang::version::GoVersion;

/// Something for the rim to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A program was executed that is not known yet: if it is a Go tool, attach its probes and answer with `Event::Tool`.
    Identify {
        process: ProcKey,
        file: FileId,
        exe: Option<ByteString>,
    },
    /// Read these settings files, the nearest `go.mod` at or above `dir` or what the settings put in its place, and its workspace, in the
    /// process's own root. Answer: `Event::Settings`.
    ReadSettings {
        process: ProcKey,
        user: Option<ByteString>,
        root: Option<ByteString>,
        dir: Option<ByteString>,
        argv: Vec<ByteString>,
        env: Vec<(ByteString, ByteString)>,
    },
    /// Read a tool's argument file before it is deleted; an absolute path. Its version decides what quotes mean. Answer:
    /// `Event::ResponseFile`.
    ReadResponseFile {
        process: ProcKey,
        path: ByteString,
        version: Option<GoVersion>,
    },
    /// Read what Git's files say of the checkout that `dir` lies in, on behalf of that user. Answer: `Event::CheckedOut`.
    ReadCheckout {
        process: ProcKey,
        dir: ByteString,
        uid: u32,
    },
    /// Read what is said of a program that a `go` command makes to run it: by itself, or by the linker's `-importcfg`. Answer:
    /// `Event::BuildInfo`.
    ReadBuildInfo {
        process: ProcKey,
        path: ByteString,
        uid: u32,
    },
    /// An output is final. Answer: `Event::Inspected`.
    Inspect {
        process: ProcKey,
        path: ByteString,
        uid: u32,
    },
}

impl Effect {
    /// Whether this is the answer.
    pub fn is_answered_by(&self, event: &Event) -> bool {
        match (self, event) {
            (Self::Identify { file, .. }, Event::Tool(tool)) => tool.file == *file,
            (Self::ReadSettings { process, .. }, Event::Settings(it)) => it.process == *process,
            (Self::ReadResponseFile { process, .. }, Event::ResponseFile(it)) => {
                it.process == *process
            }
            (Self::ReadCheckout { process, .. }, Event::CheckedOut(it)) => it.process == *process,
            (Self::Inspect { process, path, .. }, Event::Inspected(it)) => {
                (&it.process, &it.path) == (process, path)
            }
            (Self::ReadBuildInfo { process, path, .. }, Event::BuildInfo(it)) => {
                (&it.process, &it.path) == (process, path)
            }
            (
                Self::Identify { .. }
                | Self::ReadSettings { .. }
                | Self::ReadResponseFile { .. }
                | Self::ReadCheckout { .. }
                | Self::ReadBuildInfo { .. }
                | Self::Inspect { .. },
                _,
            ) => false,
        }
    }
}
