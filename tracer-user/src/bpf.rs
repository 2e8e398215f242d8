//! Loads the BPF object, attaches its programs and reads their records.
//!
//! Inputs are the size of the ring buffer, a level of detail, the processes to follow and the files to probe. The output is records
//! as bytes. Nothing here decodes a record or contains a Go symbol. Only this module and its submodules use `aya`.

mod btf;
mod error;
mod hook;
mod loader;
#[cfg(feature = "kernel-log")]
mod log;
mod multi;
mod object;
pub mod offsets;
mod perf;
pub mod pin;
mod pinned;
mod privilege;
mod probed;
mod rename;
mod ring;
mod skipped;
mod sys;

use std::fs::File;
use std::io;
use std::mem;
use std::thread;

use aya::maps::{Array, HashMap, MapData, PerCpuArray};
use aya::programs::links::FdLink;
use aya::util::nr_cpus;
use aya::{Btf, Ebpf};
use aya_obj::btf::BtfKind;
use serde::{Deserialize, Serialize};
use tracer_abi::{Kind, Name, Offsets, Ours, Prefix, Spec, Tally, level, map};
use zerocopy::{FromBytes as _, Immutable, IntoBytes};

pub use error::{SetupError, TracerError, describe};
use loader::KernelTypes;
pub use object::digest as object_digest;
use perf::Cookies;
use pinned::Pins;
pub use probed::Probed;
use probed::{FileLinks, LevelLinks, Released};
use rename::RenameHook;
pub use ring::Ring;
use skipped::Skipped;

/// The program of every uprobe.
const CALL_PROGRAM: &str = "go_call";

/// Options for loading the object.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Size of the ring buffer, rounded up to a power of two.
    pub ring_bytes: u32,
    /// One of [`tracer_abi::level`].
    pub detail: u32,
}

/// Tables of the kernel side: what it captures at each probe.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    /// Captures of each probe; [`Site::spec`] is the index.
    pub specs: &'a [Spec],
    /// Prefixes of the spans to record.
    pub prefixes: &'a [Prefix],
    /// Names of programs to follow, regardless of their parent.
    pub names: &'a [Name],
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ring_bytes: 16 << 20,
            detail: level::CACHE_KEY,
        }
    }
}

/// A place to probe in a file, and the row of the specification table with its captures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    pub spec: u16,
    /// Bytes from the start of the file.
    pub offset: u64,
    /// The lowest level of detail that needs it; one of [`tracer_abi::level`].
    pub level: u32,
}

impl Site {
    /// The cookie that the kernel passes to the program at each hit.
    fn cookie(&self, target: u32) -> u64 {
        u64::from(target) << 16 | u64::from(self.spec)
    }
}

/// The loaded object. Dropping it detaches everything, including pinned links.
pub struct Tracer {
    call: Call,
    /// Links by program name.
    links: Vec<(&'static str, FdLink)>,
    rename: Option<RenameHook>,
    ours: HashMap<MapData, u32, Words<6>>,
    detail: Array<MapData, u32>,
    /// The value in `detail`.
    level: u32,
    tallies: PerCpuArray<MapData, Words<2>>,
    skipped: Skipped,
    probed: Probed,
    notes: Vec<String>,
    pins: Option<Pins>,
}

/// The program of every uprobe, by the kind of links that it was loaded for.
enum Call {
    Multi(multi::MultiProgram),
    /// Perf events, for kernels without `uprobe_multi` links.
    Perf(perf::PerfProgram),
    /// The kernel rejected the program, for this reason. Processes are observed, but none of their function calls.
    Refused(String),
}

/// A value of `N` words. `aya` requires its own trait, which this crate cannot implement for the types of `tracer_abi`.
type Words<const N: usize> = [u64; N];

impl Tracer {
    /// Loads the object, then attaches everything that is not a uprobe.
    pub fn load(config: &Config, table: &Table<'_>) -> Result<(Self, Ring), SetupError> {
        Self::load_into(*config, table, None)
    }

