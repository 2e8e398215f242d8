//! The source of live events: kernel programs, the ring, and probes on toolchains. Records become events without any
//! interpretation.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tracer_abi::{Kind, Name, Tally};
use tracer_core::byte_string::ByteString;
use tracer_core::correlate::Context;
use tracer_core::decode::{Decoder, DigestKey};
use tracer_core::event::{Event, FileId, Lost, ProcKey, Tgid, Tool};
use tracer_core::recording::Detail;

use super::handover::{self, Handover};
use super::journal::Journal;
use super::loaded::{Loaded, open_handover};
use super::renames::RenameWatch;
use super::self_test;
use crate::bpf::{Config, Ring, SetupError, Table, Tracer, TracerError, describe};
use crate::clock;
use crate::inspect;
use crate::launch::signal::stop;
use crate::proc;
use crate::toolchain::{self, Candidate, Probes, SearchHint};

/// Size of the ring of a service. The service holds this memory permanently, and the kernel maps a ring twice. Two hundred
/// builds that start at once lose no record (`cargo xtask bench agent`).
const SERVICE_RING_BYTES: u32 = 8 << 20;

/// The note if leases are not permitted.
const UNGUARDED: &str = "CAP_LEASE is missing: a Go tool that is overwritten in place while it runs may crash; grant CAP_LEASE";

/// The options of a trace.
#[derive(Debug)]
pub struct SourceOptions {
    /// The redacted command line.
    pub command: Vec<ByteString>,
    pub detail: Detail,
    /// The places to search for toolchains.
    pub hint: SearchHint,
    /// The users whose builds are traced.
    pub whose: Whose,
    /// The place where programs and maps are pinned for the next agent.
    pub pin: Option<Pin>,
    /// The key of the digests that replace the values of variables.
    pub digest_key: DigestKey,
}

/// The directories of a pinned trace.
#[derive(Clone, Debug)]
pub struct Pin {
    /// The directory on bpffs.
    pub place: PathBuf,
    /// A directory that contains only the files of the handover.
    pub own: PathBuf,
}

/// The selection of traced builds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Builds of the processes that are followed.
    Followed,
    /// All builds on the machine.
    Everybody,
}

/// Loaded and attached programs.
pub struct Source {
    tracer: Tracer,
    ring: Ring,
    probes: Probes,
    decoder: Decoder,
    context: Context,
    found: Vec<Tool>,
    attach: Duration,
    /// CPU time of this process when all was attached.
    start_cpu_ns: u64,
    /// Messages about missing features. Tracing works without them.
    notes: Vec<String>,
    handover: Option<Handover>,
    /// True if a previous agent loaded the programs. Its builds may still be running.
    is_adopted: bool,
    renames: RenameWatch,
}

impl Source {
    /// Loads the programs and attaches probes to the toolchains that are found.
    pub fn start(options: SourceOptions) -> Result<Self, SetupError> {
        let start = Instant::now();
        let SourceOptions {
            command,
            detail,
            hint,
            whose,
            pin,
            digest_key,
        } = options;
        let mut names = toolchain::names().to_vec();
        names.push(Name::of(self_test::NAME.as_bytes()));
        let config = Config {
            detail: detail.level(),
            ring_bytes: match whose {
                Whose::Followed => Config::default().ring_bytes,
                Whose::Everybody => SERVICE_RING_BYTES,
            },
        };
        let table = Table {
            names: match whose {
                Whose::Followed => &[],
                Whose::Everybody => &names,
            },
            ..toolchain::table()
        };
        let Loaded {
            mut tracer,
            ring,
            mut notes,
            is_adopted,
        } = Loaded::start(config, &table, pin.as_ref())?;
        let mut probes = Probes::new();
        let mut found = Vec::new();
        let mut handover = None;
        if let Some(Pin { own, .. }) = &pin
            && is_adopted
        {
            handover = open_handover(own, &tracer, &mut notes);
            let saved = handover.as_ref().map_or_else(Vec::new, Handover::tools);
            if detail != Detail::Process {
                let followed = tracer.followed();
                for saved in saved {
                    let file = handover::reopen(&saved, &followed);
                    found.extend(file.and_then(|it| probes.take_over(&mut tracer, saved, it)));
                }
            }
            tracer.release_abandoned();
        }
        if detail != Detail::Process {
            for path in toolchain::find(&hint) {
                let Ok(file) = inspect::open_program(&path) else {
                    continue;
                };
                if probes.has(&file) {
                    continue;
                }
                let tool = Candidate::examine(file, &path);
                found.extend(tool.map(|it| probes.probe(&mut tracer, it)));
            }
        }
        if let Some(Pin { own, .. }) = &pin
            && !is_adopted
        {
            if let Err(error) = tracer.publish(&table) {
                notes.push(describe(&error));
            }
            handover = open_handover(own, &tracer, &mut notes);
        }
        if detail != Detail::Process && tracer.has_probes() && !toolchain::may_lease() {
            notes.push(UNGUARDED.to_owned());
        }
        let context = Context {
            host: host(),
            command,
            boot_to_wall_ns: clock::boot_to_wall_ns(),
            cpus: n_cpus(),
            phases: has_phases(detail, &tracer),
            // The tracer has notes only about missing programs. If any program is missing, an absent rename proves nothing.
            renames: tracer.notes().is_empty(),
        };
        let reported = handover.as_ref().map(Handover::reported_losses);
        let mut source = Self {
            renames: RenameWatch::new(&tracer, &reported.unwrap_or_default()),
            decoder: Decoder::new(toolchain::points().to_vec(), proc::page_size())
                .with_digest_key(digest_key),
            tracer,
            ring,
            probes,
            context,
            found,
            attach: start.elapsed(),
            start_cpu_ns: clock::own_cpu_ns(),
            notes,
            handover,
            is_adopted,
        };
        source.save_tools();
        Ok(source)
    }

