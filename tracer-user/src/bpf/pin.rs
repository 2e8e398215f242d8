//! A directory on bpffs with pinned programs, maps and links, which stay attached after their process has ended.
//!
//! The directory contains sets. A set is a directory with everything that one load created; its name identifies the programs. A rename
//! makes a complete set visible at once, so a visible set is always complete. One process at a time owns the directory. This module
//! has no list of the programs, and does not decide whether a set is still useful.

use std::fs::DirBuilder;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, CWD, Dir, FlockOperation, Mode, OFlags, flock, fstat, fstatfs, mkdirat, openat,
    renameat, statat, unlinkat,
};
use rustix::process::geteuid;
use thiserror::Error as ThisError;
use zerocopy::{Immutable, IntoBytes};

/// From `include/uapi/linux/magic.h`.
const BPF_FS_MAGIC: u32 = 0xcafe_4a11;
/// Name of an incomplete set.
const NEW: &str = "new";
/// Prefix of the names of sets.
pub(super) const SET: &str = "set-";
/// Name of an empty directory. It announces that another agent takes over when the current one ends.
const UPGRADE: &str = "upgrade";
/// Seconds after which an announcement expires.
const UPGRADE_SECONDS: i64 = 60;

// From `include/uapi/linux/bpf.h`.
const BPF_OBJ_PIN: libc::c_long = 6;
const BPF_OBJ_GET: libc::c_long = 7;

/// A failed operation and its path.
#[derive(Debug, ThisError)]
#[error("cannot {what} {}", path.display())]
pub struct PinError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// The directory. A value proves that no other process owns it.
#[derive(Debug)]
pub struct PinDir {
    dir: OwnedFd,
    path: PathBuf,
}

/// A set. A clone refers to the same set, and keeps the current name for its error messages.
#[derive(Clone, Debug)]
pub(super) struct PinSet {
    dir: Arc<OwnedFd>,
    name: String,
    /// The parent directory, for error messages.
    parent: PathBuf,
}

