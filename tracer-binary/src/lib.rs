//! What a Go build produced, read from bytes.
//!
//! ```text
//! bytes -> container (ELF, PE, Mach-O, wasm, archive) -> Image: sections, segments, address space
//!       -> go: build information, build ID, runtime tables
//!       -> claims on ranges of the file -> ledger, in which every byte is counted once
//! ```
//!
//! Everything here is a function of the bytes: no file is opened, nothing is printed, and no input can
//! make it panic. What a file does not say is absent from the result; what it says wrongly is a note.
#![forbid(unsafe_code)]

pub mod analysis;
mod analyze;
pub mod artifact;
mod bits;
pub mod budget;
mod claim;
mod container;
pub mod diff;
pub mod entropy;
mod error;
mod finding;
pub mod fingerprint;
mod go;
mod hex;
mod image;
mod ledger;
pub mod limit;
mod module;
mod package;
mod pass;
mod property;
mod reader;
pub mod snapshot;
mod symbol;

pub use analysis::Analysis;
pub use analyze::{Options, analyze};
pub use claim::{Content, Embed, FunctionSource};
pub use diff::{Diff, diff};
pub use error::Error;
pub use fingerprint::{ContentIdentity, Fingerprint};
pub use go::buildid::BuildId;
pub use go::buildinfo::{Module, Setting};
pub use image::{Compression, Format, SectionClass, Shape};
pub use module::Group;
pub use property::{Dwarf, Linking, MethodElimination, Properties, Relro};
pub use snapshot::Snapshot;
