//! Examines a program before it is probed: which tool it is, and where it could be probed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::fstatfs;
use tracer_core::event::FileId;

use super::build_info::{ToolIdentity, identify};
use super::file_id;
use super::resolve::{Resolved, refuse, resolve};

/// A Go tool.
#[derive(Debug)]
pub struct Candidate {
    pub(super) file: Arc<File>,
    /// The path where it was observed.
    pub(super) path: PathBuf,
    /// The content that was examined.
    pub(super) id: FileId,
    pub(super) identity: ToolIdentity,
    pub(super) resolved: Resolved,
}

impl Candidate {
    /// Examines a file. This can block as long as its file system blocks. Returns `None` if the file is no Go tool.
    pub fn examine(file: impl Into<Arc<File>>, path: &Path) -> Option<Self> {
        let file = file.into();
        let id = file_id(&file.metadata().ok()?);
        let identity = identify(&file)?;
        let resolved = if is_served_by_a_program(&file) {
            refuse(
                identity.role,
                "a program serves its file system (FUSE), which could block all processes at a probe",
            )
        } else {
            resolve(&file, &identity)
        };
        Some(Self {
            path: path.to_owned(),
            file,
            id,
            identity,
            resolved,
        })
    }
}

/// True for FUSE. If the call fails, the file system is not FUSE, because FUSE always answers, even if late.
fn is_served_by_a_program(file: &File) -> bool {
    fstatfs(file).is_ok_and(|it| it.f_type == libc::FUSE_SUPER_MAGIC)
}
