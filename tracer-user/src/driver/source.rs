//! Where live events come from: kernel programs, the ring, probes on toolchains. No judgement; records become events unseen.

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
use super::self_test;
use crate::bpf::{Config, Ring, SetupError, Table, Tracer, TracerError, describe};
use crate::clock;
use crate::inspect;
use crate::launch::signal::stop;
use crate::proc;
use crate::toolchain::{self, Candidate, Probes, SearchHint};

/// Of a trace without an end: it holds this memory for months, also while nothing is built, and the kernel maps a ring twice. Two
/// hundred builds that start at once lose nothing in it (`cargo xtask bench agent`).
const SERVICE_RING_BYTES: u32 = 8 << 20;

/// What is missing without the right to leases.
const UNGUARDED: &str = "a Go tool that is written over in place may crash when it is run at that very moment: CAP_LEASE is missing, \
                         with which its probes would be off before";

/// What is to be traced.
#[derive(Debug)]
pub struct SourceOptions {
    /// Redacted.
    pub command: Vec<ByteString>,
    pub detail: Detail,
    /// Where toolchains may be.
    pub hint: SearchHint,
    /// Whose builds.
    pub whose: Whose,
    /// Where all stays on when gotrace is gone, and is found again.
    pub pin: Option<Pin>,
    /// Of the digests that stand for variables' values.
    pub digest_key: DigestKey,
}

/// Where a trace without an end is pinned.
#[derive(Clone, Debug)]
pub struct Pin {
    /// On bpffs.
    pub place: PathBuf,
    /// Made for what goes with it, for that alone.
    pub own: PathBuf,
}

/// Whose builds are traced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Those of the processes that are followed.
    Followed,
    /// Everybody's.
    Everybody,
}

/// Programs that are loaded and attached.
pub struct Source {
    tracer: Tracer,
    ring: Ring,
    probes: Probes,
    decoder: Decoder,
    context: Context,
    found: Vec<Tool>,
    attach: Duration,
    /// What is missing though tracing works.
    notes: Vec<String>,
    handover: Option<Handover>,
    /// Builds may be under way that another followed until now.
    is_adopted: bool,
}

