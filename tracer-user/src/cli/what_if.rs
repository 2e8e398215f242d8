//! `gotrace what-if`: predicts how long a build would take under other conditions.

use anyhow::bail;
use tracer_core::schedule::{Conditions, Model};

use super::show::BuildArgs;
use crate::render;

/// Predict how long a build would take under other conditions
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Predict how long a build would take under other conditions.\n\n\
                  gotrace simulates the actions of the build as the go command schedules them. The build must have been traced with \
                  cache keys, the default, because the cache keys contain the imports of each package. Several conditions can be combined.",
    before_help = "Examples:\n  gotrace what-if 019ab12f-3c44 --cores 8\n  \
                   gotrace what-if 019ab12f-3c44 --without example.com/app/gen\n  \
                   gotrace what-if 019ab12f-3c44 --faster net/http=50% --cores 4\n  \
                   gotrace what-if 019ab12f-3c44 --cached runtime,net/http\n  \
                   gotrace what-if 019ab12f-3c44 --memory 4G"
)]
pub(super) struct Args {
    #[command(flatten)]
    build: BuildArgs,
    /// CPUs of the machine; without `-p` in the build, this also changes the number of actions at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    cores: Option<u32>,
    /// Actions at once, as `go build -p N`
    #[arg(short = 'p', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    parallel: Option<u32>,
    /// Remove a package, and the packages that only it imports
    #[arg(long, value_name = "PKG")]
    without: Vec<String>,
    /// Let the tools of a package need this much less time
    #[arg(long, value_name = "PKG=PERCENT", value_parser = faster)]
    faster: Vec<(String, u8)>,
    /// Take packages from the build cache
    #[arg(long, value_name = "PKG,...", value_delimiter = ',')]
    cached: Vec<String>,
    /// Find the number of actions at once whose tools fit in this memory
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory: Option<u64>,
}

/// `PKG=50%`.
fn faster(text: &str) -> Result<(String, u8), String> {
    let parsed = text.rsplit_once('=').and_then(|(package, percent)| {
        let percent = percent.strip_suffix('%').unwrap_or(percent);
        let percent = percent.parse().ok().filter(|it| (1..=100).contains(it));
        (!package.is_empty()).then_some((package.to_owned(), percent?))
    });
    parsed.ok_or_else(|| "expected PACKAGE=PERCENT with 1 to 100, such as net/http=50%".to_owned())
}

/// `4G`: powers of two, as memory is measured.
fn memory(text: &str) -> Result<u64, String> {
    let upper = text.to_ascii_uppercase();
    let digits = upper.trim_end_matches("IB").trim_end_matches('B');
    let (digits, shift) = match digits.strip_suffix(['K', 'M', 'G', 'T']) {
        Some(rest) => {
            let unit = digits.get(rest.len()..).unwrap_or_default();
            let shift = match unit {
                "K" => 10,
                "M" => 20,
                "G" => 30,
                _ => 40,
            };
            (rest, shift)
        }
        None => (digits, 0),
    };
    let number: Option<u64> = digits.trim().parse().ok();
    let bytes = number.and_then(|it| it.checked_mul(1 << shift));
    let bytes = bytes.filter(|it| *it > 0);
    bytes.ok_or_else(|| "expected a size, such as 512M or 4G".to_owned())
}

/// Returns the exit code.
pub(super) fn execute(args: &Args) -> anyhow::Result<u8> {
    let (shown, _) = args.build.read(false)?;
    let finished = shown.finished.as_ref();
    let Some(finished) = finished.and_then(|it| it.builds().next()) else {
        bail!(
            "cannot predict {}: it runs, was cut off, or its details have been deleted",
            shown.entry.id
        );
    };
    let conditions = Conditions {
        cpus: args.cores,
        workers: args.parallel,
        without: args.without.clone(),
        faster: args.faster.clone(),
        cached: args.cached.clone(),
        ..Conditions::default()
    };
    if conditions == Conditions::default() && args.memory.is_none() {
        bail!(
            "no condition: give at least one of --cores, -p, --without, --faster, --cached and --memory"
        );
    }
    let model = Model::of(finished.build, finished.trace.cpus)?;
    let answer = model.answer(&conditions, args.memory)?;
    args.build.print(&shown.entry, &answer, |style, out| {
        render::what_if(finished.build, &answer, style, out)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_memory_are_powers_of_two() {
        assert_eq!(memory("4G"), Ok(4 << 30));
        assert_eq!(memory("512MiB"), Ok(512 << 20));
        assert_eq!(memory("100"), Ok(100));
        for wrong in ["", "0", "G", "-1G", "99999999999T", "4X"] {
            assert!(memory(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_faster_package_has_a_percentage() {
        assert_eq!(faster("net/http=50%"), Ok(("net/http".to_owned(), 50)));
        assert_eq!(faster("p=100"), Ok(("p".to_owned(), 100)));
        for wrong in ["p", "p=", "=50%", "p=0%", "p=101%", "p=x"] {
            assert!(faster(wrong).is_err(), "{wrong}");
        }
    }
}
