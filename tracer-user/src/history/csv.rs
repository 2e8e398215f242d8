//! A list of builds as CSV, for spreadsheets: a line of names, then one line for each build, quoted by the rules of RFC 4180.
//!
//! A spreadsheet executes a cell that begins like a formula, and the author of a build chooses its names. Such a cell begins with `'`,
//! which spreadsheets treat as text. A program that needs the unchanged names reads JSON.
#![expect(
    clippy::unnecessary_wraps,
    reason = "every cell of the table has one type"
)]

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, Write};

use tracer_core::event::Status;
use tracer_core::history::{Entry, Target};

use super::time::rfc3339;
use crate::render::seconds;
use crate::render::style::escape;

/// A cell; `None` for an unknown value.
type Cell<'a> = Option<Cow<'a, str>>;

/// The name of a column, and its cell for a build.
type Column = (&'static str, for<'a> fn(&'a Entry) -> Cell<'a>);

/// New columns come last, because readers may count them.
const COLUMNS: [Column; 42] = [
    ("id", |it| text(it.id.as_str())),
    ("parent", |it| text(it.parent.as_ref()?.as_str())),
    ("state", |it| text(it.state.name())),
    ("exit_code", |it| match it.status? {
        Status::Code(code) => number(code),
        Status::Signal(_) => None,
    }),
    ("exit_signal", |it| match it.status? {
        Status::Code(_) => None,
        Status::Signal(signal) => number(signal),
    }),
    ("failure", |it| text(it.failure?.name())),
    ("failed_package", |it| text(it.failed_package.as_ref()?)),
    ("project", |it| text(it.project.as_ref()?)),
    ("command", |it| text(&it.command)),
    ("command_line", |it| text(&it.command_line)),
    ("dir", |it| text(it.dir.as_ref()?)),
    ("started_at", |it| Some(rfc3339(it.started_ns).into())),
    ("ended_at", |it| Some(rfc3339(it.ended_ns?).into())),
    ("wall_seconds", |it| Some(seconds(it.wall_ns()?).into())),
    ("cpu_user_seconds", |it| {
        Some(seconds(it.cpu_user_ns).into())
    }),
    ("cpu_system_seconds", |it| {
        Some(seconds(it.cpu_system_ns).into())
    }),
    ("max_rss_bytes", |it| number(it.max_rss_bytes?)),
    ("go_version", |it| text(it.go_version.as_ref()?)),
    ("goos", |it| text(it.goos.as_ref()?)),
    ("goarch", |it| text(it.goarch.as_ref()?)),
    ("goflags", |it| text(&it.goflags)),
    ("packages_compiled", |it| number(it.packages_compiled)),
    ("packages_failed", |it| number(it.packages_failed)),
    ("packages_cached", |it| number(it.packages_cached?)),
    ("lost", |it| number(it.lost)),
    ("anomalies", |it| number(it.anomalies)),
    ("repository", |it| text(it.context.repository.as_ref()?)),
    ("branch", |it| text(it.context.branch.as_ref()?)),
    ("base_branch", |it| text(it.context.base_branch.as_ref()?)),
    ("change", |it| text(it.context.change.as_ref()?)),
    ("revision", |it| text(it.context.revision.as_ref()?)),
    ("ci_system", |it| text(it.context.ci_system.as_ref()?)),
    ("ci_pipeline", |it| text(it.context.ci_pipeline.as_ref()?)),
    ("ci_job", |it| text(it.context.ci_job.as_ref()?)),
    ("ci_run", |it| text(it.context.ci_run.as_ref()?)),
    ("ci_attempt", |it| text(it.context.ci_attempt.as_ref()?)),
    ("ci_runner", |it| text(it.context.ci_runner.as_ref()?)),
    ("host", |it| text(it.context.host.as_ref()?)),
    ("container", |it| text(it.context.container.as_ref()?)),
    ("outputs", |it| number(it.targets.len())),
    ("largest_output", |it| text(&largest(it)?.path)),
    ("largest_output_bytes", |it| number(largest(it)?.size?)),
];

/// Writes the list.
pub fn builds_csv(entries: &[Entry], out: &mut dyn Write) -> io::Result<()> {
    line(COLUMNS.iter().map(|(name, _)| text(name)), out)?;
    for entry in entries {
        line(COLUMNS.iter().map(|(_, cell)| cell(entry)), out)?;
    }
    Ok(())
}

fn line<'a>(cells: impl Iterator<Item = Cell<'a>>, out: &mut dyn Write) -> io::Result<()> {
    for (n, cell) in cells.enumerate() {
        if n > 0 {
            out.write_all(b",")?;
        }
        let cell = cell.unwrap_or_default();
        if cell.contains([',', ';', '"']) {
            write!(out, "\"{}\"", cell.replace('"', "\"\""))?;
        } else {
            out.write_all(cell.as_bytes())?;
        }
    }
    writeln!(out)
}

