//! Which files are probed now: each content of each file once, however many paths, mounts and containers show it.

use std::collections::HashMap;
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::time::{ClockId, clock_gettime};
use tracer_core::byte_string::ByteString;
use tracer_core::event::{FileId, Ktime, Refusal, Tool};

use super::build_info::identify;
use super::file_id;
use super::resolve::{Resolved, resolve};
use super::watch::Watch;
use crate::bpf::{Site, Tracer};

/// The files whose probes are on, and the tools that have none.
#[derive(Default)]
pub struct Probes {
    known: HashMap<FileId, Known>,
    last_target: u32,
    /// Nothing where the kernel has no room for another one: then only [`Probes::release_changed`] notices.
    watch: Option<Watch>,
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
        changed
            .map(|(_, known)| {
                tracer.detach(known.target);
                known.tool
            })
            .collect()
    }
}

/// Whether an open file still has the content it had, and a name.
fn is_same(file: &File, id: FileId) -> bool {
    file.metadata()
        .is_ok_and(|metadata| file_id(&metadata) == id)
}

/// The error and what caused it, in one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn now() -> Ktime {
    let now = clock_gettime(ClockId::Boottime);
    let nanoseconds = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
    Ktime(u64::try_from(nanoseconds).unwrap_or(0))
}
