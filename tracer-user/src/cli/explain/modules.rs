//! `gotrace explain --modules`: prints the prices of the modules in the programs of a build.
//!
//! `gotrace run` does not analyse outputs. A file that the user names is therefore read here, if it still has the content of the build.

use std::path::Path;

use anyhow::bail;
use tracer_core::finished::FinishedTrace;
use tracer_core::model::{Output, Trace};
use tracer_core::price;

use crate::cli::analyze::read::read;
use crate::cli::show::BuildArgs;
use crate::history::{BuildView, Explained};
use crate::{inspect, render};

/// Returns the exit code. `file`: only this program.
pub(super) fn execute(
    args: &BuildArgs,
    shown: &BuildView,
    explained: &Explained,
    file: Option<&str>,
) -> anyhow::Result<u8> {
    let id = &shown.entry.id;
    let Some(trace) = shown.finished.as_ref().map(FinishedTrace::trace) else {
        bail!(
            "no module of {id} has a price: it runs, was cut off, or its details have been deleted"
        );
    };
    let mut trace = trace.clone();
    if let Some(file) = file {
        choose(&mut trace, Path::new(file))?;
    }
    let finished = FinishedTrace::of(trace);
    let Some(build) = finished.builds().next() else {
        bail!("the history has no details of {id}");
    };
    let prices = price::prices(build, &explained.earlier_cpu);
    args.print(&shown.entry, &prices, |style, out| {
        render::prices(build.build, &prices.programs, style, out)
    })
}

/// Keeps the outputs at this path, and analyses the file if they have no analysis.
fn choose(trace: &mut Trace, file: &Path) -> anyhow::Result<()> {
    let absolute = std::path::absolute(file)?;
    let is_chosen = |it: &Output| {
        let path = it.path.to_str();
        let path = Path::new(&*path);
        path == absolute || path.ends_with(file)
    };
    let outputs = trace.builds.iter_mut().map(|it| &mut it.outputs);
    let mut has_output = false;
    for outputs in outputs {
        outputs.retain(is_chosen);
        for output in outputs {
            has_output = true;
            analyse(output, file)?;
        }
    }
    if !has_output {
        bail!(
            "the build has no output {}: `gotrace show` lists its outputs",
            file.display()
        );
    }
    Ok(())
}

fn analyse(output: &mut Output, file: &Path) -> anyhow::Result<()> {
    let Some(artifact) = &mut output.artifact else {
        return Ok(());
    };
    let anatomy = artifact.anatomy.as_ref();
    if anatomy.is_some_and(|it| it.packages.is_some()) || !file.exists() {
        return Ok(());
    }
    let Some(anatomy) = inspect::anatomy(&read(file)?, &artifact.sha256) else {
        bail!(
            "cannot use {}: its content is not the one that the build wrote",
            file.display()
        );
    };
    artifact.anatomy = Some(Box::new(anatomy));
    Ok(())
}