impl PinDir {
    /// Locks the directory; creates it if it is missing. It must be on bpffs, belong to this user, and be closed to all others.
    pub fn take(path: &Path) -> Result<Self, PinError> {
        let fail = |what, source| PinError {
            what,
            path: path.to_owned(),
            source,
        };
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(fail("create the directory", error));
            }
            Ok(()) | Err(_) => {}
        }
        let dir = open_dir(CWD, path).map_err(|it| fail("open the directory", it))?;
        check(&dir).map_err(|it| fail("pin BPF objects in", it))?;
        flock(&dir, FlockOperation::NonBlockingLockExclusive).map_err(|it| {
            fail(
                "lock the directory, because another agent uses it:",
                it.into(),
            )
        })?;
        Ok(Self {
            dir,
            path: path.to_owned(),
        })
    }

    /// True if a process owns this directory now.
    pub fn is_taken(path: &Path) -> io::Result<bool> {
        let dir = open_dir(CWD, path)?;
        match flock(&dir, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Names of the complete sets.
    pub(super) fn sets(&self) -> Vec<String> {
        let mut sets = names(&self.dir);
        sets.retain(|it| it.starts_with(SET));
        sets
    }

    /// Opens a set.
    pub(super) fn set(&self, name: &str) -> Result<PinSet, PinError> {
        let dir = open_dir(&self.dir, Path::new(name))
            .map_err(|source| self.error("open the set", name, source))?;
        Ok(PinSet {
            dir: Arc::new(dir),
            name: name.to_owned(),
            parent: self.path.clone(),
        })
    }

    /// Creates an empty, incomplete set.
    pub(super) fn begin(&self) -> Result<PinSet, PinError> {
        // An earlier process may have been killed before it completed its set.
        self.remove(NEW)?;
        mkdirat(&self.dir, NEW, Mode::RWXU)
            .map_err(|errno| self.error("create the set", NEW, errno.into()))?;
        self.set(NEW)
    }

    /// Publishes a complete set under this name.
    pub(super) fn complete(&self, set: PinSet, name: String) -> Result<PinSet, PinError> {
        renameat(&self.dir, &set.name, &self.dir, &name)
            .map_err(|errno| self.error("rename the set to", &name, errno.into()))?;
        Ok(PinSet { name, ..set })
    }

    /// Removes a set, if it exists. Objects that no process holds are freed.
    pub(super) fn remove(&self, name: &str) -> Result<(), PinError> {
        let removed = match open_dir(&self.dir, Path::new(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => Err(error),
            Ok(dir) => {
                let each = names(&dir);
                let mut removed = each
                    .iter()
                    .map(|it| unlinkat(&dir, it.as_str(), AtFlags::empty()));
                removed
                    .try_for_each(|it| it)
                    .and_then(|()| unlinkat(&self.dir, name, AtFlags::REMOVEDIR))
                    .map_err(io::Error::from)
            }
        };
        removed.map_err(|source| self.error("remove the set", name, source))
    }

    /// Removes the directory itself, if it is empty. The process that created it may have left us no right to do so.
    pub(super) fn abandon(&self) {
        let _stays = std::fs::remove_dir(&self.path);
    }

    /// True if another agent has announced that it takes over from the owner of this directory.
    pub fn is_upgrade_announced(&self) -> bool {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
        statat(&self.dir, UPGRADE, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|it| (0..UPGRADE_SECONDS).contains(&(now - it.st_mtime)))
    }

    /// Removes the announcement after the takeover.
    pub fn forget_announcement(&self) {
        // The announcement may not exist.
        let _absent = unlinkat(&self.dir, UPGRADE, AtFlags::REMOVEDIR);
    }

    fn error(&self, what: &'static str, name: &str, source: io::Error) -> PinError {
        PinError {
            what,
            path: self.path.join(name),
            source,
        }
    }
}

/// Announces that another agent takes over: the owner of the directory then leaves everything attached when it ends.
pub fn announce_upgrade(dir: &Path) -> io::Result<()> {
    let path = dir.join(UPGRADE);
    // An older, unused announcement has expired.
    match std::fs::remove_dir(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    DirBuilder::new().mode(0o755).create(path)
}

impl PinSet {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Names of the pinned objects in this set.
    pub(super) fn names(&self) -> Vec<String> {
        names(&self.dir)
    }

    /// A path by which the kernel and `aya` reach the pinned object of this name, regardless of where the directory is mounted.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.dir.as_raw_fd()))
    }

    /// Pins a program, a map or a link. The object lives until it is unpinned here and no process holds it.
    pub(super) fn pin(&self, fd: BorrowedFd<'_>, name: &str) -> Result<(), PinError> {
        self.pin_at(fd, name)
            .map_err(|source| self.error("pin", name, source))
    }

    fn pin_at(&self, fd: BorrowedFd<'_>, name: &str) -> io::Result<()> {
        let path = c_path(&self.path(name))?;
        let attr = Attr {
            path: path.as_ptr().addr() as u64,
            fd: u32::try_from(fd.as_raw_fd()).map_err(io::Error::other)?,
            flags: 0,
        };
        // SAFETY: the attribute points to a C string that lives until the call returns.
        unsafe { call(BPF_OBJ_PIN, &attr) }.map(|_| ())
    }

    /// Opens the pinned object of this name.
    pub(super) fn get(&self, name: &str) -> Result<OwnedFd, PinError> {
        self.get_at(name)
            .map_err(|source| self.error("open the pinned object", name, source))
    }

    fn get_at(&self, name: &str) -> io::Result<OwnedFd> {
        let path = c_path(&self.path(name))?;
        let attr = Attr {
            path: path.as_ptr().addr() as u64,
            fd: 0,
            flags: 0,
        };
        // SAFETY: as above.
        let fd = unsafe { call(BPF_OBJ_GET, &attr) }?;
        // SAFETY: this command returns a new descriptor, which has no other owner.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// An error of an object in this set.
    pub(super) fn error(&self, what: &'static str, name: &str, source: io::Error) -> PinError {
        PinError {
            what,
            path: self.parent.join(&self.name).join(name),
            source,
        }
    }

    /// Unpins an object; does nothing if it is not pinned.
    pub(super) fn unpin(&self, name: &str) {
        let _absent = unlinkat(&self.dir, name, AtFlags::empty());
    }
}

/// The part of `union bpf_attr` for both commands.
#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Attr {
    path: u64,
    fd: u32,
    flags: u32,
}

const _: () = assert!(size_of::<Attr>() == 16);

/// # Safety
///
/// The path in `attr` must point to a C string.
unsafe fn call(command: libc::c_long, attr: &Attr) -> io::Result<i32> {
    let bytes = attr.as_bytes();
    // SAFETY: the kernel reads at most `bytes.len()` bytes of the attribute; the caller guarantees that the pointer in it is valid.
    let done = unsafe { libc::syscall(libc::SYS_bpf, command, bytes.as_ptr(), bytes.len()) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(done).map_err(io::Error::other)
}

fn c_path(path: &Path) -> io::Result<std::ffi::CString> {
    Ok(std::ffi::CString::new(path.as_os_str().as_bytes())?)
}

fn open_dir(at: impl AsFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(at, path, flags, Mode::empty())?)
}

/// Checks that other users cannot put programs of their own into the directory.
fn check(dir: &OwnedFd) -> io::Result<()> {
    if u32::try_from(fstatfs(dir)?.f_type).ok() != Some(BPF_FS_MAGIC) {
        return Err(io::Error::other(
            "it is not on bpffs (mount -t bpf bpf /sys/fs/bpf)",
        ));
    }
    let stat = fstat(dir)?;
    if stat.st_uid != geteuid().as_raw() || stat.st_mode & 0o077 != 0 {
        return Err(io::Error::other(
            "it must belong to the user that runs gotrace, with mode 0700",
        ));
    }
    Ok(())
}

fn names(dir: &OwnedFd) -> Vec<String> {
    let Ok(entries) = Dir::read_from(dir) else {
        return Vec::new();
    };
    let names = entries
        .filter_map(Result::ok)
        .filter_map(|it| it.file_name().to_str().map(str::to_owned).ok());
    names.filter(|it| it != "." && it != "..").collect()
}
