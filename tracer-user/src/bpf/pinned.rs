//! A tracer whose programs, maps and links are pinned, and going on with one whose process is gone.
//!
//! What is pinned under which name is known here and nowhere else. Which set fits this gotrace is told by its name: a digest of the
//! object and of the tables that its programs were given. Which of its probes are still right is the caller's to say; what nobody
//! takes over is let go.

use std::io;
use std::mem;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::Arc;

use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray};
use aya::programs::links::{FdLink, PinnedLink};
use aya::{Btf, Ebpf};
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest as _, Sha256};
use tracer_abi::map;
use tracer_core::event::{Ktime, ProcKey, Tgid};
use tracer_core::hex;
use zerocopy::IntoBytes as _;

use super::pin::{PinDir, PinError, PinSet};
use super::{
    Call, Config, FileLinks, ProbedFile, Probed, Released, Rename, Ring, SetupError, Table, Tracer, hook,
    load_object, multi, object, offsets, perf, skipped::Skipped,
};

/// Maps that whoever comes has to do with, or a program that is loaded once more.
const MAPS: [&str; 9] = [
    map::EVENTS,
    map::TALLIES,
    map::OURS,
    map::DETAIL,
    map::SPECS,
    map::PREFIXES,
    map::NAMES,
    map::RELEASED,
    "SPANS",
];
/// The program that serves uprobes, where their links are `uprobe_multi`. For perf events `aya` does not take one that was pinned, so
/// it is loaded once more.
const MULTI: &str = "program-go_call";
/// What names of links begin with.
const LINK: &str = "link-";
const RENAME: &str = "on_rename";
/// What names of a file's links begin with; then its target, and where there are several, which of them it is.
const FILE: &str = "file-";

/// Where a tracer is pinned.
pub(super) struct Pins {
    place: Arc<PinDir>,
    set: PinSet,
}

/// The links of one file in a set.
pub(super) struct FilePins {
    set: PinSet,
    target: u32,
}

impl Tracer {
    /// Loads and attaches as [`Tracer::load`] does, and pins all. The set is not whole before [`Tracer::publish`].
    pub fn load_pinned(
        config: &Config,
        table: &Table<'_>,
        place: &Arc<PinDir>,
    ) -> Result<(Self, Ring), SetupError> {
        let set = place.begin().map_err(SetupError::Pin)?;
        if !aya::features().bpf_perf_link() {
            let source = io::Error::other("the links of a kernel before Linux 5.15 cannot be");
            return Err(SetupError::Pin(set.error("pin", LINK, source)));
        }
        let pins = Pins {
            place: Arc::clone(place),
            set,
        };
        Self::load_into(*config, table, Some(pins))
    }

    /// From now on this set is found, and no other is there: what those still had on is let go.
    pub fn publish(&mut self, table: &Table<'_>) -> Result<(), PinError> {
        let Some(Pins { place, set }) = self.pins.take() else {
            return Ok(());
        };
        let now = clock_gettime(ClockId::Boottime);
        let name = format!("{}-{:x}-{:x}", prefix(table), now.tv_sec, now.tv_nsec);
        let set = place.complete(set, name)?;
        let others = place.sets();
        let mut others = others.iter().filter(|it| *it != set.name());
        let removed = others.try_for_each(|it| place.remove(it));
        self.pins = Some(Pins { place, set });
        removed
    }

    /// Goes on with the set of the same programs that another has left, if there is one. Its probes are still on; each is either taken
    /// over or let go by [`Tracer::release_abandoned`].
    pub fn adopt(
        config: &Config,
        table: &Table<'_>,
        place: &Arc<PinDir>,
    ) -> Result<Option<(Self, Ring)>, SetupError> {
        let prefix = prefix(table);
        let sets = place.sets();
        let fitting = sets.iter().find(|it| it.starts_with(&prefix));
        fitting
            .map(|name| {
                let place = Arc::clone(place);
                let set = place.set(name).map_err(SetupError::Pin)?;
                let pins = Pins { place, set };
                let call = pins.call(*config)?;
                let (mut tracer, ring) = Self::adopt_set(pins, call).map_err(SetupError::Pin)?;
                tracer
                    .set_detail(config.detail)
                    .map_err(|source| super::error::kernel("set the level of detail", source))?;
                Ok((tracer, ring))
            })
            .transpose()
    }

