//! Opens files that a build wrote or names. gotrace runs as root, and the builder may be hostile.
//!
//! A path is resolved inside the builder's own root and mount namespace. Magic links are never followed, and only regular files are
//! opened. Opening has three steps: open the path with `O_PATH`, which has no effect on a device or FIFO; check the file; open it by
//! its descriptor, without blocking. The decisive check is the owner of the file. A builder can swap a path or a directory for a symlink
//! during the opening. Without this check, gotrace then read a secret in half of all tries; with it, in none of a million.
//!
//! This module reads only small texts. It passes an output to a child ([`ReaderSpawner`]): a sandboxed process for one file, which
//! reads it under limits and identifies it.

mod anatomy;
mod answer;
mod artifact;
pub mod checkout;
pub mod child;
mod child_process;
mod writers;

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat, StatxFlags, fstat, openat, openat2,
    statx,
};
use rustix::io::Errno;
use thiserror::Error;
use tracer_core::byte_string::ByteString;
use tracer_core::event::{Anatomy, Artifact, ProcKey};

pub use self::anatomy::of_content as anatomy;
use self::answer::Found;
use self::child::Task;
pub use self::child::{CPU_SECONDS as READER_CPU_SECONDS, MEMORY as READER_MEMORY};
pub use self::child_process::{ReaderError, ReaderSpawner};
pub use self::writers::LOCAL_FILE_SYSTEMS;
use crate::proc;

/// Maximum size of a settings or argument file.
pub const TEXT_LIMIT: u64 = 1 << 20;
/// Maximum size of an output.
pub const OUTPUT_LIMIT: u64 = 4 << 30;
/// Maximum size of an output that is read into memory. For a larger output, only size and hash are reported.
const WHOLE_LIMIT: u64 = 512 << 20;
/// Maximum size of an output that is analysed by section.
pub const ANALYSIS_LIMIT: u64 = 256 << 20;
/// The minimum stored part (one in so many bytes) of a file that is too large for memory. A file of holes costs its builder nothing.
const STORED_PART: u64 = 16;
/// The unit of `st_blocks`.
const BLOCK: u64 = 512;

/// A root directory for resolving paths. A value keeps it reachable after its process has ended.
#[derive(Debug)]
pub struct Root {
    dir: OwnedFd,
    /// Keeps the mounts of its namespace and the files on them, which otherwise disappear with the last process of a container.
    mounts: Option<OwnedFd>,
    /// Unique among open roots; unknown before Linux 5.8.
    id: Option<RootId>,
}

/// A mount, which belongs to one namespace, and a directory on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RootId {
    mount: u64,
    /// Device and inode. Several directories of one btrfs mount have the same inode number.
    dir: (u32, u32, u64),
}

/// The owner of a file: a user in a mount namespace. Containers with the same user IDs have different owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileOwner {
    uid: u32,
    mounts: Option<u64>,
}

/// The files that may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Files of this user may be read.
    pub uid: u32,
    /// True if files that all users may read are allowed too.
    pub public: bool,
}

/// An open regular file within its size limit.
#[derive(Debug)]
pub struct Opened {
    file: File,
    size: u64,
    changed: (i64, i64),
}

/// The reason why a file is not read.
#[derive(Debug, Error)]
pub enum Refused {
    #[error("the process that wrote it ended before gotrace could open its root directory")]
    Gone,
    #[error("building processes already use {0} other root directories")]
    Crowded(usize),
    #[error("its path is not absolute")]
    Relative,
    #[error("cannot be opened: {0}")]
    Open(io::Error),
    #[error("not a regular file")]
    Special,
    #[error("it belongs to user {owner}, not to user {uid}, who built it")]
    Foreign { owner: u32, uid: u32 },
    #[error("it has {size} bytes, more than the {limit} that are read")]
    Large { size: u64, limit: u64 },
    #[error("it has {size} bytes, but only {stored} of them are stored")]
    Sparse { size: u64, stored: u64 },
    #[error("cannot be read: {0}")]
    Read(io::Error),
    #[error("it changed while it was read")]
    Changed,
    #[error(transparent)]
    Reader(#[from] ReaderError),
}

/// The reason why a file is not analysed.
#[derive(Debug, Error)]
pub enum Unanalysed {
    #[error("it has {size} bytes, more than the {limit} that are read")]
    Large { size: u64, limit: u64 },
    #[error("cannot be read: {0}")]
    Read(io::Error),
    #[error("it changed while it was read")]
    Changed,
    /// The child's message.
    #[error("{0}")]
    Unreadable(String),
    #[error(transparent)]
    Reader(#[from] ReaderError),
}

impl Root {
    /// The root of a process, in its mount namespace.
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
        // Check this after opening, so that the root belongs to this process and not to a later one with the same ID.
        if proc::is_there(process) {
            Ok(Self {
                id: RootId::of(&dir),
                dir,
                mounts: mounts.ok(),
            })
        } else {
            Err(Refused::Gone)
        }
    }