    fn load_into(
        config: Config,
        table: &Table<'_>,
        pins: Option<Pins>,
    ) -> Result<(Self, Ring), SetupError> {
        privilege::check()?;
        let KernelTypes { offsets, btf } = KernelTypes::read()?;
        let cookies = Cookies::of_running_kernel(&offsets);
        let mut ebpf = load_object(config, &btf, &offsets, cookies, None)?;
        let has_backups = hook::are_preemptible(&btf);

        let hook::Attached {
            links,
            rename,
            mut notes,
        } = hook::attach_all(&mut ebpf, &btf, has_backups)?;
        let skipped = Skipped::of(&mut ebpf, |name| links.iter().any(|(it, _)| *it == name))
            .map_err(|source| error::from_program("the kernel's hooks", source))?;
        let multi = multi::MultiProgram::load(&ebpf);
        let mut refused = None;
        if multi.is_none()
            && let Err(error) = perf::load(&mut ebpf)
        {
            let why = if let SetupError::Verifier { summary, .. } = error {
                summary
            } else {
                describe(&error)
            };
            notes.push(format!(
                "cannot probe Go's tools, so gotrace observes processes and files, but no actions, phases or cache keys: {why}"
            ));
            refused = Some(why);
        }
        if let Some(pins) = &pins {
            pins.pin_maps(&ebpf).map_err(SetupError::Pin)?;
        }

        // The log takes its map out of the object, so all programs must have been loaded before.
        #[cfg(feature = "kernel-log")]
        log::show(&mut ebpf)?;

        let mut detail =
            Array::try_from(error::take(&mut ebpf, map::DETAIL)?).map_err(error::from_map)?;
        detail.set(0, config.detail, 0).map_err(error::from_map)?;
        fill::<_, 16>(&mut ebpf, map::SPECS, table.specs)?;
        fill::<_, 6>(&mut ebpf, map::PREFIXES, table.prefixes)?;
        fill::<_, 2>(&mut ebpf, map::NAMES, table.names)?;
        let ours =
            HashMap::try_from(error::take(&mut ebpf, map::OURS)?).map_err(error::from_map)?;
        let tallies = PerCpuArray::try_from(error::take(&mut ebpf, map::TALLIES)?)
            .map_err(error::from_map)?;
        let ring = Ring::new(error::take(&mut ebpf, map::EVENTS)?).map_err(error::from_map)?;
        let released = Released::new(error::take(&mut ebpf, map::RELEASED)?);

        let call = match (multi, refused) {
            (Some(program), _) => Call::Multi(program),
            (None, None) => Call::Perf(perf::PerfProgram::of(ebpf, cookies)),
            (None, Some(why)) => Call::Refused(why),
        };
        let mut tracer = Self {
            call,
            links,
            rename,
            ours,
            detail,
            level: config.detail,
            tallies,
            skipped,
            probed: Probed::new(released.map_err(error::from_map)?),
            notes,
            pins,
        };
        tracer.pin_programs().map_err(SetupError::Pin)?;
        Ok((tracer, ring))
    }

    /// Limitations of this tracer, one sentence each. Tracing works nevertheless.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// True if probes are links that need only `CAP_BPF` and `CAP_PERFMON`. Perf events also need `CAP_SYS_ADMIN`.
    pub fn has_multi_links(&self) -> bool {
        match self.call {
            Call::Multi(_) => true,
            Call::Perf(_) | Call::Refused(_) => false,
        }
    }

    /// True if the kernel accepted the program of the probes.
    pub fn has_probes(&self) -> bool {
        match self.call {
            Call::Multi(_) | Call::Perf(_) => true,
            Call::Refused(_) => false,
        }
    }

    /// Follows a process, and all processes that it forks from now on.
    pub fn follow(&mut self, tgid: u32) -> Result<(), TracerError> {
        let ours = Words::read_from_bytes(Ours::NEW.as_bytes()).unwrap_or_default();
        Ok(self.ours.insert(tgid, ours, 0)?)
    }

    /// Stops following a process. Its existing children remain followed.
    pub fn unfollow(&mut self, tgid: u32) {
        // A process that has ended is no longer in the map.
        let _gone = self.ours.remove(&tgid);
    }

    /// Changes the level of detail. Detaches probes that the new level does not need; [`Tracer::attach`] attaches missing ones.
    pub fn set_level(&mut self, level: u32) -> Result<(), TracerError> {
        self.detail.set(0, level, 0)?;
        self.level = level;
        end_aside(self.probed.remove_above(level));
        Ok(())
    }

    /// True if renames are observed while their hook is attached.
    pub fn has_renames(&self) -> bool {
        self.rename.is_some() || self.links.iter().any(|(name, _)| hook::is_rename(name))
    }

