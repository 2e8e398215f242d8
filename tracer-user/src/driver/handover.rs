//! The files that an agent leaves for the next one: the probed tools, the reported losses, and the journal of running
//! builds (`journal`).
//!
//! Programs and maps themselves are pinned (`bpf::pinned`). bpffs stores no text, so these files are in a directory with
//! the same name elsewhere. A directory without matching pins is deleted.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, BufRead as _, BufReader, BufWriter, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use tracer_core::event::ProcKey;

use super::journal::Journal;
use crate::inspect::{self, Root};
use crate::toolchain::{self, Saved};

const TOOLS: &str = "tools";
const LOST: &str = "lost";
/// Maximum number of traced processes whose roots are searched for a tool that is not in gotrace's root.
const ROOTS_MAX: usize = 64;

/// The directory of a set of pins.
#[derive(Debug)]
pub(super) struct Handover {
    own: PathBuf,
    dir: PathBuf,
}

impl Handover {
    /// Opens the directory of the pins with this name, and deletes all others. `own` is created if necessary.
    pub(super) fn open(own: &Path, pinned_as: &str) -> io::Result<Self> {
        let dir = own.join(pinned_as);
        for dir in [own, &dir] {
            match DirBuilder::new().mode(0o700).create(dir) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        for entry in fs::read_dir(own)? {
            let other = entry?.path();
            if other != dir {
                fs::remove_dir_all(other)?;
            }
        }
        Ok(Self {
            own: own.to_owned(),
            dir,
        })
    }

    /// The saved tools, up to the first unreadable line.
    pub(super) fn tools(&self) -> Vec<Saved> {
        let Ok(file) = File::open(self.dir.join(TOOLS)) else {
            return Vec::new();
        };
        let lines = BufReader::new(file).lines().map_while(Result::ok);
        let tools = lines.map_while(|it| serde_json::from_str(&it).ok());
        tools.collect()
    }

    /// Replaces the saved tools atomically.
    pub(super) fn write_tools(&self, tools: impl Iterator<Item = Saved>) -> io::Result<()> {
        self.write(TOOLS, |writer| {
            for tool in tools {
                serde_json::to_writer(&mut *writer, &tool)?;
                writer.write_all(b"\n")?;
            }
            Ok(())
        })
    }

    /// Lost records of each kind, as last reported.
    pub(super) fn reported_losses(&self) -> BTreeMap<u16, u64> {
        let text = fs::read(self.dir.join(LOST)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    pub(super) fn save_reported_losses(&self, losses: &BTreeMap<u16, u64>) -> io::Result<()> {
        self.write(LOST, |writer| Ok(serde_json::to_writer(writer, losses)?))
    }

    /// Opens the journal of running builds.
    pub(super) fn journal(&self) -> io::Result<Journal> {
        Journal::open(self.dir.join("builds"))
    }

    fn write(
        &self,
        name: &str,
        put: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
    ) -> io::Result<()> {
        let new = self.dir.join("new");
        let file = File::options()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&new)?;
        let mut writer = BufWriter::new(file);
        put(&mut writer)?;
        writer
            .into_inner()
            .map_err(io::IntoInnerError::into_error)?;
        fs::rename(new, self.dir.join(name))
    }

    /// Deletes the files, because no agent follows.
    pub(super) fn remove(self) {
        // The next agent deletes any rest.
        let _left = fs::remove_dir_all(self.own);
    }
}

/// Opens the file of a saved tool, by its path in gotrace's root or in the root of a traced process.
pub(super) fn reopen(saved: &Saved, followed: &[ProcKey]) -> Option<File> {
    let path = inspect::as_path(saved.path());
    let is_it = |file: &File| {
        file.metadata()
            .is_ok_and(|it| toolchain::file_id(&it) == saved.file())
    };
    let own = inspect::open_program(path).ok().filter(is_it);
    own.or_else(|| {
        let roots = followed.iter().take(ROOTS_MAX);
        roots
            .filter_map(|it| Root::of(*it).ok()?.open_program(path).ok())
            .find(is_it)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_of_other_pins_is_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("own");
        let first = Handover::open(&own, "set-1").unwrap();
        first.write_tools(std::iter::empty()).unwrap();
        assert!(first.tools().is_empty());
        let second = Handover::open(&own, "set-2").unwrap();
        assert!(!own.join("set-1").exists() && own.join("set-2").exists());
        second.remove();
        assert!(!own.exists());
    }
}
