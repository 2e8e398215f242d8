//! Build caches that contain the standard library, one for each toolchain. A test of one package therefore does not wait for two
//! hundred others.
//!
//! A cache is filled once. Each test gets its own cache of hard links to the files, or of copies where links are impossible. Go
//! adds files to a cache and changes no existing file, except that a forced rebuild (`-a`) writes the same entries again. Several
//! processes can fill a cache at once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::module::Module;
use crate::toolchain::{Toolchain, toolchain_dir};

/// For untraced builds that fill a cache. The compiler then collects no garbage, which is a third of its time and does not change
/// its output.
pub const NO_GC: [(&str, &str); 1] = [("GOGC", "off")];

/// The filled cache of `toolchain`, which is filled now if necessary. It contains `tests/gomods/hello`'s dependencies: built,
/// vetted and tested.
///
/// # Panics
///
/// If a build fails, or the cache cannot be written.
pub fn warm_cache(toolchain: &Toolchain) -> PathBuf {
    let caches = toolchain_dir().join("warm");
    let cache = caches.join(&toolchain.version);
    if cache.exists() {
        return cache;
    }
    fs::create_dir_all(&caches)
        .unwrap_or_else(|error| panic!("cannot make {}: {error}", caches.display()));
    let lock = File::create(caches.join(format!("{}.lock", toolchain.version)));
    let locked = lock.and_then(|it| it.lock().map(|()| it));
    let _locked = locked.unwrap_or_else(|error| panic!("cannot lock {}: {error}", cache.display()));
    if !cache.exists() {
        let hello = Module::copy("hello");
        for word in ["build", "vet", "test"] {
            let filled = hello.go(toolchain, &[word, "./..."]).envs(NO_GC).output();
            let filled = filled.unwrap_or_else(|error| panic!("cannot run go {word}: {error}"));
            let printed = String::from_utf8_lossy(&filled.stderr);
            assert!(
                filled.status.success(),
                "go {word} of {}: {printed}",
                toolchain.version
            );
        }
        // Copied next to its final path and then renamed, so an existing cache is complete.
        let part = caches.join(format!("{}.part", toolchain.version));
        if part.exists() {
            fs::remove_dir_all(&part)
                .unwrap_or_else(|error| panic!("cannot remove {}: {error}", part.display()));
        }
        share_cache(&hello.sandbox.gocache(), &part);
        fs::rename(&part, &cache)
            .unwrap_or_else(|error| panic!("cannot rename {}: {error}", part.display()));
    }
    cache
}

/// A permanent build cache for targets other than this machine. The runtime for ten targets takes a toolchain minutes, and is the
/// same every time. Go itself allows several processes to use a cache at once.
///
/// # Panics
///
/// If the cache cannot be made.
pub fn targets_cache(toolchain: &Toolchain) -> PathBuf {
    let warm = warm_cache(toolchain);
    let cache = warm.with_file_name(format!("{}-targets", toolchain.version));
    if !cache.exists() {
        // This machine is one of the targets.
        share_cache(&warm, &cache);
    }
    cache
}

/// A build cache is two levels deep: 256 directories of files.
pub(crate) fn share_cache(from: &Path, to: &Path) {
    let shared = || -> std::io::Result<()> {
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let target = to.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                fs::create_dir_all(&target)?;
                for file in fs::read_dir(entry.path())? {
                    let file = file?;
                    if file.file_type()?.is_file() {
                        share(&file.path(), &target.join(file.file_name()))?;
                    }
                }
            } else {
                fs::create_dir_all(to)?;
                share(&entry.path(), &target)?;
            }
        }
        Ok(())
    };
    shared().unwrap_or_else(|error| panic!("cannot share the cache {}: {error}", from.display()));
}

/// A hard link costs a hundredth of a copy, but is impossible between file systems. An existing file has the same content, because
/// a cache names files by content.
fn share(from: &Path, to: &Path) -> std::io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
            fs::copy(from, to).map(drop)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}
