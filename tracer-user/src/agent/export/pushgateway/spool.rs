//! The pushed and waiting groups, one file each, in a directory that only root can access. They survive a restart and a
//! crash of the agent.
//!
//! A new version of a group replaces the old one, as on the gateway. The number of groups is limited; the one without a
//! change for the longest time is dropped. An unreadable file is set aside, at most one at a time. This module sends nothing.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rustix::fs::Mode;

use super::build_result::BuildResult;
use super::group::{FORM, Group};
use crate::atomic_file::{self, Durability, UNFINISHED};
use crate::log::Log;

/// Maximum size of the file of a group.
const LENGTH: u64 = 1 << 20;
/// Name of the file that was set aside. Its extension differs from that of groups.
const ASIDE: &str = "not-understood";
/// Maximum number of files that are read at the start.
const FILES: usize = 10_000;
const OTHERS: u32 = 0o077;

/// The destination of the groups.
#[derive(Clone, Debug)]
pub(super) struct Address {
    /// The gateway, without credentials.
    pub(super) gateway: String,
    pub(super) job: String,
}

/// The effect of a result.
#[derive(Debug)]
pub(super) struct SpoolChange {
    /// Files of the affected groups.
    pub(super) changed: Vec<String>,
    /// Number of dropped groups.
    pub(super) n_dropped: usize,
    /// A disk error. The result is kept in memory.
    pub(super) written: io::Result<()>,
}

/// A directory to which no other user could have written.
#[derive(Debug)]
pub(super) struct OwnDir(PathBuf);

#[derive(Debug)]
pub(super) struct Spool {
    dir: PathBuf,
    /// Locks the directory.
    _lock: File,
    address: Address,
    max_groups: usize,
    /// Groups by the names of their files.
    groups: BTreeMap<String, Group>,
}

impl OwnDir {
    /// Creates the directory, or checks an existing one.
    pub(super) fn new(dir: &Path) -> anyhow::Result<Self> {
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                return Err(error).with_context(|| format!("cannot create {}", dir.display()));
            }
            Ok(()) | Err(_) => {}
        }
        let metadata = fs::symlink_metadata(dir)
            .with_context(|| format!("cannot read the metadata of {}", dir.display()))?;
        let is_ours = metadata.uid() == rustix::process::geteuid().as_raw();
        if !metadata.is_dir() || !is_ours || metadata.mode() & OTHERS != 0 {
            bail!(
                "{} must be a directory of gotrace's own user with mode 0700: remove it, and gotrace creates it again",
                dir.display()
            );
        }
        Ok(Self(dir.to_owned()))
    }
}

