//! Requests of the correlator to the rim. An event answers each request, so a recording contains the answers and a replay needs no other
//! input.

use crate::byte_string::ByteString;
use crate::event::{Event, FileId, ProcKey};
use crate::golang::version::GoVersion;

/// A request to the rim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// An unknown program was executed. If it is a Go tool, attach its probes. Answer: `Event::Tool`.
    Identify {
        process: ProcKey,
        file: FileId,
        exe: Option<ByteString>,
    },
    /// Read these settings files, the module and its workspace, in the process's own root. The module is the nearest `go.mod` at or above
    /// `dir`, or the file that the settings name instead. Answer: `Event::Settings`.
    ReadSettings {
        process: ProcKey,
        user: Option<ByteString>,
        root: Option<ByteString>,
        dir: Option<ByteString>,
        argv: Vec<ByteString>,
        env: Vec<(ByteString, ByteString)>,
    },
    /// Read a tool's response file before it is deleted; the path is absolute. The tool's version decides the meaning of quotes. Answer:
    /// `Event::ResponseFile`.
    ReadResponseFile {
        process: ProcKey,
        path: ByteString,
        version: Option<GoVersion>,
    },
    /// Read Git's files of the checkout that contains `dir`, with the permissions of that user. Answer: `Event::CheckedOut`.
    ReadCheckout {
        process: ProcKey,
        dir: ByteString,
        uid: u32,
    },
    /// Read the build info of a program that a `go` command makes to run it: from the program, or from the linker's `-importcfg`. Answer:
    /// `Event::BuildInfo`.
    ReadBuildInfo {
        process: ProcKey,
        path: ByteString,
        uid: u32,
    },
    /// Inspect an output, which is final now. Answer: `Event::Inspected`.
    Inspect {
        process: ProcKey,
        path: ByteString,
        uid: u32,
    },
}

impl Effect {
    /// True if the event answers this request.
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
