//! A program as it is looked at before anything is put on it: which tool it is, and where it could be probed.

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
    /// Where it was seen.
    pub(super) path: PathBuf,
    /// The content that was looked at.
    pub(super) id: FileId,
    pub(super) identity: ToolIdentity,
    pub(super) resolved: Resolved,
}

impl Candidate {
    /// Reads what is needed of a file, which takes as long as its file system likes. Nothing: it is no Go tool.
    pub fn examine(file: impl Into<Arc<File>>, path: &Path) -> Option<Self> {
        let file = file.into();
        let id = file_id(&file.metadata().ok()?);
        let identity = identify(&file)?;
        let resolved = if is_served_by_a_program(&file) {
            refuse(
                identity.role,
                "a program serves its file system (FUSE), which could keep everybody waiting with a probe",
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

/// Where it cannot be asked it is no file system of that kind: that one answers, if late.
fn is_served_by_a_program(file: &File) -> bool {
    fstatfs(file).is_ok_and(|it| it.f_type == libc::FUSE_SUPER_MAGIC)
}
