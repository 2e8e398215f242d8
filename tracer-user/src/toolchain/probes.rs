//! Which files are probed now: each content of each file once, however many paths, mounts and containers show it.

use std::collections::HashMap;
use std::fs::File;
use std::mem;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tracer_core::byte_string::ByteString;
use tracer_core::event::{FileId, Ktime, Refusal, Tool};

use super::build_info::identify;
use super::file_id;
use super::resolve::{Resolved, resolve};
use super::watch::Watch;
use crate::bpf::{Site, Tracer, describe};

/// The files whose probes are on, and the tools that have none.
#[derive(Default)]
pub struct Probes {
    known: HashMap<FileId, Known>,
    last_target: u32,
    /// Nothing where the kernel has no room for another one: then only [`Probes::release_changed`] notices.
    watch: Option<Watch>,
    /// What is known is not what it was at the last [`Probes::take_news`].
    is_news: bool,
}

/// A tool that is known, as whoever goes on with its probes has to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Saved {
    target: u32,
    tool: Tool,
}

impl Saved {
    pub fn file(&self) -> FileId {
        self.tool.file
    }

    /// Where it was seen.
    pub fn path(&self) -> &ByteString {
        &self.tool.path
    }
}

struct Known {
    tool: Tool,
    target: u32,
    /// Held open so that the content that is probed can be asked whether it is still the same.
    file: File,
}

impl Probes {
    pub fn new() -> Self {
        Self {
            watch: Watch::new().ok(),
            ..Self::default()
        }
    }

    /// The answer that was given for this content, if there was one.
    pub fn known(&self, file: FileId) -> Option<&Tool> {
        self.known.get(&file).map(|it| &it.tool)
    }

    /// Tools that are known.
    pub fn tools(&self) -> impl Iterator<Item = &Tool> {
        self.known.values().map(|it| &it.tool)
    }

    /// Says which tool a file is and probes it, if that was not done already. Nothing: it is no Go tool.
    pub fn probe(&mut self, tracer: &mut Tracer, file: &File, path: &Path) -> Option<Tool> {
        let id = file_id(&file.metadata().ok()?);
        if let Some(tool) = self.known(id) {
            return Some(tool.clone());
        }
        let identity = identify(file)?;
        let resolved = resolve(file, &identity);
        let file = file.try_clone().ok()?;
        self.last_target += 1;
        let target = self.last_target;
        let (attached, refused) = self.attach(tracer, &file, id, target, resolved);
        let tool = Tool {
            at: now(),
            file: id,
            path: ByteString::from(path.as_os_str().as_bytes()),
            role: identity.role,
            version: identity.version,
            attached,
            refused,
        };
        self.is_news = true;
        self.known.insert(
            id,
            Known {
                tool: tool.clone(),
                target,
                file,
            },
        );
        Some(tool)
    }

    /// All that is known.
    pub fn saved(&self) -> impl Iterator<Item = Saved> {
        self.known.values().map(|it| Saved {
            target: it.target,
            tool: it.tool.clone(),
        })
    }

    /// Whether there is something else to be saved than at the last call.
    pub fn take_news(&mut self) -> bool {
        mem::take(&mut self.is_news)
    }

    /// Goes on with the probes that another put on this file, if it is still what it was then.
    pub fn take_over(&mut self, tracer: &mut Tracer, saved: Saved, file: File) -> Option<Tool> {
        let Saved { target, tool } = saved;
        // Watched before it is compared, as ever.
        let is_watched = self.watch.as_ref().is_none_or(|it| it.add(&file).is_ok());
        if !is_watched || !is_same(&file, tool.file) {
            return None;
        }
        let n = tool.attached.len();
        if n > 0 && !tracer.take_over(target, n) {
            return None;
        }
        self.last_target = self.last_target.max(target);
        self.is_news = true;
        let known = Known {
            tool: tool.clone(),
            target,
            file,
        };
        self.known.insert(tool.file, known);
        Some(tool)
    }

    /// Names of the probes that are on now, and why the others are not.
    fn attach(
        &self,
        tracer: &mut Tracer,
        file: &File,
        id: FileId,
        target: u32,
        resolved: Resolved,
    ) -> (Vec<String>, Vec<Refusal>) {
        let Resolved {
            probes,
            mut refused,
        } = resolved;
        let mut refuse_all = |why: &str| {
            refused.extend(probes.iter().map(|it| Refusal {
                probe: it.name.to_owned(),
                why: why.to_owned(),
            }));
        };
        let sites: Vec<Site> = probes.iter().map(|it| it.site).collect();
        // Watched before it is compared, so that no change falls between.
        if let Some(watch) = &self.watch
            && watch.add(file).is_err()
        {
            refuse_all(
                "the file cannot be watched for changes, and a probe on a changed file would kill it",
            );
            return (Vec::new(), refused);
        }
        if !is_same(file, id) {
            refuse_all("the file changed while it was looked at");
            return (Vec::new(), refused);
        }
        if let Err(error) = tracer.attach(file, target, &sites) {
            refuse_all(&describe(&error));
            return (Vec::new(), refused);
        }
        (
            probes.iter().map(|it| it.name.to_owned()).collect(),
            refused,
        )
    }

    /// A descriptor that can be read when a probed file has changed: then call [`Probes::release_changed`], at once.
    pub fn changes(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(Watch::as_fd)
    }

    /// Lets go of every file that is not any more what it was, and says which.
    pub fn release_changed(&mut self, tracer: &mut Tracer) -> Vec<Tool> {
        if let Some(watch) = &self.watch {
            watch.clear();
        }
        let changed = self
            .known
            .extract_if(|id, known| !is_same(&known.file, *id));
        let changed: Vec<Tool> = changed
            .map(|(_, known)| {
                tracer.detach(known.target);
                known.tool
            })
            .collect();
        self.is_news |= !changed.is_empty();
        changed
    }
}

/// Whether an open file still has the content it had, and a name.
fn is_same(file: &File, id: FileId) -> bool {
    file.metadata()
        .is_ok_and(|metadata| file_id(&metadata) == id)
}

fn now() -> Ktime {
    let now = clock_gettime(ClockId::Boottime);
    let nanoseconds = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
    Ktime(u64::try_from(nanoseconds).unwrap_or(0))
}
