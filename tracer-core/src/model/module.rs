//! The module that a package belongs to, as far as the place of its sources shows it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The module of the sources that a tool read.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub struct SourceModule {
    pub kind: ModuleKind,
    /// Path of the module; `std` or `cmd` for the Go project. Absent for vendored packages in a build without `-trimpath`.
    pub path: Option<String>,
    /// Absent for the main module and the Go project, and for replaced modules in a build without `-trimpath`.
    pub version: Option<String>,
}

/// The place of a module.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ModuleKind {
    /// The toolchain's own sources.
    Standard,
    /// The main module, or a module of the workspace.
    Main,
    /// The module cache. A module that is replaced by another one has the path and version of that one.
    Dependency,
    /// A vendor directory.
    Vendored,
    /// A directory in place of a version in the module cache.
    Replaced,
}
