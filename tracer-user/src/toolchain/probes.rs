//! The probed files: each content of each file once, independent of the number of its paths, mounts and containers.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::mem;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{AtFlags, StatxFlags, statx};
use serde::{Deserialize, Serialize};
use tracer_core::byte_string::ByteString;
use tracer_core::event::{FileId, Refusal, Tool};

use super::candidate::Candidate;
use super::lease::{Guard, LeaseGuard, Leases, OpenForWriting};
use super::resolve::Resolved;
use super::watch::Watch;
use super::{file_id, file_id_of};
use crate::bpf::{Site, Tracer, TracerError, describe};
use crate::clock;

/// The probed files, and the tools without probes.
#[derive(Default)]
pub struct Probes {
    known: HashMap<FileId, Known>,
    last_target: u32,
    /// `None` if the kernel cannot create another instance. Then only [`Probes::release_changed`] detects changes.
    watch: Option<Watch>,
    /// `None` before the first file is probed, and if no thread can be started.
    leases: Option<Leases>,
    /// True if the known tools have changed since the last [`Probes::take_changed`].
    is_changed: bool,
}

/// A known tool, with the data for a takeover of its probes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    target: u32,
    tool: Tool,
    resolved: Resolved,
}

impl Saved {
    pub fn file(&self) -> FileId {
        self.tool.file
    }

    /// The path where it was observed.
    pub fn path(&self) -> &ByteString {
        &self.tool.path
    }
}

struct Known {
    tool: Tool,
    target: u32,
    /// The probes of all levels of detail.
    resolved: Resolved,
    /// Other IDs of the file: the kernel programs can report another device than stat(2).
    aliases: BTreeSet<FileId>,
    /// The open file, for comparisons of its content with the probed content.
    file: Arc<File>,
    /// `None` if the tool has no probes.
    guard: Option<Guard>,
}

/// The result of probing a file.
#[derive(Default)]
struct Attached {
    /// Names of the attached probes.
    names: Vec<String>,
    refused: Vec<Refusal>,
    guard: Option<Guard>,
    /// True if a later attempt can have another result.
    is_temporary: bool,
}

impl Probes {
    pub fn new() -> Self {
        Self {
            watch: Watch::new().ok(),
            ..Self::default()
        }
    }

    /// The known tool with this content.
    pub fn known(&self, file: FileId) -> Option<&Tool> {
        self.known.get(&file).map(|it| &it.tool)
    }

    /// The protection of a probed file against writers; `None` if it has no probes.
    pub fn guard(&self, file: FileId) -> Option<Guard> {
        self.known.get(&file).and_then(|it| it.guard)
    }

    /// All known tools.
    pub fn tools(&self) -> impl Iterator<Item = &Tool> {
        self.known.values().map(|it| &it.tool)
    }

    /// True if this file is a known tool.
    pub fn has(&self, file: &File) -> bool {
        let metadata = file.metadata();
        metadata.is_ok_and(|it| self.known.contains_key(&file_id(&it)))
    }

    /// Probes a tool, if it is not known yet. Returns the result.
    pub fn probe(&mut self, tracer: &mut Tracer, candidate: Candidate) -> Tool {
        let Candidate {
            file,
            path,
            id,
            identity,
            resolved,
        } = candidate;
        if let Some(tool) = self.known(id) {
            return tool.clone();
        }
        self.last_target += 1;
        let target = self.last_target;
        let Attached {
            names,
            refused,
            guard,
            is_temporary,
        } = self.attach(tracer, &file, id, target, &resolved);
        let tool = Tool {
            at: clock::boot(),
            file: id,
            path: ByteString::from(path.as_os_str().as_bytes()),
            role: identity.role,
            version: identity.version,
            attached: names,
            refused,
        };
        if !is_temporary {
            self.is_changed = true;
            let known = Known {
                tool: tool.clone(),
                target,
                resolved,
                aliases: BTreeSet::new(),
                file,
                guard,
            };
            self.known.insert(id, known);
        }
        tool
    }

    /// The data of all known tools for a takeover.
    pub fn saved(&self) -> impl Iterator<Item = Saved> {
        self.known.values().map(|it| Saved {
            target: it.target,
            tool: it.tool.clone(),
            resolved: it.resolved.clone(),
        })
    }