    fn adopt_set(pins: Pins, call: Call) -> Result<(Self, Ring), PinError> {
        let Pins { place: _, set } = &pins;
        let ring = Ring::new(Map::RingBuf(pins.map(map::EVENTS)?));
        let ours = HashMap::try_from(Map::HashMap(pins.map(map::OURS)?));
        let detail = Array::try_from(Map::Array(pins.map(map::DETAIL)?));
        let tallies = PerCpuArray::try_from(Map::PerCpuArray(pins.map(map::TALLIES)?));
        let released = Released::new(Map::Array(pins.map(map::RELEASED)?));
        let of_map = |name, source| set.error("use the map", name, io::Error::other(source));
        let mut scheduler = Vec::new();
        for name in hook::scheduler() {
            scheduler.push((name, pins.link(&link_name(name))?));
        }
        let there = set.names();
        for name in hook::backups() {
            let link = link_name(name);
            if there.contains(&link) {
                scheduler.push((name, pins.link(&link)?));
            }
        }
        let has_rename = there.contains(&link_name(RENAME));
        let rename = has_rename.then(|| pins.link(&link_name(RENAME)));
        let rename = rename.transpose()?;
        let notes = if rename.is_some() {
            Vec::new()
        } else {
            vec!["renames are not seen, as they were not before".to_owned()]
        };
        let mut tracer = Self {
            call,
            scheduler,
            rename: rename.map(|link| Rename::Pinned { _link: link }),
            ours: ours.map_err(|it| of_map(map::OURS, it))?,
            detail: detail.map_err(|it| of_map(map::DETAIL, it))?,
            tallies: tallies.map_err(|it| of_map(map::TALLIES, it))?,
            skipped: Skipped::pinned(
                |name| set.get(&program_name(name)),
                |name| there.contains(&program_name(name)),
            )?,
            probed: Probed::new(released.map_err(|it| of_map(map::RELEASED, it))?),
            notes,
            pins: None,
        };
        let ring = ring.map_err(|it| of_map(map::EVENTS, it))?;
        // Last: had something failed, dropping it would have taken the set away that another may make use of.
        tracer.pins = Some(pins);
        Ok((tracer, ring))
    }

    /// Takes over the probes of a file that the last holder put on, `n` of them; whether they are there.
    pub fn take_over(&mut self, target: u32, n: usize) -> bool {
        let Some(pins) = &self.pins else {
            return false;
        };
        let pinned = pins.file(target);
        let names = pinned.names();
        let links: Result<Vec<FdLink>, _> = names.iter().map(|it| pins.link(it)).collect();
        match links {
            Ok(links) if !links.is_empty() => {
                let held = FileLinks::Pinned { _links: links };
                let pinned = Some(pinned);
                self.probed.insert(target, ProbedFile { n, held, pinned });
                true
            }
            Ok(_) | Err(_) => false,
        }
    }

    /// Lets go of the files that nobody took over.
    pub fn release_abandoned(&mut self) {
        let Some(Pins { place: _, set }) = &self.pins else {
            return;
        };
        for name in set.names() {
            let Some(target) = name.strip_prefix(FILE).map(target_of) else {
                continue;
            };
            if target.is_none_or(|it| !self.probed.has(it)) {
                // Before it is off, as ever.
                let _none = target.and_then(|it| self.probed.remove(it));
                set.unpin(&name);
            }
        }
    }

    /// Processes that are followed now.
    pub fn followed(&self) -> Vec<ProcKey> {
        let all = self.ours.iter().map_while(Result::ok);
        all.map(|(tgid, [born, ..])| ProcKey {
            tgid: Tgid(tgid),
            born: Ktime(born),
        })
        .collect()
    }

    /// What is pinned, by a name that no other set ever had.
    pub fn pinned_as(&self) -> Option<&str> {
        self.pins.as_ref().map(|it| it.set.name())
    }

    /// Whether it was announced that another will go on with what is pinned.
    pub fn is_upgrade_announced(&self) -> bool {
        self.pins
            .as_ref()
            .is_some_and(|it| it.place.is_upgrade_announced())
    }

    /// Ends, and leaves on what is pinned.
    pub fn leave(mut self) {
        drop(self.pins.take());
    }

    /// Pins programs and links, if they are to be.
    pub(super) fn pin_programs(&mut self) -> Result<(), PinError> {
        let Some(Pins { place: _, set }) = &self.pins else {
            return Ok(());
        };
        for (name, program) in self.skipped.programs() {
            set.pin(program, &program_name(name))?;
        }
        match &self.call {
            Call::Multi(program) => set.pin(program.as_fd(), MULTI)?,
            Call::Perf(_) | Call::Refused(_) => {}
        }
        for (name, link) in mem::take(&mut self.scheduler) {
            let link = pin_link(set, link, &link_name(name))?;
            self.scheduler.push((name, link));
        }
        self.rename = match self.rename.take() {
            Some(Rename::Loaded(link)) => {
                let name = link_name(RENAME);
                let link = FdLink::try_from(link)
                    .map_err(|it| set.error("pin", &name, io::Error::other(it)))?;
                let link = pin_link(set, link, &name)?;
                Some(Rename::Pinned { _link: link })
            }
            pinned @ (Some(Rename::Pinned { .. }) | None) => pinned,
        };
        Ok(())
    }
}

impl Pins {
    /// Where maps are pinned, by their names.
    pub(super) fn maps(&self) -> impl Iterator<Item = (&'static str, PathBuf)> {
        MAPS.into_iter().map(|it| (it, self.set.path(it)))
    }

