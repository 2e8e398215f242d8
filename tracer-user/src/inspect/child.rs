//! The child that reads one output: a process of its own, behind restrictions, that is given an open file and says what it is.
//!
//! The file is its standard input, the answer goes to its standard output. It knows no path and looks nothing up: the size was found
//! by its parent, and whether the file changed meanwhile is for its parent to see. It reads with `pread`, each byte once for its hash
//! and what it says of itself, and once for what it is made of; a file in memory costs its size.

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

/// The word with which gotrace starts itself as this child. It is of no use to anybody else.
pub const WORD: &str = "read-output";
/// Address space. The largest file that is held in memory is a third of it; the largest one that is taken apart is a sixth, and the
/// tables that are made of it are at most four times as large.
pub const MEMORY: u64 = 3 * WHOLE_LIMIT;
/// Processor time. The largest file takes half of it to hash where the processor has no instructions for that.
pub const CPU_SECONDS: u64 = 60;
const CHUNK: usize = 1 << 20;

/// What is to be found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// What it is.
    Identity,
    /// What the content with this SHA-256 is made of.
    Anatomy { sha256: String },
}

/// Reads a file of `size` bytes and answers. What it returns is the exit code, and tells nobody anything.
pub fn run(task: &Task, size: u64) -> u8 {
    // The message would go nowhere; that there was a panic is told by the exit code.
    std::panic::set_hook(Box::new(|_| {}));
    let nice = match task {
        // Somebody waits for it.
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
        Err(breach) => Answer {
            version: VERSION,
            restrictions: None,
            found: Found::Unsafe(cut(&breach.to_string())),
        },
    };
    u8::from(tell(&answer).is_err())
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

/// The content, as far as it goes.
fn read(size: u64) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    let n = fill(stdin(), &mut bytes, 0)?;
    bytes.truncate(n);
    Ok(bytes)
}

/// SHA-256 of a content too large to hold.
fn hash(file: impl AsFd, size: u64) -> Result<String, Errno> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut offset = 0;
    while offset < size {
        let n = fill(&file, &mut chunk, offset)?;
        if n == 0 {
            // It was cut: what is hashed is not what there was, and the parent will see that.
            break;
        }
        hash.update(chunk.get(..n).unwrap_or_default());
        offset += n as u64;
    }
    Ok(hex::hex(hash.finalize().as_slice()))
}

/// Fills `buffer` from `offset` on; how many bytes there were.
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

fn tell(answer: &Answer) -> io::Result<()> {
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
    fn what_is_hashed_piece_by_piece_is_the_file() {
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
    fn a_file_that_is_cut_meanwhile_is_hashed_as_far_as_it_goes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "abc").unwrap();
        let hashed = hash(File::open(&path).unwrap(), u64::MAX).unwrap();
        assert_eq!(hashed, hex::hex(Sha256::digest(b"abc").as_slice()));
    }
}
