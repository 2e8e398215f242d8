//! `gotrace advise`: prints which causes of repeated work cost most, and how to avoid them.

use std::io::{self, BufWriter, Write};

use super::builds::{StoreArgs, own_layer};
use super::report::{self, Format};
use super::{Color, FINE};
use crate::clock;
use crate::config::CpuHourPrice;
use crate::history::{self, Filter, TimeArg};
use crate::render::{self, AdviceView};

/// Rank the causes of repeated work over many builds
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Rank the causes of repeated work over many builds by their CPU time, with the change that avoids each.\n\n\
                  The builds must have been traced with cache keys, the default, and stored.",
    before_help = "Examples:\n  gotrace advise\n  \
                   gotrace advise --since 30d --project example.com/api --cpu-hour-price 0.04\n  \
                   gotrace advise --format json | jq -r '.advice.rows[] | [.cpu_seconds, .title] | @tsv'",
    after_long_help = "A TIME is an age (90s, 30m, 2h, 7d, 2w) or a date in UTC (2026-11-20, 2026-11-20T14:05)."
)]
pub(super) struct Args {
    /// Only builds that started at this time or later
    #[arg(long, value_name = "TIME", default_value = "7d")]
    since: TimeArg,
    /// Only builds of this main module: its path, or the end of its path
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Only builds on this machine
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Only builds of this branch
    #[arg(long, value_name = "BRANCH")]
    branch: Option<String>,
    #[command(flatten)]
    price: PriceArgs,
    #[command(flatten)]
    store: StoreArgs,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Use colours
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    color: Color,
}

/// The price of CPU time.
#[derive(Debug, clap::Args)]
pub(super) struct PriceArgs {
    /// Price of an hour of CPU time, in any currency: shows the cost of each cause [default: that of the configuration]
    #[arg(
        long,
        value_name = "PRICE",
        env = "GOTRACE_CPU_HOUR_PRICE",
        hide_env_values = true
    )]
    cpu_hour_price: Option<CpuHourPrice>,
}

impl PriceArgs {
    /// The price of the flag, of the variable, or of the configuration if this user can read it.
    pub(super) fn price(&self) -> Option<f64> {
        let configured = || own_layer().ok()?.cpu_hour_price;
        let price = self.cpu_hour_price.or_else(configured);
        price.map(CpuHourPrice::number)
    }
}

/// Returns the exit code.
pub(super) fn execute(args: &Args) -> anyhow::Result<u8> {
    let now = clock::wall_ns();
    let filter = Filter {
        project: args.project.clone(),
        host: args.host.clone(),
        branch: args.branch.clone(),
        since_ns: Some(args.since.at(now)),
        ..Filter::default()
    };
    let advice = args.store.location()?.read(|it| it.advise(&filter, now))?;
    let view = AdviceView {
        advice: &advice,
        cpu_hour_price: args.price.price(),
    };
    let stdout = io::stdout();
    let style = report::style(args.color, Some(&stdout));
    let mut out = BufWriter::new(stdout.lock());
    match args.format.layout() {
        None => render::advice(&view, &style, &mut out)?,
        Some(layout) => history::advice_json(&view, layout, &mut out)?,
    }
    out.flush()?;
    Ok(FINE)
}