impl Spool {
    /// Opens the spool. Returns `None` while another spool has the directory: the one before a reload, which ends within
    /// seconds. `log` receives messages about unreadable files.
    pub(super) fn open(
        OwnDir(dir): &OwnDir,
        address: Address,
        max_groups: usize,
        log: &Log,
    ) -> anyhow::Result<Option<Self>> {
        let cannot_lock = || format!("cannot lock {}", dir.display());
        let lock = File::open(dir).with_context(cannot_lock)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error).with_context(cannot_lock),
        }
        let mut spool = Self {
            dir: dir.clone(),
            _lock: lock,
            address,
            max_groups,
            groups: BTreeMap::new(),
        };
        let entries =
            fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
        for entry in entries.take(FILES) {
            let entry = entry.with_context(|| format!("cannot list {}", dir.display()))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(UNFINISHED) {
                // A killed agent left this file. The file that it was to replace still exists.
                let _left = atomic_file::remove(dir, &name);
            } else if Path::new(&name).extension().is_some_and(|it| it == "json") {
                spool.load(&name, log);
            }
        }
        spool.bound();
        Ok(Some(spool))
    }

    fn load(&mut self, name: &str, log: &Log) {
        let path = self.dir.join(name);
        match read(&path) {
            Ok(mut group) if group.file_name() == name => {
                if group.gateway != self.address.gateway {
                    group.gateway.clone_from(&self.address.gateway);
                    group.is_waiting = true;
                    group.is_there = false;
                }
                self.groups.insert(name.to_owned(), group);
            }
            other => {
                let why = other.map_or_else(
                    |it| it.to_string(),
                    |_| "its name belongs to another group".to_owned(),
                );
                let aside = fs::rename(&path, self.dir.join(ASIDE));
                log.warn(format_args!(
                    "cannot read the Pushgateway group {}: {why}; {}",
                    path.display(),
                    aside.map_or_else(
                        |error| format!("it cannot be set aside: {error}"),
                        |()| format!("set aside as {ASIDE}")
                    ),
                ));
            }
        }
    }

    /// Applies the result of a build.
    pub(super) fn take(&mut self, result: BuildResult) -> SpoolChange {
        let changed: Vec<String> = match result {
            BuildResult::Made { target, platform } => {
                let mut group = Group {
                    form: FORM,
                    gateway: self.address.gateway.clone(),
                    job: self.address.job.clone(),
                    target,
                    is_waiting: true,
                    is_there: false,
                    platforms: Vec::new(),
                };
                let name = group.file_name();
                if let Some(known) = self.groups.remove(&name) {
                    group = known;
                }
                group.learn(platform);
                self.groups.insert(name.clone(), group);
                vec![name]
            }
            BuildResult::Failed {
                asked,
                platform: of,
                last,
            } => {
                let mut names = Vec::new();
                for (name, group) in &mut self.groups {
                    let mut is_meant = false;
                    for platform in &mut group.platforms {
                        let is_of = of
                            .as_ref()
                            .is_none_or(|[os, arch]| platform.is_of(os, arch));
                        if platform.asked == asked && is_of {
                            platform.last = last;
                            is_meant = true;
                        }
                    }
                    if is_meant {
                        group.is_waiting = true;
                        names.push(name.clone());
                    }
                }
                names
            }
        };
        let n_dropped = self.bound();
        let mut written = Ok(());
        for name in &changed {
            written = written.and(self.save(name));
        }
        SpoolChange {
            changed,
            n_dropped,
            written,
        }
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = (&String, &Group)> {
        self.groups.iter()
    }

    pub(super) fn get(&self, name: &str) -> Option<&Group> {
        self.groups.get(name)
    }

    /// Groups that must be pushed.
    pub(super) fn n_waiting(&self) -> u64 {
        let waiting = self.groups.values().filter(|it| it.is_waiting).count();
        u64::try_from(waiting).unwrap_or(u64::MAX)
    }

    /// Marks a group as pushed.
    pub(super) fn delivered(&mut self, name: &str) -> io::Result<()> {
        let Some(group) = self.groups.get_mut(name) else {
            return Ok(());
        };
        group.is_waiting = false;
        group.is_there = true;
        self.save(name)
    }

    /// Removes old platforms from groups with newer ones.
    pub(super) fn forget_platforms(&mut self, before_ns: u64) -> io::Result<()> {
        let forgetting = |(name, group): (&String, &mut Group)| {
            group.forget_before(before_ns).then(|| name.clone())
        };
        let changed: Vec<String> = self.groups.iter_mut().filter_map(forgetting).collect();
        let mut written = Ok(());
        for name in changed {
            written = written.and(self.save(&name));
        }
        written
    }

    pub(super) fn remove(&mut self, name: &str) -> io::Result<()> {
        self.groups.remove(name);
        atomic_file::remove(&self.dir, name)
    }

    fn save(&self, name: &str) -> io::Result<()> {
        // The group was dropped because of the limit.
        let Some(group) = self.groups.get(name) else {
            return Ok(());
        };
        let text = serde_json::to_vec(group)?;
        let mode = Mode::from(0o600);
        atomic_file::replace(&self.dir, name, mode, Durability::Disk, &text)
    }

    /// Drops groups beyond the limit. Returns their number.
    fn bound(&mut self) -> usize {
        let mut n = 0;
        while self.groups.len() > self.max_groups {
            let oldest = self.groups.iter().min_by_key(|(_, it)| it.newest_ns());
            let Some(name) = oldest.map(|(name, _)| name.clone()) else {
                break;
            };
            // The next start tries again.
            let _left = self.remove(&name);
            n += 1;
        }
        n
    }
}

