//! Installs gotrace as a service on a machine, and uninstalls it.
//!
//! [`plan`] first computes a list of steps; [`step`] then performs them in order. Each step can be repeated. The next call therefore
//! completes an interrupted one, and the call after an upgrade is the same as the first. The caller passes the manual and the completions,
//! because only `cli` defines the command line.

mod layout;
mod machine;
mod plan;
mod runner;
mod step;

use std::fs;
use std::io::ErrorKind;
use std::path::{self, Path, PathBuf};

use anyhow::{Context as _, bail};

pub use self::layout::{Layout, PINNED, is_installed};
pub use self::machine::AttachPrivilege;
use self::plan::{Facts, Installation, Runners};
use self::step::Step;

/// The prefix of packaged programs.
const PACKAGED_PREFIX: &str = "/usr";

/// The arguments of an installation.
#[derive(Clone, Debug)]
pub struct InstallRequest {
    /// Another tree than this machine's, to build a package from. Then the machine is not examined, and nothing is started.
    pub root: Option<PathBuf>,
    pub prefix: PathBuf,
    /// True if a package has already installed its files. Then only the files that depend on the machine are written.
    pub packaged: bool,
    /// True to print the steps without performing them.
    pub dry_run: bool,
    /// GitHub runners that should run a script after each job; if empty, those that systemd runs.
    pub runners: Option<Vec<PathBuf>>,
}

/// A file below `share` of the prefix: a manual page, or completions of a shell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedFile {
    /// Path below `share` of the prefix.
    pub path: PathBuf,
    pub content: Vec<u8>,
}

/// Installs all files, starts the service, and waits until it traces builds.
pub fn install(
    request: &InstallRequest,
    shared_files: Vec<SharedFile>,
    print: fn(&str),
) -> anyhow::Result<()> {
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
                "a package has installed gotrace on this machine ({}): upgrade the package, or remove it first",
                unit.display()
            );
        }
        // Runners depend on the machine, so no package configures them.
        layout = Layout::new(None, Path::new(PACKAGED_PREFIX))?;
        is_packaged = true;
    }
    let privilege = if may_touch {
        machine::required_privilege().context(
            "nothing was installed, because gotrace cannot trace builds on this machine (see `gotrace doctor`)",
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
        new: requested_runners(request, &layout)?,
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
        .context("the installation is incomplete: fix this error and install again, or run `gotrace uninstall`")?;
    if !runners.new.is_empty() && !request.dry_run {
        print("restart the service of each runner to apply this");
    }
    if is_packaged {
        if request.packaged && may_touch && facts.has_systemd {
            // The package's own scripts restart the service next.
            machine::announce_upgrade();
        }
        return Ok(());
    }
    if may_touch && facts.has_systemd {
        machine::wait_until_ready(&layout.config(), print)?;
        print("next: build something with go, then run `sudo gotrace builds`");
    } else if may_touch {
        print(&format!(
            "nothing was started, because systemd does not run here: run `{} agent` as root",
            layout.program().display()
        ));
    }
    Ok(())
}

/// Removes the files of [`install`]; with `purge` also configuration, history and user.
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
            "a package has installed gotrace on this machine ({}): remove it with `apt remove gotrace`",
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
            print,
        )?;
        return Ok(());
    }
    let steps = plan::uninstall(&layout, &found, shared_files, purge);
    let n_done = perform(&steps, request.dry_run, print)
        .context("gotrace is only partly removed: fix this error and uninstall again")?;
    if n_done == 0 && !request.dry_run {
        print(&format!(
            "nothing to remove: gotrace is not installed below {}",
            request.prefix.display()
        ));
    } else if may_touch && !purge {
        print(&format!(
            "kept {} and {}: `gotrace uninstall --purge` removes them too",
            layout.config_dir().display(),
            layout.state_dir().display()
        ));
    }
    Ok(())
}

/// Runners that an earlier call configured.
fn recorded(layout: &Layout) -> anyhow::Result<Vec<PathBuf>> {
    let path = layout.runners();
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.lines().map(PathBuf::from).collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Runners to configure.
fn requested_runners(request: &InstallRequest, layout: &Layout) -> anyhow::Result<Vec<PathBuf>> {
    let Some(named) = &request.runners else {
        return Ok(Vec::new());
    };
    if !named.is_empty() {
        let absolute = |it: &PathBuf| {
            path::absolute(it).with_context(|| format!("cannot resolve the path {}", it.display()))
        };
        return named.iter().map(absolute).collect();
    }
    let found = runner::find(&layout.local_units());
    if found.is_empty() {
        bail!(
            "found no runner among the units in {}: give its directory with --runner-hooks DIR",
            layout.local_units().display()
        );
    }
    Ok(found)
}

/// Performs the steps; returns the number of steps that changed something.
fn perform(steps: &[Step], dry_run: bool, print: fn(&str)) -> anyhow::Result<usize> {
    let mut n_done = 0;
    for step in steps {
        if dry_run {
            if !step.removes_nothing() {
                print(&format!("would {step}"));
            }
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

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// The machine was already in that state.
    NotNeeded,
}
