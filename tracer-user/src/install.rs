//! Putting gotrace on a machine as a service, and taking it away again.
//!
//! What is to be done is decided first, as a list of steps ([`plan`]); then they are done one after another ([`step`]). Each can be done
//! again, so whatever stopped one call is mended by the next, and the call after an upgrade is the same as the first. What the manual and
//! the completions say is given: only `cli` knows the command line.

mod layout;
mod machine;
mod plan;
mod runner;
mod step;

use std::fs;
use std::io::ErrorKind;
use std::path::{self, Path, PathBuf};

use anyhow::{Context as _, bail};

pub use self::layout::{Layout, PINNED};
pub use self::machine::AttachPrivilege;
use self::plan::{Facts, Installation, Runners};
use self::step::Step;

/// Where packages put programs.
const PACKAGED_PREFIX: &str = "/usr";

/// What was asked for.
#[derive(Clone, Debug)]
pub struct InstallRequest {
    /// Another tree than this machine's, for a package to be made of: nothing is asked of the machine, and nothing started.
    pub root: Option<PathBuf>,
    pub prefix: PathBuf,
    /// Of a package whose files are there already: only what depends on the machine.
    pub packaged: bool,
    /// Say what would be done.
    pub dry_run: bool,
    /// Which of GitHub's runners are to run a script after each job; if it is empty, those that systemd runs.
    pub runners: Option<Vec<PathBuf>>,
}

/// A file that comes with the program: a page of the manual, completions of a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedFile {
    /// Below `share` of the prefix.
    pub path: PathBuf,
    pub content: Vec<u8>,
}

/// Puts everything in its place, starts the service, and waits until it follows builds.
pub fn install(request: &InstallRequest, shared_files: Vec<SharedFile>, print: fn(&str)) -> anyhow::Result<()> {
    let mut layout = Layout::new(request.root.as_deref(), &request.prefix)?;
    let is_staged = request.root.is_some();
    let may_touch = !is_staged && !request.dry_run;
    let mut is_packaged = request.packaged;
    if may_touch {
        machine::need_root("install")?;
    }
    if !is_staged
        && !is_packaged
        && let Some(unit) = layout.packaged_unit()
    {
        if request.runners.is_none() {
            bail!(
                "a package has put gotrace on this machine ({}): upgrade that, or remove it first",
                unit.display()
            );
        }
        // Runners are the machine's, so no package knows of them.
        layout = Layout::new(None, Path::new(PACKAGED_PREFIX))?;
        is_packaged = true;
    }
    let privilege = if may_touch {
        machine::required_privilege().context(
            "builds cannot be traced on this machine, so nothing was installed; `gotrace doctor` says more",
        )?
    } else {
        AttachPrivilege::Least
    };
    let facts = Facts {
        has_systemd: !is_staged && machine::has_systemd(),
        privilege,
    };
    let runners = Runners {
        known: recorded(&layout)?,
        wanted: wanted(request, &layout)?,
    };
    let steps = if is_packaged {
        plan::install_packaged(&layout, facts, &runners)
    } else {
        plan::install(
            &layout,
            facts,
            &runners,
            machine::own_program()?,
            shared_files,
        )
    };
    perform(&steps, request.dry_run, print)
        .context("what was done stays, and is not done twice: mend this and install again, or `gotrace uninstall`")?;
    if !runners.wanted.is_empty() && !request.dry_run {
        print("a runner reads that when its service is restarted");
    }
    if is_packaged {
        if request.packaged && may_touch && facts.has_systemd {
            // The package's own tools start it again, next.
            machine::announce_upgrade();
        }
        return Ok(());
    }
    if may_touch && facts.has_systemd {
        machine::wait_until_ready(&layout.config(), print)?;
        print("next: build something with go, then `sudo gotrace builds`");
    } else if may_touch {
        print(&format!(
            "systemd does not run here, so nothing was started: `{} agent` is what is to run, as root",
            layout.program().display()
        ));
    }
    Ok(())
}

/// Takes away what [`install`] put there; with `purge` also configuration, history and user.
pub fn uninstall(
    request: &InstallRequest,
    shared_files: &[SharedFile],
    purge: bool,
    print: fn(&str),
) -> anyhow::Result<()> {
    let layout = Layout::new(request.root.as_deref(), &request.prefix)?;
    let may_touch = request.root.is_none() && !request.dry_run;
    if may_touch {
        machine::need_root("uninstall")?;
    }
    if request.root.is_none()
        && !request.packaged
        && let Some(unit) = layout.packaged_unit()
    {
        bail!(
            "a package has put gotrace on this machine ({}): remove it with `apt remove gotrace`",
            unit.display()
        );
    }
    let found = Installation {
        has_systemd: request.root.is_none() && machine::has_systemd(),
        has_unit: layout.unit().exists(),
        runners: recorded(&layout)?,
    };
    if request.packaged {
        perform(
            &plan::uninstall_packaged(&layout, &found),
            request.dry_run,
            tell,
        )?;
        return Ok(());
    }
    let steps = plan::uninstall(&layout, &found, shared_files, purge);
    let n_done = perform(&steps, request.dry_run, print)
        .context("what was done stays, and is not done twice: mend this and uninstall again")?;
    if n_done == 0 && !request.dry_run {
        print(&format!(
            "nothing of gotrace was there, with the prefix {}",
            request.prefix.display()
        ));
    } else if may_touch && !purge {
        print(&format!(
            "{} and {} stay: `gotrace uninstall --purge` takes them away, too",
            layout.config_dir().display(),
            layout.state_dir().display()
        ));
    }
    Ok(())
}

/// Runners that were told before.
fn recorded(layout: &Layout) -> anyhow::Result<Vec<PathBuf>> {
    let path = layout.runners();
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().map(PathBuf::from).collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Runners that are to be told.
fn wanted(request: &InstallRequest, layout: &Layout) -> anyhow::Result<Vec<PathBuf>> {
    let Some(named) = &request.runners else {
        return Ok(Vec::new());
    };
    if !named.is_empty() {
        let absolute = |it: &PathBuf| {
            path::absolute(it).with_context(|| format!("there is no {}", it.display()))
        };
        return named.iter().map(absolute).collect();
    }
    let found = runner::find(&layout.local_units());
    if found.is_empty() {
        bail!(
            "no runner was found among the units in {}: give its directory, --runner-hooks DIR",
            layout.local_units().display()
        );
    }
    Ok(found)
}

/// Returns how many steps changed something.
fn perform(steps: &[Step], dry_run: bool, print: fn(&str)) -> anyhow::Result<usize> {
    let mut n_done = 0;
    for step in steps {
        if dry_run {
            print(&format!("would {step}"));
            continue;
        }
        match step.perform().with_context(|| format!("cannot {step}"))? {
            Outcome::Done => {
                n_done += 1;
                print(&step.done().to_string());
            }
            Outcome::NotNeeded => {}
        }
    }
    Ok(n_done)
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// It was so before.
    NotNeeded,
}
