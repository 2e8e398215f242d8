//! Remembers the identity of outputs that were read: a build with nothing to do has the output of the build before.
//!
//! Times prove nothing: a `go` command with nothing to do sets the modification time of its output, and thereby the change time.
//! A watch (`inotify`) on the file proves that it was not written. The kernel reports each truncation, each write, and the last close of
//! each file that was open for writing. A writer that is still open, also by a mapping, prevents a lease. The order of the steps
//! matters: the watch precedes the check for writers, which precedes the read. At the next request, the check for writers precedes the
//! reading of reports, because a writer is reported before it is gone.
//!
//! The check of the file's owner precedes all this and is never left out. Only successful reads are remembered, and only in memory.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::FsWord;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use tracer_core::event::Artifact;

use super::recent::MAX_REMEMBERED;
use crate::inspect::{LOCAL_FILE_SYSTEMS, Opened, ReaderSpawner, Refused};

#[derive(Debug)]
pub(super) struct KnownOutputs {
    known: Mutex<Known>,
    file_systems: &'static [FsWord],
}

/// Device and inode. A watch ends with its inode or file system, so both identify the file as long as it is watched.
type FileKey = (u64, u64);

#[derive(Debug)]
struct Known {
    inotify: OwnedFd,
    files: HashMap<FileKey, WatchedFile>,
    /// A counter of uses.
    clock: u64,
}

#[derive(Debug)]
struct WatchedFile {
    /// The number of the watch; the kernel does not use it again.
    watch: i32,
    /// Absent while the file is read.
    artifact: Option<Artifact>,
    /// The last use.
    used: u64,
}