/// Text on one line that no spreadsheet executes. A reader with `;` as separator begins a cell after each `;`.
fn text(text: &str) -> Cell<'_> {
    let text = escape(text);
    let is_formula = |it: &str| {
        let first = it.trim_start_matches(|it: char| it == '"' || it.is_whitespace());
        first.starts_with([
            '=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}',
        ])
    };
    if !text.split(';').any(is_formula) {
        return Some(text);
    }
    let parts = text.split(';').map(|it| {
        let mark = if is_formula(it) { "'" } else { "" };
        format!("{mark}{it}")
    });
    Some(parts.collect::<Vec<_>>().join(";").into())
}

fn number<'a>(number: impl Display + Copy) -> Cell<'a> {
    Some(number.to_string().into())
}

/// The largest output that was read.
fn largest(entry: &Entry) -> Option<&Target> {
    let read = entry.targets.iter().filter(|it| it.size.is_some());
    read.max_by_key(|it| it.size)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;
    use tracer_core::finished::FinishedTrace;

    use super::*;
    use crate::render::sample;

    fn written(entries: &[Entry]) -> String {
        let mut out = Vec::new();
        builds_csv(entries, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn entry(trace: tracer_core::model::Trace) -> Entry {
        FinishedTrace::of(trace)
            .builds()
            .next()
            .unwrap()
            .entry
            .clone()
    }

    #[test]
    fn a_build_is_a_line_under_the_names_of_the_columns() {
        expect![[r#"
            id,parent,state,exit_code,exit_signal,failure,failed_package,project,command,command_line,dir,started_at,ended_at,wall_seconds,cpu_user_seconds,cpu_system_seconds,max_rss_bytes,go_version,goos,goarch,goflags,packages_compiled,packages_failed,packages_cached,lost,anomalies,repository,branch,base_branch,change,revision,ci_system,ci_pipeline,ci_job,ci_run,ci_attempt,ci_runner,host,container,outputs,largest_output,largest_output_bytes
            01a1f37c-ba00-7977-bd29-cc9c48bfc84e,,failed,1,,compile,example.com/hello/api,example.com/hello,build,go build ./...,/home/build/hello,2026-11-19T11:06:40.000Z,2026-11-19T11:06:43.120Z,3.12,2.32,0.58,136314880,go1.27.3,linux,amd64,,1,1,188,0,0,,,,,,,,,,,,,,0,,
        "#]].assert_eq(&written(&[entry(sample::failed())]));
    }

    /// Reads CSV by the rules of RFC 4180, with this separator.
    fn read(csv: &str, separator: char) -> Vec<Vec<String>> {
        let mut rows = vec![vec![String::new()]];
        let mut is_quoted = false;
        let mut characters = csv.chars().peekable();
        while let Some(character) = characters.next() {
            let row = rows.last_mut().unwrap();
            match character {
                '"' if is_quoted && characters.peek() == Some(&'"') => {
                    characters.next();
                    row.last_mut().unwrap().push('"');
                }
                '"' => is_quoted = !is_quoted,
                it if it == separator && !is_quoted => row.push(String::new()),
                '\n' if !is_quoted => rows.push(vec![String::new()]),
                it => row.last_mut().unwrap().push(it),
            }
        }
        rows.pop();
        rows
    }

    proptest! {
        #[test]
        fn no_name_becomes_a_formula_a_cell_or_a_line(name in "[-=+@;,\"' a\u{ff1d}\n\t\u{1b}]{0,12}") {
            let mut entry = entry(sample::failed());
            entry.command_line = name.clone();
            entry.goflags = name.clone();
            let csv = written(&[entry]);
            prop_assert_eq!(csv.lines().count(), 2);
            let rows = read(&csv, ',');
            prop_assert_eq!(rows[1].len(), COLUMNS.len());
            let read_back = rows[1][9].replace('\'', "");
            prop_assert_eq!(read_back, escape(&name).replace('\'', ""));
            // A reader may split at `;`, and may ignore quotes.
            let naive = csv.lines().nth(1).unwrap().split(';').map(str::to_owned);
            for cell in rows[1].iter().cloned().chain(naive) {
                let first = cell.trim_start_matches(['"', ' ']).chars().next();
                prop_assert!(!first.is_some_and(|it| "=+-@\u{ff1d}".contains(it)), "{cell:?}");
            }
        }
    }
}
