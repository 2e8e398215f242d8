//! Reads the times of the entries of a build cache, for the share that a build used.
//!
//! The directory belongs to the builder, so nothing in it is trusted: no link is followed, no file is opened, and numbers and time are
//! limited.

use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, StatxFlags, StatxTimestamp, openat, statx,
};
use rustix::io::Errno;
use tracer_core::explain::{CacheEntryTimes, CacheUse};

/// Largest number of names that are read.
const NAMES: usize = 4_000_000;
/// Longest time of a scan.
const PATIENCE: Duration = Duration::from_secs(20);
/// Length of the name of an entry: a SHA-256 in hexadecimal digits, and `-a`.
const NAME: usize = 66;
const NS_PER_SECOND: i64 = 1_000_000_000;

/// Reads the entries of a GOCACHE. The times are those of the build, in nanoseconds since 1970.
pub(crate) fn scan(dir: &Path, started_ns: i64, ended_ns: i64) -> io::Result<CacheUse> {
    let dir = open_dir(CWD, dir)?;
    let deadline = Instant::now() + PATIENCE;
    let mut used = CacheUse {
        is_whole: true,
        ..CacheUse::default()
    };
    let (mut n_names, mut n_shards) = (0, 0);
    for shard in 0..=u8::MAX {
        let shard = match open_dir(&dir, format!("{shard:02x}")) {
            Ok(shard) => shard,
            // Absent, or not from the go command.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
            Err(errno) => return Err(errno.into()),
        };
        n_shards += 1;
        for entry in Dir::read_from(&shard)? {
            n_names += 1;
            if n_names > NAMES || Instant::now() > deadline {
                used.is_whole = false;
                return Ok(used);
            }
            if let Some(times) = times(&shard, entry?.file_name()) {
                used.add(times, started_ns, ended_ns);
            }
        }
    }
    if n_shards == 0 {
        return Err(io::Error::other(
            "it has no entries: give the directory that `go env GOCACHE` prints",
        ));
    }
    Ok(used)
}

fn open_dir(at: impl std::os::fd::AsFd, path: impl rustix::path::Arg) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(at, path, flags, Mode::empty())
}

/// The times of an entry. `None` for other files, and for an entry that is gone.
fn times(shard: &OwnedFd, name: &CStr) -> Option<CacheEntryTimes> {
    let bytes = name.to_bytes();
    let digits = bytes.strip_suffix(b"-a")?;
    if bytes.len() != NAME || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let wanted = StatxFlags::TYPE | StatxFlags::MTIME | StatxFlags::BTIME;
    let found = statx(shard, name, AtFlags::SYMLINK_NOFOLLOW, wanted).ok()?;
    let has = |flag: StatxFlags| found.stx_mask & flag.bits() != 0;
    let is_file = FileType::from_raw_mode(found.stx_mode.into()) == FileType::RegularFile;
    (is_file && has(StatxFlags::MTIME)).then(|| CacheEntryTimes {
        born_ns: has(StatxFlags::BTIME).then(|| nanoseconds(found.stx_btime)),
        modified_ns: nanoseconds(found.stx_mtime),
    })
}

fn nanoseconds(time: StatxTimestamp) -> i64 {
    let seconds = time.tv_sec.saturating_mul(NS_PER_SECOND);
    seconds.saturating_add(time.tv_nsec.into())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, FileTimes};
    use std::os::unix::fs::symlink;
    use std::time::SystemTime;

    use super::*;
    use crate::clock;

    const MINUTE_NS: i64 = 60_000_000_000;

    fn entry(dir: &Path, n: u8, age: Duration) {
        let shard = dir.join(format!("{n:02x}"));
        fs::create_dir_all(&shard).unwrap();
        let file = File::create(shard.join(format!("{n:064x}-a"))).unwrap();
        let modified = SystemTime::now() - age;
        file.set_times(FileTimes::new().set_modified(modified))
            .unwrap();
    }

    #[test]
    fn entries_are_counted_by_their_times() {
        let dir = tempfile::tempdir().unwrap();
        entry(dir.path(), 1, Duration::from_hours(2));
        entry(dir.path(), 2, Duration::from_mins(20));
        entry(dir.path(), 3, Duration::ZERO);
        // No entries: a data file, a link and a directory with the name of an entry, and a link to a directory.
        fs::write(dir.path().join(format!("01/{:064x}-d", 1)), "").unwrap();
        symlink("/etc/passwd", dir.path().join(format!("01/{:064x}-a", 9))).unwrap();
        fs::create_dir(dir.path().join(format!("01/{:064x}-a", 8))).unwrap();
        symlink(dir.path().join("01"), dir.path().join("ff")).unwrap();
        let now = clock::wall_ns();
        // All were born before this build started.
        let used = scan(dir.path(), now + MINUTE_NS, now + 2 * MINUTE_NS).unwrap();
        assert_eq!([used.n_unused, used.n_unknown], [1, 2]);
        // The third is younger than this build.
        let used = scan(dir.path(), now - MINUTE_NS, now + MINUTE_NS).unwrap();
        assert_eq!([used.n_used, used.n_unused, used.n_unknown], [0, 1, 1]);
        assert!(used.is_whole);
    }

    #[test]
    fn other_directories_and_links_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = scan(dir.path(), 0, 1).unwrap_err().to_string();
        assert!(error.contains("go env GOCACHE"), "{error}");
        entry(dir.path(), 1, Duration::ZERO);
        let link = dir.path().join("link");
        symlink(dir.path(), &link).unwrap();
        assert!(scan(&link, 0, 1).is_err());
    }
}