    /// True if a previous agent traced builds with these programs.
    pub fn is_adopted(&self) -> bool {
        self.is_adopted
    }

    /// True if the start of a new agent was announced in the pin directory.
    pub(super) fn is_upgrade_announced(&self) -> bool {
        self.tracer.is_upgrade_announced()
    }

    /// Ends. Pinned programs stay attached. So are renames: no agent could attach their hook for a build that starts before the next one.
    pub(super) fn leave(mut self) {
        // After a failure, the next agent marks such a build.
        let _unseen = self.tracer.attach_rename();
        self.tracer.leave();
    }

    /// Ends, and detaches all programs.
    pub(super) fn end(self) {
        let Self {
            tracer, handover, ..
        } = self;
        drop(tracer);
        if let Some(handover) = handover {
            handover.remove();
        }
    }

    /// Saves the known tools for the next agent, if they have changed.
    fn save_tools(&mut self) {
        if self.probes.take_changed()
            && let Some(handover) = &self.handover
        {
            // After a failure, the next agent searches for the tools, as the first one did.
            let _unsaved = handover.write_tools(self.probes.saved());
        }
    }

    /// Traces this process and its future descendants.
    pub fn follow(&mut self, tgid: Tgid) -> Result<(), TracerError> {
        self.tracer.follow(tgid.0)
    }

    /// Stops tracing a process that was last seen running this file. A process that has executed another program since is
    /// still traced: a script with the name of a Go tool may have executed the tool.
    pub(super) fn unfollow(&mut self, process: ProcKey, file: FileId) {
        // The kernel side removes ended processes itself. The ID may belong to another traced process.
        if !runs(process, file) {
            return;
        }
        self.tracer.unfollow(process.tgid.0);
        if !runs(process, file) && proc::is_there(process) {
            // The process may have ended in the meantime.
            let _gone = self.tracer.follow(process.tgid.0);
        }
    }

    /// Sets the level of detail: attaches and detaches probes. Returns the tools with other probes than before.
    pub(super) fn set_detail(&mut self, detail: Detail) -> io::Result<Vec<Tool>> {
        let changed = self.probes.set_level(&mut self.tracer, detail.level());
        let changed = changed.map_err(io::Error::other)?;
        self.context.phases = has_phases(detail, &self.tracer);
        self.save_tools();
        Ok(changed)
    }

    /// Number of attached probes.
    pub fn n_probes(&self) -> usize {
        self.tracer.n_links()
    }

    /// Counts of the records so far, including lost ones.
    pub(super) fn tallies(&self) -> Vec<(Kind, Tally)> {
        // The counters are a kernel map that exists as long as this process.
        let mut tallies = self.tracer.tallies().unwrap_or_default();
        for (kind, tally) in &mut tallies {
            if *kind == Kind::RENAME {
                tally.lost += self.renames.n_missed();
            }
        }
        tallies
    }

    /// True if nothing is known that would hide a rename.
    pub(super) fn has_all_renames(&self) -> bool {
        self.context.renames
    }

    /// Stops observing renames if no session needs them. Returns a message for the operator.
    pub(super) fn rest(&mut self, n_sessions: usize) -> Option<String> {
        self.renames
            .rest(&mut self.tracer, n_sessions, Instant::now());
        self.renames.take_news()
    }

