//! Writes the archive that the kernel unpacks as its first file system. The format is `newc`, described in
//! `Documentation/driver-api/early-userspace/buffer-format.rst`. The archive is not compressed: without hardware acceleration,
//! unpacking in the guest takes longer than reading.
//!
//! Supports directories, files and device nodes, all owned by root. It writes no links: a link on the host becomes a file.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const CHARACTERS: u32 = 0o020_000;

/// The part of the archive written so far.
#[derive(Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    n_entries: u32,
    directories: BTreeSet<PathBuf>,
}

impl Archive {
    /// Adds a directory and its parents, unless they exist.
    pub(super) fn directory(&mut self, path: &Path) -> Result<()> {
        if path.parent().is_none() || !self.directories.insert(path.to_owned()) {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.directory(parent)?;
        }
        self.entry(path, DIRECTORY | 0o755, (0, 0), &[])
    }

    /// Adds a file with this content.
    pub(super) fn file(&mut self, path: &Path, mode: u32, content: &[u8]) -> Result<()> {
        self.directory(path.parent().unwrap_or(path))?;
        self.entry(path, FILE | mode, (0, 0), content)
    }

    /// Adds a file of the host under another path. Follows links.
    pub(super) fn copy(&mut self, from: &Path, to: &Path) -> Result<()> {
        let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        let about = fs::metadata(from).with_context(|| format!("cannot see {}", from.display()))?;
        self.file(to, about.permissions().mode() & 0o777, &content)
    }

    /// Adds a directory of the host with its content, under another path.
    pub(super) fn tree_at(&mut self, from: &Path, to: &Path) -> Result<()> {
        self.directory(to)?;
        for path in children(from)? {
            let name = path.file_name().context("a path without a file name")?;
            if path.is_dir() {
                self.tree_at(&path, &to.join(name))?;
            } else {
                self.copy(&path, &to.join(name))?;
            }
        }
        Ok(())
    }

    /// Adds a character device.
    pub(super) fn device(&mut self, path: &Path, number: (u32, u32)) -> Result<()> {
        self.directory(path.parent().unwrap_or(path))?;
        self.entry(path, CHARACTERS | 0o600, number, &[])
    }

    /// Returns the complete archive.
    pub(super) fn finish(mut self) -> Result<Vec<u8>> {
        self.entry(Path::new("TRAILER!!!"), 0, (0, 0), &[])?;
        Ok(self.bytes)
    }

    fn entry(&mut self, path: &Path, mode: u32, device: (u32, u32), content: &[u8]) -> Result<()> {
        let name = path.to_str().context("the path is not UTF-8")?;
        let name = name.trim_start_matches('/');
        let size = u32::try_from(content.len())
            .with_context(|| format!("{} is too large", path.display()))?;
        let name_size = u32::try_from(name.len() + 1).context("the name is too long")?;
        self.n_entries += 1;
        let fields = [
            self.n_entries, // inode
            mode,
            0, // owner
            0, // group
            1, // links
            0, // time
            size,
            0,
            0, // device that contains the file
            device.0,
            device.1,
            name_size,
            0, // checksum, which this format does not have
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// Entries of a directory of the host, sorted.
pub(super) fn children(dir: &Path) -> Result<Vec<PathBuf>> {
    let printed = || format!("cannot list {}", dir.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).with_context(printed)? {
        paths.push(entry.with_context(printed)?.path());
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_each_directory_once_and_aligned_content() {
        let mut archive = Archive::default();
        archive.file(Path::new("/a/b"), 0o755, b"xyz").unwrap();
        archive.file(Path::new("/a/c"), 0o644, b"").unwrap();
        let bytes = archive.finish().unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let heads: Vec<usize> = text.match_indices("070701").map(|(at, _)| at).collect();
        assert_eq!(heads.len(), 4, "a, a/b, a/c and the end");
        assert!(heads.iter().all(|at| at % 4 == 0), "{heads:?}");
        assert!(
            text.contains("a/b\0xyz\0") || text.contains("a/b\0\0\0xyz\0"),
            "{text}"
        );
        assert!(text.ends_with("TRAILER!!!\0\0\0\0"), "{text:?}");
    }
}
