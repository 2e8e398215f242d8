//! A tracer with pinned programs, maps and links, and the takeover of such a tracer from a process that has ended.
//!
//! Only this module contains the name of each pinned object. The name of a set contains a digest of the object and of the tables of its
//! programs, and so shows whether the set fits this gotrace. The caller decides which of its probes are still valid. Probes that no
//! process takes over are detached.
use std::io;
use std::mem;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use aya::Ebpf;
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray};
use aya::programs::links::{FdLink, PinnedLink};
use rustix::time::{ClockId, clock_gettime};
use sha2::{Digest as _, Sha256};
use tracer_abi::{level, map};
use tracer_core::event::{Ktime, ProcKey, Tgid};
use tracer_core::hex;
use zerocopy::IntoBytes as _;

use super::loader::KernelTypes;
use super::pin::{PinDir, PinError, PinSet};
use super::{
    Call, Config, FileLinks, LevelLinks, Probed, Released, RenameHook, Ring, SetupError, Site,
    Table, Tracer, hook, load_object, multi, object, perf, rename, skipped::Skipped,
};

/// Maps that a takeover needs, or that a program needs when it is loaded again.
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
/// The program of uprobes, if their links are `uprobe_multi`. For perf events, `aya` does not accept a pinned program, so the program
/// is loaded again.
const MULTI: &str = "program-go_call";
/// Prefix of the names of links.
const LINK: &str = "link-";
/// Prefix of the names of a file's links. The target and the level follow and, for perf events, the number of the link.
const FILE: &str = "file-";

/// The set in which a tracer is pinned.
pub(super) struct Pins {
    dir: Arc<PinDir>,
    set: PinSet,
}

/// The pinned links of one file for one level of detail.
pub(super) struct LevelPins {
    set: PinSet,
    target: u32,
    level: u32,
}

impl Tracer {
    /// Loads and attaches as [`Tracer::load`] does, and pins everything. The set is incomplete until [`Tracer::publish`].
    pub fn load_pinned(
        config: &Config,
        table: &Table<'_>,
        dir: &Arc<PinDir>,
    ) -> Result<(Self, Ring), SetupError> {
        let set = dir.begin().map_err(SetupError::Pin)?;
        if !aya::features().bpf_perf_link() {
            let source = io::Error::other("a kernel before Linux 5.15 cannot pin these links");
            return Err(SetupError::Pin(set.error("pin", LINK, source)));
        }
        let pins = Pins {
            dir: Arc::clone(dir),
            set,
        };
        Self::load_into(*config, table, Some(pins))
    }

    /// Publishes this set and removes all other sets, which detaches their programs.
    pub fn publish(&mut self, table: &Table<'_>) -> Result<(), PinError> {
        let Some(Pins { dir, set }) = self.pins.take() else {
            return Ok(());
        };
        let now = clock_gettime(ClockId::Boottime);
        let name = format!("{}-{:x}-{:x}", prefix(table), now.tv_sec, now.tv_nsec);
        let set = dir.complete(set, name)?;
        let others = dir.sets();
        let mut others = others.iter().filter(|it| *it != set.name());
        let removed = others.try_for_each(|it| dir.remove(it));
        self.pins = Some(Pins { dir, set });
        removed
    }

    /// Takes over a set of the same programs from an earlier process, if one exists. Its probes are still attached. Each is either taken
    /// over by the caller or detached by [`Tracer::release_abandoned`].
    pub fn adopt(
        config: &Config,
        table: &Table<'_>,
        dir: &Arc<PinDir>,
    ) -> Result<Option<(Self, Ring)>, SetupError> {
        let prefix = prefix(table);
        let sets = dir.sets();
        let matching = sets.iter().find(|it| it.starts_with(&prefix));
        matching
            .map(|name| {
                let dir = Arc::clone(dir);
                let set = dir.set(name).map_err(SetupError::Pin)?;
                let pins = Pins { dir, set };
                let call = pins.call(*config)?;
                let (mut tracer, ring) = Self::adopt_set(pins, call).map_err(SetupError::Pin)?;
                tracer
                    .set_level(config.detail)
                    .map_err(|source| super::error::kernel("set the level of detail", source))?;
                Ok((tracer, ring))
            })
            .transpose()
    }

