//! Replaces a file atomically: a reader, also after a crash, finds either the old or the new file.
//!
//! The new file is written beside the old one under another name, and then renamed. Links at either name are not followed: another
//! writer of the directory can destroy the file, but cannot redirect the write.

use std::fs::File;
use std::io::{self, ErrorKind, Write as _};
use std::path::Path;

use rustix::fs::{self, AtFlags, Mode, OFlags};

/// Suffix of a file that is being written.
pub(crate) const UNFINISHED: &str = ".unfinished";

/// The failures that a new file must survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// A crash of the process, but no power failure.
    Process,
    /// A power failure: the file is synced to the disk.
    Disk,
}

/// Creates or replaces a file with this name and content in the directory.
pub(crate) fn replace(
    dir: &Path,
    name: &str,
    mode: Mode,
    durability: Durability,
    content: &[u8],
) -> io::Result<()> {
    let dir = open_dir(dir)?;
    let unfinished = format!(".{name}{UNFINISHED}");
    // Left behind by a process that was killed.
    remove_at(&dir, &unfinished)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file = File::from(fs::openat(&dir, &unfinished, flags, mode)?);
    let written = fill(&mut file, mode, durability, content)
        .and_then(|()| Ok(fs::renameat(&dir, &unfinished, &dir, name)?));
    if let Err(error) = written {
        // Frees space on a full disk. A failure to remove the file changes nothing.
        let _left = remove_at(&dir, &unfinished);
        return Err(error);
    }
    match durability {
        Durability::Process => Ok(()),
        Durability::Disk => dir.sync_all(),
    }
}

/// Removes a file, if it exists.
pub(crate) fn remove(dir: &Path, name: &str) -> io::Result<()> {
    remove_at(&open_dir(dir)?, name)
}

fn fill(file: &mut File, mode: Mode, durability: Durability, content: &[u8]) -> io::Result<()> {
    // Independent of the umask.
    fs::fchmod(&*file, mode)?;
    file.write_all(content)?;
    match durability {
        Durability::Process => Ok(()),
        Durability::Disk => file.sync_all(),
    }
}

fn open_dir(dir: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(File::from(fs::open(dir, flags, Mode::empty())?))
}

fn remove_at(dir: &File, name: &str) -> io::Result<()> {
    match fs::unlinkat(dir, name, AtFlags::empty()).map_err(io::Error::from) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn links_are_replaced_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        let file = dir.path().join("file");
        symlink(&victim, &file).unwrap();
        symlink(&victim, dir.path().join(".file.unfinished")).unwrap();
        let mode = Mode::from(0o644);
        replace(dir.path(), "file", mode, Durability::Disk, b"new").unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "new");
        let metadata = std::fs::symlink_metadata(&file).unwrap();
        assert!(metadata.is_file());
        assert_eq!(metadata.permissions().mode() & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_failed_write_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("file")).unwrap();
        let mode = Mode::from(0o600);
        replace(dir.path(), "file", mode, Durability::Process, b"x").unwrap_err();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        remove(dir.path(), "absent").unwrap();
    }
}
