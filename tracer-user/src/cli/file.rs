//! Output files. They are created before the command runs, so a wrong path is reported at once, and replace an existing file only when they
//! are complete. Under sudo they are created with the caller's permissions and belong to the caller.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::launch::caller::Caller;

/// An incomplete file. Dropping it without [`NewFile::keep`] removes it.
#[derive(Debug)]
pub(super) struct NewFile {
    file: File,
    paths: Option<Paths>,
}

/// The temporary and the final path. A device or a pipe has none, because it is written directly.
#[derive(Debug)]
struct Paths {
    temporary: PathBuf,
    path: PathBuf,
}

impl NewFile {
    pub(super) fn create(path: &Path, caller: Option<&Caller>) -> anyhow::Result<Self> {
        with_rights(caller, || Self::create_here(path))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    fn create_here(path: &Path) -> io::Result<Self> {
        let path = match fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() => {
                return Ok(Self {
                    file: OpenOptions::new().write(true).open(path)?,
                    paths: None,
                });
            }
            // If the path is a symlink, replace its target, not the symlink.
            Ok(_) => fs::canonicalize(path)?,
            Err(_) => path.to_owned(),
        };
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut temporary = OsString::from(".");
        temporary.push(name);
        temporary.push(format!(".{}.tmp", std::process::id()));
        let temporary = path.with_file_name(temporary);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)?;
        Ok(Self {
            file,
            paths: Some(Paths { temporary, path }),
        })
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Moves the file to its final path.
    pub(super) fn keep(mut self, caller: Option<&Caller>) -> anyhow::Result<()> {
        let Some(paths) = &self.paths else {
            return Ok(());
        };
        with_rights(caller, || fs::rename(&paths.temporary, &paths.path))
            .with_context(|| format!("cannot write {}", paths.path.display()))?;
        self.paths = None;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if let Some(paths) = &self.paths {
            let _gone_already = fs::remove_file(&paths.temporary);
        }
    }
}

fn with_rights<T>(caller: Option<&Caller>, f: impl FnOnce() -> T) -> T {
    match caller {
        Some(caller) => caller.with_rights(f),
        None => f(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_that_is_not_kept_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        drop(NewFile::create(&path, None).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn an_older_file_stays_until_the_new_one_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        fs::write(&path, "old").unwrap();
        let new = NewFile::create(&path, None).unwrap();
        new.file().write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        new.keep(None).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_device_is_written_and_not_replaced() {
        let new = NewFile::create(Path::new("/dev/null"), None).unwrap();
        new.file().write_all(b"x").unwrap();
        new.keep(None).unwrap();
    }

    #[test]
    fn a_missing_directory_is_reported_with_the_path() {
        let error = NewFile::create(Path::new("/no/such/dir/out"), None).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "cannot write /no/such/dir/out: No such file or directory (os error 2)"
        );
    }
}