    /// True if the data to save has changed since the last call.
    pub fn take_changed(&mut self) -> bool {
        mem::take(&mut self.is_changed)
    }

    /// Takes over the probes of this file from an earlier process, if the file has not changed since.
    pub fn take_over(&mut self, tracer: &mut Tracer, saved: Saved, file: File) -> Option<Tool> {
        let Saved {
            target,
            mut tool,
            resolved,
        } = saved;
        self.last_target = self.last_target.max(target);
        let file = Arc::new(file);
        let names = names(&resolved, tracer.level());
        let sites = sites(&resolved);
        let is_probed = !names.is_empty();
        let mut holding = holding(&mut self.leases, tracer);
        // Watch and lease the file before comparing it, as in `attach`.
        let is_watched = self.watch.as_ref().is_none_or(|it| it.add(&file).is_ok());
        let guard = match &mut holding {
            Some(holding) if is_probed => holding.take(target, &file).ok()?,
            Some(_) | None => Guard::Unsupported,
        };
        let mut is_taken = is_watched && is_same(&file, tool.file);
        if is_taken {
            tracer.take_over(target, &sites);
            is_taken = tracer.attach(&file, target, &sites).is_ok();
        }
        if !is_taken {
            tracer.detach(target);
            if let Some(holding) = &mut holding {
                holding.give_up(target);
            }
            return None;
        }
        if tool.attached != names {
            tool.at = clock::boot();
            tool.attached = names;
            tool.refused.clone_from(&resolved.refused);
        }
        self.is_changed = true;
        let known = Known {
            tool: tool.clone(),
            target,
            resolved,
            aliases: BTreeSet::new(),
            file,
            guard: is_probed.then_some(guard),
        };
        self.known.insert(tool.file, known);
        Some(tool)
    }

    /// Adds another ID of a known file.
    pub fn add_alias(&mut self, file: FileId, alias: FileId) {
        if let Some(known) = self.known.get_mut(&file)
            && file != alias
        {
            known.aliases.insert(alias);
        }
    }

    /// Changes the level of detail: attaches and detaches probes. Returns the tools with other probes than before, as of now.
    pub fn set_level(&mut self, tracer: &mut Tracer, level: u32) -> Result<Vec<Tool>, TracerError> {
        tracer.set_level(level)?;
        let ids: Vec<FileId> = self.known.keys().copied().collect();
        let mut changed = Vec::new();
        for id in ids {
            let Some(mut known) = self.known.remove(&id) else {
                continue;
            };
            let wanted = names(&known.resolved, level);
            if known.tool.attached == wanted {
                self.known.insert(id, known);
                continue;
            }
            if wanted.is_empty() {
                tracer.detach(known.target);
                if let Some(mut holding) = holding(&mut self.leases, tracer) {
                    holding.give_up(known.target);
                }
            }
            let Known {
                tool,
                target,
                resolved,
                aliases,
                file,
                guard,
            } = &mut known;
            let attached = self.attach(tracer, file, id, *target, resolved);
            *guard = attached.guard;
            (tool.attached, tool.refused) = (attached.names, attached.refused);
            tool.at = clock::boot();
            let ids = aliases.iter().copied().chain([id]);
            changed.extend(ids.map(|file| Tool {
                file,
                ..tool.clone()
            }));
            self.is_changed = true;
            // After a temporary failure, the next process that runs the tool has it probed.
            if !attached.is_temporary {
                self.known.insert(id, known);
            }
        }
        Ok(changed)
    }

