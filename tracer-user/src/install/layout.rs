//! Where each file of an installation is. Knows of no content, and touches nothing but to see whether a package was there first.

use std::path::{Path, PathBuf};

use anyhow::bail;

/// The service, in systemd's words.
pub(super) const UNIT: &str = "gotrace.service";
/// Where the service pins what stays on without it, as its unit says.
pub const PINNED: &str = "/sys/fs/bpf/gotrace";
/// Where distributions put units; what is there is a package's.
const PACKAGED_UNITS: [&str; 2] = ["/usr/lib/systemd/system", "/lib/systemd/system"];

/// The places of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Above everything: `/`, or the tree of a package.
    root: PathBuf,
    /// As the machine sees it that gotrace will run on.
    prefix: PathBuf,
}

impl Layout {
    pub fn new(root: Option<&Path>, prefix: &Path) -> anyhow::Result<Self> {
        if !prefix.is_absolute() {
            bail!("--prefix is {}: give an absolute path", prefix.display());
        }
        Ok(Self {
            root: root.unwrap_or(Path::new("/")).to_owned(),
            prefix: prefix.to_owned(),
        })
    }

    /// The program as the unit names it.
    pub(super) fn program_path(&self) -> PathBuf {
        self.prefix.join("bin/gotrace")
    }

    pub(super) fn program(&self) -> PathBuf {
        self.at(&self.program_path())
    }

    /// Above the files that come with the program.
    pub(super) fn shared(&self) -> PathBuf {
        self.at(&self.prefix.join("share"))
    }

    /// What a runner runs after a job, as the runner names it.
    pub(super) fn hook_path(&self) -> PathBuf {
        self.prefix.join("lib/gotrace/job-completed.sh")
    }

    pub(super) fn hook(&self) -> PathBuf {
        self.at(&self.hook_path())
    }

    /// Which runners do, a directory a line.
    pub(super) fn runners(&self) -> PathBuf {
        self.at(&self.prefix.join("lib/gotrace/runners"))
    }

    /// Units that were made on this machine.
    pub(super) fn local_units(&self) -> PathBuf {
        self.at(Path::new("/etc/systemd/system"))
    }

    pub(super) fn unit(&self) -> PathBuf {
        self.unit_dir().join(UNIT)
    }

    /// What the unit needs beside it on an older kernel.
    pub(super) fn drop_in(&self) -> PathBuf {
        self.unit_dir()
            .join(format!("{UNIT}.d"))
            .join("10-older-kernel.conf")
    }

    /// What an operator changed with `systemctl edit`.
    pub(super) fn edited(&self) -> PathBuf {
        self.local_units().join(format!("{UNIT}.d"))
    }

    /// Says which user there is to be.
    pub(super) fn sysusers(&self) -> PathBuf {
        let dir = if self.is_searched() {
            self.prefix.join("lib/sysusers.d")
        } else {
            "/etc/sysusers.d".into()
        };
        self.at(&dir).join("gotrace.conf")
    }

    pub(super) fn config_dir(&self) -> PathBuf {
        self.at(Path::new("/etc/gotrace"))
    }

    pub(super) fn config(&self) -> PathBuf {
        self.config_dir().join("gotrace.toml")
    }

    /// The history.
    pub(super) fn state_dir(&self) -> PathBuf {
        self.at(Path::new("/var/lib/gotrace"))
    }

    /// What stays on without the service.
    pub(super) fn pinned(&self) -> PathBuf {
        self.at(Path::new(PINNED))
    }

    /// The unit of a package on this machine, if this is not it.
    pub(super) fn packaged_unit(&self) -> Option<PathBuf> {
        let ours = self.unit();
        let mut units = PACKAGED_UNITS
            .iter()
            .map(|dir| self.at(Path::new(dir)).join(UNIT));
        units.find(|unit| *unit != ours && unit.exists())
    }

    fn unit_dir(&self) -> PathBuf {
        let dir = if self.is_searched() {
            self.prefix.join("lib/systemd/system")
        } else {
            "/etc/systemd/system".into()
        };
        self.at(&dir)
    }

    /// Whether systemd looks below the prefix.
    fn is_searched(&self) -> bool {
        ["/usr", "/usr/local"]
            .iter()
            .any(|it| self.prefix == Path::new(it))
    }

    /// An absolute path in the tree.
    fn at(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_units_place_is_one_that_systemd_looks_into() {
        let unit = |prefix: &str| Layout::new(None, Path::new(prefix)).unwrap().unit();
        let places = ["/usr", "/usr/local", "/opt/gotrace"].map(unit);
        assert_eq!(
            places.map(|it| it.display().to_string()),
            [
                "/usr/lib/systemd/system/gotrace.service",
                "/usr/local/lib/systemd/system/gotrace.service",
                "/etc/systemd/system/gotrace.service",
            ]
        );
    }

    #[test]
    fn another_root_is_above_every_path_and_in_none_that_is_written() {
        let layout = Layout::new(Some(Path::new("stage")), Path::new("/usr")).unwrap();
        assert_eq!(layout.program(), Path::new("stage/usr/bin/gotrace"));
        assert_eq!(layout.config(), Path::new("stage/etc/gotrace/gotrace.toml"));
        assert_eq!(layout.program_path(), Path::new("/usr/bin/gotrace"));
        assert!(Layout::new(None, Path::new("local")).is_err());
    }

    #[test]
    fn a_package_that_was_there_first_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let units = dir.path().join("usr/lib/systemd/system");
        std::fs::create_dir_all(&units).unwrap();
        std::fs::write(units.join(UNIT), "").unwrap();
        let packaged = |prefix: &str| {
            let layout = Layout::new(Some(dir.path()), Path::new(prefix)).unwrap();
            layout.packaged_unit()
        };
        assert_eq!(packaged("/usr/local"), Some(units.join(UNIT)));
        assert_eq!(packaged("/usr"), None);
    }
}
