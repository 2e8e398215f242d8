//! One step of an installation: its description and its execution. Each step can be repeated, and none leaves a partly written file.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use rustix::fs::Mode;

use super::layout::UNIT;
use super::{Outcome, SharedFile, machine, runner};
use crate::atomic_file::{Durability, replace};

/// A change of the machine.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Write a file with this content; create its parent directories.
    Write {
        path: PathBuf,
        mode: u32,
        content: Vec<u8>,
        /// True if an existing file belongs to the operator and is kept.
        keep: bool,
    },
    /// Write several files of the program.
    WriteAll {
        dir: PathBuf,
        shared_files: Vec<SharedFile>,
    },
    Remove(PathBuf),
    /// Remove several files, if they exist.
    RemoveAll {
        dir: PathBuf,
        paths: Vec<PathBuf>,
    },
    /// Remove a directory and everything below.
    RemoveTree(PathBuf),
    /// Remove a directory, if it is empty.
    RemoveEmpty(PathBuf),
    /// Remove a system user.
    RemoveUser(&'static str),
    /// Configure a GitHub runner to run a script after each job.
    Hook {
        runner: PathBuf,
        script: PathBuf,
    },
    /// Configure a GitHub runner to stop running the script.
    Unhook {
        runner: PathBuf,
        script: PathBuf,
    },
    /// Start or restart the service, and wait until it reports that it is ready.
    Start,
    /// Run a system program, which may run repeatedly.
    Run {
        program: &'static str,
        args: Vec<OsString>,
    },
}

/// Tense of a step's description.
#[derive(Clone, Copy, Debug)]
enum Tense {
    Infinitive,
    Past,
}

/// The exit status of userdel(8) if the user does not exist.
const NO_SUCH_USER: i32 = 6;

impl Step {
    pub(super) fn run<const N: usize>(program: &'static str, args: [&str; N]) -> Self {
        Self::Run {
            program,
            args: args.map(OsString::from).into(),
        }
    }

    pub(super) fn perform(&self) -> anyhow::Result<Outcome> {
        match self {
            Self::Write {
                path,
                mode,
                content,
                keep,
            } => write(path, *mode, content, *keep),
            Self::WriteAll { dir, shared_files } => all(shared_files, |it| {
                write(&dir.join(&it.path), 0o644, &it.content, false)
            }),
            Self::Remove(path) => gone(fs::remove_file(path)),
            Self::RemoveAll { dir, paths } => all(paths, |it| gone(fs::remove_file(dir.join(it)))),
            Self::RemoveTree(path) => gone(fs::remove_dir_all(path)),
            Self::RemoveEmpty(path) => match fs::remove_dir(path) {
                Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
                    Ok(Outcome::NotNeeded)
                }
                removed => gone(removed),
            },
            Self::RemoveUser(name) => run("userdel", &[name.into()], Some(NO_SUCH_USER)),
            Self::Hook { runner, script } => runner::hook(runner, script),
            Self::Unhook { runner, script } => runner::unhook(runner, script),
            Self::Start => {
                machine::announce_upgrade();
                start().with_context(machine::last_words)
            }
            Self::Run { program, args } => run(program, args, None),
        }
    }

    /// True if the step removes only files that do not exist.
    pub(super) fn removes_nothing(&self) -> bool {
        let is_gone = |it: &Path| matches!(fs::symlink_metadata(it), Err(error) if error.kind() == ErrorKind::NotFound);
        match self {
            Self::Remove(path) | Self::RemoveTree(path) | Self::RemoveEmpty(path) => is_gone(path),
            Self::RemoveAll { dir, paths } => paths.iter().all(|it| is_gone(&dir.join(it))),
            Self::Write { .. }
            | Self::WriteAll { .. }
            | Self::RemoveUser(_)
            | Self::Hook { .. }
            | Self::Unhook { .. }
            | Self::Start
            | Self::Run { .. } => false,
        }
    }

    /// Describes the completed step.
    pub(super) fn done(&self) -> impl fmt::Display {
        Described(self, Tense::Past)
    }
}

fn write(path: &Path, mode: u32, content: &[u8], keep: bool) -> anyhow::Result<Outcome> {
    let there = fs::symlink_metadata(path);
    if keep && there.is_ok() {
        return Ok(Outcome::NotNeeded);
    }
    let is_so = there.is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o7777 == mode);
    if is_so && fs::read(path).is_ok_and(|it| it == content) {
        return Ok(Outcome::NotNeeded);
    }
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|it| it.to_str()))
    else {
        bail!("{} is not a valid path of a file", path.display());
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(dir)
        .with_context(|| format!("cannot create the directory {}", dir.display()))?;
    replace(dir, name, Mode::from(mode), Durability::Disk, content)?;
    Ok(Outcome::Done)
}

/// Applies an operation to each item; `Done` if any of them changed something.
fn all<T>(
    list: &[T],
    mut each: impl FnMut(&T) -> anyhow::Result<Outcome>,
) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::NotNeeded;
    for item in list {
        if each(item)? == Outcome::Done {
            outcome = Outcome::Done;
        }
    }
    Ok(outcome)
}

