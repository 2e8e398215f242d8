//! The links of the probed files. Threads share them, so that one can detach a file at once, without waiting for the main loop.
//!
//! Other modules decide when to detach which file.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aya::maps::{Array, MapData, MapError};
use aya::programs::links::FdLink;
use aya::programs::uprobe::UProbeLink;
use tracer_abi::TARGETS;

use super::multi;
use super::pinned::FilePins;

/// The probed files, by target. A clone refers to the same files.
#[derive(Clone)]
pub struct Probed(Arc<Mutex<ProbedFiles>>);

struct ProbedFiles {
    links: HashMap<u32, ProbedFile>,
    released: Released,
}

/// The map that marks a file as detached for the kernel side. Another probed file may have the same lower file. Its probes then take
/// over the processes of the detached file (`is_first_target` of `tracer-ebpf/src/call.rs`).
pub(super) struct Released(Array<MapData, u64>);

/// The links of one probed file.
pub(super) struct ProbedFile {
    pub(super) n: usize,
    /// Dropped after unpinning. The probes are detached when the last link is closed.
    pub(super) held: FileLinks,
    pub(super) pinned: Option<FilePins>,
}

/// Links that detach when dropped.
pub(super) enum FileLinks {
    Multi { link: multi::MultiLink },
    Perf { links: Vec<UProbeLink> },
    Pinned { _links: Vec<FdLink> },
}

impl Probed {
    /// Detaches a file; does nothing if it is not probed. After the return, no process has a breakpoint of this file, and none will get
    /// one.
    pub fn release(&self, target: u32) {
        if let Some(links) = self.remove(target) {
            links.end();
        }
    }

    pub(super) fn new(released: Released) -> Self {
        let links = HashMap::new();
        Self(Arc::new(Mutex::new(ProbedFiles { links, released })))
    }

    /// Prepares a target number for use. Detaches earlier links of this number.
    pub(super) fn begin(&self, target: u32) {
        let mut files = self.lock();
        files.links.remove(&target);
        files.released.set(target, false);
    }

    pub(super) fn insert(&self, target: u32, links: ProbedFile) {
        self.lock().links.insert(target, links);
    }

    /// Marks the file as detached: the kernel side ignores its hits from now on.
    pub(super) fn remove(&self, target: u32) -> Option<ProbedFile> {
        let mut files = self.lock();
        files.released.set(target, true);
        files.links.remove(&target)
    }

    pub(super) fn has(&self, target: u32) -> bool {
        self.lock().links.contains_key(&target)
    }

    pub(super) fn take_all(&self) -> impl Iterator<Item = ProbedFile> + use<> {
        mem::take(&mut self.lock().links).into_values()
    }

    /// Number of attached uprobes.
    pub(super) fn n_links(&self) -> usize {
        self.lock().links.values().map(|it| it.n).sum()
    }

    fn lock(&self) -> MutexGuard<'_, ProbedFiles> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Released {
    pub(super) fn new(map: aya::maps::Map) -> Result<Self, MapError> {
        Array::try_from(map).map(Self)
    }

    fn set(&mut self, target: u32, is_released: bool) {
        let bit = target % TARGETS;
        let (word, mask) = (bit / 64, 1_u64 << (bit % 64));
        let before = self.0.get(&word, 0).unwrap_or(0);
        let now = if is_released {
            before | mask
        } else {
            before & !mask
        };
        // An array element always exists. If the write failed, the kernel side would ignore hits of this file.
        let _kept = self.0.set(word, now, 0);
    }
}

impl ProbedFile {
    /// Detaches the probes, including pinned ones.
    pub(super) fn end(self) {
        let Self { n: _, held, pinned } = self;
        if let Some(pinned) = pinned {
            pinned.unpin();
        }
        drop(held);
    }
}
