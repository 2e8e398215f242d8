//! Build caches that already hold the standard library, one for each toolchain, so that a test about one package need not wait for
//! two hundred others.
//!
//! A cache is filled once; tests get one of their own made of links to its files, or of copies where there can be no links. Go adds
//! files to a cache and does not change those there are, except that a forced rebuild (`-a`) writes the same entries once more.
//! Filling is safe from several processes at once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::module::Module;
use crate::toolchain::{Toolchain, toolchain_dir};

/// Set for builds that fill a cache, and that nobody watches: the compiler then collects no garbage, which is a third of its time and
/// changes nothing of what it writes.
pub const NO_GC: [(&str, &str); 1] = [("GOGC", "off")];

/// The filled cache of `toolchain`, filling it if that was not done yet: what `tests/gomods/hello` needs built, vetted and tested.
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
            let said = String::from_utf8_lossy(&filled.stderr);
            assert!(
                filled.status.success(),
                "go {word} of {}: {said}",
                toolchain.version
            );
        }
        // Copied beside its place and renamed into it: a cache that is there is whole.
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

/// A build cache that stays, for other targets than this machine. The runtime for ten targets takes a toolchain minutes, and is the same
/// every time; Go itself sees to it that several may use a cache at once.
///
/// # Panics
///
/// If the cache cannot be made.
pub fn targets_cache(toolchain: &Toolchain) -> PathBuf {
    let warm = warm_cache(toolchain);
    let cache = warm.with_file_name(format!("{}-targets", toolchain.version));
    if !cache.exists() {
        // One of the targets is this machine.
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

/// A link costs a hundredth of a copy; there is none between file systems. What is there already is the same: a cache names files by
/// their content.
fn share(from: &Path, to: &Path) -> std::io::Result<()> {
    match fs::hard_link(from, to) {
        Err(error) if error.kind() == std::io::ErrorKind::CrossesDevices => {
            fs::copy(from, to).map(drop)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}
