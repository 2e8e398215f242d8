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
use super::pinned::LevelPins;

/// The probed files, by target. A clone refers to the same files.
#[derive(Clone)]
pub struct Probed(Arc<Mutex<ProbedFiles>>);

struct ProbedFiles {
    links: HashMap<u32, Vec<LevelLinks>>,
    released: Released,
}

/// The map that marks a file as detached for the kernel side. Another probed file may have the same lower file. Its probes then take
/// over the processes of the detached file (`is_first_target` of `tracer-ebpf/src/call.rs`).
pub(super) struct Released(Array<MapData, u64>);

/// The links of one probed file for one level of detail.
pub(super) struct LevelLinks {
    pub(super) level: u32,
    /// Number of probes.
    pub(super) n: usize,
    /// The probes are detached when the last link is closed and unpinned.
    pub(super) _held: FileLinks,
    pub(super) pinned: Option<LevelPins>,
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
        for links in self.remove(target) {
            links.end();
        }
    }

    pub(super) fn new(released: Released) -> Self {
        let links = HashMap::new();
        Self(Arc::new(Mutex::new(ProbedFiles { links, released })))
    }

    /// Prepares a target number for probes. Returns which of these levels have no links yet.
    pub(super) fn begin(&self, target: u32, levels: impl Iterator<Item = u32>) -> Vec<u32> {
        let mut files = self.lock();
        files.released.set(target, false);
        let links = files.links.entry(target).or_default();
        let is_missing = |level: &u32| links.iter().all(|it| it.level != *level);
        levels.filter(is_missing).collect()
    }

    pub(super) fn insert(&self, target: u32, links: LevelLinks) {
        self.lock().links.entry(target).or_default().push(links);
    }

    /// Marks the file as detached: the kernel side ignores its hits from now on.
    pub(super) fn remove(&self, target: u32) -> Vec<LevelLinks> {
        let mut files = self.lock();
        files.released.set(target, true);
        files.links.remove(&target).unwrap_or_default()
    }

    /// Removes the links of all files that only higher levels need.
    pub(super) fn remove_above(&self, level: u32) -> Vec<LevelLinks> {
        let mut files = self.lock();
        let all = files.links.values_mut();
        all.flat_map(|links| links.extract_if(.., |it| it.level > level))
            .collect()
    }

    pub(super) fn has(&self, target: u32) -> bool {
        let files = self.lock();
        files.links.get(&target).is_some_and(|it| !it.is_empty())
    }

    pub(super) fn take_all(&self) -> impl Iterator<Item = LevelLinks> + use<> {
        mem::take(&mut self.lock().links).into_values().flatten()
    }

    /// Number of attached uprobes.
    pub(super) fn n_links(&self) -> usize {
        self.lock().links.values().flatten().map(|it| it.n).sum()
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

impl LevelLinks {
    /// Detaches the probes, including pinned ones.
    pub(super) fn end(mut self) {
        self.unpin();
    }

    /// Unpins the links. They are detached when this value is dropped.
    pub(super) fn unpin(&mut self) {
        if let Some(pinned) = self.pinned.take() {
            pinned.unpin();
        }
    }
}
