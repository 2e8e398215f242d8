//! The causes of a build's actions as text.

mod saved;
mod test_word;
mod word;

pub(super) use word::place;

use saved::put_saved;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use tracer_core::explain::{
    CacheRestore, Cause, DoneBefore, ExplainedAction, Explanation, Root, RootCause,
};
use tracer_core::model::{Build, KeyKind};

use super::style::{Line, Page, Paint, Style};
use super::text::command_line;
use super::units;
use crate::history::Explained;

/// Number of roots, of actions under a root, and of actions behind it that are named.
const ROOTS: usize = 20;
const OWN: usize = 4;
const BEHIND: usize = 6;
/// Width of the column of CPU times.
const CPU: usize = 11;
/// Number of causes in the summary of a build, and the width of their CPU times.
const TOP: usize = 3;
const TOP_CPU: usize = 9;
/// Longest chain of imports that is followed.
const CHAIN: usize = 64;

/// Writes the roots of all causes, dearest first, and the repeated work.
pub fn explanation(
    build: &Build,
    all: &Explained,
    restore: Option<CacheRestore>,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let explained = &all.explanation;
    let mut page = Page::new(style);
    page.line(Line::painted(Paint::Bold, &command_line(build)));
    if !explained.has_keys {
        without_keys(&mut page, build);
        put_saved(&mut page, &all.saved, restore);
        return page.write(out);
    }
    page.line(Line::plain("  ").then(&sums(explained)));
    for root in explained.roots.iter().take(ROOTS) {
        page.gap();
        put_root(&mut page, explained, root);
    }
    if let Some(more) = explained
        .roots
        .len()
        .checked_sub(ROOTS)
        .filter(|it| *it > 0)
    {
        page.gap();
        let more = units::counted(number(more), "further cause", "further causes");
        page.line(Line::painted(
            Paint::Dim,
            &format!("  {more}: `--format json` lists all"),
        ));
    }
    put_done_before(&mut page, &all.done_before);
    put_saved(&mut page, &all.saved, restore);
    page.write(out)
}

/// The dearest causes, a line for each: `1.2 s  util.go changed in example.com/hello/util`.
pub fn top_causes<'a>(explained: impl IntoIterator<Item = &'a Explanation>) -> Vec<Line> {
    let of_root = |root: &Root| {
        let cpu = Line::painted(Paint::Bold, &units::span(root.cpu_ns));
        cpu.pad_to(TOP_CPU).then(&word::root(&root.cause))
    };
    let roots = explained.into_iter().flat_map(|it| &it.roots);
    let mut roots: Vec<&Root> = roots.collect();
    roots.sort_by_key(|it| std::cmp::Reverse(it.cpu_ns));
    roots.into_iter().take(TOP).map(of_root).collect()
}

/// The work that had been done before, with the build that had done most of it.
fn put_done_before(page: &mut Page<'_>, done: &DoneBefore) {
    let sums = done.sums();
    if sums.is_empty() {
        return;
    }
    page.gap();
    let head = format!(
        "  Done before: of {} of CPU, {} had been spent on the same inputs",
        units::span(done.known_cpu_ns),
        units::span(done.cpu_ns)
    );
    page.line(Line::plain(&head));
    for sum in sums {
        let cpu = Line::painted(Paint::Bold, &units::span(sum.cpu_ns));
        let indent = CPU.saturating_sub(cpu.width() + 2);
        let head = Line::default().pad_to(indent).then_line(cpu).pad_to(CPU);
        let text = format!("{}, in {}", place(sum.place), sum.by);
        page.sentence(head, &text, 6);
    }
}