impl Source {
    /// Loads the programs and puts probes on the toolchains that are found.
    pub fn start(wanted: SourceOptions) -> Result<Self, SetupError> {
        let start = Instant::now();
        let SourceOptions {
            command,
            detail,
            hint,
            whose,
            pin,
            digest_key,
        } = wanted;
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
            phases: detail != Detail::Process && tracer.has_probes(),
            // Notes are about nothing else; and where anything is missing, absence proves nothing.
            renames: tracer.notes().is_empty(),
        };
        let mut source = Self {
            decoder: Decoder::new(toolchain::points().to_vec(), proc::page_size())
                .with_digest_key(digest_key),
            tracer,
            ring,
            probes,
            context,
            found,
            attach: start.elapsed(),
            notes,
            handover,
            is_adopted,
        };
        source.save_tools();
        Ok(source)
    }

    /// Whether others followed builds with these very programs before.
    pub fn is_adopted(&self) -> bool {
        self.is_adopted
    }

    /// Where all is pinned is there for the next agent, or not: whether it was announced that one is about to come.
    pub(super) fn is_upgrade_announced(&self) -> bool {
        self.tracer.is_upgrade_announced()
    }

    /// Ends; what is pinned stays on.
    pub(super) fn leave(self) {
        self.tracer.leave();
    }

    /// Ends, and leaves nothing on.
    pub(super) fn end(self) {
        let Self {
            tracer, handover, ..
        } = self;
        drop(tracer);
        if let Some(handover) = handover {
            handover.remove();
        }
    }

    /// Writes down what is known of tools, if that is news.
    fn save_tools(&mut self) {
        if self.probes.take_news()
            && let Some(handover) = &self.handover
        {
            // Then the next agent looks for them anew, as the first did.
            let _unknown = handover.write_tools(self.probes.saved());
        }
    }

    /// From now on sees this process and all that it makes.
    pub fn follow(&mut self, tgid: Tgid) -> Result<(), TracerError> {
        self.tracer.follow(tgid.0)
    }

    /// Sees that process no longer, which ran that file when it was last looked at. If it has become another program since, it is seen
    /// on: a script with the name of a Go tool may be about to run the tool.
    pub(super) fn unfollow(&mut self, process: ProcKey, file: FileId) {
        // Of one that is gone the kernel side knows; its number may be another's, which is seen.
        if !runs(process, file) {
            return;
        }
        self.tracer.unfollow(process.tgid.0);
        if !runs(process, file) && proc::is_there(process) {
            // Gone meanwhile: then there is nothing to see.
            let _gone = self.tracer.follow(process.tgid.0);
        }
    }

    /// From now on sees so much of what is probed.
    pub(super) fn set_detail(&mut self, detail: Detail) -> io::Result<()> {
        self.tracer
            .set_detail(detail.level())
            .map_err(io::Error::other)
    }

    /// Probes that are on.
    pub fn n_probes(&self) -> usize {
        self.tracer.n_links()
    }

    /// Records so far, those that were lost included.
    pub(super) fn tallies(&self) -> Vec<(Kind, Tally)> {
        // The counters are a map in the kernel that is there as long as we are.
        self.tracer.tallies().unwrap_or_default()
    }

    /// What will be missing though tracing works, as sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    pub fn context(&self) -> Context {
        self.context.clone()
    }

    /// Tools that were found before the command started; the first call has them.
    pub fn take_found(&mut self) -> Vec<Tool> {
        std::mem::take(&mut self.found)
    }

    /// What has come in by now, `max` events at most, each with what `see` returned. An event is seen before its record is gone: whoever is
    /// killed before that finds it again.
    pub(super) fn take<T>(
        &mut self,
        max: usize,
        mut see: impl FnMut(&Event) -> T,
    ) -> Vec<(Event, T)> {
        let Self { ring, decoder, .. } = self;
        let mut next = || {
            ring.next(|record| {
                let event = decoder.decode(record);
                let seen = see(&event);
                (event, seen)
            })
        };
        std::iter::from_fn(&mut next).take(max).collect()
    }

    /// What is under way, as it is written down for the next agent.
    pub(super) fn journal(&self) -> Option<Journal> {
        self.handover.as_ref().and_then(|it| it.journal().ok())
    }

    /// Records lost of each kind, as they were last told, by whomever.
    pub(super) fn reported_losses(&self) -> BTreeMap<u16, u64> {
        self.handover
            .as_ref()
            .map_or_else(BTreeMap::new, Handover::reported_losses)
    }

    pub(super) fn save_reported_losses(&self, losses: &BTreeMap<u16, u64>) {
        if let Some(handover) = &self.handover {
            // Then the next agent tells them again.
            let _untold = handover.save_reported_losses(losses);
        }
    }

    /// Puts probes on a Go tool. The answer bears the name that the kernel gave the file: some file systems
    /// (btrfs, overlayfs) show another device to stat(2).
    pub(super) fn probe(&mut self, asked: FileId, tool: Candidate) -> Tool {
        let tool = self.probes.probe(&mut self.tracer, tool);
        self.save_tools();
        Tool {
            file: asked,
            ..tool
        }
    }

    /// What is known of a file already.
    pub(super) fn known(&self, file: FileId) -> Option<&Tool> {
        self.probes.known(file)
    }

    /// Readable when a probed file has changed.
    pub(super) fn changes(&self) -> Option<BorrowedFd<'_>> {
        self.probes.changes()
    }

    /// Lets go of probed files that have changed: a probe in overwritten code would crash who runs it.
    pub(super) fn release_changed(&mut self) {
        self.probes.release_changed(&mut self.tracer);
        self.save_tools();
    }

    /// Stops this process until it is continued. Meanwhile nobody waits for it who writes to a probed file.
    pub(super) fn stop(&mut self, signal: Signal) {
        self.probes.rest();
        stop(signal);
        self.probes.wake(&mut self.tracer);
        self.save_tools();
    }

    /// Records that the ring had no room for since it was made.
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
            // The counters are a map in the kernel that is there as long as we are; not knowing is no less than a loss.
            Err(_) => vec![Lost {
                at,
                kind: Kind(0).name().to_owned(),
                n: 1,
            }],
        }
    }

    /// How long it took until all was on.
    pub fn attach_ns(&self) -> u64 {
        u64::try_from(self.attach.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl AsFd for Source {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring.as_fd()
    }
}

/// Whether that very process is there and runs that file. No file system is waited for.
fn runs(process: ProcKey, file: FileId) -> bool {
    let exe = format!("/proc/{}/exe", process.tgid.0);
    let is_it = toolchain::cached_id(Path::new(&exe)).is_some_and(|it| it.is_content_of(file));
    is_it && proc::is_there(process)
}

/// Name of this machine: `GOTRACE_HOST`, else as uname(2) has it, which in a container is the container's.
pub(crate) fn host() -> Option<String> {
    let told = std::env::var("GOTRACE_HOST").ok();
    let own = || {
        let name = rustix::system::uname();
        name.nodename().to_string_lossy().into_owned()
    };
    let is_name = |it: &String| !it.is_empty();
    told.filter(is_name).or_else(|| Some(own()).filter(is_name))
}

/// CPUs that this process, hence the command, may use.
pub(crate) fn n_cpus() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX))
}
