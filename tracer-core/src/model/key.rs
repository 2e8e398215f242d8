//! Keys of the build cache: the inputs of an action, as the `go` command hashed them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Action, Outcome};
use crate::byte_string::ByteString;

/// The key of an executed action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ActionKey {
    pub kind: KeyKind,
    /// Import path, with the test variant: `p [p.test]`.
    pub package: ByteString,
    /// The action: an index into [`Build::actions`](super::Build::actions).
    pub action: u32,
    /// The action ID as Go prints it, 20 characters of base64. It comes from the arguments of the tool, or is computed from the whole
    /// key. Absent if neither shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The pieces of the key in order, redacted. The first is the release of Go. A removed value has a digest that only this machine can
    /// compute: `-X main.t=<redacted:KEY-DIGEST>`. The run of a test has several keys, whose pieces are together here, and further lines:
    /// the arguments and the directory of the test, and the facts about each file.
    pub lines: Vec<ByteString>,
    /// Indices of the lines of which only the beginning is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cut: Vec<u32>,
    /// True if lines may be missing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub has_gaps: bool,
}

/// The kind of a key.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    Build,
    Link,
    Vet,
    /// The run of a test program.
    Test,
}

impl KeyKind {
    pub const ALL: [Self; 4] = [Self::Build, Self::Link, Self::Vet, Self::Test];

    /// The kind with this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// The kind of the key of actions with this mode.
    pub fn of_mode(mode: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.mode() == mode)
    }

    /// The kind of the key of an action that ran a tool or a test. `None` if nothing ran, or such actions have no key.
    pub fn of_executed(action: &Action) -> Option<Self> {
        let ran = matches!(action.outcome, Outcome::Executed | Outcome::Failed);
        Self::of_mode(&action.mode).filter(|_| ran && !action.calls.is_empty())
    }

    /// The first word of the key's name, for keys that name their package.
    pub fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Link => "link",
            Self::Vet => "vet",
            Self::Test => "test",
        }
    }

    /// The mode of the key's action.
    pub fn mode(self) -> &'static str {
        match self {
            Self::Test => "test run",
            Self::Build | Self::Link | Self::Vet => self.name(),
        }
    }
}

/// Lines of the key of a test run that are not Go's own.
pub mod test_line {
    /// The arguments of the test program, quoted as a list.
    pub const ARGUMENTS: &str = "arguments ";
    /// The go command had no package argument. Then Go stores no result.
    pub const LOCAL: &str = "local directory";
    /// The working directory of the test.
    pub const DIRECTORY: &str = "directory ";
    /// The lines after it are the inputs that an earlier run used, as they were before the test ran.
    pub const LOOKED_UP: &str = "looked up";
    /// The lines after it are the inputs that the test used. The `go` command stored the result under them.
    pub const STORED: &str = "stored";
    /// The facts after it are those of a file that was younger than two seconds. The list ends there, without the name of the file.
    pub const YOUNG: &str = "young";
    /// Begins a line with a fact about the file of the line before: size, mode, time.
    pub const FACT: &str = "\t";
}
