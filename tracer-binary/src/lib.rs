//! Reads the outputs of a Go build from their bytes.
//!
//! ```text
//! bytes -> container (ELF, PE, Mach-O, wasm, archive) -> Image: sections, segments, address space
//!       -> go: build information, build ID, runtime tables
//!       -> attributions of ranges of the file -> ledger, in which every byte is counted once
//! ```
//!
//! Every result is a function of the bytes alone: this crate opens no file, prints nothing, and panics on no input. Facts
//! that a file does not state are absent from the result; facts that it states wrongly are notes.
#![forbid(unsafe_code)]

pub mod analysis;
mod analyze;
pub mod artifact;
mod attribution;
mod bits;
pub mod budget;
mod chained;
mod container;
pub mod diff;
pub mod entropy;
mod error;
mod finding;
pub mod fingerprint;
mod go;
mod hashing;
mod hex;
mod image;
mod ledger;
pub mod limit;
mod module;
mod package;
mod property;
mod reader;
pub mod snapshot;
mod symbol;

pub use analysis::{Analysis, ModuleSize, PackageSize};
pub use analyze::{Options, analyze};
pub use attribution::{Content, Embed, FunctionSource};
pub use diff::{Diff, diff};
pub use error::Error;
pub use fingerprint::{ContentIdentity, Fingerprint};
pub use go::buildid::BuildId;
pub use go::buildinfo::{Module, Setting};
pub use image::{Compression, Format, SectionClass, Shape};
pub use module::Group;
pub use property::{Dwarf, Linking, MethodElimination, Properties, Relro};
pub use snapshot::Snapshot;
