//! Renders an examination as text for users.

use std::io::{self, Write};

use super::tool::Tool;
use super::{Check, Examination, Toolchain, Verdict};
use crate::render::Style;
use crate::render::style::{Paint, escape};
use crate::toolchain::Guard;

/// Maximum number of characters of a line.
const LINE: usize = 120;
/// Columns before the finding of a check.
const INDENT: usize = 25;

pub fn text(examination: &Examination, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{}",
        style.paint(
            Paint::Bold,
            &format!("gotrace {} on this machine", examination.gotrace)
        )
    )?;
    writeln!(out)?;
    for check in &examination.checks {
        show_check(check, style, out)?;
    }
    for toolchain in &examination.toolchains {
        writeln!(out)?;
        show_toolchain(toolchain, style, out)?;
    }
    writeln!(out)?;
    let verdict = examination.verdict();
    let last = match verdict {
        Verdict::Fine => "Tracing works.",
        Verdict::Limited => "Tracing works, with limitations.",
        Verdict::Broken => "Tracing does not work.",
    };
    writeln!(out, "{}", style.paint(Paint::Bold, last))?;
    for line in wrapped(&format!("Next: {}", next_step(examination, verdict)), LINE) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// The advice of the first check with the worst verdict.
fn next_step(examination: &Examination, verdict: Verdict) -> &str {
    let mut worst = examination.checks.iter().filter(|it| it.verdict == verdict);
    match verdict {
        Verdict::Fine => "sudo gotrace run -- go build ./...",
        Verdict::Limited | Verdict::Broken => worst
            .find_map(|it| it.advice.as_deref())
            .unwrap_or("read the messages of the toolchains above"),
    }
}

/// The text in lines of at most `width` characters. A longer word is cut.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut length = 0;
    for word in text.split_whitespace() {
        let word: Vec<char> = word.chars().collect();
        for part in word.chunks(width) {
            if length > 0 && length + 1 + part.len() > width {
                lines.push(String::new());
                length = 0;
            }
            let line = lines.last_mut();
            let Some(line) = line else { continue };
            if length > 0 {
                line.push(' ');
                length += 1;
            }
            line.extend(part);
            length += part.len();
        }
    }
    lines
}

fn show_check(check: &Check, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let Check {
        name,
        verdict,
        found,
        advice,
    } = check;
    let mut found = wrapped(&escape(found), LINE - INDENT).into_iter();
    writeln!(
        out,
        "  {} {name:<20} {}",
        mark(*verdict, style),
        found.next().unwrap_or_default()
    )?;
    for line in found {
        writeln!(out, "{:INDENT$}{line}", "")?;
    }
    for line in wrapped(
        &escape(advice.as_deref().unwrap_or_default()),
        LINE - INDENT - 2,
    ) {
        if !line.is_empty() {
            writeln!(out, "{:INDENT$}  {}", "", style.paint(Paint::Warn, &line))?;
        }
    }
    Ok(())
}

fn show_toolchain(toolchain: &Toolchain, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let Toolchain {
        version,
        place,
        tools,
    } = toolchain;
    let place = place.to_string_lossy();
    writeln!(
        out,
        "  {} {} in {}",
        mark(toolchain.verdict(), style),
        escape(version),
        escape(&place)
    )?;
    for line in details(tools) {
        for (n, line) in wrapped(&line, LINE - 6).iter().enumerate() {
            writeln!(out, "{:1$}{line}", "", if n == 0 { 4 } else { 6 })?;
        }
    }
    Ok(())
}

/// The probes of a toolchain, and what limits them.
fn details(tools: &[Tool]) -> Vec<String> {
    let with_probes: Vec<String> = tools
        .iter()
        .filter(|tool| !tool.probes.is_empty())
        .map(|tool| format!("{} {}", name(tool), tool.probes.len()))
        .collect();
    let n_other = tools
        .iter()
        .filter(|tool| tool.probes.is_empty() && tool.refused.is_empty())
        .count();
    let probes = if with_probes.is_empty() {
        "none".to_owned()
    } else {
        with_probes.join(", ")
    };
    let mut lines = vec![format!("probes: {probes}; {n_other} other tools")];
    for tool in tools {
        let name = name(tool);
        lines.extend(tool.refused.iter().map(|refusal| {
            format!(
                "{name}: no {}: {}",
                escape(&refusal.probe),
                escape(&refusal.why)
            )
        }));
        match tool.guard {
            // Other messages report this for all tools at once.
            None | Some(Guard::Lease | Guard::NotPermitted) => {}
            Some(Guard::Unsupported) => lines.push(format!(
                "{name}: its file system has no leases, so overwriting it in place while it is probed can crash it"
            )),
        }
        if tool.is_attached == Some(false) {
            lines.push(format!(
                "{name}: the kernel rejected its probes; run `gotrace run -v -- go version` for the reason"
            ));
        }
    }
    lines
}

fn name(tool: &Tool) -> String {
    tool.path
        .file_name()
        .map(|name| escape(&name.to_string_lossy()).into_owned())
        .unwrap_or_default()
}

fn mark(verdict: Verdict, style: &Style) -> String {
    match verdict {
        Verdict::Fine => style.paint(Paint::Good, style.check()),
        Verdict::Limited => style.paint(Paint::Warn, style.bullet()),
        Verdict::Broken => style.paint(Paint::Bad, style.cross()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_longer_than_its_width() {
        let long = "x".repeat(25);
        let lines = wrapped(&format!("one two three {long} four"), 10);
        assert!(lines.iter().all(|it| it.chars().count() <= 10), "{lines:?}");
        assert_eq!(
            lines.concat().replace(' ', ""),
            format!("onetwothree{long}four")
        );
        assert_eq!(wrapped("", 10), [""]);
    }
}