    /// True if renames are observed now.
    pub fn is_rename_attached(&self) -> bool {
        match &self.rename {
            Some(hook) => hook.link().is_some(),
            None => self.has_renames(),
        }
    }

    /// Attaches the hook of `rename`, if it is off.
    pub fn attach_rename(&mut self) -> Result<(), TracerError> {
        let Some(hook) = &mut self.rename else {
            return Ok(());
        };
        hook.attach().map_err(TracerError::Rename)?;
        if let Some(pins) = &self.pins
            && let Err(error) = pins.pin_rename(hook)
        {
            hook.detach();
            return Err(TracerError::Rename(io::Error::other(error)));
        }
        Ok(())
    }

    /// Detaches the hook of `rename`, if it is a tracepoint, which costs every process. Returns true if it was attached.
    pub fn detach_rename(&mut self) -> bool {
        let Some(hook) = &mut self.rename else {
            return false;
        };
        if !hook.is_removable() {
            return false;
        }
        if let Some(pins) = &self.pins {
            pins.unpin_rename();
        }
        hook.detach();
        true
    }

    /// One of [`tracer_abi::level`].
    pub fn level(&self) -> u32 {
        self.level
    }

    /// Counts of records seen and lost so far, by kind, over all CPUs. Hits that the kernel skipped count as lost.
    pub fn tallies(&self) -> Result<Vec<(Kind, Tally)>, TracerError> {
        let kinds = [
            Kind::FORK,
            Kind::EXEC,
            Kind::EXIT,
            Kind::RENAME,
            Kind::CALL,
            Kind::TRACK,
            Kind::LINEAGE,
            Kind::REAPED,
        ];
        let mut tallies = Vec::with_capacity(kinds.len());
        for kind in kinds {
            let mut sum = Tally {
                seen: 0,
                lost: self.skipped.n(kind),
            };
            for [seen, lost] in self.tallies.get(&u32::from(kind.0), 0)?.iter() {
                sum.seen += seen;
                sum.lost += lost;
            }
            tallies.push((kind, sum));
        }
        Ok(tallies)
    }

    /// Probes a file in every process that runs it, now and later, at the sites that the level of detail needs and that are not attached
    /// yet. Attaches all sites of a level or none.
    pub fn attach(&mut self, file: &File, target: u32, sites: &[Site]) -> Result<(), TracerError> {
        let mut levels: Vec<u32> = sites.iter().map(|it| it.level).collect();
        levels.sort_unstable();
        levels.dedup();
        let missing = self
            .probed
            .begin(target, levels.into_iter().filter(|it| *it <= self.level));
        for level in missing {
            let sites: Vec<Site> = sites
                .iter()
                .copied()
                .filter(|it| it.level == level)
                .collect();
            let links = self.attach_level(file, target, level, &sites)?;
            self.probed.insert(target, links);
        }
        Ok(())
    }

    fn attach_level(
        &mut self,
        file: &File,
        target: u32,
        level: u32,
        sites: &[Site],
    ) -> Result<LevelLinks, TracerError> {
        let held = match &mut self.call {
            Call::Multi(program) => FileLinks::Multi {
                link: program
                    .attach(file, target, sites)
                    .map_err(TracerError::Attach)?,
            },
            Call::Perf(program) => FileLinks::Perf {
                links: program.attach(file, target, sites)?,
            },
            Call::Refused(why) => return Err(TracerError::NoProbes(why.clone())),
        };
        let n = sites.len();
        let (held, pinned) = match &self.pins {
            Some(pins) => {
                let pinned = pins.level(target, level);
                let held = pins.pin_level(&pinned, held).map_err(TracerError::Attach)?;
                (held, Some(pinned))
            }
            None => (held, None),
        };
        Ok(LevelLinks {
            level,
            n,
            _held: held,
            pinned,
        })
    }

    /// Detaches the probes of a file; does nothing if it is not probed. The breakpoints are removed at once. The kernel's wait after
    /// that, some 60 ms, blocks no caller. An upgrade of a toolchain in place changes several files, and each one is urgent.
    pub fn detach(&mut self, target: u32) {
        end_aside(self.probed.remove(target));
    }

    /// The probed files, for threads that must detach a file without waiting for the owner of this tracer.
    pub fn probed(&self) -> Probed {
        self.probed.clone()
    }

