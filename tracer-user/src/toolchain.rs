//! Go's tools as files: which tool a file is, where its functions are, and which of them are probed.
//!
//! The build info in a file identifies a tool, never its name. `.gopclntab` contains its functions, also in stripped tools. The file
//! `toolchain/probes.toml` lists the probes and their captures for each version of Go. A file with an unknown layout is not probed, and a
//! message reports the reason. This module runs no tool and ignores the output of tools.

mod build_info;
mod call_site;
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

/// The point of each row of the kernel's table, indexed by a call's `spec`.
pub fn points() -> &'static [PointKind] {
    &table::builtin().points
}

/// The kernel's tables: the captures of each probe, one row for each layout, and the recorded spans.
pub fn table() -> Table<'static> {
    let table = table::builtin();
    Table {
        specs: &table.specs,
        prefixes: &table.prefixes,
        names: &[],
    }
}

/// Names of the `go` command and of the tools that other programs run without it. A toolchain program of another name is only observed
/// as a descendant of a followed program.
pub fn names() -> [Name; 7] {
    ["go", "compile", "asm", "link", "cgo", "cover", "vet"].map(|it| Name::of(it.as_bytes()))
}

/// Identifies the current content of a file. The device has the kernel's own form, as in records.
pub fn file_id(metadata: &Metadata) -> FileId {
    let dev = metadata.dev();
    FileId {
        dev: device(major(dev), minor(dev)),
        ino: metadata.ino(),
        size: metadata.size(),
        ctime_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
    }
}

/// The same for the file at a path, from the cached attributes only: this never waits for a file system.
pub fn cached_id(path: &Path) -> Option<FileId> {
    let flags = AtFlags::STATX_DONT_SYNC;
    let stat = statx(CWD, path, flags, StatxFlags::BASIC_STATS).ok()?;
    Some(file_id_of(&stat))
}

/// The same for the result of statx(2).
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