    /// The root of gotrace itself.
    pub fn own() -> Result<Self, Refused> {
        let root = openat(
            CWD,
            "/",
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        );
        let root = root.map(|dir| Self {
            id: RootId::of(&dir),
            dir,
            mounts: None,
        });
        root.map_err(|errno| Refused::Open(errno.into()))
    }

    /// True if both roots contain the same files and keep the same mounts.
    pub fn is_same(&self, other: &Self) -> bool {
        let keeps = |it: &Self| it.mounts.is_some();
        self.id.is_some() && self.id == other.id && keeps(self) == keeps(other)
    }

    /// A root as on a kernel that does not report the mount.
    #[cfg(test)]
    pub(crate) fn without_id(self) -> Self {
        Self { id: None, ..self }
    }

    /// The owner of this user's files below this root.
    pub fn file_owner(&self, uid: u32) -> FileOwner {
        let mounts = self.mounts.as_ref().and_then(|it| fstat(it).ok());
        FileOwner {
            uid,
            mounts: mounts.map(|it| it.st_ino),
        }
    }

    /// Opens `path`, if it is a regular file of at most `limit` bytes that `reader` may read.
    pub fn open(&self, path: &Path, reader: Reader, limit: u64) -> Result<Opened, Refused> {
        let inside = path.strip_prefix("/").map_err(|_| Refused::Relative)?;
        let found = match self.find(inside, ResolveFlags::NO_SYMLINKS) {
            // A directory of the path is a symlink, as /home is on some machines. Then only the check of the file's owner protects;
            // a measurement showed that it is enough.
            Err(Errno::LOOP) => self.find(inside, ResolveFlags::empty()),
            found => found,
        };
        Self::open_found(found, reader, limit)
    }

    /// The same, but no component of the path may be a symlink.
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
        let path_fd = found.map_err(|errno| Refused::Open(errno.into()))?;
        let file = open_checked(&path_fd, |stat| check_stat(stat, reader, limit))?;
        let metadata = file.metadata().map_err(Refused::Read)?;
        Ok(Opened {
            size: metadata.len(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
            file,
        })
    }

    /// The same as [`open_program`], below this root.
    pub fn open_program(&self, path: &Path) -> Result<File, Refused> {
        let inside = path.strip_prefix("/").map_err(|_| Refused::Relative)?;
        let path_fd = self.find(inside, ResolveFlags::empty());
        open_any(&path_fd.map_err(|errno| Refused::Open(errno.into()))?)
    }

    fn find(&self, inside: &Path, more: ResolveFlags) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | more;
        openat2(&self.dir, inside, flags, Mode::empty(), resolve)
    }
}

impl RootId {
    /// The ID of an open directory. The kernel reuses the number of a mount only when nothing uses the mount any more.
    fn of(dir: &OwnedFd) -> Option<Self> {
        let wanted = StatxFlags::INO | StatxFlags::MNT_ID;
        let stat = statx(dir, "", AtFlags::EMPTY_PATH, wanted).ok()?;
        let is_complete = StatxFlags::from_bits_retain(stat.stx_mask).contains(wanted);
        is_complete.then_some(Self {
            mount: stat.stx_mnt_id,
            dir: (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino),
        })
    }
}

/// Opens a program of any owner, to check whether it is a Go tool. gotrace only reports the result of this check and the version.
pub fn open_program(path: &Path) -> Result<File, Refused> {
    let path_fd = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Refused::Open(errno.into()))?;
    open_any(&path_fd)
}