    /// The program of uprobes, for the maps of this set.
    fn call(&self, config: Config) -> Result<Call, SetupError> {
        if self.set.names().iter().any(|it| it == MULTI) {
            let program = self.set.get(MULTI).map_err(SetupError::Pin)?;
            return Ok(Call::Multi(multi::MultiProgram::pinned(program)));
        }
        let offsets = offsets::of_running_kernel()?;
        let btf = Btf::from_sys_fs()
            .map_err(|source| super::error::kernel("read the kernel's BTF", source))?;
        let cookies = perf::Cookies::of_running_kernel(&offsets);
        let mut ebpf = load_object(config, &btf, &offsets, cookies, Some(self))?;
        perf::load(&mut ebpf)?;
        Ok(Call::Perf(perf::PerfProgram::of(ebpf, cookies)))
    }

    pub(super) fn pin_maps(&self, ebpf: &Ebpf) -> Result<(), PinError> {
        for name in MAPS {
            let absent = || io::Error::other("the object does not have it");
            let map = ebpf.map(name).ok_or_else(absent);
            map.and_then(|it| it.pin(self.set.path(name)).map_err(io::Error::other))
                .map_err(|source| self.set.error("pin the map", name, source))?;
        }
        Ok(())
    }

    /// Pins the probes of a file: all, or none, and then they are off.
    pub(super) fn pin_file(&self, target: u32, held: FileLinks) -> io::Result<FileLinks> {
        let name = format!("{FILE}{target}");
        let pinned = match held {
            FileLinks::Multi { link } => self
                .set
                .pin(link.as_fd(), &name)
                .map(|()| FileLinks::Multi { link }),
            FileLinks::Perf { links } => {
                let links = (0_usize..).zip(links).map(|(i, link)| {
                    let name = format!("{name}-{i}");
                    let link = FdLink::try_from(link)
                        .map_err(|it| self.set.error("pin", &name, io::Error::other(it)))?;
                    pin_link(&self.set, link, &name)
                });
                let links = links.collect::<Result<_, _>>();
                links.map(|it| FileLinks::Pinned { _links: it })
            }
            pinned @ FileLinks::Pinned { .. } => Ok(pinned),
        };
        pinned.map_err(|error| {
            self.file(target).unpin();
            io::Error::other(error)
        })
    }

    /// What is pinned of a file.
    pub(super) fn file(&self, target: u32) -> FilePins {
        let set = self.set.clone();
        FilePins { set, target }
    }

    /// All that is pinned is pinned no longer.
    pub(super) fn remove(self) {
        let Self { place, set } = self;
        // What cannot be removed is found by `gotrace doctor`, and by the next agent.
        let _left = place.remove(set.name());
        place.abandon();
    }

    fn map(&self, name: &'static str) -> Result<MapData, PinError> {
        let fd = self.set.get(name)?;
        MapData::from_fd(fd).map_err(|it| self.set.error("use the map", name, io::Error::other(it)))
    }

    fn link(&self, name: &str) -> Result<FdLink, PinError> {
        match PinnedLink::from_pin(self.set.path(name)) {
            Ok(link) => Ok(link.into()),
            Err(error) => Err(self
                .set
                .error("use the link", name, io::Error::other(error))),
        }
    }
}

impl FilePins {
    /// They are pinned no longer. Nothing happens to those that are not.
    pub(super) fn unpin(&self) {
        for name in self.names() {
            self.set.unpin(&name);
        }
    }

    fn names(&self) -> Vec<String> {
        let mut names = self.set.names();
        names.retain(|it| it.strip_prefix(FILE).and_then(target_of) == Some(self.target));
        names
    }
}

fn pin_link(set: &PinSet, link: FdLink, name: &str) -> Result<FdLink, PinError> {
    match link.pin(set.path(name)) {
        Ok(link) => Ok(link.into()),
        Err(error) => Err(set.error("pin the link", name, io::Error::other(error))),
    }
}

fn program_name(name: &str) -> String {
    format!("program-{name}")
}

fn link_name(name: &str) -> String {
    format!("{LINK}{name}")
}

/// The target of the links with this name, which is told without its beginning.
fn target_of(name: &str) -> Option<u32> {
    let target = name.split_once('-').map_or(name, |(target, _)| target);
    target.parse().ok()
}

/// What the name of every set of these programs begins with.
fn prefix(table: &Table<'_>) -> String {
    let Table {
        specs,
        prefixes,
        names,
    } = table;
    let digest = Sha256::new()
        .chain_update(object::digest())
        .chain_update(specs.as_bytes())
        .chain_update(prefixes.as_bytes())
        .chain_update(names.as_bytes())
        .finalize();
    let (first, _) = digest.split_at(8);
    format!("{}{}", super::pin::SET, hex::hex(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_names_its_file() {
        assert_eq!(target_of("17"), Some(17));
        assert_eq!(target_of("17-3"), Some(17));
        assert_eq!(target_of("x-3"), None);
    }

    #[test]
    fn other_tables_are_other_sets() {
        let table = crate::toolchain::table();
        let names = crate::toolchain::names();
        let other = Table {
            names: &names,
            ..table
        };
        assert_eq!(prefix(&table), prefix(&table));
        assert_ne!(prefix(&table), prefix(&other));
    }
}
