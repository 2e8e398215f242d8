//! Builds as Markdown, for a page with other readers (GitHub's page of a job).
//!
//! Text from a build is rendered as code, and every character with a meaning in Markdown or HTML is escaped. Such text creates no link,
//! image or mention, ends no table cell, and does not change the direction of text. This module sends no requests.

use std::fmt::Write as _;
use std::io::{self, Write};

use tracer_core::model::{FailureClass, State};

use super::{JobAdvice, ListedBuild, Target};
use crate::render::style::escape;
use crate::render::{cost, units};

/// Maximum number of rows: GitHub accepts a megabyte per job, and no reader needs that many rows.
const ROWS: usize = 50;
/// Maximum number of characters of a name from a build.
const CHARACTERS: usize = 120;
/// Maximum number of causes.
const CAUSES: usize = 5;
/// Maximum number of outputs of one build.
const TARGETS: usize = 3;

/// Writes the table; writes nothing without builds.
pub fn write(builds: &[ListedBuild], out: &mut dyn Write) -> io::Result<()> {
    if builds.is_empty() {
        return Ok(());
    }
    let n_failed = builds
        .iter()
        .filter(|it| it.state == State::Failed.name())
        .count();
    let spent: u64 = builds.iter().filter_map(took).sum();
    let compiled: u64 = builds.iter().map(|it| it.packages_compiled).sum();
    write!(
        out,
        "### Go builds\n\n{} in {}, {}",
        units::counted(builds.len() as u64, "build", "builds"),
        units::span(spent),
        units::counted(compiled, "package compiled", "packages compiled")
    )?;
    if n_failed > 0 {
        write!(out, ", **{n_failed} failed**")?;
    }
    out.write_all(b"\n\n| Build | State | Failure | Took | Compiled | Cached | Outputs | Go |\n")?;
    out.write_all(b"|---|---|---|--:|--:|--:|---|---|\n")?;
    for build in builds.iter().take(ROWS) {
        row(build, out)?;
    }
    if builds.len() > ROWS {
        writeln!(out, "\n... and {} more", builds.len() - ROWS)?;
    }
    if builds.iter().any(|it| it.anomalies > 0) {
        out.write_all(
            b"\n\\* the trace of this build is incomplete; `gotrace show ID` on the runner prints the reasons\n",
        )?;
    }
    writeln!(out)
}

fn row(build: &ListedBuild, out: &mut dyn Write) -> io::Result<()> {
    // An agent of another version may send unknown values.
    let state = State::ALL.into_iter().find(|it| it.name() == build.state);
    let state = state.unwrap_or(State::Unknown);
    let mark = if state == State::Failed { "**" } else { "" };
    let class = build.failure.as_deref().map(|name| {
        let class = FailureClass::ALL.into_iter().find(|it| it.name() == name);
        class.unwrap_or(FailureClass::Unknown).name()
    });
    let failure = class.unwrap_or_default();
    let line = build.command_line.as_deref().unwrap_or("go");
    writeln!(
        out,
        "| {} | {mark}{}{mark}{} | {failure} | {} | {} | {} | {} | {} |",
        code(line),
        state.name(),
        if build.anomalies > 0 { " \\*" } else { "" },
        took(build).map(units::span).unwrap_or_default(),
        units::count(build.packages_compiled),
        build.packages_cached.map(units::count).unwrap_or_default(),
        outputs(&build.targets),
        build.go_version.as_deref().map(code).unwrap_or_default(),
    )
}

/// Writes the causes of repeated work; writes nothing without any.
pub fn write_advice(
    advice: &JobAdvice,
    cpu_hour_price: Option<f64>,
    out: &mut dyn Write,
) -> io::Result<()> {
    if advice.rows.is_empty() {
        return Ok(());
    }
    out.write_all(b"#### Advice\n\nCauses of repeated work in the last 7 days, by CPU time:\n\n")?;
    for row in advice.rows.iter().take(CAUSES) {
        let subject: Vec<String> = row
            .subject
            .iter()
            .take(TARGETS)
            .map(|it| code(it))
            .collect();
        let subject = match subject.as_slice() {
            [] => String::new(),
            subject => format!(": {}", subject.join(", ")),
        };
        writeln!(
            out,
            "* {}{} \u{2014} {}{subject}; {}, {}. {}",
            units::span(row.cpu_ns),
            cost(row.cpu_ns, cpu_hour_price),
            row.title,
            code(row.project.as_deref().unwrap_or_default()),
            units::counted(row.n_builds, "build", "builds"),
            row.advice.as_deref().unwrap_or_default()
        )?;
    }
    writeln!(out)
}

fn took(build: &ListedBuild) -> Option<u64> {
    build.ended_ns.map(|it| it.saturating_sub(build.started_ns))
}

fn outputs(targets: &[Target]) -> String {
    let shown = targets.iter().take(TARGETS).map(|target| {
        let path = target.path.as_deref().unwrap_or_default();
        let name = code(path.rsplit('/').next().unwrap_or(path));
        match target.size {
            Some(size) => format!("{name} {}", units::size(size)),
            None => name,
        }
    });
    let mut shown: Vec<String> = shown.collect();
    if targets.len() > TARGETS {
        shown.push(format!("{} more", targets.len() - TARGETS));
    }
    shown.join(", ")
}