fn open_any(path_fd: &OwnedFd) -> Result<File, Refused> {
    open_checked(path_fd, |stat| {
        if is_file(stat) {
            Ok(())
        } else {
            Err(Refused::Special)
        }
    })
}

/// Opens the file of an `O_PATH` descriptor for reading, if the check accepts it.
fn open_checked(
    path_fd: &OwnedFd,
    check_stat: impl FnOnce(&Stat) -> Result<(), Refused>,
) -> Result<File, Refused> {
    let stat = fstat(path_fd).map_err(|errno| Refused::Open(errno.into()))?;
    check_stat(&stat)?;
    // The descriptor refers to the checked file, regardless of its current path. NONBLOCK: if the builder holds a lease on the file,
    // the call fails at once instead of blocking.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = openat(
        CWD,
        format!("/proc/self/fd/{}", path_fd.as_raw_fd()),
        flags,
        Mode::empty(),
    );
    file.map(File::from)
        .map_err(|errno| Refused::Open(errno.into()))
}

fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_file()
}

fn check_stat(stat: &Stat, reader: Reader, limit: u64) -> Result<(), Refused> {
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
    // Smaller files are not checked: some file systems report the stored size only seconds later, and compression reduces it.
    let stored = u64::try_from(stat.st_blocks)
        .unwrap_or(0)
        .saturating_mul(BLOCK);
    if size > WHOLE_LIMIT && stored < size / STORED_PART {
        return Err(Refused::Sparse { size, stored });
    }
    Ok(())
}

impl Opened {
    pub fn file(&self) -> &File {
        &self.file
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads the whole content, up to the size at the time of opening.
    pub fn read(&self) -> Result<Vec<u8>, Refused> {
        let mut bytes = vec![0; usize::try_from(self.size).unwrap_or(0)];
        let n = read_at(&self.file, &mut bytes, 0).map_err(Refused::Read)?;
        bytes.truncate(n);
        Ok(bytes)
    }

    /// Identifies the file. [`Opened::anatomy`] reports its composition.
    pub fn artifact(&self, spawner: &ReaderSpawner) -> Result<Artifact, Refused> {
        match spawner.ask(&self.file, self.size, &Task::Identity)? {
            Found::Identity(artifact) => {
                self.check_unchanged()?;
                Ok(*artifact)
            }
            Found::Unread(errno) => Err(Refused::Read(io::Error::from_raw_os_error(errno))),
            Found::Changed => Err(Refused::Changed),
            Found::Anatomy(_) | Found::NoProgram | Found::Unreadable(_) | Found::Unsafe(_) => {
                Err(ReaderError::Nonsense.into())
            }
        }
    }

    /// Analyses the content with this SHA-256, read again from the same descriptor. `None` if it is no program.
    pub fn anatomy(
        &self,
        sha256: &str,
        spawner: &ReaderSpawner,
    ) -> Result<Option<Anatomy>, Unanalysed> {
        if self.size > ANALYSIS_LIMIT {
            let (size, limit) = (self.size, ANALYSIS_LIMIT);
            return Err(Unanalysed::Large { size, limit });
        }
        let sha256 = sha256.to_owned();
        match spawner.ask(&self.file, self.size, &Task::Anatomy { sha256 })? {
            Found::Anatomy(anatomy) => Ok(Some(anatomy)),
            Found::NoProgram => Ok(None),
            Found::Changed => Err(Unanalysed::Changed),
            Found::Unreadable(why) => Err(Unanalysed::Unreadable(why)),
            Found::Unread(errno) => Err(Unanalysed::Read(io::Error::from_raw_os_error(errno))),
            Found::Identity(_) | Found::Unsafe(_) => Err(ReaderError::Nonsense.into()),
        }
    }

    fn check_unchanged(&self) -> Result<(), Refused> {
        let after = self.file.metadata().map_err(Refused::Read)?;
        if (after.len(), (after.mtime(), after.mtime_nsec())) == (self.size, self.changed) {
            Ok(())
        } else {
            Err(Refused::Changed)
        }
    }
}

/// Fills `buffer` from `offset` on, up to the end of the file.
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

/// Converts a builder's path.
pub fn as_path(path: &ByteString) -> &Path {
    Path::new(OsStr::from_bytes(path.as_bytes()))
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use self::tests::misbehave;
