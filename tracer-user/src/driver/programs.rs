//! Looks at programs that were executed: which is a Go tool, and where that could be probed.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracer_core::byte_string::ByteString;
use tracer_core::event::{FileId, ProcKey};

use super::readers::ReadJob;
use crate::inspect::{self, Neighbour, Root};
use crate::toolchain::{self, Candidate};

/// A program to look at.
#[derive(Clone, Debug)]
pub(super) struct Program {
    /// Runs it, or did when it was asked.
    pub(super) process: ProcKey,
    /// As the kernel names it.
    pub(super) file: FileId,
    pub(super) exe: Option<ByteString>,
    pub(super) uid: u32,
    pub(super) root: Arc<Root>,
}

/// What it is.
#[derive(Debug)]
pub(super) struct ExaminedProgram {
    pub(super) process: ProcKey,
    pub(super) file: FileId,
    /// Nothing: no Go tool, or gone, or not to be read.
    pub(super) tool: Option<Candidate>,
}

impl ReadJob for Program {
    type Output = ExaminedProgram;

    fn neighbour(&self) -> Neighbour {
        self.root.neighbour(self.uid)
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
    /// What the process runs, while it does; after that what its path names.
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
