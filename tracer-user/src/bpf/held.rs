//! What keeps the probes of files on, shared with whoever has to let go of one at once: a thread that must not wait for the loop.
//!
//! Which file is to be let go, and when, is not known here.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aya::programs::links::FdLink;
use aya::programs::uprobe::UProbeLink;

use super::multi;
use super::pinned::FilePins;

/// The files that are probed now, by their targets. A clone is another way to the same.
#[derive(Clone, Default)]
pub struct Probed(Arc<Mutex<HashMap<u32, Links>>>);

/// What keeps the probes of one file on.
pub(super) struct Links {
    pub(super) n: usize,
    /// Dropped after it was unpinned: the probes are off when the last one is gone.
    pub(super) held: Held,
    pub(super) pinned: Option<FilePins>,
}

/// Dropping it is the use of it.
pub(super) enum Held {
    Multi { link: multi::Link },
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

    pub(super) fn insert(&self, target: u32, links: Links) {
        self.lock().insert(target, links);
    }

    pub(super) fn remove(&self, target: u32) -> Option<Links> {
        self.lock().remove(&target)
    }

    pub(super) fn has(&self, target: u32) -> bool {
        self.lock().contains_key(&target)
    }

    pub(super) fn take_all(&self) -> impl Iterator<Item = Links> + use<> {
        mem::take(&mut *self.lock()).into_values()
    }

    /// Uprobes that are on.
    pub(super) fn n_links(&self) -> usize {
        self.lock().values().map(|it| it.n).sum()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Links>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Links {
    /// Takes the probes off, also if they are pinned.
    pub(super) fn end(self) {
        let Self { n: _, held, pinned } = self;
        if let Some(pinned) = pinned {
            pinned.unpin();
        }
        drop(held);
    }
}
