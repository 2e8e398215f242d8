//! The result of `analyze`, as written to JSON (`schema/gotrace.analysis.v1.json`).
//!
//! This module contains values only. Other modules compute them; `docs/analysis.md` defines their meaning.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::Identity;
use crate::attribution::{Content, Embed, FunctionSource};
use crate::entropy::DenseRun;
use crate::fingerprint::ContentIdentity;
use crate::image::{Compression, SectionClass};
use crate::module::Group;
use crate::property::Properties;

pub const SCHEMA: &str = "gotrace.analysis.v1";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Analysis {
    /// Always `gotrace.analysis.v1`.
    pub schema: String,
    /// Size of the file in bytes.
    pub size: u64,
    pub sha256: String,
    pub content: ContentIdentity,
    pub identity: Identity,
    pub properties: Properties,
    pub findings: Vec<Finding>,
    /// Adds up to `size`.
    pub groups: Vec<GroupSize>,
    /// Adds up to `size`.
    pub contents: Vec<ContentSize>,
    /// Every byte of the file once, by container and content. Adds up to `size`.
    pub buckets: Vec<Bucket>,
    pub segments: Vec<SegmentSize>,
    pub sections: Vec<SectionSize>,
    /// Adds up to `size` together with the bytes that belong to no package.
    pub modules: Vec<ModuleSize>,
    pub packages: Vec<PackageSize>,
    pub symbols: Symbols,
    pub embeds: Vec<Embed>,
    /// Members of an archive, or slices of a fat file.
    pub members: Vec<MemberSize>,
    pub counts: Counts,
    /// Parts that were left out, and values that did not add up.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    pub kind: FindingKind,
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// Compressed by a packer, so that little else can be determined.
    Packed,
    /// Names and tables were changed on purpose.
    Obfuscated,
    /// High entropy in an unexpected place.
    Dense,
    /// An embedded file that is already compressed.
    CompressedEmbed,
    Overlay,
    NotGo,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupSize {
    pub group: Group,
    pub bytes: u64,
    pub packages: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ContentSize {
    pub content: Content,
    pub bytes: u64,
    /// Number of these bytes whose package is known.
    pub in_packages: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Bucket {
    pub frame: FrameKind,
    /// Name of the section, header or member; empty without a frame.
    pub name: String,
    pub content: Content,
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FrameKind {
    Header,
    Section,
    Member,
    None,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SegmentSize {
    pub name: String,
    pub address: u64,
    pub disk: u64,
    pub memory: u64,
    /// Permissions, such as `r-x`.
    pub flags: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SectionSize {
    /// Prefixed with the machine in a fat file, and with the member in an archive.
    pub name: String,
    pub class: SectionClass,
    pub address: u64,
    /// Bytes in the file.
    pub disk: u64,
    /// Bytes in memory, or after decompression, as stated by the file.
    pub memory: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<Compression>,
    /// Number of the bytes of `disk` whose content is known.
    pub attributed: u64,
    pub unattributed: u64,
    pub padding: u64,
    /// Bits per byte of the bytes in the file; absent without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entropy: Option<f64>,
    /// The longest runs of high entropy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dense: Vec<DenseRun>,
    /// Number of all such runs.
    #[serde(default)]
    pub n_dense: u64,
    /// Hundredths of a bit for each 4096 bytes; absent unless requested.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModuleSize {
    pub path: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    pub group: Group,
    pub bytes: u64,
    pub packages: u64,
    /// True if the module was guessed from the import path, because no module list in the file contains it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_guess: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PackageSize {
    pub path: String,
    pub module: String,
    pub group: Group,
    pub bytes: u64,
    /// Functions that run when the program starts: `init` functions, and the one that initialises the variables of the package.
    #[serde(default)]
    pub init_functions: u64,
    pub contents: BTreeMap<Content, u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Symbols {
    pub source: FunctionSource,
    /// Number of all symbols with bytes in the file, listed or not.
    pub count: u64,
    pub bytes: u64,
    /// Minimum size of a listed symbol; smaller ones are folded.
    pub min_size: u64,
    pub list: Vec<SymbolSize>,
    pub folded: Vec<Fold>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SymbolSize {
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub package: String,
    pub content: Content,
    pub bytes: u64,
    /// Number of symbols with this name.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub count: u64,
}

fn one() -> u64 {
    1
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_one(count: &u64) -> bool {
    *count == 1
}

/// The symbols of a package that are too small to be listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fold {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub package: String,
    pub count: u64,
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberSize {
    pub name: String,
    pub bytes: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counts {
    /// Entries of the symbol table.
    pub symbols: u64,
    pub functions: u64,
    pub types: u64,
    pub itabs: u64,
    pub packages: u64,
}
