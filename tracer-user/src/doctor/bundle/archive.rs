//! The archive: a new file that only its user can read.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use super::{BundleFile, directory};
use crate::clock;
use crate::launch::caller::Caller;

/// A new, empty archive. It is created before the checks, so a wrong path is reported at once.
#[derive(Debug)]
pub struct Bundle(File);

impl Bundle {
    /// Creates the file with the rights of the caller of sudo. An existing file or link stays.
    pub fn create(path: &Path, caller: Option<&Caller>) -> anyhow::Result<Self> {
        let create = || create(path);
        let created = caller.map_or_else(create, |it| it.with_rights(create));
        match created {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                bail!("{} exists: choose another name", path.display())
            }
            created => created
                .map(Self)
                .with_context(|| format!("cannot create {}", path.display())),
        }
    }

    /// Writes the files.
    pub fn write(self, files: &[BundleFile]) -> anyhow::Result<()> {
        pack(files, self.0).context("cannot write the bundle")
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)
}

fn pack(files: &[BundleFile], file: File) -> io::Result<()> {
    let wall_ns = clock::wall_ns();
    let directory = directory(wall_ns);
    let mut archive = Builder::new(GzEncoder::new(file, Compression::default()));
    for BundleFile { name, text, .. } in files {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o600);
        header.set_size(u64::try_from(text.len()).unwrap_or(u64::MAX));
        header.set_mtime(u64::try_from(wall_ns / 1_000_000_000).unwrap_or(0));
        archive.append_data(&mut header, format!("{directory}/{name}"), text.as_bytes())?;
    }
    let mut file = archive.into_inner()?.finish()?;
    file.flush()?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    fn files() -> [BundleFile; 1] {
        [BundleFile {
            name: "version.txt",
            content: "version",
            text: "gotrace 1\n".to_owned(),
        }]
    }

    #[test]
    fn the_archive_is_private_and_contains_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b.tar.gz");
        let bundle = Bundle::create(&path, None).unwrap();
        bundle.write(&files()).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        let packed = File::open(&path).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed));
        let mut entries = archive.entries().unwrap();
        let mut entry = entries.next().unwrap().unwrap();
        assert!(entry.path().unwrap().ends_with("version.txt"));
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        assert_eq!(text, "gotrace 1\n");
        assert!(entries.next().is_none());
    }

    #[test]
    fn an_existing_file_and_a_link_stay() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        let link = dir.path().join("link");
        symlink(&victim, &link).unwrap();
        let dangling = dir.path().join("dangling");
        symlink(dir.path().join("absent"), &dangling).unwrap();
        for path in [&victim, &link, &dangling] {
            let error = Bundle::create(path, None).unwrap_err().to_string();
            assert!(error.contains("exists: choose another name"), "{error}");
        }
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
        assert!(!dir.path().join("absent").exists());
    }
}
