//! The child that reads one output: a sandboxed process that receives an open file and identifies it.
//!
//! The file is its standard input, and the answer goes to its standard output. The child receives no path and looks nothing up. The parent
//! determines the size, and detects changes of the file. The child reads with `pread`: each byte once for the hash and the identity, and
//! once for the composition. A file in memory costs its size.

use std::ffi::CStr;
use std::io;
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::stdio::{stdin, stdout};
use sha2::{Digest as _, Sha256};
use tracer_core::event::Artifact;
use tracer_core::hex;

use super::answer::{Answer, Found, VERSION};
use super::artifact::cut;
use super::{WHOLE_LIMIT, anatomy, artifact};
use crate::sandbox::{self, Bounds};

/// The command with which gotrace starts itself as this child. It is not for users.
pub const WORD: &str = "read-output";
/// Limit of the address space. The largest file in memory takes a third of it. The largest analysed file takes a sixth, and its tables
/// are at most four times as large.
pub const MEMORY: u64 = 3 * WHOLE_LIMIT;
/// Limit of the CPU time in seconds. Hashing the largest file takes half of it on a CPU without instructions for that.
pub const CPU_SECONDS: u64 = 60;
const CHUNK: usize = 1 << 20;
/// The name of the process, as `ps` shows it.
const TITLE: &CStr = c"gotrace-reader";

/// The requested result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// The identity of the file.
    Identity,
    /// The composition of the content with this SHA-256.
    Anatomy { sha256: String },
}

/// Reads a file of `size` bytes and writes the answer. Returns the exit code, which contains no result.
pub fn run(task: &Task, size: u64) -> u8 {
    // Without the title, the process works as well. The kernel would name it after the descriptor that it was executed from.
    let _untitled = rustix::thread::set_name(TITLE);
    // Nothing would show the message; the exit code reports the panic.
    std::panic::set_hook(Box::new(|_| {}));
    let nice = match task {
        // The report of a build waits for the identity.
        Task::Identity => 5,
        Task::Anatomy { .. } => 19,
    };
    let entered = sandbox::enter(Bounds {
        memory: MEMORY,
        cpu_seconds: CPU_SECONDS,
        nice,
    });
    let answer = match entered {
        Ok(restrictions) => Answer {
            version: VERSION,
            restrictions: Some(restrictions),
            found: find(task, size),
        },
        Err(error) => Answer {
            version: VERSION,
            restrictions: None,
            found: Found::Unsafe(cut(&error.to_string())),
        },
    };
    u8::from(write_answer(&answer).is_err())
}

fn find(task: &Task, size: u64) -> Found {
    let found = match task {
        Task::Identity => identity(size),
        Task::Anatomy { sha256 } => read(size).map(|bytes| anatomy::of(&bytes, sha256)),
    };
    found.unwrap_or_else(|errno| Found::Unread(errno.raw_os_error()))
}

fn identity(size: u64) -> Result<Found, Errno> {
    let artifact = if size <= WHOLE_LIMIT {
        let bytes = read(size)?;
        artifact::of(&bytes, hex::hex(Sha256::digest(&bytes).as_slice()))
    } else {
        Artifact {
            size,
            sha256: hash(stdin(), size)?,
            ..Artifact::default()
        }
    };
    Ok(Found::Identity(Box::new(artifact)))
}

/// Reads the content, up to the end of the file.
fn read(size: u64) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    let n = fill(stdin(), &mut bytes, 0)?;
    bytes.truncate(n);
    Ok(bytes)
}

/// SHA-256 of a content that is too large for memory.
fn hash(file: impl AsFd, size: u64) -> Result<String, Errno> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut offset = 0;
    while offset < size {
        let n = fill(&file, &mut chunk, offset)?;
        if n == 0 {
            // The file was truncated, so the hash is incomplete; the parent detects the change.
            break;
        }
        hash.update(chunk.get(..n).unwrap_or_default());
        offset += n as u64;
    }
    Ok(hex::hex(hash.finalize().as_slice()))
}

/// Fills `buffer` from `offset` on; returns the number of bytes.
fn fill(file: impl AsFd, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match rustix::io::pread(&file, rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(filled)
}

fn write_answer(answer: &Answer) -> io::Result<()> {
    let bytes = serde_json::to_vec(answer)?;
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        match rustix::io::write(stdout(), rest) {
            Ok(n) => rest = rest.get(n..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn the_hash_in_pieces_equals_the_hash_of_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for size in [0, 1, CHUNK - 1, CHUNK, 2 * CHUNK + 1] {
            let content: Vec<u8> = (0..251).cycle().take(size).collect();
            fs::write(&path, &content).unwrap();
            let hashed = hash(File::open(&path).unwrap(), size as u64).unwrap();
            assert_eq!(
                hashed,
                hex::hex(Sha256::digest(&content).as_slice()),
                "{size}"
            );
        }
    }

    #[test]
    fn a_file_truncated_meanwhile_is_hashed_up_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "abc").unwrap();
        let hashed = hash(File::open(&path).unwrap(), u64::MAX).unwrap();
        assert_eq!(hashed, hex::hex(Sha256::digest(b"abc").as_slice()));
    }
}
