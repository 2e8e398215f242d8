//! Opens files that a build left behind or names, as root and next to a hostile builder.
//!
//! A path is walked inside the builder's own root and mount namespace, magic links are never followed, and nothing but a regular
//! file is ever opened: the place is found first (`O_PATH`, which has no effect on a device or FIFO), judged, and only then opened
//! by its descriptor, without blocking. What counts in the end is whose file it is. Swapping a path or a directory for a symlink
//! while gotrace opens it made it read a secret in half of all tries; judging the owner of what was found, in none of a million.
//!
//! What is opened here is not read here, but for small texts: an output is handed to a child ([`ReaderSpawner`]), a one-shot process
//! behind restrictions, which reads it under a budget and says what it is.

mod child_process;
mod anatomy;
mod answer;
mod artifact;
pub mod checkout;
pub mod child;

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

pub use self::child_process::{ReaderSpawner, ReaderError};
use self::answer::Found;
use self::child::Task;
pub use self::child::{CPU_SECONDS as READER_CPU_SECONDS, MEMORY as READER_MEMORY};
use crate::proc;

/// Most bytes of a settings or argument file.
pub const TEXT_LIMIT: u64 = 1 << 20;
/// Most bytes of an output.
pub const OUTPUT_LIMIT: u64 = 4 << 30;
/// Most bytes that are held in memory at once to be looked into; of a larger output only size and hash are told.
const WHOLE_LIMIT: u64 = 512 << 20;
/// Most bytes of an output that is looked into section by section.
pub const ANALYSIS_LIMIT: u64 = 256 << 20;
/// Of a file that is too large to be held, at least this part must be stored: one that is all hole costs its builder nothing.
const STORED_PART: u64 = 16;
/// What `st_blocks` counts.
const BLOCK: u64 = 512;

/// A root directory to walk from. Having one keeps it reachable when the process it was taken from is gone.
#[derive(Debug)]
pub struct Root {
    dir: OwnedFd,
    /// Keeps the mounts of its namespace: with the last process of a container they go, and what lies on them.
    mounts: Option<OwnedFd>,
    /// What no other root has as long as this one is open; not known before Linux 5.8.
    id: Option<RootId>,
}

/// A mount, which is of one namespace, and a directory on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RootId {
    mount: u64,
    /// Device and inode: a mount of btrfs has several of the same number.
    dir: (u32, u32, u64),
}

/// Whom a file comes from: a user, and where that user lives, which for containers with the same users are several places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileOwner {
    uid: u32,
    mounts: Option<u64>,
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
    #[error("processes that build are in {0} other roots")]
    Crowded(usize),
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
    #[error("it has {size} bytes, of which {stored} are stored")]
    Sparse { size: u64, stored: u64 },
    #[error("cannot be read: {0}")]
    Read(io::Error),
    #[error("it changed while it was read")]
    Changed,
    #[error(transparent)]
    Reader(#[from] ReaderError),
}

/// Why it is not known what a file is made of.
#[derive(Debug, Error)]
pub enum Unanalysed {
    #[error("it has {size} bytes, more than the {limit} that are read")]
    Large { size: u64, limit: u64 },
    #[error("cannot be read: {0}")]
    Read(io::Error),
    #[error("it changed while it was read")]
    Changed,
    /// In the words of the child.
    #[error("{0}")]
    Unreadable(String),
    #[error(transparent)]
    Reader(#[from] ReaderError),
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
                id: RootId::of(&dir),
                dir,
                mounts: mounts.ok(),
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
        let root = root.map(|dir| Self {
            id: RootId::of(&dir),
            dir,
            mounts: None,
        });
        root.map_err(|errno| Refused::Open(errno.into()))
    }

    /// Whether all that is found in one of them is found in the other, and both keep the same from going.
    pub fn is_same(&self, other: &Self) -> bool {
        let keeps = |it: &Self| it.mounts.is_some();
        self.id.is_some() && self.id == other.id && keeps(self) == keeps(other)
    }

    /// As on a kernel that does not say which mount it is on.
    #[cfg(test)]
    pub(crate) fn without_id(self) -> Self {
        Self {
            id: None,
            ..self
        }
    }

    /// Whom files in here come from that are this user's.
    pub fn file_owner(&self, uid: u32) -> FileOwner {
        let mounts = self.mounts.as_ref().and_then(|it| fstat(it).ok());
        FileOwner {
            uid,
            mounts: mounts.map(|it| it.st_ino),
        }
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

    /// The same as [`open_program`], in here.
    pub fn open_program(&self, path: &Path) -> Result<File, Refused> {
        let inside = path.strip_prefix("/").map_err(|_| Refused::Relative)?;
        let place = self.find(inside, ResolveFlags::empty());
        open_any(&place.map_err(|errno| Refused::Open(errno.into()))?)
    }

    fn find(&self, inside: &Path, more: ResolveFlags) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | more;
        openat2(&self.dir, inside, flags, Mode::empty(), resolve)
    }
}

impl RootId {
    /// Of an open directory: the kernel gives the number of a mount to another only when nothing holds that one any more.
    fn of(dir: &OwnedFd) -> Option<Self> {
        let wanted = StatxFlags::INO | StatxFlags::MNT_ID;
        let told = statx(dir, "", AtFlags::EMPTY_PATH, wanted).ok()?;
        let is_told = StatxFlags::from_bits_retain(told.stx_mask).contains(wanted);
        is_told.then_some(Self {
            mount: told.stx_mnt_id,
            dir: (told.stx_dev_major, told.stx_dev_minor, told.stx_ino),
        })
    }
}

/// Opens a program, whoever owns it, to see whether it is a Go tool. Nothing of it but that and its version is ever shown.
pub fn open_program(path: &Path) -> Result<File, Refused> {
    let place = openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| Refused::Open(errno.into()))?;
    open_any(&place)
}

fn open_any(place: &OwnedFd) -> Result<File, Refused> {
    open_place(place, |stat| {
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
    // Not asked of smaller files: some file systems say what is stored only seconds later, and compressed it is less.
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

    /// The whole content, at most as much as there was when it was opened.
    pub fn read(&self) -> Result<Vec<u8>, Refused> {
        let mut bytes = vec![0; usize::try_from(self.size).unwrap_or(0)];
        let n = read_at(&self.file, &mut bytes, 0).map_err(Refused::Read)?;
        bytes.truncate(n);
        Ok(bytes)
    }

    /// What it is. What it is made of is [`Opened::anatomy`]'s to say.
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

    /// What the content with this SHA-256 is made of, read once more from the same descriptor. Nothing, if it is no program.
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
#[cfg(test)]
pub(crate) use self::tests::misbehave;