fn gone(removed: io::Result<()>) -> anyhow::Result<Outcome> {
    match removed {
        Ok(()) => Ok(Outcome::Done),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Outcome::NotNeeded),
        Err(error) => Err(error.into()),
    }
}

/// Starts the service. systemd sometimes cannot move a process into its control group while it starts other services; a second attempt
/// succeeds.
fn start() -> anyhow::Result<Outcome> {
    let restart = || run("systemctl", &["restart".into(), UNIT.into()], None);
    match restart() {
        Err(_) if machine::lacked_a_control_group() => restart(),
        done => done,
    }
}

/// Runs a program. `absent` is the exit code that means that there was nothing to do.
fn run(program: &str, args: &[OsString], absent: Option<i32>) -> anyhow::Result<Outcome> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if output.status.success() {
        return Ok(Outcome::Done);
    }
    if absent.is_some() && output.status.code() == absent {
        return Ok(Outcome::NotNeeded);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stderr = stderr.trim().replace('\n', "; ");
    bail!("{}: {stderr}", output.status)
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Described(self, Tense::Infinitive).fmt(f)
    }
}

struct Described<'a>(&'a Step, Tense);

impl fmt::Display for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(step, tense) = self;
        let verb = |infinitive, past| match tense {
            Tense::Infinitive => infinitive,
            Tense::Past => past,
        };
        match step {
            Step::Write { path, .. } => write!(f, "{} {}", verb("write", "wrote"), path.display()),
            Step::WriteAll { dir, shared_files } => write!(
                f,
                "{} {} manual pages and completions below {}",
                verb("write", "wrote"),
                shared_files.len(),
                dir.display()
            ),
            Step::RemoveAll { dir, paths } => write!(
                f,
                "{} {} manual pages and completions below {}",
                verb("remove", "removed"),
                paths.len(),
                dir.display()
            ),
            Step::Remove(path) | Step::RemoveTree(path) | Step::RemoveEmpty(path) => {
                write!(f, "{} {}", verb("remove", "removed"), path.display())
            }
            Step::RemoveUser(name) => {
                write!(f, "{} the user {name}", verb("remove", "removed"))
            }
            Step::Hook { runner, script } => write!(
                f,
                "{} the runner in {} to run {} after each job",
                verb("configure", "configured"),
                runner.display(),
                script.display()
            ),
            Step::Unhook { runner, script } => write!(
                f,
                "{} the runner in {} to stop running {}",
                verb("configure", "configured"),
                runner.display(),
                script.display()
            ),
            Step::Start => write!(f, "{} {UNIT}", verb("start", "started")),
            Step::Run { program, args } => {
                write!(f, "{} {program}", verb("run", "ran"))?;
                for arg in args {
                    write!(f, " {}", arg.display())?;
                }
                Ok(())
            }
        }
    }
}

/// Omits the content, which can have megabytes.
impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writing(path: &Path, content: &[u8], keep: bool) -> Step {
        Step::Write {
            path: path.to_owned(),
            mode: 0o640,
            content: content.to_owned(),
            keep,
        }
    }

    #[test]
    fn a_file_is_written_once_and_again_when_it_differs() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/file");
        let first = writing(&path, b"one", false);
        assert_eq!(first.perform().unwrap(), Outcome::Done);
        assert_eq!(first.perform().unwrap(), Outcome::NotNeeded);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(first.perform().unwrap(), Outcome::Done);
        let second = writing(&path, b"two", false);
        assert_eq!(second.perform().unwrap(), Outcome::Done);
        assert_eq!(fs::read(&path).unwrap(), b"two");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o640);
    }

    #[test]
    fn an_existing_file_of_the_operator_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "theirs").unwrap();
        let step = writing(&path, b"ours", true);
        assert_eq!(step.perform().unwrap(), Outcome::NotNeeded);
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
    }

    #[test]
    fn removing_ignores_missing_files_and_keeps_nonempty_directories() {
        let dir = tempfile::tempdir().unwrap();
        let absent = dir.path().join("absent");
        for step in [
            Step::Remove(absent.clone()),
            Step::RemoveTree(absent.clone()),
            Step::RemoveEmpty(absent),
        ] {
            assert_eq!(step.perform().unwrap(), Outcome::NotNeeded, "{step}");
        }
        fs::write(dir.path().join("theirs"), "").unwrap();
        let step = Step::RemoveEmpty(dir.path().to_owned());
        assert_eq!(step.perform().unwrap(), Outcome::NotNeeded);
        let step = Step::RemoveTree(dir.path().to_owned());
        assert_eq!(step.perform().unwrap(), Outcome::Done);
        assert!(!dir.path().exists());
    }

    #[test]
    fn the_error_of_a_failed_program_is_quoted() {
        let step = Step::run("ls", ["--no-such-option"]);
        let error = step.perform().unwrap_err().to_string();
        assert!(error.contains("no-such-option"), "{error}");
        assert_eq!(step.to_string(), "run ls --no-such-option");
        assert_eq!(step.done().to_string(), "ran ls --no-such-option");
    }
}
