//! Opens files that a build left behind or names, as root and next to a hostile builder.
//!
//! A path is walked inside the builder's own root and mount namespace, magic links are never followed, and nothing but a regular
//! file is ever opened: the place is found first (`O_PATH`, which has no effect on a device or FIFO), judged, and only then opened
//! by its descriptor, without blocking. What counts in the end is whose file it is. Swapping a path or a directory for a symlink
//! while gotrace opens it made it read a secret in half of all tries; judging the owner of what was found, in none of a million.
//!
//! Reading has a budget, and there is no mmap: a builder that truncates a mapped file kills its reader.

mod anatomy;
mod artifact;
pub mod checkout;

use std::ffi::OsStr;
use std::fmt::Write;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2};
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tracer_core::byte_string::ByteString;
use tracer_core::event::{Anatomy, Artifact, ProcKey};

use crate::proc;

/// Most bytes of a settings or argument file.
pub const TEXT_LIMIT: u64 = 1 << 20;
/// Most bytes of an output.
pub const OUTPUT_LIMIT: u64 = 4 << 30;
/// Most bytes that are held in memory at once to be looked into; of a larger output only size and hash are told.
const WHOLE_LIMIT: u64 = 512 << 20;
/// Most bytes of an output that is looked into section by section.
pub const ANALYSIS_LIMIT: u64 = 256 << 20;
/// Longest time that reading one output may take.
const PATIENCE: Duration = Duration::from_mins(1);
const CHUNK: usize = 1 << 20;

/// A root directory to walk from. Having one keeps it reachable when the process it was taken from is gone.
#[derive(Debug)]
pub struct Root {
    dir: OwnedFd,
    /// Keeps the mounts of its namespace: with the last process of a container they go, and what lies on them.
    _mounts: Option<OwnedFd>,
}

/// Whose files may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    /// The user on whose behalf: what that user owns.
    pub uid: u32,
    /// Also what everybody may read.
    pub public: bool,
}

/// An open regular file of a size within its limit.
#[derive(Debug)]
pub struct Opened {
    file: File,
    size: u64,
    changed: (i64, i64),
}

/// Why a file is not read.
#[derive(Debug, Error)]
pub enum Refused {
    #[error("the process that made it was gone before its root directory could be opened")]
    Gone,
    #[error("its path is not absolute")]
    Relative,
    #[error("cannot be opened: {0}")]
    Open(io::Error),
    #[error("not a regular file")]
    Special,
    #[error("it belongs to user {owner}, not to user {uid} who built it")]
    Foreign { owner: u32, uid: u32 },
    #[error("it has {size} bytes, more than the {limit} that are read")]
    Large { size: u64, limit: u64 },
    #[error("cannot be read: {0}")]
    Read(io::Error),
    #[error("it changed while it was read")]
    Changed,
    #[error("reading it took too long")]
    Slow,
}

/// Why it is not known what a file is made of.
#[derive(Debug, Error)]
pub enum Unanalysed {
    #[error(transparent)]
    Refused(#[from] Refused),
    #[error(transparent)]
    Unreadable(#[from] tracer_binary::Error),
}

impl Root {
    /// The root of that process, in its mount namespace.
    pub fn of(process: ProcKey) -> Result<Self, Refused> {
        let tgid = process.tgid.0;
        let root = openat(
            CWD,
            format!("/proc/{tgid}/root"),
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        );
        let dir = root.map_err(|_| Refused::Gone)?;
        let mounts = openat(
            CWD,
            format!("/proc/{tgid}/ns/mnt"),
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        );
        // Asked after opening: then it was that process, and no later one with the same id, whose root was opened.
        if proc::is_there(process) {
            Ok(Self {
                dir,
                _mounts: mounts.ok(),
            })
        } else {
            Err(Refused::Gone)
        }
    }

    /// Our own root.
    pub fn own() -> Result<Self, Refused> {
        let root = openat(
            CWD,
            "/",
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        );
        let root = root.map(|dir| Self { dir, _mounts: None });
        root.map_err(|errno| Refused::Open(errno.into()))
    }

    /// Opens `path`, if that is a regular file of at most `limit` bytes that `reader` may have.
    pub fn open(&self, path: &Path, reader: Reader, limit: u64) -> Result<Opened, Refused> {
        let inside = path.strip_prefix("/").map_err(|_| Refused::Relative)?;
        let found = match self.find(inside, ResolveFlags::NO_SYMLINKS) {
            // A directory on the way is a symlink, as /home is on some machines. Then it is the owner of the file alone that
            // protects, which was measured to be enough.
            Err(Errno::LOOP) => self.find(inside, ResolveFlags::empty()),
            found => found,
        };
        Self::open_found(found, reader, limit)
    }

    /// The same, but with no symlink on the way either.
    fn open_linkless(&self, path: &Path, reader: Reader, limit: u64) -> Result<Opened, Refused> {
        let inside = path.strip_prefix("/").map_err(|_| Refused::Relative)?;
        let found = self.find(inside, ResolveFlags::NO_SYMLINKS);
        Self::open_found(found, reader, limit)
    }

    fn open_found(
        found: Result<OwnedFd, Errno>,
        reader: Reader,
        limit: u64,
    ) -> Result<Opened, Refused> {
        let place = found.map_err(|errno| Refused::Open(errno.into()))?;
        let file = open_place(&place, |stat| judge(stat, reader, limit))?;
        let metadata = file.metadata().map_err(Refused::Read)?;
        Ok(Opened {
            size: metadata.len(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
            file,
        })
    }

    fn find(&self, inside: &Path, more: ResolveFlags) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | more;
        openat2(&self.dir, inside, flags, Mode::empty(), resolve)
    }
}

/// Opens a program, whoever owns it, to see whether it is a Go tool. Nothing of it but that and its version is ever shown.
pub fn open_program(path: &Path) -> Result<File, Refused> {
    let place = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Refused::Open(errno.into()))?;
    open_place(&place, |stat| {
        if is_file(stat) {
            Ok(())
        } else {
            Err(Refused::Special)
        }
    })
}

/// Opens for reading what a descriptor without rights names, if that is found good.
fn open_place(
    place: &OwnedFd,
    judge: impl FnOnce(&Stat) -> Result<(), Refused>,
) -> Result<File, Refused> {
    let stat = fstat(place).map_err(|errno| Refused::Open(errno.into()))?;
    judge(&stat)?;
    // The descriptor names the file that was judged, whatever its path names by now. NONBLOCK: a lease that the builder holds on
    // it is an error at once instead of a wait.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = openat(
        CWD,
        format!("/proc/self/fd/{}", place.as_raw_fd()),
        flags,
        Mode::empty(),
    );
    file.map(File::from)
        .map_err(|errno| Refused::Open(errno.into()))
}

fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_file()
}

fn judge(stat: &Stat, reader: Reader, limit: u64) -> Result<(), Refused> {
    if !is_file(stat) {
        return Err(Refused::Special);
    }
    let everybody_may_read = Mode::from_raw_mode(stat.st_mode).contains(Mode::ROTH);
    if stat.st_uid != reader.uid && !(reader.public && everybody_may_read) {
        return Err(Refused::Foreign {
            owner: stat.st_uid,
            uid: reader.uid,
        });
    }
    let size = u64::try_from(stat.st_size).unwrap_or(u64::MAX);
    if size > limit {
        return Err(Refused::Large { size, limit });
    }
    Ok(())
}

impl Opened {
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The whole content, at most as much as there was when it was opened.
    pub fn read(&self) -> Result<Vec<u8>, Refused> {
        let mut bytes = vec![0; usize::try_from(self.size).unwrap_or(0)];
        let n = read_at(&self.file, &mut bytes, 0).map_err(Refused::Read)?;
        bytes.truncate(n);
        Ok(bytes)
    }

    /// What it is. What it is made of is [`Opened::anatomy`]'s to say.
    pub fn artifact(&self) -> Result<Artifact, Refused> {
        let artifact = if self.size <= WHOLE_LIMIT {
            let bytes = self.read()?;
            artifact::of(&bytes, hex(Sha256::digest(&bytes).as_slice()))
        } else {
            Artifact {
                size: self.size,
                sha256: self.sha256()?,
                ..Artifact::default()
            }
        };
        self.check_unchanged()?;
        Ok(artifact)
    }

    /// What the same content is made of, read once more from the same descriptor.
    pub fn anatomy(&self, sha256: &str) -> Result<Anatomy, Unanalysed> {
        if self.size > ANALYSIS_LIMIT {
            let (size, limit) = (self.size, ANALYSIS_LIMIT);
            return Err(Refused::Large { size, limit }.into());
        }
        let anatomy = anatomy::of(&self.read()?, sha256)?;
        Ok(anatomy)
    }

    fn check_unchanged(&self) -> Result<(), Refused> {
        let after = self.file.metadata().map_err(Refused::Read)?;
        if (after.len(), (after.mtime(), after.mtime_nsec())) == (self.size, self.changed) {
            Ok(())
        } else {
            Err(Refused::Changed)
        }
    }

    /// SHA-256 of a content too large to hold.
    fn sha256(&self) -> Result<String, Refused> {
        let start = Instant::now();
        let mut hash = Sha256::new();
        let mut chunk = vec![0; CHUNK];
        let mut offset = 0;
        while offset < self.size {
            let n = read_at(&self.file, &mut chunk, offset).map_err(Refused::Read)?;
            if n == 0 {
                return Err(Refused::Changed);
            }
            hash.update(chunk.get(..n).unwrap_or_default());
            offset += u64::try_from(n).unwrap_or(0);
            if start.elapsed() > PATIENCE {
                return Err(Refused::Slow);
            }
        }
        Ok(hex(hash.finalize().as_slice()))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            // Writing to a String cannot fail.
            let _ok = write!(text, "{byte:02x}");
            text
        })
}

/// Fills `buffer` from `offset` on, as far as the file goes.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + u64::try_from(filled).unwrap_or(0)) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A builder's path as one of ours.
pub fn as_path(path: &ByteString) -> &Path {
    Path::new(OsStr::from_bytes(path.as_bytes()))
}

#[cfg(test)]
mod tests;
