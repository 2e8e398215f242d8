//! The Unix socket of the pages: created without following a link, replaced if its server is dead, removed at the end.
//!
//! A builder may own the directory, or be able to write to it. The path to it has no symbolic links, and all steps are relative to the
//! opened directory. The mode is set before the socket listens, and no process can connect before that.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rustix::fs::{
    self, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat, openat2, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};

/// Read and write for the user and the group.
const MODE: u32 = 0o660;
/// Connections that wait for the server. The server has a limit of its own.
const BACKLOG: i32 = 128;

/// The file of a listening socket, which a drop removes. The listener must be closed before.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    place: Place,
    /// Device and inode of the socket.
    id: (u64, u64),
}

/// An opened directory, and a name in it.
#[derive(Debug)]
struct Place {
    dir: OwnedFd,
    name: OsString,
}

/// Fails if no socket can be created at this path.
pub(in crate::agent) fn check(path: &Path) -> anyhow::Result<()> {
    Place::open(path).map(drop)
}

/// Creates the socket, and listens.
pub(in crate::agent) fn create(path: &Path) -> anyhow::Result<(UnixListener, SocketFile)> {
    let place = Place::open(path)?;
    let failed = || format!("cannot create the socket {}", path.display());
    let socket = stream_socket().with_context(failed)?;
    match bind(&socket, &place.address()?) {
        Err(Errno::ADDRINUSE) => {
            place.remove_stale(path)?;
            bind(&socket, &place.address()?).with_context(failed)?;
        }
        bound => bound.with_context(failed)?,
    }
    let id = place.own(MODE).with_context(failed)?;
    let file = SocketFile {
        path: path.to_owned(),
        place,
        id,
    };
    listen(&socket, BACKLOG).with_context(failed)?;
    Ok((UnixListener::from(socket), file))
}

impl SocketFile {
    pub(in crate::agent) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Another agent may have replaced it, and file systems use inodes again. The listener of this file is closed.
        let is_same = self.place.stat().is_ok_and(|it| id(&it) == self.id);
        if is_same && self.place.connect() == Err(Errno::CONNREFUSED) {
            let _left = self.place.remove();
        }
    }
}

impl Place {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            bail!("{} is no path of a socket", path.display());
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = openat2(CWD, parent, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS);
        let dir = match dir {
            Err(Errno::LOOP) => bail!(
                "the path to the socket {} has a symbolic link: name its directory without links",
                path.display()
            ),
            dir => dir.with_context(|| {
                format!("cannot open the directory of the socket {}", path.display())
            })?,
        };
        let mode = Mode::from_raw_mode(fs::fstat(&dir)?.st_mode);
        if mode.contains(Mode::WOTH) && !mode.contains(Mode::SVTX) {
            bail!(
                "every user can replace the socket {}: choose another directory, such as /run/gotrace",
                path.display()
            );
        }
        let name = name.to_owned();
        Ok(Self { dir, name })
    }

    /// The address of the name, relative to the directory. bind(2) and connect(2) have no variant with a directory.
    fn address(&self) -> Result<SocketAddrUnix, Errno> {
        let dir = self.dir.as_raw_fd();
        let mut path = OsString::from(format!("/proc/self/fd/{dir}/"));
        path.push(&self.name);
        SocketAddrUnix::new(&path)
    }

    fn stat(&self) -> Result<Stat, Errno> {
        let name: &OsStr = &self.name;
        statat(&self.dir, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    fn remove(&self) -> Result<(), Errno> {
        let name: &OsStr = &self.name;
        unlinkat(&self.dir, name, AtFlags::empty())
    }

    /// Removes the socket of an ended process, but no link and no file.
    fn remove_stale(&self, path: &Path) -> anyhow::Result<()> {
        let shown = path.display();
        let stat = self.stat();
        let stat = stat.with_context(|| format!("cannot examine {shown}"))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
            bail!("{shown} exists and is no socket: remove it, or choose another path");
        }
        match self.connect() {
            Err(Errno::CONNREFUSED) => self
                .remove()
                .with_context(|| format!("cannot remove {shown}, the socket of an ended agent")),
            // A full queue is that of a server, too.
            Ok(()) | Err(Errno::AGAIN) => bail!(
                "another process serves {shown}: stop that agent, or give this one another path with --listen"
            ),
            Err(error) => Err(error).with_context(|| format!("cannot connect to {shown}")),
        }
    }

    /// Checks whether a process serves the socket, without waiting for it.
    fn connect(&self) -> Result<(), Errno> {
        connect(&stream_socket()?, &self.address()?)
    }

    /// Sets the mode of the new socket. Returns its identity.
    fn own(&self, mode: u32) -> io::Result<(u64, u64)> {
        let name: &OsStr = &self.name;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(&self.dir, name, flags, Mode::empty())?;
        let stat = fs::fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Socket {
            return Err(io::Error::other("another user has replaced it"));
        }
        // chmod(2) accepts no descriptor with O_PATH, but its path.
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        fs::chmod(path, Mode::from_raw_mode(mode))?;
        Ok(id(&stat))
    }
}

fn stream_socket() -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
}

fn id(stat: &Stat) -> (u64, u64) {
    (stat.st_dev, stat.st_ino)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
    use std::os::unix::net::UnixStream;

    use super::*;

    fn refusal(path: &Path) -> String {
        format!("{:#}", create(path).unwrap_err())
    }

    #[test]
    fn the_socket_has_its_mode_and_is_removed_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let (listener, file) = create(&path).unwrap();
        let stat = fs::symlink_metadata(&path).unwrap();
        assert!(stat.file_type().is_socket());
        assert_eq!(stat.permissions().mode() & 0o777, MODE);
        UnixStream::connect(&path).unwrap();
        assert!(refusal(&path).contains("another process serves"));
        drop((listener, file));
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_only_its_own_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        drop(UnixListener::bind(&path).unwrap());
        let (listener, first) = create(&path).unwrap();
        drop(listener);
        let second = create(&path).unwrap();
        drop(first);
        UnixStream::connect(&path).unwrap();
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn links_and_files_of_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        let path = dir.path().join("s");
        symlink(&victim, &path).unwrap();
        assert!(refusal(&path).contains("is no socket"));
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert!(refusal(&victim).contains("is no socket"));

        let real = dir.path().join("real");
        fs::create_dir(&real).unwrap();
        symlink(&real, dir.path().join("link")).unwrap();
        let through = dir.path().join("link/s");
        assert!(refusal(&through).contains("symbolic link"));
        fs::set_permissions(&real, Permissions::from_mode(0o777)).unwrap();
        assert!(refusal(&real.join("s")).contains("every user can replace"));
        assert!(refusal(&dir.path().join("absent/s")).contains("cannot open the directory"));
        assert_eq!(fs::read_dir(&real).unwrap().count(), 0);
    }
}
