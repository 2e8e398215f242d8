//! Go's tools as files: which tool a file is, where its functions are, and which of them are probed.
//!
//! A tool is known by the build info in the file, never by its name. Its functions are found through `.gopclntab`, which stripped
//! tools have too. What to probe, and what to take there in which version of Go, is data: `toolchain/probes.toml`. A file whose layout
//! is not known is not probed, and a sentence says so. Nothing here runs a tool or follows what a tool writes.

mod build_info;
mod candidate;
mod elf;
mod function;
mod lease;
mod probes;
mod prologue;
mod resolve;
mod search;
mod structs;
mod table;
mod version;
mod watch;

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Statx, StatxFlags, major, minor, statx};
use tracer_abi::Name;
use tracer_core::decode::PointKind;
use tracer_core::event::FileId;

use crate::bpf::Table;

pub use build_info::{ToolIdentity, identify, main_package};
pub use candidate::Candidate;
pub use lease::{Guard, may_lease};
pub use probes::{Probes, Saved};
pub use resolve::{Resolved, ResolvedProbe, resolve};
pub use search::{SearchHint, find};

/// The point that each row of the kernel's table stands for: what a call's `spec` means.
pub fn points() -> &'static [PointKind] {
    &table::builtin().points
}

/// The kernel's tables: what is captured at each probe, one row for each layout, and which spans are.
pub fn table() -> Table<'static> {
    let table = table::builtin();
    Table {
        specs: &table.specs,
        prefixes: &table.prefixes,
        names: &[],
    }
}

/// Names of the `go` command and of the tools that others run without it. A toolchain's program of another name is seen under a
/// program that is followed, or not at all.
pub fn names() -> [Name; 7] {
    ["go", "compile", "asm", "link", "cgo", "cover", "vet"].map(|it| Name::of(it.as_bytes()))
}

/// Names the content that a file has now. The device is in the kernel's own form, as records have it.
pub fn file_id(metadata: &Metadata) -> FileId {
    let dev = metadata.dev();
    FileId {
        dev: device(major(dev), minor(dev)),
        ino: metadata.ino(),
        size: metadata.size(),
        ctime_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
    }
}

/// The same of the file at a path, as far as this machine knows it: no file system is waited for.
pub fn cached_id(path: &Path) -> Option<FileId> {
    let flags = AtFlags::STATX_DONT_SYNC;
    let stat = statx(CWD, path, flags, StatxFlags::BASIC_STATS).ok()?;
    Some(file_id_of(&stat))
}

/// The same of what statx(2) says.
fn file_id_of(stat: &Statx) -> FileId {
    FileId {
        dev: device(stat.stx_dev_major, stat.stx_dev_minor),
        ino: stat.stx_ino,
        size: stat.stx_size,
        ctime_ns: nanoseconds(stat.stx_ctime.tv_sec, i64::from(stat.stx_ctime.tv_nsec)),
    }
}

fn device(major: u32, minor: u32) -> u32 {
    major << 20 | minor
}

fn nanoseconds(seconds: i64, more: i64) -> u64 {
    let nanoseconds = i128::from(seconds) * 1_000_000_000 + i128::from(more);
    u64::try_from(nanoseconds).unwrap_or(0)
}
