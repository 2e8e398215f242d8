//! What keeps the probes of files on, shared with whoever has to let go of one at once: a thread that must not wait for the loop.
//!
//! Which file is to be let go, and when, is not known here.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aya::maps::{Array, MapData, MapError};
use aya::programs::links::FdLink;
use aya::programs::uprobe::UProbeLink;
use tracer_abi::TARGETS;

use super::multi;
use super::pinned::FilePins;

/// The files that are probed now, by their targets. A clone is another way to the same.
#[derive(Clone)]
pub struct Probed(Arc<Mutex<ProbedFiles>>);

struct ProbedFiles {
    links: HashMap<u32, ProbedFile>,
    released: Released,
}

/// What tells the kernel side that a file is let go: a process that was followed by its probes is then followed by those of another
/// file that is the same below, if there is one (`is_first_target` of `tracer-ebpf/src/call.rs`).
pub(super) struct Released(Array<MapData, u64>);

/// What keeps the probes of one file on.
pub(super) struct ProbedFile {
    pub(super) n: usize,
    /// Dropped after it was unpinned: the probes are off when the last one is gone.
    pub(super) held: FileLinks,
    pub(super) pinned: Option<FilePins>,
}

/// Dropping it is the use of it.
pub(super) enum FileLinks {
    Multi { link: multi::MultiLink },
    Perf { links: Vec<UProbeLink> },
    Pinned { _links: Vec<FdLink> },
}

impl Probed {
    /// Lets go of a file. When this returns, no process has a breakpoint of it any more and none gets one. Nothing happens if the file
    /// is not probed.
    pub fn release(&self, target: u32) {
        if let Some(links) = self.remove(target) {
            links.end();
        }
    }

    pub(super) fn new(released: Released) -> Self {
        let links = HashMap::new();
        Self(Arc::new(Mutex::new(ProbedFiles { links, released })))
    }

    /// The number of a file is about to be used. Those of before are let go.
    pub(super) fn begin(&self, target: u32) {
        let mut files = self.lock();
        files.links.remove(&target);
        files.released.set(target, false);
    }

    pub(super) fn insert(&self, target: u32, links: ProbedFile) {
        self.lock().links.insert(target, links);
    }

    /// From now on no hit of that file counts.
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

    /// Uprobes that are on.
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
        // An element of an array is always there; were it not, hits of that file would be lost with its probes.
        let _kept = self.0.set(word, now, 0);
    }
}

impl ProbedFile {
    /// Takes the probes off, also if they are pinned.
    pub(super) fn end(self) {
        let Self { n: _, held, pinned } = self;
        if let Some(pinned) = pinned {
            pinned.unpin();
        }
        drop(held);
    }
}
