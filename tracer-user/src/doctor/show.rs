//! Renders an examination as text for users and as JSON for programs.

use std::io::{self, Write};

use super::tool::Tool;
use super::{Check, Examination, Toolchain, Verdict};
use crate::render::Style;
use crate::render::style::{Paint, escape};
use crate::toolchain::Guard;

pub fn json(examination: &Examination, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, examination)?;
    writeln!(out)
}

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
    let last = match examination.verdict() {
        Verdict::Fine => "Tracing works. Try: `sudo gotrace run -- go build ./...`",
        Verdict::Limited => "Tracing works, but some data is missing; see the advice above.",
        Verdict::Broken => "Tracing does not work; see the advice above.",
    };
    writeln!(out, "{}", style.paint(Paint::Bold, last))
}

fn show_check(check: &Check, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let Check {
        name,
        verdict,
        found,
        advice,
    } = check;
    writeln!(
        out,
        "  {} {name:<20} {}",
        mark(*verdict, style),
        escape(found)
    )?;
    match advice {
        Some(advice) => writeln!(
            out,
            "  {:24}{}",
            "",
            style.paint(Paint::Warn, &escape(advice))
        ),
        None => Ok(()),
    }
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
    let with_probes: Vec<String> = tools
        .iter()
        .filter(|tool| !tool.probes.is_empty())
        .map(|tool| format!("{} {}", name(tool), tool.probes.len()))
        .collect();
    let n_other = tools
        .iter()
        .filter(|tool| tool.probes.is_empty() && tool.refused.is_empty())
        .count();
    writeln!(
        out,
        "    probes: {}; {n_other} other tools",
        if with_probes.is_empty() {
            "none".to_owned()
        } else {
            with_probes.join(", ")
        }
    )?;
    for tool in tools {
        for refusal in &tool.refused {
            writeln!(
                out,
                "    {}: no {}: {}",
                name(tool),
                escape(&refusal.probe),
                escape(&refusal.why)
            )?;
        }
        match tool.guard {
            // Other messages report this for all tools at once.
            None | Some(Guard::Lease | Guard::NotPermitted) => {}
            Some(Guard::Unsupported) => writeln!(
                out,
                "    {}: its file system has no leases, so overwriting it in place while it is probed can crash it",
                name(tool)
            )?,
        }
        if tool.is_attached == Some(false) {
            writeln!(
                out,
                "    {}: the kernel rejected its probes; run `gotrace run -v -- go version` for the reason",
                name(tool)
            )?;
        }
    }
    Ok(())
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