    /// Messages about missing features. Tracing works without them.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    pub fn context(&self) -> Context {
        self.context.clone()
    }

    /// Returns the tools that were found at the start. Later calls return none.
    pub fn take_found(&mut self) -> Vec<Tool> {
        std::mem::take(&mut self.found)
    }

    /// Takes at most `max` available events, each with the result of `see`. `see` receives an event before its record
    /// leaves the ring. If gotrace is killed before that, the record is found again. `see` calls its second argument for the events
    /// of traced commands; the result is false if the command may have renamed a file unseen.
    pub(super) fn take<T>(
        &mut self,
        max: usize,
        mut see: impl FnMut(&Event, &mut dyn FnMut(&Event) -> bool) -> T,
    ) -> Vec<(Event, T)> {
        let Self {
            tracer,
            ring,
            decoder,
            renames,
            ..
        } = self;
        let mut next = || {
            ring.next(|record| {
                let event = decoder.decode(record);
                let seen = see(&event, &mut |event| renames.begin(tracer, event));
                (event, seen)
            })
        };
        std::iter::from_fn(&mut next).take(max).collect()
    }

    /// The journal of running builds for the next agent.
    pub(super) fn journal(&self) -> Option<Journal> {
        self.handover.as_ref().and_then(|it| it.journal().ok())
    }

    /// Lost records of each kind, as this or a previous agent last reported them.
    pub(super) fn reported_losses(&self) -> BTreeMap<u16, u64> {
        self.handover
            .as_ref()
            .map_or_else(BTreeMap::new, Handover::reported_losses)
    }

    pub(super) fn save_reported_losses(&self, losses: &BTreeMap<u16, u64>) {
        if let Some(handover) = &self.handover {
            // After a failure, the next agent reports them again.
            let _unsaved = handover.save_reported_losses(losses);
        }
    }

    /// Attaches probes to a Go tool. The result contains the file ID of the kernel programs: some file systems (btrfs,
    /// overlayfs) report another device in stat(2).
    pub(super) fn probe(&mut self, asked: FileId, tool: Candidate) -> Tool {
        let tool = self.probes.probe(&mut self.tracer, tool);
        self.probes.add_alias(tool.file, asked);
        self.save_tools();
        Tool {
            file: asked,
            ..tool
        }
    }

    /// The tool in a file that was examined before.
    pub(super) fn known(&self, file: FileId) -> Option<&Tool> {
        self.probes.known(file)
    }

    /// Readable when a probed file has changed.
    pub(super) fn changes(&self) -> Option<BorrowedFd<'_>> {
        self.probes.changes()
    }

    /// Detaches the probes of changed files: a probe in overwritten code would crash the processes that run it.
    pub(super) fn release_changed(&mut self) {
        self.probes.release_changed(&mut self.tracer);
        self.save_tools();
    }

    /// Stops this process until it is continued. Writers of probed files do not wait for it meanwhile.
    pub(super) fn stop(&mut self, signal: Signal) {
        self.probes.suspend();
        stop(signal);
        self.probes.resume(&mut self.tracer);
        self.save_tools();
    }

    /// Records that were lost to a full ring since its creation.
    pub fn lost(&self) -> Vec<Lost> {
        let at = clock::boot();
        let lost = |(kind, tally): (Kind, Tally)| {
            (tally.lost > 0).then(|| Lost {
                at,
                kind: kind.name().to_owned(),
                n: tally.lost,
            })
        };
        match self.tracer.tallies() {
            Ok(tallies) => tallies.into_iter().filter_map(lost).collect(),
            // The counters are a kernel map that exists as long as this process. Unknown counts are treated as a loss.
            Err(_) => vec![Lost {
                at,
                kind: Kind(0).name().to_owned(),
                n: 1,
            }],
        }
    }

    /// CPU time of this process when all was attached, in nanoseconds.
    pub fn start_cpu_ns(&self) -> u64 {
        self.start_cpu_ns
    }

    /// Time to attach everything, in nanoseconds.
    pub fn attach_ns(&self) -> u64 {
        u64::try_from(self.attach.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

/// True if the process exists and runs this file. The check waits for no file system.
fn runs(process: ProcKey, file: FileId) -> bool {
    let exe = format!("/proc/{}/exe", process.tgid.0);
    let is_it = toolchain::cached_id(Path::new(&exe)).is_some_and(|it| it.is_content_of(file));
    is_it && proc::is_there(process)
}

/// True if phases are observed at this level of detail.
fn has_phases(detail: Detail, tracer: &Tracer) -> bool {
    detail != Detail::Process && tracer.has_probes()
}

/// Name of this machine: `GOTRACE_HOST`, or the node name of uname(2). In a container, the latter is the container's.
pub(crate) fn host() -> Option<String> {
    let configured = std::env::var("GOTRACE_HOST").ok();
    let own = || {
        let name = rustix::system::uname();
        name.nodename().to_string_lossy().into_owned()
    };
    let is_name = |it: &String| !it.is_empty();
    configured
        .filter(is_name)
        .or_else(|| Some(own()).filter(is_name))
}

/// Number of CPUs that this process, and thus the command, may use.
pub(crate) fn n_cpus() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX))
}
