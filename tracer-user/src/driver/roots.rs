//! The root directories of traced processes: opened while a process exists, and kept for requests after its end.
//!
//! Processes with the same root share it. The number of open roots is therefore the number of containers that build at
//! the same time, not the number of builds.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use tracer_core::event::ProcKey;

use crate::inspect::{Refused, Root};
use crate::proc;

/// Maximum number of open roots. Each needs two descriptors, and a process may have 1024.
const OPEN_MAX: usize = 256;
/// Number of processes after which those without an observed exit are checked.
const PROCESSES_MAX: usize = 16_384;

#[derive(Debug, Default)]
pub(super) struct Roots {
    of: BTreeMap<ProcKey, Arc<Root>>,
    /// The roots in use.
    open: Vec<Weak<Root>>,
}

impl Roots {
    /// Returns the root of a process. If the process was gone at the first call, returns gotrace's root, which is the same
    /// except in containers.
    pub(super) fn of(&mut self, process: ProcKey) -> Result<Arc<Root>, Refused> {
        if let Some(root) = self.of.get(&process) {
            return Ok(Arc::clone(root));
        }
        if self.of.len() >= PROCESSES_MAX {
            self.of.retain(|it, _| proc::is_there(*it));
        }
        let root = self.shared(Root::of(process).or_else(|_| Root::own())?)?;
        self.of.insert(process, Arc::clone(&root));
        Ok(root)
    }

    /// Releases the root of a process that has ended.
    pub(super) fn forget(&mut self, process: ProcKey) {
        self.of.remove(&process);
    }

    /// Returns an already open root if it is the same.
    fn shared(&mut self, root: Root) -> Result<Arc<Root>, Refused> {
        self.open.retain(|it| it.strong_count() > 0);
        let mut open = self.open.iter().filter_map(Weak::upgrade);
        if let Some(same) = open.find(|it| it.is_same(&root)) {
            return Ok(same);
        }
        if self.open.len() >= OPEN_MAX {
            return Err(Refused::Crowded(OPEN_MAX));
        }
        let root = Arc::new(root);
        self.open.push(Arc::downgrade(&root));
        Ok(root)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use tracer_core::event::{Ktime, Tgid};

    use super::*;

    struct Sleeper(Child);

    impl Sleeper {
        fn new() -> Self {
            Self(Command::new("sleep").arg("60").spawn().unwrap())
        }

        fn key(&self) -> ProcKey {
            let tgid = Tgid(self.0.id());
            let ticks = proc::stat(tgid).unwrap().started;
            let tick_ns = 1_000_000_000 / rustix::param::clock_ticks_per_second();
            ProcKey {
                tgid,
                born: Ktime(ticks * tick_ns),
            }
        }

        fn end(mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    #[test]
    fn processes_in_one_root_share_it_and_it_outlives_them() {
        let mut roots = Roots::default();
        let (one, two) = (Sleeper::new(), Sleeper::new());
        let (first, second) = (one.key(), two.key());
        let of_first = roots.of(first).unwrap();
        assert!(Arc::ptr_eq(&of_first, &roots.of(second).unwrap()));
        one.end();
        assert!(Arc::ptr_eq(&of_first, &roots.of(first).unwrap()));
        // A process that was already gone is assumed to have gotrace's root.
        let born = Ktime(first.born.0 + 1_000_000_000);
        let unseen = roots.of(ProcKey { born, ..first }).unwrap();
        assert!(unseen.is_same(&Root::own().unwrap()));
        two.end();
        drop((of_first, unseen));
        for process in [first, second, ProcKey { born, ..first }] {
            roots.forget(process);
        }
        assert!(roots.open.iter().all(|it| it.strong_count() == 0));
    }

    #[test]
    fn the_number_of_open_roots_is_limited() {
        let unlike = || Root::own().unwrap().without_id();
        let mut roots = Roots::default();
        let open: Vec<Arc<Root>> = (0..OPEN_MAX)
            .map(|_| roots.shared(unlike()).unwrap())
            .collect();
        let error = roots.shared(unlike()).unwrap_err();
        let why = format!("building processes already use {OPEN_MAX} other root directories");
        assert_eq!(error.to_string(), why);
        drop(open);
        assert!(roots.shared(unlike()).is_ok());
    }
}
