//! The key of this machine's digests. A digest replaces the value of a variable that a test read in a cache key.
//!
//! The key is 32 random bytes in a file of its own beside the history, so a copy of the history contains no key. Only its owner can read
//! the file, and no output contains it. Without this file, each run has its own key, and digests of different runs cannot be compared.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::process::geteuid;
use tracer_core::decode::DigestKey;
use tracer_core::hex;

use crate::history::{DEFAULT_STORE, Location};
use crate::launch::caller::Caller;

/// Name of the file.
const NAME: &str = "digest-key";
const LEN: usize = DigestKey::LEN;
const OTHERS_MAY_WRITE: u32 = 0o022;

/// The key of a command's trace, with a message if the file is unusable and the key is for this run alone. The file is beside the history
/// for the builds; without a history, or with a central one, it is beside the history of the machine.
pub fn of_run(store: Option<&Location>, caller: Option<&Caller>) -> (DigestKey, Option<String>) {
    match store {
        Some(Location::File(path)) => {
            let dir = directory(path);
            match caller {
                Some(caller) if !is_roots_alone(dir) => {
                    caller.with_rights(|| of_directory(dir, caller.identity.uid))
                }
                Some(_) | None => of_directory(dir, geteuid().as_raw()),
            }
        }
        Some(Location::Central(_)) | None => {
            let dir = directory(Path::new(DEFAULT_STORE));
            if is_roots_or_own(dir) {
                of_directory(dir, geteuid().as_raw())
            } else {
                (of_this_run(), None)
            }
        }
    }
}

/// The key of an agent with this history, and a warning if its file could not be used.
pub fn of_agent(store: &Path) -> (DigestKey, Option<String>) {
    of_directory(directory(store), geteuid().as_raw())
}

fn of_directory(dir: &Path, owner: u32) -> (DigestKey, Option<String>) {
    let path = dir.join(NAME);
    match read(&path, owner) {
        Ok(key) => return (DigestKey::new(key), None),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return failed(&path, &error),
    }
    match make(dir, &path).and_then(|()| read(&path, owner)) {
        Ok(key) => (DigestKey::new(key), None),
        Err(error) => failed(&path, &error),
    }
}

fn failed(path: &Path, error: &io::Error) -> (DigestKey, Option<String>) {
    let message = format!(
        "cannot use the digest key {}: {error}; digests of variables cannot be compared with those of other runs",
        path.display()
    );
    (of_this_run(), Some(message))
}

/// A random key that exists only during this run.
pub fn of_this_run() -> DigestKey {
    // The kernel always has random bytes for a running program. If it had none, addresses and time would still differ between runs, and a
    // trace must not fail because of this.
    DigestKey::new(random().unwrap_or_else(|_| {
        let mut hasher = sha2::Sha256::default();
        let address = &raw const hasher;
        sha2::Digest::update(
            &mut hasher,
            format!("{address:p} {}", crate::clock::boot_ns()),
        );
        sha2::Digest::finalize(hasher).into()
    }))
}

fn read(path: &Path, owner: u32) -> io::Result<[u8; LEN]> {
    // O_NONBLOCK: a FIFO without a writer does not block.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    let metadata = file.metadata()?;
    let why = if !metadata.is_file() {
        "it is not a regular file"
    } else if metadata.uid() != owner && metadata.uid() != 0 {
        "it belongs to another user"
    } else if metadata.mode() & 0o077 != 0 {
        "users other than its owner can read or write it"
    } else if metadata.len() != LEN as u64 {
        "it is not 32 bytes long"
    } else {
        let mut key = [0; LEN];
        (&file).read_exact(&mut key)?;
        return Ok(key);
    };
    Err(io::Error::other(why))
}

