//! The digest that ties the committed objects to their sources. Included by `tracer-user/build.rs`, which refuses stale objects, and
//! by `xtask/src/bpf.rs`, which writes the manifest; so it uses nothing but `std` and `sha2`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// SHA-256 in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[char; 16] = &[
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles
        .filter_map(|nibble| DIGITS.get(usize::from(nibble)))
        .collect()
}

/// Files and folders that the objects are made from, in the workspace.
pub(crate) const SOURCES: [&str; 5] = [
    "rust-toolchain.toml",
    "tracer-abi/Cargo.toml",
    "tracer-abi/src",
    "tracer-ebpf/Cargo.toml",
    "tracer-ebpf/src",
];

/// Digest of the sources and of the locked versions of what they depend on.
pub(crate) fn of_sources(workspace: &Path) -> io::Result<String> {
    let mut all = Sha256::new();
    for source in SOURCES {
        for file in files(&workspace.join(source))? {
            let name = file.strip_prefix(workspace).unwrap_or(&file);
            all.update(name.as_os_str().as_encoded_bytes());
            all.update([0]);
            all.update(Sha256::digest(fs::read(&file)?));
        }
    }
    for dependency in locked(&fs::read_to_string(workspace.join("Cargo.lock"))?) {
        all.update(dependency);
    }
    Ok(hex(all.finalize().as_ref()))
}

/// A file, or all files below a folder, sorted.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries = fs::read_dir(path)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        found.append(&mut files(&entry)?);
    }
    Ok(found)
}

/// The entries of `Cargo.lock` that end up in the objects.
fn locked(lock: &str) -> Vec<&str> {
    lock.split("[[package]]")
        .filter(|package| {
            ["aya-ebpf", "zerocopy"].iter().any(|name| {
                package
                    .trim_start()
                    .starts_with(&format!("name = \"{name}"))
            })
        })
        .map(str::trim)
        .collect()
}
