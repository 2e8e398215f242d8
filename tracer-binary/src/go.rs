//! The Go toolchain's own data in a file: build information, build ID, and the runtime's own tables.
//!
//! This is our own reader, because the `gobin` crate 0.6.0 reads little-endian files only (nothing at all on
//! linux/s390x). The layouts are those of the Go sources from 1.16 on. The tests check each against the output of `go
//! version -m` and `go tool nm` for the same file.

pub(crate) mod buildid;
pub(crate) mod buildinfo;
pub(crate) mod moduledata;
pub(crate) mod name;
pub(crate) mod pclntab;
pub(crate) mod types;