    /// Number of attached uprobes.
    pub fn n_links(&self) -> usize {
        self.probed.n_links()
    }
}

/// Unpins links, then drops them on another thread. A new link can use the name of the old one at once.
fn end_aside(mut all: Vec<LevelLinks>) {
    for links in &mut all {
        links.unpin();
    }
    if !all.is_empty() {
        // If no thread can be started, the links are dropped here.
        let _ = thread::Builder::new()
            .name("detach".to_owned())
            .spawn(move || drop(all));
    }
}

/// Detaching a file or a tracepoint makes the kernel wait until no CPU runs its probes, some 60 ms. Detaching all at once takes no
/// longer than detaching one.
impl Drop for Tracer {
    fn drop(&mut self) {
        if let Some(pins) = self.pins.take() {
            pins.remove();
        }
        thread::scope(|scope| {
            // If no thread can be started, the links are dropped here, one after another.
            let rename = self.rename.take();
            let _ = thread::Builder::new().spawn_scoped(scope, || drop(rename));
            for link in mem::take(&mut self.links) {
                let _ = thread::Builder::new().spawn_scoped(scope, || drop(link));
            }
            for links in self.probed.take_all() {
                let _ = thread::Builder::new().spawn_scoped(scope, || drop(links));
            }
        });
    }
}

/// True if the kernel's BTF has `uprobe_multi` links. For processes that are not permitted to create one.
pub fn knows_multi_links() -> bool {
    let bytes = btf::read().unwrap_or_default();
    btf::Btf::parse(&bytes).is_some_and(|it| it.has_structure("bpf_uprobe_multi_link"))
}

/// Loads the object: creates its maps, but loads no program. With `pins`, pinned maps are reused.
fn load_object(
    config: Config,
    btf: &Btf,
    offsets: &Offsets,
    cookies: Cookies,
    pins: Option<&Pins>,
) -> Result<Ebpf, SetupError> {
    let n_cpus = u32::try_from(nr_cpus().map_err(|(path, source)| SetupError::Kernel {
        what: format!("count the CPUs in {path}"),
        source: source.into(),
    })?)
    .unwrap_or(u32::MAX);
    let n_backup = if hook::are_preemptible(btf) {
        n_cpus
    } else {
        0
    };
    let child_at = if n_backup > 0 { hook::child_at() } else { 0 };
    let is_named = u32::from(cookies == Cookies::Named);
    let are_registers_first = u32::from(hook::are_registers_first());
    let mut loader = loader::new();
    loader
        .btf(Some(btf))
        .override_global("OFFSETS", offsets.as_bytes(), true)
        .override_global("N_BACKUP", &n_backup, true)
        .override_global("CHILD_AT", &child_at, true)
        .override_global("IS_NAMED", &is_named, true)
        .override_global("ARE_REGISTERS_FIRST", &are_registers_first, true)
        .map_max_entries(map::EVENTS, ring_size(config.ring_bytes))
        .map_max_entries(map::SCRATCH, n_cpus.saturating_add(n_backup));
    for (name, path) in pins.into_iter().flat_map(Pins::maps) {
        loader.map_pin_path(name, path);
    }
    let has_allocator = btf.id_by_type_name_kind(loader::MAP_ALLOCATOR, BtfKind::Struct);
    match has_allocator {
        Ok(_) => loader.load(object::bytes()),
        Err(_) => loader.load(&object::preallocated()),
    }
    .map_err(error::from_load)
}

fn fill<T: IntoBytes + Immutable, const N: usize>(
    ebpf: &mut Ebpf,
    name: &'static str,
    rows: &[T],
) -> Result<(), SetupError> {
    const { assert!(size_of::<T>() == size_of::<Words<N>>()) };
    let mut table: Array<_, Words<N>> =
        Array::try_from(error::borrow(ebpf, name)?).map_err(error::from_map)?;
    for (index, row) in (0..).zip(rows) {
        let words = Words::read_from_bytes(row.as_bytes()).unwrap_or([0; N]);
        table.set(index, words, 0).map_err(error::from_map)?;
    }
    Ok(())
}

/// The kernel accepts powers of two of at least a page.
fn ring_size(bytes: u32) -> u32 {
    bytes.clamp(1 << 16, 1 << 30).next_power_of_two()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_a_power_of_two() {
        assert_eq!(ring_size(0), 1 << 16);
        assert_eq!(ring_size(3 << 20), 4 << 20);
        assert_eq!(ring_size(16 << 20), 16 << 20);
        assert_eq!(ring_size(u32::MAX), 1 << 30);
    }
}