    fn adopt_set(pins: Pins, call: Call) -> Result<(Self, Ring), PinError> {
        let Pins { dir: _, set } = &pins;
        let ring = Ring::new(Map::RingBuf(pins.map(map::EVENTS)?));
        let ours = HashMap::try_from(Map::HashMap(pins.map(map::OURS)?));
        let detail = Array::try_from(Map::Array(pins.map(map::DETAIL)?));
        let tallies = PerCpuArray::try_from(Map::PerCpuArray(pins.map(map::TALLIES)?));
        let released = Released::new(Map::Array(pins.map(map::RELEASED)?));
        let of_map = |name, source| set.error("use the map", name, io::Error::other(source));
        let mut links = Vec::new();
        for name in hook::scheduler() {
            links.push((name, pins.link(&link_name(name))?));
        }
        let there = set.names();
        for name in hook::optional() {
            let link = link_name(name);
            if there.contains(&link) {
                links.push((name, pins.link(&link)?));
            }
        }
        let rename = RenameHook::adopted(
            pins.optional(&there, &program_name(rename::PROGRAM))?,
            pins.optional(&there, &link_name(rename::PROGRAM))?,
        );
        let has_function = links.iter().any(|(name, _)| hook::is_rename(name));
        let notes = if rename.is_some() || has_function {
            Vec::new()
        } else {
            vec![
                "renames are not observed, because the previous agent did not observe them"
                    .to_owned(),
            ]
        };
        let mut tracer = Self {
            call,
            links,
            rename,
            ours: ours.map_err(|it| of_map(map::OURS, it))?,
            detail: detail.map_err(|it| of_map(map::DETAIL, it))?,
            level: level::PROCESS,
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
        // Set this last: if an earlier step failed, dropping the tracer would remove the set, which another process could still use.
        tracer.pins = Some(pins);
        Ok((tracer, ring))
    }

    /// Takes over the probes of a file that the previous process attached, as far as the level of detail needs them and all of a level
    /// exist. Detaches the others. [`Tracer::attach`] attaches what is missing.
    pub fn take_over(&mut self, target: u32, sites: &[Site]) {
        let Some(pins) = &self.pins else {
            return;
        };
        let mut levels: Vec<u32> = sites.iter().map(|it| it.level).collect();
        levels.sort_unstable();
        levels.dedup();
        for level in levels {
            let n = sites.iter().filter(|it| it.level == level).count();
            let pinned = pins.level(target, level);
            let names = pinned.names();
            // One link for all sites, or a perf event for each of them.
            let is_whole = names == [pinned.name()] || names.len() == n;
            let links: Result<Vec<FdLink>, _> = names.iter().map(|it| pins.link(it)).collect();
            match links {
                Ok(links) if is_whole && level <= self.level => {
                    let links = LevelLinks {
                        level,
                        n,
                        _held: FileLinks::Pinned { _links: links },
                        pinned: Some(pinned),
                    };
                    self.probed.insert(target, links);
                }
                Ok(_) | Err(_) => pinned.unpin(),
            }
        }
    }

    /// Detaches the files that the caller did not take over.
    pub fn release_abandoned(&mut self) {
        let Some(Pins { dir: _, set }) = &self.pins else {
            return;
        };
        for name in set.names() {
            let Some(target) = name.strip_prefix(FILE).map(target_of) else {
                continue;
            };
            if target.is_none_or(|it| !self.probed.has(it)) {
                // Mark the file as detached before detaching it, as always.
                let _none = target.map(|it| self.probed.remove(it));
                set.unpin(&name);
            }
        }
    }

    /// The processes that are followed now.
    pub fn followed(&self) -> Vec<ProcKey> {
        let all = self.ours.iter().map_while(Result::ok);
        all.map(|(tgid, [born, ..])| ProcKey {
            tgid: Tgid(tgid),
            born: Ktime(born),
        })
        .collect()
    }

    /// The name of the pinned set, which no other set ever has.
    pub fn pinned_as(&self) -> Option<&str> {
        self.pins.as_ref().map(|it| it.set.name())
    }

    /// True if another agent has announced that it takes over the pinned set.
    pub fn is_upgrade_announced(&self) -> bool {
        self.pins
            .as_ref()
            .is_some_and(|it| it.dir.is_upgrade_announced())
    }

    /// Ends, but leaves the pinned objects attached.
    pub fn leave(mut self) {
        drop(self.pins.take());
    }

    /// Pins programs and links, if this tracer is a pinned one.
    pub(super) fn pin_programs(&mut self) -> Result<(), PinError> {
        let Some(pins) = &self.pins else {
            return Ok(());
        };
        let Pins { dir: _, set } = pins;
        for (name, program) in self.skipped.programs() {
            set.pin(program, &program_name(name))?;
        }
        match &self.call {
            Call::Multi(program) => set.pin(program.as_fd(), MULTI)?,
            Call::Perf(_) | Call::Refused(_) => {}
        }
        for (name, link) in mem::take(&mut self.links) {
            let link = pin_link(set, link, &link_name(name))?;
            self.links.push((name, link));
        }
        let Some(hook) = &self.rename else {
            return Ok(());
        };
        if let Some(program) = hook.program() {
            set.pin(program, &program_name(rename::PROGRAM))?;
        }
        pins.pin_rename(hook)
    }
}

impl Pins {
    /// Paths of the pinned maps, by name.
    pub(super) fn maps(&self) -> impl Iterator<Item = (&'static str, PathBuf)> {
        MAPS.into_iter().map(|it| (it, self.set.path(it)))
    }