fn read(path: &Path) -> io::Result<Group> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > LENGTH {
        return Err(io::Error::other("not a regular file of a group"));
    }
    let mut text = Vec::new();
    file.take(LENGTH).read_to_end(&mut text)?;
    let group: Group = serde_json::from_slice(&text)?;
    if group.form != FORM {
        return Err(io::Error::other("another version of gotrace wrote it"));
    }
    Ok(group)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::super::group::{LastBuild, Platform};
    use super::*;

    fn address() -> Address {
        Address {
            gateway: "http://gateway".to_owned(),
            job: "gotrace".to_owned(),
        }
    }

    fn open(dir: &Path, max_groups: usize) -> (Spool, Vec<String>) {
        let (sender, said) = std::sync::mpsc::channel();
        let log = Log::to(move |it| sender.send(it.to_string()).unwrap());
        let spool = Spool::open(&OwnDir::new(dir).unwrap(), address(), max_groups, &log);
        (spool.unwrap().unwrap(), said.try_iter().collect())
    }

    fn made(target: &str, ended_ns: u64) -> BuildResult {
        let labels = [("target", target), ("goos", "linux"), ("goarch", "amd64")];
        BuildResult::Made {
            target: target.to_owned(),
            platform: Platform {
                labels: labels
                    .map(|(name, value)| (name.to_owned(), value.to_owned()))
                    .into(),
                size: None,
                built_ns: ended_ns,
                last: LastBuild {
                    ended_ns,
                    wall_ns: 1,
                    is_success: Some(true),
                },
                asked: format!("asked for {target}"),
            },
        }
    }

    fn taken(spool: &mut Spool, result: BuildResult) -> usize {
        let taken = spool.take(result);
        taken.written.unwrap();
        taken.n_dropped
    }

    #[test]
    fn groups_survive_a_restart_and_the_newest_wins() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("spool");
        let (mut spool, _) = open(&dir, 10);
        taken(&mut spool, made("a/b", 1));
        taken(&mut spool, made("a/b", 2));
        taken(&mut spool, made("c", 3));
        let name = spool.groups().find(|(_, it)| it.target == "c").unwrap().0;
        spool.delivered(&name.clone()).unwrap();
        let own = OwnDir::new(&dir).unwrap();
        let second = Spool::open(&own, address(), 10, &Log::to(|_| {})).unwrap();
        assert!(second.is_none(), "two have it");
        let groups = spool.groups.clone();
        drop(spool);
        let (again, said) = open(&dir, 10);
        assert_eq!(said, Vec::<String>::new());
        assert_eq!(again.groups, groups);
        assert_eq!((again.groups.len(), again.n_waiting()), (2, 1));
        let elsewhere = Address {
            gateway: "http://other".to_owned(),
            ..address()
        };
        drop(again);
        let moved = Spool::open(&own, elsewhere, 10, &Log::to(|_| {})).unwrap();
        assert_eq!(moved.unwrap().n_waiting(), 2);
        let mode = fs::metadata(&dir).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }

    #[test]
    fn the_oldest_group_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("spool");
        let (mut spool, _) = open(&dir, 2);
        for (target, at, n_dropped) in [("a", 5, 0), ("b", 4, 0), ("c", 6, 1), ("a", 7, 0)] {
            assert_eq!(taken(&mut spool, made(target, at)), n_dropped, "{target}");
        }
        let targets = |spool: &Spool| -> Vec<String> {
            let mut it: Vec<_> = spool.groups.values().map(|it| it.target.clone()).collect();
            it.sort();
            it
        };
        assert_eq!(targets(&spool), ["a", "c"]);
        drop(spool);
        assert_eq!(targets(&open(&dir, 2).0), ["a", "c"]);
        assert_eq!(targets(&open(&dir, 1).0), ["a"]);
    }

    #[test]
    fn a_failure_applies_to_targets_of_the_same_invocation() {
        let dir = tempfile::tempdir().unwrap();
        let (mut spool, _) = open(&dir.path().join("spool"), 10);
        taken(&mut spool, made("a", 1));
        taken(&mut spool, made("b", 1));
        let failed = |arch: Option<&str>| BuildResult::Failed {
            asked: "asked for a".to_owned(),
            platform: arch.map(|it| ["linux".to_owned(), it.to_owned()]),
            last: LastBuild {
                ended_ns: 2,
                wall_ns: 1,
                is_success: Some(false),
            },
        };
        let n_failed = |spool: &Spool| {
            let platforms = spool.groups.values().flat_map(|it| &it.platforms);
            platforms
                .filter(|it| it.last.is_success == Some(false))
                .count()
        };
        taken(&mut spool, failed(Some("arm64")));
        assert_eq!(n_failed(&spool), 0);
        taken(&mut spool, failed(Some("amd64")));
        assert_eq!(n_failed(&spool), 1);
        taken(&mut spool, made("a", 3));
        taken(&mut spool, failed(None));
        assert_eq!(n_failed(&spool), 1);
    }

    #[test]
    fn unreadable_files_are_set_aside_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let outside = dir.path().join("outside");
        fs::write(&outside, "{}").unwrap();
        let dir = dir.path().join("spool");
        let (mut spool, _) = open(&dir, 10);
        taken(&mut spool, made("a", 1));
        let name = spool.groups.keys().next().unwrap().clone();
        let good = fs::read(dir.join(&name)).unwrap();
        symlink(&outside, dir.join("link.json")).unwrap();
        fs::write(dir.join("cut.json"), &good[..good.len() / 2]).unwrap();
        fs::write(dir.join("other.json"), &good).unwrap();
        fs::write(dir.join(".x.json.unfinished"), &good).unwrap();
        fs::create_dir(dir.join("dir.json")).unwrap();
        let groups = spool.groups.clone();
        drop(spool);
        let (again, said) = open(&dir, 10);
        assert_eq!(again.groups, groups);
        assert_eq!(said.len(), 4, "{said:?}");
        assert!(
            said.iter()
                .all(|it| it.contains("cannot read the Pushgateway group"))
        );
        assert!(!dir.join(".x.json.unfinished").exists());
        assert_eq!(fs::read_to_string(&outside).unwrap(), "{}");
    }

    #[test]
    fn a_directory_of_another_user_is_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let spool = dir.path().join("spool");
        fs::create_dir(&spool).unwrap();
        fs::set_permissions(&spool, fs::Permissions::from_mode(0o777)).unwrap();
        let error = OwnDir::new(&spool).unwrap_err();
        assert!(format!("{error:#}").contains("mode 0700"), "{error:#}");
        let link = dir.path().join("link");
        symlink(&spool, &link).unwrap();
        OwnDir::new(&link).unwrap_err();
    }
}