/// Writes all that is known about the actions of one package. Returns false if no action of the package ran.
pub fn package(
    build: &Build,
    explained: &Explanation,
    package: &str,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<bool> {
    let wanted = explained.actions.iter().filter(|it| it.is_of(package));
    let wanted: Vec<&ExplainedAction> = wanted.collect();
    if wanted.is_empty() {
        return Ok(false);
    }
    let mut page = Page::new(style);
    page.line(Line::painted(Paint::Bold, &command_line(build)));
    for action in &wanted {
        page.gap();
        put_action(&mut page, explained, action);
    }
    page.write(out)?;
    Ok(true)
}

fn without_keys(page: &mut Page<'_>, build: &Build) {
    let ran = build.actions.iter().any(|it| !it.calls.is_empty());
    let text = if ran {
        "The causes are not known: no cache keys were recorded. Set `detail = \"cache-key\"`, or run with `--detail cache-key`."
    } else {
        "No action ran: go took everything from the build cache, or the actions were not recorded."
    };
    page.sentence(Line::plain("  "), text, 4);
}

/// `2 packages built, 1 program linked, 0 packages vetted; 1.24 s of CPU`.
fn sums(explained: &Explanation) -> String {
    let n = |kind: KeyKind| {
        number(
            explained
                .actions
                .iter()
                .filter(|it| it.kind == kind)
                .count(),
        )
    };
    let cpu = explained
        .actions
        .iter()
        .map(|it| it.cpu_ns)
        .fold(0, u64::saturating_add);
    let mut parts = vec![
        format!(
            "{} built",
            units::counted(n(KeyKind::Build), "package", "packages")
        ),
        format!(
            "{} linked",
            units::counted(n(KeyKind::Link), "program", "programs")
        ),
    ];
    if n(KeyKind::Vet) > 0 {
        parts.push(format!(
            "{} vetted",
            units::counted(n(KeyKind::Vet), "package", "packages")
        ));
    }
    if n(KeyKind::Test) > 0 {
        parts.push(format!(
            "{} tested",
            units::counted(n(KeyKind::Test), "package", "packages")
        ));
    }
    format!("{}; {} of CPU", parts.join(", "), units::span(cpu))
}

fn put_root(page: &mut Page<'_>, explained: &Explanation, root: &Root) {
    let cpu = Line::painted(Paint::Bold, &units::span(root.cpu_ns));
    let indent = CPU.saturating_sub(cpu.width() + 2);
    let head = Line::default().pad_to(indent).then_line(cpu).pad_to(CPU);
    page.sentence(head, &word::root(&root.cause), 6);
    put_actions(page, explained, "", &root.actions, OWN);
    put_actions(page, explained, "then ", &root.behind, BEHIND);
}

fn put_actions(
    page: &mut Page<'_>,
    explained: &Explanation,
    head: &str,
    indices: &[u32],
    named: usize,
) {
    let actions = indices
        .iter()
        .filter_map(|it| explained.actions.get(*it as usize));
    // The dearest ones are named.
    let mut actions: Vec<&ExplainedAction> = actions.collect();
    if actions.is_empty() {
        return;
    }
    actions.sort_by_key(|it| std::cmp::Reverse(it.cpu_ns));
    let mut parts: Vec<Line> = actions
        .iter()
        .take(named)
        .map(|it| Line::plain(&unit(it)))
        .collect();
    if let Some(more) = actions.len().checked_sub(named).filter(|it| *it > 0) {
        parts.push(Line::painted(Paint::Dim, &format!("and {more} more")));
    }
    page.flow(
        Line::default().pad_to(CPU).then_painted(Paint::Dim, head),
        &parts,
        ", ",
        4,
    );
}

/// `build example.com/p`.
fn unit(action: &ExplainedAction) -> String {
    format!("{} {}", action.kind.name(), action.package)
}

fn put_action(page: &mut Page<'_>, explained: &Explanation, action: &ExplainedAction) {
    let cpu = Line::painted(
        Paint::Dim,
        &format!("{} of CPU", units::span(action.cpu_ns)),
    );
    page.spread(
        Line::plain("  ").then_painted(Paint::Bold, &unit(action)),
        cpu,
    );
    let say = |page: &mut Page<'_>, text: &str| page.sentence(Line::plain("    "), text, 6);
    match &action.cause {
        Cause::First => say(page, "The history has no earlier key of it."),
        Cause::Forced => say(page, "The flag -a was set."),
        Cause::SameInputs {
            than,
            had_failed: true,
        } => {
            say(page, &format!("Same inputs as in {than}, where it failed."));
        }
        Cause::SameInputs { than, .. } if action.kind == KeyKind::Link => say(
            page,
            &format!("Same inputs as in {than}. Go does not cache linked programs."),
        ),
        Cause::SameInputs { than, .. } => say(
            page,
            &format!("Same inputs as in {than}, but the result was not in the build cache."),
        ),
        Cause::VettedBefore { than } => {
            say(page, &sentence(&word::vetted(than.as_str())));
        }
        Cause::Changed { than, changes } => {
            say(page, &format!("Compared with {than}:"));
            for change in changes {
                page.sentence(Line::plain("      "), &word::change(change), 4);
            }
        }
        Cause::NotCacheable { reason } => say(page, &sentence(&test_word::not_cacheable(reason))),
        Cause::NotStored { than, reason } => {
            let run = format!("the run in {than}");
            say(page, &sentence(&test_word::not_stored(&run, reason)));
        }
        Cause::Expired { than } => {
            say(page, &sentence(&test_word::expired(than.as_str())));
        }
        Cause::Imports { than, .. } => {
            let what = match action.kind {
                KeyKind::Test => "only the test program has a new content",
                KeyKind::Build | KeyKind::Link | KeyKind::Vet => "only imports have a new content",
            };
            say(page, &format!("Compared with {than}, {what}:"));
            put_chains(page, explained, action);
        }
        Cause::Unresolved { missing } => say(page, &word::missing(missing)),
    }
}

/// A text as a sentence.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|it| it.to_ascii_uppercase());
    let text: String = first.into_iter().chain(characters).collect();
    text + "."
}

