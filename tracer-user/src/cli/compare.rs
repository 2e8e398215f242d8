//! `gotrace compare`: compares two builds of the history.

use std::io::{self, BufWriter, Write};
use std::str::FromStr;

use anyhow::bail;
use tracer_core::compare::{Compared, compare};
use tracer_core::history::{Entry, IdPrefix};
use tracer_core::model::State;
use tracer_core::price::{Prices, prices};

use super::builds::StoreArgs;
use super::report::{self, Format};
use super::{Color, FINE};
use crate::history::{self, BuildView, Cause, Explained, Filter, Reader};
use crate::render;

/// Compare two builds of the history
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Compare two builds of the history: time, packages, cache, causes, sizes, modules, settings, source and machine, the largest \
                  differences first.\n\nA build is an ID, or the newest successful build of a branch, commit or Go release: `branch:NAME`, \
                  `commit:REVISION`, `go:VERSION`. The first build then is the newest with the project and the command line of the second. With one build, the \
                  first is the last successful one before it with the same project and command line.",
    before_help = "Examples:\n  gotrace compare 019ab12f-3c44\n  \
                   gotrace compare 019ab12f-3c44 019ab13a-77d1\n  \
                   gotrace compare branch:main branch:new-parser --project example.com/api\n  \
                   gotrace compare go:1.26 go:1.27\n  \
                   gotrace compare --format json 019ab12f-3c44 019ab13a-77d1 | jq '.packages[:5]'"
)]
pub(super) struct Args {
    /// The builds, earlier one first: ID, branch:NAME, commit:REVISION or go:VERSION
    #[arg(value_name = "BUILD", num_args = 1..=2, required = true)]
    builds: Vec<Choice>,
    /// Only builds of this main module: its path, or the end of its path
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Maximum number of rows of each table in text output
    #[arg(short = 'n', long, value_name = "N", default_value_t = 10)]
    top: usize,
    #[command(flatten)]
    store: StoreArgs,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Use colours
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    color: Color,
}

/// One of the builds, as chosen on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Choice {
    Id(IdPrefix),
    Branch(String),
    Commit(String),
    Go(String),
    /// The last successful build before the other one.
    Previous,
}

impl FromStr for Choice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let choice = match text.split_once(':') {
            Some((_, "")) => None,
            Some(("branch", name)) => Some(Self::Branch(name.to_owned())),
            Some(("commit", revision)) => Some(Self::Commit(revision.to_owned())),
            Some(("go", version)) => {
                let version = version.strip_prefix("go").unwrap_or(version);
                Some(Self::Go(format!("go{version}")))
            }
            _ => text.parse().ok().map(Self::Id),
        };
        choice.ok_or_else(|| {
            "expected the ID of a build, branch:NAME, commit:REVISION or go:VERSION".to_owned()
        })
    }
}

impl Choice {
    /// The newest build of this choice; `like` has the same project and command line.
    fn read(
        &self,
        reader: &Reader<'_>,
        project: Option<&str>,
        like: Option<&Entry>,
    ) -> Result<BuildView, Cause> {
        let mut filter = Filter {
            project: project.map(str::to_owned),
            state: Some(State::Succeeded),
            like: like.cloned(),
            ..Filter::default()
        };
        let which = match self {
            Self::Id(prefix) => return reader.show(prefix),
            Self::Branch(name) => {
                filter.branch = Some(name.clone());
                format!("of branch {name}")
            }
            Self::Commit(revision) => {
                filter.revision = Some(revision.clone());
                format!("of commit {revision}")
            }
            Self::Go(version) => {
                filter.go_version = Some(version.clone());
                format!("of {version}")
            }
            Self::Previous => {
                filter.until_ns = like.map(|it| it.started_ns);
                "before this one".to_owned()
            }
        };
        reader.newest(&filter)?.ok_or_else(|| Cause::NoneMatches {
            which,
            like: like.map(|it| it.command_line.clone()),
        })
    }
}

/// A build of the history with everything that is compared.
struct Side {
    shown: BuildView,
    explained: Explained,
}

impl Side {
    fn of(reader: &Reader<'_>, shown: BuildView) -> Result<Self, Cause> {
        let explained = reader.explain(&shown)?;
        Ok(Self { shown, explained })
    }

    fn prices(&self) -> Prices {
        let finished = self.shown.finished.as_ref();
        let builds = finished.and_then(|it| it.builds().next());
        builds.map_or_else(Prices::default, |it| {
            prices(it, &self.explained.earlier_cpu)
        })
    }

    fn compared<'a>(&'a self, prices: &'a Prices) -> anyhow::Result<Compared<'a>> {
        let finished = self.shown.finished.as_ref();
        let Some(build) = finished.and_then(|it| it.builds().next()) else {
            bail!(
                "cannot compare {}: it runs, was cut off, or its details have been deleted",
                self.shown.entry.id
            );
        };
        Ok(Compared {
            build,
            explanation: &self.explained.explanation,
            prices,
        })
    }
}

/// Returns the exit code.
pub(super) fn execute(args: &Args) -> anyhow::Result<u8> {
    let (first, second) = match args.builds.as_slice() {
        [first, second] => (first, second),
        [second] => (&Choice::Previous, second),
        _ => bail!("expected one build or two"),
    };
    let project = args.project.as_deref();
    let (before, after) = args.store.location()?.read(|reader| {
        let after = second.read(reader, project, None)?;
        let before = first.read(reader, project, Some(&after.entry))?;
        Ok((Side::of(reader, before)?, Side::of(reader, after)?))
    })?;
    if before.shown.entry.id == after.shown.entry.id {
        bail!("both are the build {}", after.shown.entry.id);
    }
    let (old_prices, new_prices) = (before.prices(), after.prices());
    let sides = [before.compared(&old_prices)?, after.compared(&new_prices)?];
    let comparison = compare(sides[0], sides[1]);
    let stdout = io::stdout();
    let style = report::style(args.color, Some(&stdout));
    let mut out = BufWriter::new(stdout.lock());
    match args.format.layout() {
        None => render::comparison(sides, &comparison, args.top, &style, &mut out)?,
        Some(layout) => {
            let entries = (&before.shown.entry, &after.shown.entry);
            history::compare_json(entries, &comparison, layout, &mut out)?;
        }
    }
    out.flush()?;
    Ok(FINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_is_chosen_by_id_branch_commit_or_release() {
        let parse = |text: &str| text.parse::<Choice>();
        let id: IdPrefix = "019ab12f-3c44".parse().unwrap();
        assert_eq!(parse("019ab12f-3c44"), Ok(Choice::Id(id)));
        assert_eq!(
            parse("branch:fix/a:b"),
            Ok(Choice::Branch("fix/a:b".to_owned()))
        );
        assert_eq!(
            parse("commit:abc123"),
            Ok(Choice::Commit("abc123".to_owned()))
        );
        for release in ["go:1.27", "go:go1.27"] {
            assert_eq!(parse(release), Ok(Choice::Go("go1.27".to_owned())));
        }
        for wrong in ["", "branch:", "main", "tag:v1", "go:"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