/// Renders text literally; truncates it if it is too long.
fn code(text: &str) -> String {
    let is_cut = text.chars().nth(CHARACTERS).is_some();
    let text: String = text.chars().take(CHARACTERS).collect();
    let mut code = "<code>".to_owned();
    for character in escape(&text).chars() {
        // A numeric character reference of HTML has no meaning in Markdown.
        if character.is_ascii_punctuation() && !"/-=,".contains(character) {
            // Writing to a string cannot fail.
            let _ = write!(code, "&#{};", u32::from(character));
            // GitHub also turns text like a mail address into a link; this comment prevents it.
            if character == '@' {
                code.push_str("<!-- -->");
            }
        } else {
            code.push(character);
        }
    }
    code.push_str(if is_cut { "\u{2026}</code>" } else { "</code>" });
    code
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    fn check(builds: &[ListedBuild], expect: &Expect) {
        let mut out = Vec::new();
        write(builds, &mut out).unwrap();
        expect.assert_eq(&String::from_utf8(out).unwrap());
    }

    fn built() -> ListedBuild {
        ListedBuild {
            state: "succeeded".to_owned(),
            command_line: Some("go build -o api ./cmd/api".to_owned()),
            go_version: Some("go1.27.3".to_owned()),
            started_ns: 1_000_000_000,
            ended_ns: Some(5_200_000_000),
            packages_compiled: 12,
            packages_cached: Some(340),
            targets: vec![Target {
                path: Some("/src/api".to_owned()),
                size: Some(9_500_000),
            }],
            ..ListedBuild::default()
        }
    }

    #[test]
    fn a_row_contains_command_state_and_outputs() {
        let failed = ListedBuild {
            state: "failed".to_owned(),
            failure: Some("compile".to_owned()),
            anomalies: 2,
            targets: Vec::new(),
            ..built()
        };
        let running = ListedBuild {
            state: "running".to_owned(),
            command_line: None,
            ended_ns: None,
            go_version: None,
            ..built()
        };
        check(
            &[built(), failed, running],
            &expect![[r#"
                ### Go builds

                3 builds in 8.4 s, 36 packages compiled, **1 failed**

                | Build | State | Failure | Took | Compiled | Cached | Outputs | Go |
                |---|---|---|--:|--:|--:|---|---|
                | <code>go build -o api &#46;/cmd/api</code> | succeeded |  | 4.2 s | 12 | 340 | <code>api</code> 9.50 MB | <code>go1&#46;27&#46;3</code> |
                | <code>go build -o api &#46;/cmd/api</code> | **failed** \* | compile | 4.2 s | 12 | 340 |  | <code>go1&#46;27&#46;3</code> |
                | <code>go</code> | running |  |  | 12 | 340 | <code>api</code> 9.50 MB |  |

                \* the trace of this build is incomplete; `gotrace show ID` on the runner prints the reasons

            "#]],
        );
        check(&[], &expect![[""]]);
    }

    #[test]
    fn advice_names_cause_cost_and_change() {
        let mut row = crate::summary::advice::tests::row(Some("example.com/a|b"));
        row.subject = vec!["a|b".to_owned()];
        let mut out = Vec::new();
        let advice = JobAdvice { rows: vec![row] };
        write_advice(&advice, Some(2.0), &mut out).unwrap();
        write_advice(&JobAdvice::default(), Some(2.0), &mut out).unwrap();
        expect![[r#"
            #### Advice

            Causes of repeated work in the last 7 days, by CPU time:

            * 59.0 s, cost 0.03 — -a was set: <code>a&#124;b</code>; <code>example&#46;com/a&#124;b</code>, 1 build. Remove -a from the command and from GOFLAGS. The build cache detects all changes that go can detect.

        "#]].assert_eq(&String::from_utf8(out).unwrap());
    }

    #[test]
    fn a_hostile_name_is_rendered_as_text() {
        let name = "a|b`c`<img src=x onerror=1>[x](http://evil.example)@all\n\u{202e}\u{1b}[2J__\\";
        let code = code(name);
        for mark in [
            "|", "`", "<img", "[", "](", "@", "\n", "\u{202e}", "\u{1b}", "://", "_", "\\",
        ] {
            assert!(!code.contains(mark), "{mark:?}: {code}");
        }
        let long = super::code(&"x".repeat(500));
        assert!(long.chars().count() < CHARACTERS + 20, "{long}");
        assert!(long.ends_with("\u{2026}</code>"), "{long}");
    }

    #[test]
    fn the_page_of_a_thousand_builds_has_a_bounded_length() {
        let mut out = Vec::new();
        let name = "|".repeat(5000);
        let target = Target {
            path: Some(name.clone()),
            size: None,
        };
        let build = ListedBuild {
            command_line: Some(name),
            targets: vec![target; 100],
            ..built()
        };
        write(&vec![build; 1000], &mut out).unwrap();
        assert!(out.len() < 200_000, "{}", out.len());
        assert!(String::from_utf8(out).unwrap().contains("... and 950 more"));
    }
}