    /// The program of uprobes, with the maps of this set.
    fn call(&self, config: Config) -> Result<Call, SetupError> {
        if self.set.names().iter().any(|it| it == MULTI) {
            let program = self.set.get(MULTI).map_err(SetupError::Pin)?;
            return Ok(Call::Multi(multi::MultiProgram::pinned(program)));
        }
        let KernelTypes { offsets, btf } = KernelTypes::read()?;
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

    /// Pins all probes of a level, or none; on failure they are detached.
    pub(super) fn pin_level(&self, pinned: &LevelPins, held: FileLinks) -> io::Result<FileLinks> {
        let name = pinned.name();
        let held = match held {
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
            held @ FileLinks::Pinned { .. } => Ok(held),
        };
        held.map_err(|error| {
            pinned.unpin();
            io::Error::other(error)
        })
    }

    /// Pins the link to the hook of `rename`, if it is attached.
    pub(super) fn pin_rename(&self, hook: &RenameHook) -> Result<(), PinError> {
        let name = link_name(rename::PROGRAM);
        hook.link().map_or(Ok(()), |link| self.set.pin(link, &name))
    }

    pub(super) fn unpin_rename(&self) {
        self.set.unpin(&link_name(rename::PROGRAM));
    }

    /// The object of this name, if it is pinned.
    fn optional(&self, there: &[String], name: &String) -> Result<Option<OwnedFd>, PinError> {
        let is_there = there.contains(name);
        is_there.then(|| self.set.get(name)).transpose()
    }

    /// The pinned links of a file for a level.
    pub(super) fn level(&self, target: u32, level: u32) -> LevelPins {
        let set = self.set.clone();
        LevelPins { set, target, level }
    }

    /// Unpins everything.
    pub(super) fn remove(self) {
        let Self { dir, set } = self;
        // `gotrace doctor` and the next agent find anything that cannot be removed.
        let _left = dir.remove(set.name());
        dir.abandon();
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

impl LevelPins {
    /// Unpins the links; does nothing if they are not pinned.
    pub(super) fn unpin(&self) {
        for name in self.names() {
            self.set.unpin(&name);
        }
    }

    fn name(&self) -> String {
        let Self {
            set: _,
            target,
            level,
        } = self;
        format!("{FILE}{target}-{level}")
    }

    fn names(&self) -> Vec<String> {
        let name = self.name();
        let mut names = self.set.names();
        names.retain(|it| {
            let rest = it.strip_prefix(&name);
            rest.is_some_and(|it| it.is_empty() || it.starts_with('-'))
        });
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

/// The target in the name of a link, given without its prefix.
fn target_of(name: &str) -> Option<u32> {
    let target = name.split_once('-').map_or(name, |(target, _)| target);
    target.parse().ok()
}

/// Prefix of the names of all sets with these programs.
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
        assert_eq!(target_of("17-1"), Some(17));
        assert_eq!(target_of("17-1-3"), Some(17));
        assert_eq!(target_of("x-1"), None);
    }

    #[test]
    fn other_tables_have_another_set_name() {
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