impl KnownOutputs {
    pub(super) fn new() -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self {
            known: Mutex::new(Known {
                inotify,
                files: HashMap::new(),
                clock: 0,
            }),
            file_systems: LOCAL_FILE_SYSTEMS,
        })
    }

    /// Identifies an output. A child reads it, unless it was not written since it was last read.
    pub(super) fn identify(
        &self,
        opened: &Opened,
        spawner: &ReaderSpawner,
    ) -> Result<Artifact, Refused> {
        let key = opened.file().metadata().ok();
        let key = key.map(|it| (it.dev(), it.ino()));
        let Some(key) = key.filter(|_| opened.is_on(self.file_systems)) else {
            return opened.artifact(spawner);
        };
        if opened.has_no_writer()
            && let Some(artifact) = self.lock().get(key)
            && artifact.size == opened.size()
        {
            return Ok(artifact);
        }
        let watch = self.lock().watch(key, opened);
        let is_closed = opened.has_no_writer();
        let artifact = opened.artifact(spawner)?;
        if let Some(watch) = watch.filter(|_| is_closed) {
            self.lock().put(key, watch, &artifact);
        }
        Ok(artifact)
    }

    /// A panic of another thread leaves consistent entries, so a poisoned lock is ignored.
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// The identity of a file without a writer, if it was not written since it was read.
    fn get(&mut self, key: FileKey) -> Option<Artifact> {
        self.forget_written();
        self.clock += 1;
        let file = self.files.get_mut(&key)?;
        file.used = self.clock;
        file.artifact.clone()
    }

    /// Watches a file from now on; returns the watch.
    fn watch(&mut self, key: FileKey, opened: &Opened) -> Option<i32> {
        self.forget_written();
        if self.files.len() >= MAX_REMEMBERED && !self.files.contains_key(&key) {
            let oldest = self.files.iter().min_by_key(|(_, it)| it.used);
            if let Some(oldest) = oldest.map(|(key, _)| *key)
                && let Some(file) = self.files.remove(&oldest)
            {
                // It fails if the file was deleted meanwhile.
                let _gone = inotify::remove_watch(&self.inotify, file.watch);
            }
        }
        let path = format!("/proc/self/fd/{}", opened.file().as_raw_fd());
        // One report is enough, so a builder that writes a lot pays for one.
        let writes = WatchFlags::MODIFY | WatchFlags::CLOSE_WRITE | WatchFlags::ONESHOT;
        let watch = inotify::add_watch(&self.inotify, path, writes).ok()?;
        self.clock += 1;
        let file = WatchedFile {
            watch,
            artifact: None,
            used: self.clock,
        };
        self.files.insert(key, file);
        Some(watch)
    }

    /// Remembers a file that had no writer when this watch began. It may have been written since.
    fn put(&mut self, key: FileKey, watch: i32, artifact: &Artifact) {
        self.forget_written();
        if let Some(file) = self.files.get_mut(&key)
            && file.watch == watch
        {
            file.artifact = Some(artifact.clone());
        }
    }

    /// Forgets the files that the kernel reported as written, deleted or unmounted.
    fn forget_written(&mut self) {
        let Self { inotify, files, .. } = self;
        let mut room = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(inotify, &mut room);
        loop {
            match reader.next() {
                // The queue was full, so reports are missing.
                Ok(event) if event.events().contains(ReadFlags::QUEUE_OVERFLOW) => files.clear(),
                Ok(event) => files.retain(|_, it| it.watch != event.wd()),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => break,
                Err(_) => {
                    files.clear();
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, FileTimes};
    use std::os::unix::fs::FileExt as _;
    use std::path::PathBuf;
    use std::time::SystemTime;

    use rustix::fs::fstatfs;
    use tempfile::TempDir;

    use super::*;
    use crate::inspect::{OUTPUT_LIMIT, Reader as Builder, Root};

    struct Output {
        dir: TempDir,
        known: KnownOutputs,
        spawner: ReaderSpawner,
    }

    impl Output {
        /// An output on a file system that counts as local.
        fn new(content: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join("out"), content).unwrap();
            let file_system = fstatfs(File::open(dir.path()).unwrap()).unwrap().f_type;
            Self {
                dir,
                known: KnownOutputs {
                    file_systems: vec![file_system].leak(),
                    ..KnownOutputs::new().unwrap()
                },
                spawner: ReaderSpawner::own().unwrap(),
            }
        }

        fn path(&self) -> PathBuf {
            self.dir.path().join("out")
        }

        fn writer(&self) -> File {
            let mut options = File::options();
            options.read(true).write(true).open(self.path()).unwrap()
        }

        /// Returns the hash of the content, and true if a child read the file.
        fn identify(&self) -> (String, bool) {
            let uid = rustix::process::getuid().as_raw();
            let builder = Builder { uid, public: false };
            let root = Root::own().unwrap();
            let opened = root.open(&self.path(), builder, OUTPUT_LIMIT).unwrap();
            let before = self.spawner.cpu_ns();
            let artifact = self.known.identify(&opened, &self.spawner).unwrap();
            (artifact.sha256, self.spawner.cpu_ns() > before)
        }

        /// Checks that a child reads the changed content, and that it is remembered then.
        fn check_changed(&self, before: &str) {
            let (after, was_read) = self.identify();
            assert!(was_read && after != before);
            assert_eq!(self.identify(), (after, false));
        }
    }

    #[test]
    fn an_output_that_was_only_touched_renamed_and_read_is_read_once() {
        let output = Output::new("abc");
        let (sha256, was_read) = output.identify();
        assert!(was_read);
        // A `go` command with nothing to do sets both times.
        let times = FileTimes::new()
            .set_accessed(SystemTime::UNIX_EPOCH)
            .set_modified(SystemTime::UNIX_EPOCH);
        File::open(output.path()).unwrap().set_times(times).unwrap();
        fs::rename(output.path(), output.dir.path().join("new")).unwrap();
        fs::rename(output.dir.path().join("new"), output.path()).unwrap();
        assert_eq!(fs::read(output.path()).unwrap(), b"abc");
        assert_eq!(output.identify(), (sha256, false));
    }

    #[test]
    fn an_output_changed_in_place_with_its_size_and_time_set_back_is_read_again() {
        let output = Output::new("abc");
        let (before, _) = output.identify();
        let modified = fs::metadata(output.path()).unwrap().modified().unwrap();
        let writer = output.writer();
        writer.write_all_at(b"x", 1).unwrap();
        writer.set_modified(modified).unwrap();
        drop(writer);
        let after = fs::metadata(output.path()).unwrap();
        assert_eq!((after.len(), after.modified().unwrap()), (3, modified));
        output.check_changed(&before);
    }

    #[test]
    fn an_output_changed_through_a_mapping_is_read_again() {
        let output = Output::new("abc");
        let (before, _) = output.identify();
        let writer = output.writer();
        // SAFETY: a new shared mapping of an open file; the kernel chooses its address.
        let mapped = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                3,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                writer.as_raw_fd(),
                0,
            )
        };
        assert_ne!(mapped, libc::MAP_FAILED);
        drop(writer);
        assert!(output.identify().1, "a mapping can write at any time");
        // SAFETY: the mapping has three bytes and is writable.
        unsafe { mapped.cast::<u8>().write(b'x') };
        let (after, was_read) = output.identify();
        assert!(was_read && after != before);
        // SAFETY: the mapping above, which nothing uses any more.
        assert_eq!(unsafe { libc::munmap(mapped, 3) }, 0);
        let (unmapped, _) = output.identify();
        assert_eq!(output.identify(), (unmapped, false));
    }

    #[test]
    fn an_output_with_a_writer_is_read_again() {
        let output = Output::new("abc");
        let writer = output.writer();
        assert!(output.identify().1 && output.identify().1);
        drop(writer);
        assert!(output.identify().1 && !output.identify().1);
        let (before, _) = output.identify();
        let writer = output.writer();
        writer.write_all_at(b"x", 1).unwrap();
        let (after, was_read) = output.identify();
        assert!(was_read && after != before);
    }

    #[test]
    fn a_truncated_output_is_read_again() {
        let output = Output::new("abc");
        let (before, _) = output.identify();
        let path = std::ffi::CString::new(output.path().to_str().unwrap()).unwrap();
        for size in [1, 3] {
            // SAFETY: a path with its end, and a number.
            assert_eq!(unsafe { libc::truncate(path.as_ptr(), size) }, 0);
        }
        output.check_changed(&before);
    }

    #[test]
    fn a_new_file_in_place_of_the_output_is_read() {
        let output = Output::new("abc");
        let (before, _) = output.identify();
        let new = output.dir.path().join("new");
        fs::write(&new, "abd").unwrap();
        fs::rename(new, output.path()).unwrap();
        output.check_changed(&before);
        let (before, _) = output.identify();
        // The new file may have the inode of the deleted one.
        fs::remove_file(output.path()).unwrap();
        fs::write(output.path(), "abe").unwrap();
        output.check_changed(&before);
    }

    #[test]
    fn an_output_on_another_file_system_is_read_again() {
        let mut output = Output::new("abc");
        output.known.file_systems = &[];
        assert!(output.identify().1 && output.identify().1);
    }

    #[test]
    fn the_least_recently_used_file_is_forgotten() {
        let output = Output::new("abc");
        output.identify();
        for n in 0..MAX_REMEMBERED {
            let mut known = output.known.lock();
            let file = WatchedFile {
                watch: -2,
                artifact: None,
                used: u64::MAX,
            };
            if known.files.len() < MAX_REMEMBERED {
                known.files.insert((u64::MAX, n as u64), file);
            }
        }
        fs::write(output.dir.path().join("other"), "abc").unwrap();
        fs::rename(output.dir.path().join("other"), output.path()).unwrap();
        output.identify();
        let known = output.known.lock();
        assert_eq!(known.files.len(), MAX_REMEMBERED);
        assert_eq!(known.files.values().filter(|it| it.watch != -2).count(), 1);
    }
}
