//! Snapshots: the part of an analysis that a comparison needs, small enough to keep one of every build.
//!
//! Symbols below a size are folded into one row for each package. The row counts them, so the bytes of a snapshot still
//! add up.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::analysis::{
    Analysis, ContentSize, Counts, Fold, GroupSize, MemberSize, ModuleSize, Symbols,
};
use crate::artifact::Identity;
use crate::fingerprint::ContentIdentity;
use crate::image::SectionClass;
use crate::module::Group;
use crate::property::Properties;

pub const SCHEMA: &str = "gotrace.snapshot.v1";
/// By default, symbols with fewer bytes are folded.
pub const MIN_SYMBOL: u64 = 1024;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Snapshot {
    /// Always `gotrace.snapshot.v1`.
    pub schema: String,
    pub size: u64,
    pub sha256: String,
    pub content: ContentIdentity,
    pub identity: Identity,
    pub properties: Properties,
    pub groups: Vec<GroupSize>,
    pub contents: Vec<ContentSize>,
    pub sections: Vec<SnapshotSection>,
    pub modules: Vec<ModuleSize>,
    pub packages: Vec<SnapshotPackage>,
    pub symbols: Symbols,
    pub members: Vec<MemberSize>,
    pub counts: Counts,
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotSection {
    pub name: String,
    pub class: SectionClass,
    pub disk: u64,
    pub memory: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entropy: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotPackage {
    pub path: String,
    pub module: String,
    pub group: Group,
    pub bytes: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error(
        "not a snapshot of this kind (schema `{0}`, expected `{SCHEMA}`); write it again with `gotrace analyze --snapshot`"
    )]
    Schema(String),
    #[error("the snapshot cannot be read; it is cut or damaged")]
    Json(#[source] serde_json::Error),
}

impl Snapshot {
    /// Folds symbols below `min_symbol` bytes; those that the analysis folded stay so.
    pub fn of(analysis: &Analysis, min_symbol: u64) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            size: analysis.size,
            sha256: analysis.sha256.clone(),
            content: analysis.content.clone(),
            identity: analysis.identity.clone(),
            properties: analysis.properties.clone(),
            groups: analysis.groups.clone(),
            contents: analysis.contents.clone(),
            sections: analysis
                .sections
                .iter()
                .map(|section| SnapshotSection {
                    name: section.name.clone(),
                    class: section.class,
                    disk: section.disk,
                    memory: section.memory,
                    entropy: section.entropy,
                })
                .collect(),
            modules: analysis.modules.clone(),
            packages: analysis
                .packages
                .iter()
                .map(|package| SnapshotPackage {
                    path: package.path.clone(),
                    module: package.module.clone(),
                    group: package.group,
                    bytes: package.bytes,
                })
                .collect(),
            symbols: fold(&analysis.symbols, min_symbol),
            members: analysis.members.clone(),
            counts: analysis.counts,
            notes: analysis.notes.clone(),
        }
    }

    /// True if the bytes look like a snapshot rather than a binary.
    pub fn is_one(bytes: &[u8]) -> bool {
        bytes.trim_ascii_start().starts_with(b"{")
    }

    pub fn read(bytes: &[u8]) -> Result<Self, SnapshotError> {
        #[derive(Deserialize)]
        struct Head {
            #[serde(default)]
            schema: String,
        }
        // Check the version first: another version may lack fields that are read below.
        let head: Head = serde_json::from_slice(bytes).map_err(SnapshotError::Json)?;
        if head.schema != SCHEMA {
            return Err(SnapshotError::Schema(head.schema));
        }
        serde_json::from_slice(bytes).map_err(SnapshotError::Json)
    }
}

/// The same symbols with those below `min_size` folded.
pub(crate) fn fold(symbols: &Symbols, min_size: u64) -> Symbols {
    let mut folded: BTreeMap<&str, (u64, u64)> = symbols
        .folded
        .iter()
        .map(|fold| (fold.package.as_str(), (fold.count, fold.bytes)))
        .collect();
    let mut list = Vec::new();
    for symbol in &symbols.list {
        if symbol.bytes < min_size {
            let fold = folded.entry(&symbol.package).or_default();
            fold.0 += symbol.count;
            fold.1 += symbol.bytes;
        } else {
            list.push(symbol.clone());
        }
    }
    let folded = folded.into_iter().map(|(package, (count, bytes))| Fold {
        package: package.to_owned(),
        count,
        bytes,
    });
    Symbols {
        min_size: min_size.max(symbols.min_size),
        list,
        folded: folded.collect(),
        ..symbols.clone()
    }
}
