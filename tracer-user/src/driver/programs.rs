//! Examines executed programs: whether a program is a Go tool, and where it can be probed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracer_core::byte_string::ByteString;
use tracer_core::event::{FileId, ProcKey};

use super::readers::ReadJob;
use crate::inspect::{self, FileOwner, Root};
use crate::toolchain::{self, Candidate};

/// A program to examine.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// The process that ran the program at the time of the request.
    pub(super) process: ProcKey,
    /// The file ID of the kernel programs.
    pub(super) file: FileId,
    pub(super) exe: Option<ByteString>,
    pub(super) uid: u32,
    pub(super) root: Arc<Root>,
}

/// The result of an examination.
#[derive(Debug)]
pub(super) struct ExaminedProgram {
    pub(super) process: ProcKey,
    pub(super) file: FileId,
    /// `None` if the program is no Go tool, is gone, or cannot be read.
    pub(super) tool: Option<Candidate>,
}

impl ReadJob for Program {
    type Output = ExaminedProgram;

    fn file_owner(&self) -> FileOwner {
        self.root.file_owner(self.uid)
    }

    fn failed(&self) -> ExaminedProgram {
        ExaminedProgram {
            process: self.process,
            file: self.file,
            tool: None,
        }
    }

    fn run(self) -> ExaminedProgram {
        let exe = self.exe.as_ref();
        let path = exe.map_or_else(PathBuf::new, |exe| inspect::as_path(exe).to_owned());
        let file = self.open(&path);
        ExaminedProgram {
            tool: file.and_then(|it| Candidate::examine(it, &path)),
            ..self.failed()
        }
    }
}

impl Program {
    /// Opens the program of the process. After the end of the process, opens the program's path.
    fn open(&self, path: &Path) -> Option<File> {
        let of_process = File::open(format!("/proc/{}/exe", self.process.tgid.0));
        let of_process = of_process.ok().filter(|it| self.is_it(it));
        of_process.or_else(|| {
            let named = inspect::open_program(path).ok();
            named.filter(|it| self.is_it(it))
        })
    }

    fn is_it(&self, file: &File) -> bool {
        let metadata = file.metadata();
        metadata.is_ok_and(|it| toolchain::file_id(&it).is_content_of(self.file))
    }
}
