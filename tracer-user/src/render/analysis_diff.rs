//! The text of `gotrace diff`: the verdict, the total, then the changes at each level, largest first.

use std::io::{self, Write};

use tracer_binary::budget::Breach;
use tracer_binary::diff::{Diff, Fact, Likeness, Row};

use super::style::{Line, Page, Paint, Style, Table};
use super::units;

/// Largest width of a changed word.
const WORD: usize = 48;

/// Smallest change of entropy in the text. The JSON contains smaller ones.
const MIN_ENTROPY_CHANGE: f64 = 0.05;

/// Writes the comparison of the files called `names`, at most `top` rows of each table.
pub fn analysis_diff(
    names: (&str, &str),
    diff: &Diff,
    breaches: &[Breach],
    top: usize,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut page = Page::new(style);
    let arrow = if style.unicode { "→" } else { "->" };
    page.line(
        Line::painted(Paint::Bold, names.0)
            .then(&format!(" {arrow} "))
            .then_painted(Paint::Bold, names.1),
    );
    let verdict = match diff.likeness {
        Likeness::SameFile => "the same file, byte for byte",
        Likeness::SameContent => {
            "the same code and data; only build IDs, build information, paths or debug info differ"
        }
        Likeness::SameOutline => {
            "the same functions of the same sizes, at other addresses or with other data"
        }
        Likeness::Different => "",
    };
    if !verdict.is_empty() {
        page.line(
            Line::default()
                .then("  ")
                .then_painted(Paint::Good, style.check())
                .then(" ")
                .then(verdict),
        );
    }
    if diff.likeness != Likeness::SameFile {
        let mut total = Table::of_paths();
        total.row(cells(&diff.total, arrow));
        total.put(&mut page, &Line::plain("  "), 5);
    }
    self::breaches(breaches, &mut page);
    for note in &diff.notes {
        page.line(
            Line::painted(Paint::Warn, style.bullet())
                .then(" ")
                .then(note),
        );
    }
    words("Changed", &diff.facts, arrow, &mut page);
    words("Dependencies", &diff.dependencies, arrow, &mut page);
    for (title, rows) in [
        ("Whose", &diff.groups),
        ("What", &diff.contents),
        ("Sections", &diff.sections),
        ("Members", &diff.members),
        ("Modules", &diff.modules),
        ("Packages", &diff.packages),
        ("Symbols", &diff.symbols),
    ] {
        grain(title, rows, top, arrow, &mut page);
    }
    entropy(diff, arrow, &mut page);
    page.write(out)
}

fn breaches(breaches: &[Breach], page: &mut Page<'_>) {
    if breaches.is_empty() {
        return;
    }
    page.gap();
    let cross = page.style().cross();
    for breach in breaches {
        let line = Line::painted(Paint::Bad, cross)
            .then_painted(Paint::Bold, &format!(" over budget {}: ", breach.budget))
            .then(&format!("{} grew by {}", breach.name, breach.grew_by));
        page.line(line);
    }
}

fn words(title: &str, facts: &[Fact], arrow: &str, page: &mut Page<'_>) {
    if facts.is_empty() {
        return;
    }
    page.gap();
    page.line(Line::painted(Paint::Bold, title));
    let style = page.style();
    let word =
        |text: &str| Line::plain(if text.is_empty() { "\"\"" } else { text }).cut(WORD, style);
    let mut table = Table::of_texts();
    for fact in facts {
        let change = match (&fact.before, &fact.after) {
            (Some(before), Some(after)) => word(before)
                .then(&format!(" {arrow} "))
                .then_line(word(after)),
            (None, Some(after)) => Line::painted(Paint::Warn, "[NEW] ").then_line(word(after)),
            (Some(before), None) => Line::painted(Paint::Good, "[DEL] ").then_line(word(before)),
            (None, None) => Line::default(),
        };
        table.row(vec![Line::plain(&fact.name), change]);
    }
    table.put(page, &Line::plain("  "), 16);
}

fn grain(title: &str, rows: &[Row], top: usize, arrow: &str, page: &mut Page<'_>) {
    if rows.is_empty() || top == 0 {
        return;
    }
    page.gap();
    let more = rows.len().saturating_sub(top);
    let title = if more > 0 {
        format!(
            "{title}: {} changed, the largest {top} changes",
            units::count(rows.len() as u64)
        )
    } else {
        title.to_owned()
    };
    page.line(Line::painted(Paint::Bold, &title));
    let mut table = Table::of_paths();
    for row in rows.iter().take(top) {
        table.row(cells(row, arrow));
    }
    table.put(page, &Line::plain("  "), 20);
}

/// The columns of every table: name, change, percent, before and after, symbols.
fn cells(row: &Row, arrow: &str) -> Vec<Line> {
    let change = row.change();
    let paint = match change {
        1.. => Paint::Warn,
        0 => Paint::Dim,
        ..0 => Paint::Good,
    };
    let sign = if change < 0 { "-" } else { "+" };
    let share = match (row.before, row.after) {
        (None, _) => "[NEW]".to_owned(),
        (_, None) => "[DEL]".to_owned(),
        (Some(_), Some(_)) => row.percent().map_or(String::new(), percent),
    };
    let bytes = |bytes: Option<u64>| bytes.map_or("-".to_owned(), units::size);
    let symbols = match (row.symbols_before, row.symbols_after) {
        (Some(before), Some(after)) if before != after => {
            format!(
                "{} {arrow} {} symbols",
                units::count(before),
                units::count(after)
            )
        }
        // A single symbol needs no count.
        (None, Some(count)) | (Some(count), None) if count > 1 => {
            units::counted(count, "symbol", "symbols")
        }
        _ => String::new(),
    };
    let name = if row.within.is_empty() || !row.name.starts_with('(') {
        Line::plain(&row.name)
    } else {
        Line::plain(&row.within).then_painted(Paint::Dim, &format!(" {}", row.name))
    };
    vec![
        name,
        Line::painted(
            paint,
            &format!("{sign}{}", units::size(change.unsigned_abs())),
        ),
        Line::painted(paint, &share),
        Line::plain(&bytes(row.before)),
        Line::painted(Paint::Dim, arrow),
        Line::plain(&bytes(row.after)),
        Line::painted(Paint::Dim, &symbols),
    ]
}

/// A change that would round to zero is shown as a small one, as in the shares of an analysis.
fn percent(percent: f64) -> String {
    if percent.abs() < 0.05 {
        "<0.1 %".to_owned()
    } else {
        format!("{percent:+.1} %")
    }
}

fn entropy(diff: &Diff, arrow: &str, page: &mut Page<'_>) {
    let changes: Vec<_> = diff
        .entropy
        .iter()
        .filter(|change| (change.after - change.before).abs() >= MIN_ENTROPY_CHANGE)
        .collect();
    if changes.is_empty() {
        return;
    }
    page.gap();
    page.line(Line::painted(Paint::Bold, "Entropy, bits per byte"));
    let mut table = Table::of_texts();
    for change in changes {
        table.row(vec![
            Line::plain(&change.section),
            Line::plain(&format!("{:+.2}", change.after - change.before)),
            Line::plain(&format!("{:.2} {arrow} {:.2}", change.before, change.after)),
        ]);
    }
    table.put(page, &Line::plain("  "), 16);
}
