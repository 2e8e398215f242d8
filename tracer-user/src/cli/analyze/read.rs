//! Reads a whole file into memory, in two halves in parallel.
//!
//! The file is copied and not mapped, because truncating a mapped file kills its reader. Most of the time is spent on the pages of the
//! copy, which the two threads share.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::thread;

use anyhow::{Context as _, bail};
use tracer_binary::limit;

/// Smaller files are read by one thread, because a second one costs more than it saves.
const WORTH_HALVING: usize = 4 << 20;

pub(in crate::cli) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let describe = || format!("cannot read {}", path.display());
    // Opening a FIFO blocks until it has a writer, so check the type first.
    let metadata = path.metadata().with_context(describe)?;
    if !metadata.is_file() {
        bail!("cannot read {}: not a regular file", path.display());
    }
    let file = File::open(path).with_context(describe)?;
    let size = file.metadata().with_context(describe)?.len();
    if size > limit::FILE {
        bail!(
            "cannot read {}: its {size} bytes exceed the limit of {}",
            path.display(),
            limit::FILE
        );
    }
    let size = usize::try_from(size).with_context(|| {
        format!(
            "cannot read {}: it does not fit into memory",
            path.display()
        )
    })?;
    // Check first, because the allocation below cannot return an error.
    Vec::<u8>::new()
        .try_reserve_exact(size)
        .with_context(describe)?;
    // New memory is already zero, so the allocation touches no page before it is read into.
    let mut bytes = vec![0; size];
    let len = fill(&file, &mut bytes).with_context(describe)?;
    bytes.truncate(len);
    Ok(bytes)
}

/// Reads from the start of the file; returns the number of bytes.
fn fill(file: &File, bytes: &mut [u8]) -> io::Result<usize> {
    if bytes.len() < WORTH_HALVING {
        return fill_from(file, 0, bytes);
    }
    let middle = bytes.len() / 2;
    let (first, second) = {
        let (first, second) = bytes.split_at_mut(middle);
        thread::scope(|scope| {
            let second = thread::Builder::new()
                .spawn_scoped(scope, || fill_from(file, middle as u64, second));
            let first = fill_from(file, 0, first);
            (first, second.ok().and_then(|thread| thread.join().ok()))
        })
    };
    let first = first?;
    if first < middle {
        return Ok(first);
    }
    // If the thread cannot be started, this thread reads the second half.
    let rest = bytes.get_mut(middle..).unwrap_or_default();
    let second = second.unwrap_or_else(|| fill_from(file, middle as u64, rest))?;
    Ok(middle + second)
}

/// Reads from `offset`; returns the number of bytes, which is smaller at the end of the file.
fn fill_from(file: &File, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + done as u64) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_halves_together_equal_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for size in [0, 1, WORTH_HALVING - 1, WORTH_HALVING + 1] {
            let content: Vec<u8> = (0..251).cycle().take(size).collect();
            std::fs::write(&path, &content).unwrap();
            assert!(read(&path).unwrap() == content, "{size}");
        }
    }

    #[test]
    fn a_file_that_was_truncated_meanwhile_is_read_to_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for size in [WORTH_HALVING / 4, WORTH_HALVING / 2 + 1] {
            std::fs::write(&path, vec![1; size]).unwrap();
            let mut bytes = vec![0; WORTH_HALVING];
            let file = File::open(&path).unwrap();
            assert_eq!(fill(&file, &mut bytes).unwrap(), size);
        }
    }
}
