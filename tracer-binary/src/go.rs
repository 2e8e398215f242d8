//! What the Go toolchain leaves in a file: build information, build ID, and the runtime's own tables.
//!
//! Ours rather than the `gobin` crate: its 0.6.0 reads little-endian files only (nothing at all on
//! linux/s390x). The layouts are those of the Go sources from 1.16 on, and each is checked in the tests
//! against what `go version -m` and `go tool nm` say about the same file.

pub(crate) mod buildid;
pub(crate) mod buildinfo;
pub(crate) mod moduledata;
pub(crate) mod name;
pub(crate) mod pclntab;
pub(crate) mod types;
