//! GitHub's runners on this machine: what each runs after a job is named in a file in its directory, which belongs to the user whose jobs
//! it runs.
//!
//! That user is not trusted: the file is read and written with no more than that user's rights to files, so no link of theirs leads
//! anywhere that they could not write themselves. A hook that somebody else put there is left alone.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use rustix::fs::Mode;

use super::Outcome;
use crate::atomic_file::{Durability, replace};
use crate::launch::caller::{Caller, Identity};

const VARIABLE: &str = "ACTIONS_RUNNER_HOOK_JOB_COMPLETED";
/// Where a runner finds its environment.
const FILE: &str = ".env";
/// What is in the directory of every runner.
const PROOF: &str = "run.sh";
const LIMIT: u64 = 1 << 20;

/// Directories of the runners that systemd runs here, as their own installation names them.
pub(super) fn find(units: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(units).into_iter().flatten().flatten();
    let is_runners = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("actions.runner.") && name.ends_with(".service")
    };
    let mut found: Vec<PathBuf> = entries
        .map(|it| it.path())
        .filter(is_runners)
        .filter_map(|unit| {
            let text = fs::read_to_string(unit).ok()?;
            let mut lines = text.lines();
            let dir = lines.find_map(|it| it.strip_prefix("WorkingDirectory="))?;
            Some(PathBuf::from(dir.trim()))
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Has the runner in this directory run the script after each job.
pub(super) fn hook(dir: &Path, script: &Path) -> anyhow::Result<Outcome> {
    if !dir.join(PROOF).exists() {
        bail!(
            "{} is not a runner's directory: it has no {PROOF}",
            dir.display()
        );
    }
    edit(dir, |text| hooked(text, script))
}

/// Has it no longer run it. A runner that is gone needs nothing.
pub(super) fn unhook(dir: &Path, script: &Path) -> anyhow::Result<Outcome> {
    if !dir.join(FILE).exists() {
        return Ok(Outcome::NotNeeded);
    }
    edit(dir, |text| Ok(unhooked(text, script)))
}

fn hooked(text: &str, script: &Path) -> anyhow::Result<String> {
    let line = format!("{VARIABLE}={}", script.display());
    let named = text.lines().find(|it| {
        let name = it.split_once('=').map(|(name, _)| name.trim());
        name == Some(VARIABLE)
    });
    match named {
        Some(named) if named == line => Ok(text.to_owned()),
        Some(named) => bail!(
            "it has a hook already ({named}): have that one run {} as its last command",
            script.display()
        ),
        None => {
            let gap = if text.is_empty() || text.ends_with('\n') {
                ""
            } else {
                "\n"
            };
            Ok(format!("{text}{gap}{line}\n"))
        }
    }
}

fn unhooked(text: &str, script: &Path) -> String {
    let line = format!("{VARIABLE}={}", script.display());
    let others = text.split_inclusive('\n');
    others.filter(|it| it.trim_end() != line).collect()
}

fn edit(dir: &Path, change: impl Fn(&str) -> anyhow::Result<String>) -> anyhow::Result<Outcome> {
    let owner = fs::symlink_metadata(dir)?;
    if !owner.is_dir() {
        bail!("{} is not a directory", dir.display());
    }
    let owner = Caller {
        identity: Identity {
            uid: owner.uid(),
            gid: owner.gid(),
            groups: Vec::new(),
        },
        env: Vec::new(),
        is_recovered: false,
    };
    owner.with_rights(|| {
        let (text, mode) = read(&dir.join(FILE))?;
        let changed = change(&text).with_context(|| dir.join(FILE).display().to_string())?;
        if changed == text {
            return Ok(Outcome::NotNeeded);
        }
        replace(dir, FILE, mode, Durability::Disk, changed.as_bytes())?;
        Ok(Outcome::Done)
    })
}

/// The text of a file and its mode; of none, if it is not there.
fn read(path: &Path) -> anyhow::Result<(String, Mode)> {
    let opened = File::options()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok((String::new(), Mode::from(0o644)));
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot open {}", path.display()));
        }
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.len() > LIMIT {
        bail!("{} is no file of settings", path.display());
    }
    let mut text = String::new();
    file.take(LIMIT).read_to_string(&mut text)?;
    Ok((text, Mode::from(metadata.permissions().mode() & 0o777)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const SCRIPT: &str = "/usr/local/lib/gotrace/job-completed.sh";

    fn runner() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(PROOF), "").unwrap();
        dir
    }

    #[test]
    fn a_hook_is_added_once_and_taken_out_again() {
        let (dir, script) = (runner(), Path::new(SCRIPT));
        let file = dir.path().join(FILE);
        fs::write(&file, "LANG=C.UTF-8").unwrap();
        assert_eq!(hook(dir.path(), script).unwrap(), Outcome::Done);
        assert_eq!(hook(dir.path(), script).unwrap(), Outcome::NotNeeded);
        assert_eq!(
            fs::read_to_string(&file).unwrap(),
            format!("LANG=C.UTF-8\n{VARIABLE}={SCRIPT}\n")
        );
        assert_eq!(unhook(dir.path(), script).unwrap(), Outcome::Done);
        assert_eq!(unhook(dir.path(), script).unwrap(), Outcome::NotNeeded);
        assert_eq!(fs::read_to_string(&file).unwrap(), "LANG=C.UTF-8\n");
    }

    #[test]
    fn somebody_elses_hook_stays() {
        let (dir, script) = (runner(), Path::new(SCRIPT));
        let theirs = format!("{VARIABLE}=/opt/theirs.sh\n");
        fs::write(dir.path().join(FILE), &theirs).unwrap();
        let error = format!("{:#}", hook(dir.path(), script).unwrap_err());
        assert!(
            error.contains("/opt/theirs.sh") && error.contains(SCRIPT),
            "{error}"
        );
        assert_eq!(unhook(dir.path(), script).unwrap(), Outcome::NotNeeded);
        assert_eq!(fs::read_to_string(dir.path().join(FILE)).unwrap(), theirs);
    }

    #[test]
    fn a_link_is_not_followed_and_another_directory_is_refused() {
        let (dir, script) = (runner(), Path::new(SCRIPT));
        let victim = dir.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, dir.path().join(FILE)).unwrap();
        assert!(hook(dir.path(), script).is_err());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        let other = tempfile::tempdir().unwrap();
        let error = hook(other.path(), script).unwrap_err().to_string();
        assert!(error.contains("not a runner's directory"), "{error}");
    }

    #[test]
    fn runners_are_found_by_their_units() {
        let dir = tempfile::tempdir().unwrap();
        let unit = dir.path().join("actions.runner.acme-api.one.service");
        fs::write(
            unit,
            "[Service]\nWorkingDirectory=/home/ci/actions-runner\n",
        )
        .unwrap();
        let other = dir.path().join("other.service");
        fs::write(other, "[Service]\nWorkingDirectory=/srv\n").unwrap();
        assert_eq!(find(dir.path()), [Path::new("/home/ci/actions-runner")]);
    }
}
