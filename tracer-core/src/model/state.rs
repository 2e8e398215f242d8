//! The end of a build: its state, and the class of its failure. Every output uses these names, except OTLP, which maps them
//! (`docs/otlp.md`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Build;
use crate::byte_string::ByteString;
use crate::event::ProcKey;

/// The state of a build.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// The build began and has not ended yet.
    Running,
    Succeeded,
    Failed,
    /// gotrace itself ended while the build was running.
    CutOff,
    /// The build has ended, but its exit was not seen.
    Unknown,
}

impl State {
    pub const ALL: [Self; 5] = [
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::CutOff,
        Self::Unknown,
    ];

    /// The state of a build in a complete trace. A build whose exit was not seen is not known to have failed.
    pub fn of(build: &Build) -> Self {
        match build.status {
            _ if build.failure.is_some() => Self::Failed,
            Some(status) if status.is_success() => Self::Succeeded,
            Some(_) => Self::Failed,
            None => Self::Unknown,
        }
    }

    /// The name of the state in every output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::CutOff => "cut_off",
            Self::Unknown => "unknown",
        }
    }
}

/// The cause of a build's failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    pub class: FailureClass,
    /// The package whose tool failed first.
    pub package: Option<ByteString>,
    /// The first failed tool, inside its wrappers. If the class does not name a tool, the last failed child of the `go` command.
    pub process: Option<ProcKey>,
    /// If SIGKILL ended the `go` command, or the process that failed first: the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub killed_by: Option<Killer>,
}

/// The sender of a SIGKILL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Killer {
    /// The kernel, because the machine or the memory cgroup had no memory left.
    OutOfMemoryKiller,
    /// The sender was not seen.
    Unknown,
}

/// The class of a build's failure.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// compile, asm or cgo failed, or a C compiler under them.
    Compile,
    Link,
    Vet,
    /// A test binary failed.
    Test,
    /// The program of `go run` or `go tool` failed.
    Program,
    /// A program of a `go generate` directive failed.
    Generate,
    /// `go fix` failed, or found something with `-diff`.
    Fix,
    /// The packages could not be loaded: no action was executed, and no tool failed.
    Load,
    /// An output could not be installed.
    Install,
    /// SIGINT, SIGTERM or SIGHUP ended the `go` command, or a test or program that it ran.
    Interrupted,
    /// Another signal ended the build.
    Killed,
    /// The cause was not seen.
    Unknown,
}

impl FailureClass {
    pub const ALL: [Self; 12] = [
        Self::Compile,
        Self::Link,
        Self::Vet,
        Self::Test,
        Self::Program,
        Self::Generate,
        Self::Fix,
        Self::Load,
        Self::Install,
        Self::Interrupted,
        Self::Killed,
        Self::Unknown,
    ];

    /// The class of a build's failure; absent if it is not known to have failed.
    pub fn of(build: &Build) -> Option<Self> {
        match State::of(build) {
            State::Failed => Some(build.failure.as_ref().map_or(Self::Unknown, |it| it.class)),
            State::Running | State::Succeeded | State::CutOff | State::Unknown => None,
        }
    }

    /// True if a failed process decides the class: [`Failure::process`]. Otherwise that field is the last process that failed, which may be
    /// irrelevant.
    pub fn is_by_process(self) -> bool {
        match self {
            Self::Compile
            | Self::Link
            | Self::Vet
            | Self::Test
            | Self::Program
            | Self::Generate
            | Self::Fix
            | Self::Interrupted
            | Self::Killed => true,
            Self::Load | Self::Install | Self::Unknown => false,
        }
    }

    /// The name of the class in every output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Compile => "compile",
            Self::Link => "link",
            Self::Vet => "vet",
            Self::Test => "test",
            Self::Program => "program",
            Self::Generate => "generate",
            Self::Fix => "fix",
            Self::Load => "load",
            Self::Install => "install",
            Self::Interrupted => "interrupted",
            Self::Killed => "killed",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: impl Serialize) -> String {
        serde_json::to_string(&value).unwrap()
    }

    #[test]
    fn names_match_those_in_the_json() {
        for state in State::ALL {
            assert_eq!(json(state), format!("{:?}", state.name()));
        }
        for class in FailureClass::ALL {
            assert_eq!(json(class), format!("{:?}", class.name()));
        }
    }
}