/// For each changed import the shortest way to a root.
fn put_chains(page: &mut Page<'_>, explained: &Explanation, action: &ExplainedAction) {
    let builds: BTreeMap<String, &ExplainedAction> = explained
        .actions
        .iter()
        .filter(|it| it.kind == KeyKind::Build)
        .map(|it| (it.package.to_str().into_owned(), it))
        .collect();
    let mut links = explained
        .actions
        .iter()
        .filter(|it| it.kind == KeyKind::Link);
    let Cause::Imports { imports, .. } = &action.cause else {
        return;
    };
    // The program of a test is the result of a link.
    if action.kind == KeyKind::Test
        && let Some(link) = links.find(|it| imports.iter().any(|name| it.package == name.as_str()))
    {
        return put_action(page, explained, link);
    }
    // A test program contains its own variants of some packages.
    let name = action.package.to_str();
    let variant = name.split_once(" [").map_or_else(
        || name.ends_with(".test").then(|| format!(" [{name}]")),
        |(_, variant)| Some(format!(" [{variant}")),
    );
    let of_variant = |package: &str| {
        let own = variant.iter().map(|it| format!("{package}{it}"));
        let mut names = own.chain([package.to_owned()]);
        names.find_map(|it| builds.get(&it).copied())
    };
    let mut told: BTreeSet<String> = BTreeSet::new();
    for import in imports {
        let mut package = import.clone();
        let mut chain = Vec::new();
        let end = loop {
            chain.push(package.clone());
            let Some(below) = of_variant(&package) else {
                break elsewhere(explained, &package).to_owned();
            };
            match &below.cause {
                Cause::Imports { imports, .. } if chain.len() < CHAIN => {
                    let next = imports.iter().find(|it| !chain.contains(it));
                    match next {
                        Some(next) => next.clone_into(&mut package),
                        None => break "not known".to_owned(),
                    }
                }
                Cause::Changed { changes, .. } => break word::changes_of(changes),
                Cause::Unresolved { missing } => break word::missing(missing),
                Cause::First => break "no earlier key in the history".to_owned(),
                Cause::Forced => break "-a was set".to_owned(),
                Cause::SameInputs { .. } | Cause::VettedBefore { .. } => {
                    break "built again with the same inputs".to_owned();
                }
                Cause::NotCacheable { .. } | Cause::NotStored { .. } | Cause::Expired { .. } => {
                    break "not known".to_owned();
                }
                Cause::Imports { .. } => break "a longer chain of imports".to_owned(),
            }
        };
        let text = format!("{}: {end}", chain.join(" ← "));
        // Further imports lead to the same root by longer ways.
        if told.insert(chain.pop().unwrap_or_default()) && told.len() <= ROOTS {
            page.sentence(Line::plain("      "), &text, 4);
        }
    }
}

/// The source of the new content of a package that the build did not build.
fn elsewhere(explained: &Explanation, package: &str) -> &'static str {
    let mut causes = explained.roots.iter().map(|it| &it.cause);
    let is_cached = causes.any(|it| {
        matches!(it, RootCause::Elsewhere { packages } if packages.iter().any(|it| it == package))
    });
    if is_cached {
        "its new content came from the build cache"
    } else {
        "not known: no action of it was recorded"
    }
}

fn number(n: usize) -> u64 {
    u64::try_from(n).unwrap_or(u64::MAX)
}
