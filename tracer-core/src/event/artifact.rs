//! What a file that a build left behind turned out to be. Plain data, small: it is part of every stored build.
//!
//! Three layers, each dearer to find out than the one before: size and hash, what the file says of itself, and what its bytes are
//! made of. The last is only there where it was asked for. No text here is longer than what the rim cuts it to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A file that a build left behind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Artifact {
    /// Bytes.
    pub size: u64,
    /// Of the whole file, in hex.
    pub sha256: String,
    /// From the build info, where there is one; likewise the next three.
    pub go_version: Option<String>,
    /// Import path of the main package.
    pub main_package: Option<String>,
    pub main_module: Option<String>,
    pub main_module_version: Option<String>,
    /// What contains the code: `ELF`, `PE`, `Mach-O`, `wasm`, `archive`; absent for what is none of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// How it says that it was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<Stamp>,
    /// What its bytes are made of; absent unless that was asked for and found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anatomy: Option<Box<Anatomy>>,
    /// Why that was asked for and not found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unanalysed: Option<String>,
}

/// What the `go` command wrote into a program of how it built it (`go version -m`). Whoever builds can write anything there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stamp {
    /// Value of `-buildmode`.
    pub buildmode: Option<String>,
    /// Value of `CGO_ENABLED`.
    pub cgo: Option<bool>,
    pub trimpath: bool,
    pub race: bool,
    /// The checkout it was built from.
    pub vcs: Option<Vcs>,
}

/// The state of version control that was stamped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Vcs {
    /// `git`.
    pub system: Option<String>,
    pub revision: Option<String>,
    /// Of the commit, as RFC 3339 has it.
    pub time: Option<String>,
    /// There were changes that were not committed.
    pub modified: Option<bool>,
}

/// What the bytes of a file are made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Anatomy {
    /// It has no symbol table.
    pub stripped: bool,
    /// C code is linked in, which `CGO_ENABLED` alone does not mean.
    pub c_code: bool,
    /// Hash of what is loaded of it: equal, the same code and data at the same addresses.
    pub loaded: String,
    /// Hash of the names and sizes of its functions: equal, most likely the same code.
    pub outline: String,
    /// The largest, largest first.
    pub sections: Vec<Section>,
    /// How many have bytes in the file.
    pub n_sections: u64,
}

/// A section with bytes in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Section {
    pub name: String,
    /// It holds debugging information.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub debug: bool,
    /// Bytes in the file.
    pub size: u64,
    /// Thousandths of a bit per byte, of those bytes.
    pub entropy_millibits: Option<u32>,
}
