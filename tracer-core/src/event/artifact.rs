//! The description of a file that a build produced. Plain data, and small, because it is part of every stored build.
//!
//! It has three layers, each more expensive than the one before: size and hash, the file's own metadata, and an analysis of its bytes. The
//! analysis is present only if it was requested. The rim limits the length of every text here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A file that a build produced.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Artifact {
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the whole file, in hex.
    pub sha256: String,
    /// From the build info, if the file has one; the same holds for the next three fields.
    pub go_version: Option<String>,
    /// Import path of the main package.
    pub main_package: Option<String>,
    pub main_module: Option<String>,
    pub main_module_version: Option<String>,
    /// Container format of the code: `ELF`, `PE`, `Mach-O`, `wasm`, `archive`; absent for any other format.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// Build settings recorded in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp: Option<Stamp>,
    /// Analysis of its bytes; absent unless it was requested and succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anatomy: Option<Box<Anatomy>>,
    /// The reason why a requested analysis failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unanalysed: Option<String>,
}

/// Build settings that the `go` command recorded in a program (`go version -m`). The builder of a program can write any value here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stamp {
    /// Value of `-buildmode`.
    pub buildmode: Option<String>,
    /// Value of `CGO_ENABLED`.
    pub cgo: Option<bool>,
    pub trimpath: bool,
    pub race: bool,
    /// The checkout that it was built from.
    pub vcs: Option<Vcs>,
}

/// The recorded state of version control.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Vcs {
    /// `git`.
    pub system: Option<String>,
    pub revision: Option<String>,
    /// Time of the commit, in RFC 3339 form.
    pub time: Option<String>,
    /// True if there were uncommitted changes.
    pub modified: Option<bool>,
}

/// Analysis of the bytes of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Anatomy {
    /// True if it has no symbol table.
    pub stripped: bool,
    /// True if C code is linked in. `CGO_ENABLED` alone does not imply this.
    pub c_code: bool,
    /// Hash of its loaded parts. Two files with the same hash have the same code and data at the same addresses.
    pub loaded: String,
    /// Hash of the names and sizes of its functions. Two files with the same hash most likely have the same code.
    pub outline: String,
    /// The largest sections, largest first.
    pub sections: Vec<Section>,
    /// Number of sections with bytes in the file.
    pub n_sections: u64,
    /// The bytes of the packages; absent for a file without Go packages, and in older traces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packages: Option<PackageBytes>,
    /// True if the linker dropped methods that are never called. Absent if the file does not show it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drops_methods: Option<bool>,
    /// If it dropped none: the functions in the file that can find methods by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reflect_uses: Vec<String>,
}

/// The bytes of each package in a program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PackageBytes {
    /// The modules of the packages. The standard library is `std`.
    pub modules: Vec<ProgramModule>,
    /// The packages, most bytes first. If their names are too long together, the smallest are omitted.
    pub list: Vec<PackageSize>,
    /// Number of all packages.
    pub n: u64,
}

/// A module in a program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProgramModule {
    pub path: String,
    /// Absent for the main module and the standard library.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// True for a module that is neither the main module nor the standard library.
    pub is_dependency: bool,
}

/// A package in a program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PackageSize {
    /// Import path; `main` for the main package.
    pub path: String,
    /// Index into [`PackageBytes::modules`].
    pub module: u32,
    pub bytes: u64,
    /// Functions that run when the program starts: `init` functions, and the one that initialises the variables of the package. Absent in
    /// older traces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_functions: Option<u64>,
}

/// A section with bytes in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Section {
    pub name: String,
    /// True if it contains debugging information.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub debug: bool,
    /// Size in the file, in bytes.
    pub size: u64,
    /// Entropy of these bytes, in thousandths of a bit per byte.
    pub entropy_millibits: Option<u32>,
}
