//! The paths of an installation. This module contains no file contents, and checks only whether a package is installed.

use std::path::{Path, PathBuf};

use anyhow::bail;

/// Name of the systemd unit.
pub(super) const UNIT: &str = "gotrace.service";
/// Directory in which the service pins its BPF objects, as in its unit.
pub const PINNED: &str = "/sys/fs/bpf/gotrace";
/// Directories of packaged units.
const PACKAGED_UNITS: [&str; 2] = ["/usr/lib/systemd/system", "/lib/systemd/system"];

/// True if the service is installed, by a package or by `gotrace install`.
pub fn is_installed() -> bool {
    let dirs = PACKAGED_UNITS.iter().chain(["/etc/systemd/system"].iter());
    dirs.map(|it| Path::new(it).join(UNIT))
        .any(|it| it.exists())
}

/// The paths of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The root of all paths: `/`, or the tree of a package.
    root: PathBuf,
    /// The prefix as seen on the target machine.
    prefix: PathBuf,
}

impl Layout {
    pub fn new(root: Option<&Path>, prefix: &Path) -> anyhow::Result<Self> {
        if !prefix.is_absolute() {
            bail!(
                "--prefix {} is not absolute: give an absolute path",
                prefix.display()
            );
        }
        Ok(Self {
            root: root.unwrap_or(Path::new("/")).to_owned(),
            prefix: prefix.to_owned(),
        })
    }

    /// Path of the program in the unit.
    pub(super) fn program_path(&self) -> PathBuf {
        self.prefix.join("bin/gotrace")
    }

    pub(super) fn program(&self) -> PathBuf {
        self.at(&self.program_path())
    }

    /// Directory of manual pages and completions.
    pub(super) fn shared(&self) -> PathBuf {
        self.at(&self.prefix.join("share"))
    }

    /// Path of the script that a runner runs after a job, as seen by the runner.
    pub(super) fn hook_path(&self) -> PathBuf {
        self.prefix.join("lib/gotrace/job-completed.sh")
    }

    pub(super) fn hook(&self) -> PathBuf {
        self.at(&self.hook_path())
    }

    /// List of configured runners, one directory per line.
    pub(super) fn runners(&self) -> PathBuf {
        self.at(&self.prefix.join("lib/gotrace/runners"))
    }

    /// Directory of this machine's own units.
    pub(super) fn local_units(&self) -> PathBuf {
        self.at(Path::new("/etc/systemd/system"))
    }

    pub(super) fn unit(&self) -> PathBuf {
        self.unit_dir().join(UNIT)
    }

    /// Drop-in of the unit for older kernels.
    pub(super) fn drop_in(&self) -> PathBuf {
        self.unit_dir()
            .join(format!("{UNIT}.d"))
            .join("10-older-kernel.conf")
    }

    /// Directory of the operator's drop-ins (`systemctl edit`).
    pub(super) fn edited(&self) -> PathBuf {
        self.local_units().join(format!("{UNIT}.d"))
    }

    /// File that defines the service's user.
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

    /// Directory of the pinned BPF objects.
    pub(super) fn pinned(&self) -> PathBuf {
        self.at(Path::new(PINNED))
    }

    /// The unit of a package on this machine, if that is another installation.
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

    /// True if systemd reads units below the prefix.
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
    fn systemd_reads_the_directory_of_the_unit() {
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
    fn another_root_prefixes_every_path_but_no_written_content() {
        let layout = Layout::new(Some(Path::new("stage")), Path::new("/usr")).unwrap();
        assert_eq!(layout.program(), Path::new("stage/usr/bin/gotrace"));
        assert_eq!(layout.config(), Path::new("stage/etc/gotrace/gotrace.toml"));
        assert_eq!(layout.program_path(), Path::new("/usr/bin/gotrace"));
        assert!(Layout::new(None, Path::new("local")).is_err());
    }

    #[test]
    fn an_earlier_package_is_found() {
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
