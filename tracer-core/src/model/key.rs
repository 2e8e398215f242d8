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
    /// compute: `-X main.t=<redacted:KEY-DIGEST>`.
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
}

impl KeyKind {
    pub const ALL: [Self; 3] = [Self::Build, Self::Link, Self::Vet];

    /// The kind with this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// The kind of the key of an action that ran a tool. `None` if no tool ran, or such actions have no key.
    pub fn of_executed(action: &Action) -> Option<Self> {
        let ran = matches!(action.outcome, Outcome::Executed | Outcome::Failed);
        Self::of(&action.mode).filter(|_| ran && !action.calls.is_empty())
    }

    /// The first word of the key's name, which is also the mode of its action.
    pub fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Link => "link",
            Self::Vet => "vet",
        }
    }
}
