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

pub mod artifact;
mod container;
mod error;
mod go;
mod hex;
mod image;
pub mod limit;
mod reader;

pub use error::Error;
pub use go::buildid::BuildId;
pub use go::buildinfo::{Module, Setting};
