//! `gotrace explain`: prints why the actions of a build ran.

mod modules;
mod schedule;

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use tracer_core::explain::{CacheRestore, CacheUse, Cause, Explanation};
use tracer_core::finished::FinishedTrace;
use tracer_core::history::{BuildId, Entry};

use super::show::BuildArgs;
use super::{FINE, report};
use crate::cache_scan;
use crate::history;
use crate::render;

const NS_PER_SECOND: u64 = 1_000_000_000;

/// Explain why packages of a build were rebuilt
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Explain why packages of a build were rebuilt, and programs linked again.\n\n\
                  gotrace compares the cache key of each action with the earlier keys in the history, and names the inputs that differ. \
                  Both builds must have been traced with cache keys, the default, on the same machine, and stored.",
    before_help = "Examples:\n  sudo gotrace run --store history.db -- go build ./...\n  \
                   gotrace explain --store history.db 019ab12f-3c44\n  \
                   gotrace explain 019ab12f-3c44 example.com/app/server\n  \
                   gotrace explain --cache-restore-seconds 40 --scan-cache ~/.cache/go-build 019ab12f-3c44\n  \
                   gotrace explain --time 019ab12f-3c44\n  \
                   gotrace explain --tests 019ab12f-3c44\n  \
                   gotrace explain --memory 019ab12f-3c44\n  \
                   gotrace explain --modules 019ab12f-3c44\n  \
                   gotrace explain --modules --output bin/server 019ab12f-3c44\n  \
                   gotrace explain --format json 019ab12f-3c44 | jq '.explanation.roots[0]'"
)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(super) struct Args {
    #[command(flatten)]
    build: BuildArgs,
    /// Import path: explain only this package, in detail
    #[arg(value_name = "PACKAGE")]
    package: Option<String>,
    /// Time that it took to restore the build cache before the build: shows whether that paid
    #[arg(
        long,
        value_name = "SECONDS",
        env = "GOTRACE_CACHE_RESTORE_SECONDS",
        hide_env_values = true
    )]
    cache_restore_seconds: Option<u32>,
    /// Show where the time went: the critical path, waiting, and the longest actions
    #[arg(long, conflicts_with = "package")]
    time: bool,
    /// Show what each test cost: vet, compile, link and run
    #[arg(long, conflicts_with_all = ["package", "time"])]
    tests: bool,
    /// Show the memory of the tools, those that were killed, and what each `-p` needs
    #[arg(long, conflicts_with_all = ["package", "time", "tests"])]
    memory: bool,
    /// List the price of each module in the programs of the build: bytes, compilation and link
    #[arg(long, conflicts_with_all = ["package", "cache_restore_seconds", "time", "tests", "memory"])]
    modules: bool,
    /// With --modules: only the program at this path. gotrace reads the file if the build was traced without analysis
    #[arg(long, value_name = "PATH", requires = "modules")]
    output: Option<String>,
    /// GOCACHE of the build: shows which share of the restored entries the build used, by their times
    #[arg(long, value_name = "DIR", requires = "cache_restore_seconds")]
    scan_cache: Option<PathBuf>,
}

/// The use of the entries of a build cache by a build.
fn scan(dir: &Path, entry: &Entry, explanation: &Explanation) -> anyhow::Result<CacheUse> {
    let Some(ended_ns) = entry.ended_ns else {
        bail!(
            "the end of {} was not seen, so the times of cache entries show nothing",
            entry.id
        );
    };
    if explanation
        .actions
        .iter()
        .any(|it| it.cause == Cause::Forced)
    {
        bail!(
            "{} ran with -a, which writes every entry again, so their times show nothing",
            entry.id
        );
    }
    cache_scan::scan(dir, entry.started_ns, ended_ns)
        .with_context(|| format!("cannot read the build cache {}", dir.display()))
}

/// Returns the exit code.
pub(super) fn execute(args: &Args) -> anyhow::Result<u8> {
    let Args {
        build: args,
        package,
        cache_restore_seconds,
        time,
        tests,
        memory,
        modules,
        output,
        scan_cache,
    } = args;
    if *time || *tests || *memory {
        return schedule::execute(args, *tests, *memory);
    }
    let (shown, explained) = args.read(true)?;
    let finished = shown.finished.as_ref().map(FinishedTrace::trace);
    let Some(build) = finished.and_then(|it| it.builds.first()) else {
        bail!(without_details(&shown.entry.id));
    };
    if *modules {
        return modules::execute(args, &shown, &explained, output.as_deref());
    }
    let restore_ns = cache_restore_seconds.map(|it| u64::from(it) * NS_PER_SECOND);
    let cpus = finished.map_or(1, |it| it.cpus);
    let used = scan_cache.as_deref();
    let used = used
        .map(|it| scan(it, &shown.entry, &explained.explanation))
        .transpose()?;
    let restore = restore_ns.map(|it| CacheRestore::of(&explained.saved, it, cpus, used));
    let stdout = io::stdout();
    let style = report::style(args.color, Some(&stdout));
    let mut out = BufWriter::new(stdout.lock());
    match (args.format.layout(), package) {
        (Some(layout), _) => {
            history::explain_json(
                &shown,
                explained,
                restore,
                package.as_deref(),
                layout,
                &mut out,
            )?;
        }
        (None, None) => {
            render::explanation(build, &explained, restore, &style, &mut out)?;
        }
        (None, Some(package)) => {
            if !render::package(build, &explained.explanation, package, &style, &mut out)? {
                bail!(
                    "no action of {package} ran in this build, or none was recorded: `gotrace explain {}` lists all",
                    shown.entry.id
                );
            }
        }
    }
    out.flush()?;
    Ok(FINE)
}

fn without_details(id: &BuildId) -> String {
    format!("cannot explain {id}: it runs, was cut off, or its details have been deleted")
}
