//! The status of the storage process, for gotrace's own metrics.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::service::StorageService;
use crate::agent::export::Counts;
use crate::agent::metrics::{self, StorageStatus};
use crate::clock;
use crate::history::{DeliveryCounts, Forwarder};
use crate::proc::{self, ProcessUsage};

impl StorageService<'_> {
    pub(super) fn storage(&self) -> StorageStatus {
        let counts = self.writer.counts();
        let central = self.forwarder.as_ref().map(|it| ("central", central(it)));
        StorageStatus {
            n_waiting: counts.waiting,
            n_dropped: counts.dropped + counts.failed,
            exports: self.outputs.counts().into_iter().chain(central).collect(),
            cpu_ns: clock::own_cpu_ns(),
            resident_bytes: proc::own_resident_bytes(),
            process: ProcessUsage::own(),
            reload: self.reload,
            history: self.history(),
        }
    }

    /// The results of the retention, and the used and free space. Opens no file: closing a descriptor of the database
    /// would release the locks of this process on the database.
    fn history(&self) -> metrics::History {
        let store = &self.config.store;
        let mut deleted = self.writer.deleted();
        let mut oldest_ns = self.writer.oldest_ns();
        if let Some(forwarder) = &self.forwarder {
            let of_spool = forwarder.deleted();
            deleted.by_age += of_spool.by_age;
            deleted.by_size += of_spool.by_size;
            oldest_ns = forwarder.oldest_ns();
        }
        metrics::History {
            deleted_by_age: deleted.by_age,
            deleted_by_size: deleted.by_size,
            n_set_aside: self.n_set_aside,
            bytes: size(store).saturating_add(size(&wal_path(store))),
            free_bytes: free(store),
            oldest_ns,
        }
    }
}

/// The write-ahead log of a database.
fn wal_path(store: &Path) -> PathBuf {
    let mut name = OsString::from(store);
    name.push("-wal");
    name.into()
}

/// Size of a file in bytes. Zero if the file does not exist.
fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |it| it.len())
}

/// Bytes that users other than root may still write to the file system of this file.
fn free(path: &Path) -> Option<u64> {
    let dir = path.parent().filter(|it| !it.as_os_str().is_empty());
    let stat = rustix::fs::statvfs(dir.unwrap_or(Path::new("."))).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The counts of the central history, in the form of the other outputs.
fn central(forwarder: &Forwarder) -> Counts {
    let DeliveryCounts {
        sent,
        failed: _,
        refused,
        discarded,
        waiting,
    } = forwarder.counts();
    Counts {
        sent,
        failed: refused,
        dropped: discarded.builds + discarded.details,
        waiting,
    }
}