    fn attach(
        &mut self,
        tracer: &mut Tracer,
        file: &Arc<File>,
        id: FileId,
        target: u32,
        resolved: &Resolved,
    ) -> Attached {
        let refused = resolved.refused.clone();
        let names = names(resolved, tracer.level());
        if names.is_empty() {
            return Attached {
                refused,
                ..Attached::default()
            };
        }
        let refuse_all = |why: &str, is_temporary| {
            let all = names.iter().map(|it| Refusal {
                probe: it.clone(),
                why: why.to_owned(),
            });
            Attached {
                refused: refused.iter().cloned().chain(all).collect(),
                is_temporary,
                ..Attached::default()
            }
        };
        // Watch and lease the file before comparing it, so that no change is missed in between.
        if let Some(watch) = &self.watch
            && watch.add(file).is_err()
        {
            return refuse_all(
                "the file cannot be watched for changes, and a probe on a changed file would crash it",
                false,
            );
        }
        let mut holding = holding(&mut self.leases, tracer);
        let guard = match holding.as_mut().map(|it| it.take(target, file)) {
            Some(Ok(guard)) => guard,
            Some(Err(OpenForWriting)) => {
                return refuse_all("another process has the file open for writing", true);
            }
            None => Guard::Unsupported,
        };
        let refused_why = if is_same(file, id) {
            let attached = tracer.attach(file, target, &sites(resolved));
            attached.err().map(|it| describe(&it))
        } else {
            Some("the file changed while gotrace examined it".to_owned())
        };
        if let Some(why) = refused_why {
            tracer.detach(target);
            if let Some(holding) = &mut holding {
                holding.give_up(target);
            }
            return refuse_all(&why, false);
        }
        Attached {
            names,
            refused,
            guard: Some(guard),
            is_temporary: false,
        }
    }

    /// A descriptor that becomes readable when a probed file has changed. Call [`Probes::release_changed`] at once.
    pub fn changes(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(Watch::as_fd)
    }

    /// Detaches every changed file, and returns these tools. A file that was only opened for writing, but not changed, is probed again.
    pub fn release_changed(&mut self, tracer: &mut Tracer) -> Vec<Tool> {
        if let Some(watch) = &self.watch {
            watch.clear();
        }
        let mut holding = holding(&mut self.leases, tracer);
        let is_let_go = |known: &Known| {
            let is_held = |it: &LeaseGuard<'_>| it.has(known.target);
            known.guard == Some(Guard::Lease) && !holding.as_ref().is_some_and(is_held)
        };
        let gone = self
            .known
            .extract_if(|id, known| !is_same(&known.file, *id) || is_let_go(known));
        let gone: Vec<(FileId, Known)> = gone.collect();
        if let Some(holding) = &mut holding {
            for (_, known) in &gone {
                holding.give_up(known.target);
            }
        }
        drop(holding);
        self.is_changed |= !gone.is_empty();
        let mut changed = Vec::new();
        for (id, known) in gone {
            tracer.detach(known.target);
            let path = Path::new(OsStr::from_bytes(known.tool.path.as_bytes()));
            let again = is_same(&known.file, id)
                .then(|| Candidate::examine(known.file, path))
                .flatten();
            if let Some(again) = again {
                self.probe(tracer, again);
            } else {
                changed.push(known.tool);
            }
        }
        changed
    }

    /// Gives up all leases before this process is stopped, because a stopped process could not detach probes for a writer.
    pub fn suspend(&mut self) {
        if let Some(leases) = &self.leases {
            leases.hold().give_up_all();
        }
    }

    /// Takes the leases again after this process was continued.
    pub fn resume(&mut self, tracer: &mut Tracer) {
        if let Some(mut holding) = holding(&mut self.leases, tracer) {
            let leased = self.known.values();
            for known in leased.filter(|it| it.guard == Some(Guard::Lease)) {
                // `release_changed` detaches the probes of files that a process writes now.
                let _writer = holding.take(known.target, &known.file);
            }
        }
        self.release_changed(tracer);
    }
}

/// Names of the probes that this level of detail needs.
fn names(resolved: &Resolved, level: u32) -> Vec<String> {
    let needed = resolved.probes.iter().filter(|it| it.level <= level);
    needed.map(|it| it.name.clone()).collect()
}

fn sites(resolved: &Resolved) -> Vec<Site> {
    let sites = resolved.probes.iter().flat_map(|it| &it.sites);
    sites.copied().collect()
}

/// Locks the leases in their current state.
fn holding<'a>(leases: &'a mut Option<Leases>, tracer: &Tracer) -> Option<LeaseGuard<'a>> {
    if leases.is_none() {
        *leases = Leases::start(tracer.probed()).ok();
    }
    leases.as_ref().map(Leases::hold)
}

/// True if an open file still has this content and a name. Uses cached attributes only: this never waits for a file system.
fn is_same(file: &File, id: FileId) -> bool {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    statx(file, "", flags, StatxFlags::BASIC_STATS).is_ok_and(|it| file_id_of(&it) == id)
}
