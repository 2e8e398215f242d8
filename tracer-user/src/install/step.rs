//! One step of an installation: what it does, said and done. Each is safe to do again, and none leaves half a file.

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
use super::{Companion, Outcome, machine, runner};
use crate::atomic_file::{Durability, replace};

/// What is done to the machine.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Make a file say this, with the directories above it.
    Write {
        path: PathBuf,
        mode: u32,
        content: Vec<u8>,
        /// Whether one that is there is the operator's, and stays.
        keep: bool,
    },
    /// Make several files that are the program's.
    WriteAll {
        dir: PathBuf,
        companions: Vec<Companion>,
    },
    Remove(PathBuf),
    /// Remove those of these that are there.
    RemoveAll {
        dir: PathBuf,
        paths: Vec<PathBuf>,
    },
    /// With everything below.
    RemoveTree(PathBuf),
    /// Remove a directory, unless something else is in it.
    RemoveEmpty(PathBuf),
    /// Remove a user of the system's.
    RemoveUser(&'static str),
    /// Have a GitHub runner run a script after each job.
    Hook {
        runner: PathBuf,
        script: PathBuf,
    },
    /// Have it no longer run it.
    Unhook {
        runner: PathBuf,
        script: PathBuf,
    },
    /// Start the service, also if that of before runs, and wait until it says that it is ready.
    Start,
    /// Run a program of the system's, which may be run again.
    Run {
        program: &'static str,
        args: Vec<OsString>,
    },
}

/// How a step is spoken of.
#[derive(Clone, Copy, Debug)]
enum Tense {
    Infinitive,
    Past,
}

/// The status of userdel(8) where there is no such user.
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
            Self::WriteAll { dir, companions } => all(companions, |it| {
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
                let args = ["restart".into(), UNIT.into()];
                run("systemctl", &args, None).with_context(machine::last_words)
            }
            Self::Run { program, args } => run(program, args, None),
        }
    }

    /// What it has done, as a sentence.
    pub(super) fn done(&self) -> impl fmt::Display {
        Said(self, Tense::Past)
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
        bail!("{} is no place for a file", path.display());
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(dir)
        .with_context(|| format!("cannot make {}", dir.display()))?;
    replace(dir, name, Mode::from(mode), Durability::Disk, content)?;
    Ok(Outcome::Done)
}

/// Does something to each; done if anything was.
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

/// `absent` is the exit code that says that there was nothing to do.
fn run(program: &str, args: &[OsString], absent: Option<i32>) -> anyhow::Result<Outcome> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{program} cannot be run"))?;
    if output.status.success() {
        return Ok(Outcome::Done);
    }
    if absent.is_some() && output.status.code() == absent {
        return Ok(Outcome::NotNeeded);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().replace('\n', "; ");
    bail!("{}: {said}", output.status)
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Said(self, Tense::Infinitive).fmt(f)
    }
}

struct Said<'a>(&'a Step, Tense);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(step, tense) = self;
        let verb = |infinitive, past| match tense {
            Tense::Infinitive => infinitive,
            Tense::Past => past,
        };
        match step {
            Step::Write { path, .. } => write!(f, "{} {}", verb("write", "wrote"), path.display()),
            Step::WriteAll { dir, companions } => write!(
                f,
                "{} {} pages of the manual and completions below {}",
                verb("write", "wrote"),
                companions.len(),
                dir.display()
            ),
            Step::RemoveAll { dir, paths } => write!(
                f,
                "{} {} pages of the manual and completions below {}",
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
                verb("tell", "told"),
                runner.display(),
                script.display()
            ),
            Step::Unhook { runner, script } => write!(
                f,
                "{} the runner in {} to run {} no longer",
                verb("tell", "told"),
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

/// Without the content: it may be megabytes.
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
    fn what_is_the_operators_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, "theirs").unwrap();
        let step = writing(&path, b"ours", true);
        assert_eq!(step.perform().unwrap(), Outcome::NotNeeded);
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
    }

    #[test]
    fn what_is_gone_need_not_be_removed_and_what_is_not_empty_stays() {
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
    fn a_program_that_fails_is_quoted() {
        let step = Step::run("ls", ["--no-such-option"]);
        let error = step.perform().unwrap_err().to_string();
        assert!(error.contains("no-such-option"), "{error}");
        assert_eq!(step.to_string(), "run ls --no-such-option");
        assert_eq!(step.done().to_string(), "ran ls --no-such-option");
    }
}