/// Creates the complete file atomically, unless another process was faster.
fn make(dir: &Path, path: &Path) -> io::Result<()> {
    let key = random()?;
    let mut name = OsString::from(NAME);
    name.push(".");
    name.push(hex::hex(&random()?[..8]));
    let new = dir.join(name);
    let made = write_new(&new, &key).and_then(|()| match fs::hard_link(&new, path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => Ok(()),
    });
    // The file is missing if it could not be created.
    let _not_there = fs::remove_file(&new);
    made
}

fn write_new(path: &Path, key: &[u8; LEN]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)?;
    file.write_all(key)?;
    file.sync_all()
}

fn random() -> io::Result<[u8; LEN]> {
    let mut bytes = [0; LEN];
    // SAFETY: the buffer has the given length.
    let n = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), LEN, 0) };
    if usize::try_from(n) == Ok(LEN) {
        return Ok(bytes);
    }
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if dir != Path::new("") => dir,
        Some(_) | None => Path::new("."),
    }
}

/// True if the directory exists, and only root or this user can change its content.
fn is_roots_or_own(dir: &Path) -> bool {
    fs::symlink_metadata(dir).is_ok_and(|it| {
        let is_own = it.uid() == 0 || it.uid() == geteuid().as_raw();
        it.is_dir() && is_own && it.mode() & OTHERS_MAY_WRITE == 0
    })
}

/// True if only root can change the directory and all its parents.
fn is_roots_alone(dir: &Path) -> bool {
    dir.canonicalize().is_ok_and(|dir| {
        dir.ancestors().all(|it| {
            fs::symlink_metadata(it)
                .is_ok_and(|it| it.uid() == 0 && it.mode() & OTHERS_MAY_WRITE == 0)
        })
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use tempfile::tempdir;

    use super::*;

    fn own(dir: &Path) -> (DigestKey, Option<String>) {
        of_directory(dir, geteuid().as_raw())
    }

    #[test]
    fn the_key_is_created_once_and_only_its_owner_can_read_it() {
        let dir = tempdir().unwrap();
        let path = dir.path().join(NAME);
        assert_eq!(own(dir.path()).1, None);
        let key = fs::read(&path).unwrap();
        assert_eq!(key.len(), LEN);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(own(dir.path()).1, None);
        assert_eq!(fs::read(&path).unwrap(), key);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        let owner = geteuid().as_raw();
        assert_eq!(read(&path, owner).unwrap().as_slice(), key);
    }

    #[test]
    fn concurrent_creators_use_the_same_key() {
        let dir = tempdir().unwrap();
        let owner = geteuid().as_raw();
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        assert_eq!(own(dir.path()).1, None);
                        read(&dir.path().join(NAME), owner).unwrap()
                    })
                })
                .collect();
            let keys: Vec<_> = all.into_iter().map(|it| it.join().unwrap()).collect();
            assert!(keys.windows(2).all(|it| it[0] == it[1]));
        });
    }

    #[test]
    fn an_untrusted_file_is_not_used() {
        let check = |lay: &dyn Fn(&Path), why: &str| {
            let dir = tempdir().unwrap();
            lay(&dir.path().join(NAME));
            let (_, message) = own(dir.path());
            let message = message.unwrap();
            assert!(message.contains(why), "{message}");
            // The message does not contain the key.
            assert!(message.contains("cannot use the digest key"), "{message}");
        };
        check(&|path| fs::create_dir(path).unwrap(), "not a regular file");
        check(
            &|path| {
                let other = path.with_file_name("other");
                fs::write(&other, [1; LEN]).unwrap();
                symlink(other, path).unwrap();
            },
            "symbolic links",
        );
        let with = |path: &Path, len: usize, mode: u32| {
            fs::write(path, vec![1; len]).unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        check(&|path| with(path, LEN - 1, 0o600), "32 bytes");
        check(&|path| with(path, LEN + 1, 0o600), "32 bytes");
        check(&|path| with(path, LEN, 0o644), "users other than its owner");
        let dir = tempdir().unwrap();
        let (_, message) = own(&dir.path().join("not-there"));
        assert!(message.unwrap().contains("No such file"));
    }
}
