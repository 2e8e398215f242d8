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
pub use self::machine::Power;
use self::plan::{Facts, Found, Runners};
use self::step::Step;

/// Where packages put programs.
const PACKAGED_PREFIX: &str = "/usr";

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Order {
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
pub struct Companion {
    /// Below `share` of the prefix.
    pub path: PathBuf,
    pub content: Vec<u8>,
}

/// Puts everything in its place, starts the service, and waits until it follows builds.
pub fn install(order: &Order, companions: Vec<Companion>, tell: fn(&str)) -> anyhow::Result<()> {
    let mut layout = Layout::new(order.root.as_deref(), &order.prefix)?;
    let is_staged = order.root.is_some();
    let may_touch = !is_staged && !order.dry_run;
    let mut is_packaged = order.packaged;
    if may_touch {
        machine::need_root("install")?;
    }
    if !is_staged
        && !is_packaged
        && let Some(unit) = layout.packaged_unit()
    {
        if order.runners.is_none() {
            bail!(
                "a package has put gotrace on this machine ({}): upgrade that, or remove it first",
                unit.display()
            );
        }
        // Runners are the machine's, so no package knows of them.
        layout = Layout::new(None, Path::new(PACKAGED_PREFIX))?;
        is_packaged = true;
    }
    let power = if may_touch {
        machine::ask_kernel().context(
            "builds cannot be traced on this machine, so nothing was installed; `gotrace doctor` says more",
        )?
    } else {
        Power::Least
    };
    let facts = Facts {
        has_systemd: !is_staged && machine::has_systemd(),
        power,
    };
    let runners = Runners {
        known: recorded(&layout)?,
        wanted: wanted(order, &layout)?,
    };
    let steps = if is_packaged {
        plan::install_packaged(&layout, facts, &runners)
    } else {
        plan::install(
            &layout,
            facts,
            &runners,
            machine::own_program()?,
            companions,
        )
    };
    perform(&steps, order.dry_run, tell)
        .context("what was done stays, and is not done twice: mend this and install again, or `gotrace uninstall`")?;
    if !runners.wanted.is_empty() && !order.dry_run {
        tell("a runner reads that when its service is restarted");
    }
    if is_packaged {
        if order.packaged && may_touch && facts.has_systemd {
            // The package's own tools start it again, next.
            machine::announce_upgrade();
        }
        return Ok(());
    }
    if may_touch && facts.has_systemd {
        machine::wait_until_ready(&layout.config(), tell)?;
        tell("next: build something with go, then `sudo gotrace builds`");
    } else if may_touch {
        tell(&format!(
            "systemd does not run here, so nothing was started: `{} agent` is what is to run, as root",
            layout.program().display()
        ));
    }
    Ok(())
}

/// Takes away what [`install`] put there; with `purge` also configuration, history and user.
pub fn uninstall(
    order: &Order,
    companions: &[Companion],
    purge: bool,
    tell: fn(&str),
) -> anyhow::Result<()> {
    let layout = Layout::new(order.root.as_deref(), &order.prefix)?;
    let may_touch = order.root.is_none() && !order.dry_run;
    if may_touch {
        machine::need_root("uninstall")?;
    }
    if order.root.is_none()
        && !order.packaged
        && let Some(unit) = layout.packaged_unit()
    {
        bail!(
            "a package has put gotrace on this machine ({}): remove it with `apt remove gotrace`",
            unit.display()
        );
    }
    let found = Found {
        has_systemd: order.root.is_none() && machine::has_systemd(),
        has_unit: layout.unit().exists(),
        runners: recorded(&layout)?,
    };
    if order.packaged {
        perform(
            &plan::uninstall_packaged(&layout, &found),
            order.dry_run,
            tell,
        )?;
        return Ok(());
    }
    let steps = plan::uninstall(&layout, &found, companions, purge);
    let n_done = perform(&steps, order.dry_run, tell)
        .context("what was done stays, and is not done twice: mend this and uninstall again")?;
    if n_done == 0 && !order.dry_run {
        tell(&format!(
            "nothing of gotrace was there, with the prefix {}",
            order.prefix.display()
        ));
    } else if may_touch && !purge {
        tell(&format!(
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
fn wanted(order: &Order, layout: &Layout) -> anyhow::Result<Vec<PathBuf>> {
    let Some(named) = &order.runners else {
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
fn perform(steps: &[Step], dry_run: bool, tell: fn(&str)) -> anyhow::Result<usize> {
    let mut n_done = 0;
    for step in steps {
        if dry_run {
            tell(&format!("would {step}"));
            continue;
        }
        match step.perform().with_context(|| format!("cannot {step}"))? {
            Outcome::Done => {
                n_done += 1;
                tell(&step.done().to_string());
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
