//! Lines of known width, and pages of lines.
//!
//! A [`Line`] escapes all its text, so a page contains only escaped text. Colours are added when the page is written, and do not
//! count for the width.

use std::io::{self, Write};

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::{Paint, Style, escape};

/// Pieces of text on one line, each with its colour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    pieces: Vec<(Option<Paint>, String)>,
}

impl Line {
    pub fn plain(text: &str) -> Self {
        Self::default().then(text)
    }

    pub fn painted(paint: Paint, text: &str) -> Self {
        Self::default().then_painted(paint, text)
    }

    /// The line with more text.
    #[must_use]
    pub fn then(mut self, text: &str) -> Self {
        self.pieces.push((None, escape(text).into_owned()));
        self
    }

    #[must_use]
    pub fn then_painted(mut self, paint: Paint, text: &str) -> Self {
        self.pieces.push((Some(paint), escape(text).into_owned()));
        self
    }

    #[must_use]
    pub fn then_line(mut self, line: Self) -> Self {
        self.pieces.extend(line.pieces);
        self
    }

    /// The line, padded with spaces to a column.
    #[must_use]
    pub fn pad_to(self, column: usize) -> Self {
        let missing = column.saturating_sub(self.width());
        if missing == 0 {
            self
        } else {
            self.then(&" ".repeat(missing))
        }
    }

    pub fn width(&self) -> usize {
        self.pieces.iter().map(|(_, text)| width(text)).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.iter().all(|(_, text)| text.is_empty())
    }

    /// The line cut to a width, with an ellipsis if it is longer.
    #[must_use]
    pub fn cut(self, columns: usize, style: &Style) -> Self {
        if self.width() <= columns {
            return self;
        }
        let mut left = columns;
        let mut pieces = Vec::with_capacity(self.pieces.len());
        for (paint, text) in self.pieces {
            if left == 0 {
                break;
            }
            let is_last = width(&text) >= left;
            let text = if is_last {
                cut_tail(&format!("{text} "), left, style)
            } else {
                text
            };
            left = left.saturating_sub(if is_last { left } else { width(&text) });
            pieces.push((paint, text));
        }
        Self { pieces }
    }

    /// The line cut to a width at the beginning of its last piece.
    #[must_use]
    pub fn keeping_end(mut self, columns: usize, style: &Style) -> Self {
        if self.width() > columns
            && let Some((paint, last)) = self.pieces.pop()
        {
            let room = columns.saturating_sub(self.width());
            self.pieces.push((paint, cut_head(&last, room, style)));
        }
        self.cut(columns, style)
    }

    fn write(&self, style: &Style, out: &mut dyn Write) -> io::Result<()> {
        let last = self
            .pieces
            .iter()
            .rposition(|(_, text)| !text.trim_end().is_empty());
        for (index, (paint, text)) in self
            .pieces
            .iter()
            .enumerate()
            .take(last.map_or(0, |it| it + 1))
        {
            let text = if Some(index) == last {
                text.trim_end()
            } else {
                text
            };
            match paint {
                Some(paint) => out.write_all(style.paint(*paint, text).as_bytes())?,
                None => out.write_all(text.as_bytes())?,
            }
        }
        out.write_all(b"\n")
    }
}

/// A page of lines.
pub struct Page<'a> {
    style: &'a Style,
    lines: Vec<Line>,
}

impl<'a> Page<'a> {
    pub fn new(style: &'a Style) -> Self {
        Self {
            style,
            lines: Vec::new(),
        }
    }

    pub fn style(&self) -> &'a Style {
        self.style
    }

    /// Adds a line, cut at the edge.
    pub fn line(&mut self, line: Line) {
        self.lines.push(line.cut(self.style.columns(), self.style));
    }

    /// Adds an empty line, unless the last line is empty.
    pub fn gap(&mut self) {
        if self.lines.last().is_some_and(|it| !it.is_empty()) {
            self.lines.push(Line::default());
        }
    }

    /// Adds a line with `left` at the left edge and `right` at the right edge. `left` is cut if necessary.
    pub fn spread(&mut self, left: Line, right: Line) {
        let columns = self.style.columns();
        let left = left.cut(columns.saturating_sub(right.width() + 2), self.style);
        let start = columns.saturating_sub(right.width());
        self.line(left.pad_to(start).then_line(right));
    }

    /// Adds parts side by side after `head`, wrapped under the first part. Parts beyond `max_lines` become an ellipsis.
    pub fn flow(&mut self, head: Line, parts: &[Line], between: &str, max_lines: usize) {
        let indent = head.width();
        let columns = self.style.columns();
        let mut line = head;
        let mut n_lines = 1;
        let mut is_fresh = true;
        for part in parts.iter().filter(|it| !it.is_empty()) {
            if !is_fresh && line.width() + width(between) + part.width() > columns {
                if n_lines == max_lines {
                    line = line.then_painted(Paint::Dim, &format!(" {}", ellipsis(self.style)));
                    break;
                }
                let full = std::mem::replace(&mut line, Line::default().pad_to(indent));
                self.line(full);
                n_lines += 1;
                is_fresh = true;
            }
            if !is_fresh {
                line = line.then_painted(Paint::Dim, between);
            }
            line = line.then_line(part.clone());
            is_fresh = false;
        }
        self.line(line);
    }

    /// Adds a sentence after `head`, wrapped between words.
    pub fn sentence(&mut self, head: Line, text: &str, max_lines: usize) {
        let words: Vec<Line> = text.split(' ').map(Line::plain).collect();
        self.flow(head, &words, " ", max_lines);
    }

    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.lines
            .iter()
            .try_for_each(|line| line.write(self.style, out))
    }
}

/// Width of a text in columns.
pub fn width(text: &str) -> usize {
    text.width()
}

/// The beginning of a text, in at most this many columns.
pub fn cut_tail(text: &str, columns: usize, style: &Style) -> String {
    let ellipsis = ellipsis(style);
    cut(text, columns, ellipsis, text.chars(), |kept| {
        format!("{}{ellipsis}", kept.iter().collect::<String>())
    })
}

/// The end of a text, in at most this many columns.
pub fn cut_head(text: &str, columns: usize, style: &Style) -> String {
    let ellipsis = ellipsis(style);
    cut(text, columns, ellipsis, text.chars().rev(), |kept| {
        format!("{ellipsis}{}", kept.iter().rev().collect::<String>())
    })
}

fn cut(
    text: &str,
    columns: usize,
    ellipsis: &str,
    characters: impl Iterator<Item = char>,
    join: impl Fn(&[char]) -> String,
) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut left = columns.saturating_sub(width(ellipsis));
    let mut kept = Vec::new();
    for character in characters {
        let Some(rest) = left.checked_sub(character.width().unwrap_or(0)) else {
            break;
        };
        left = rest;
        kept.push(character);
    }
    join(&kept)
}

fn ellipsis(style: &Style) -> &'static str {
    if style.unicode { "…" } else { "..." }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(style: &Style, fill: impl Fn(&mut Page<'_>)) -> String {
        let mut page = Page::new(style);
        fill(&mut page);
        let mut out = Vec::new();
        page.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_cut_by_columns_not_by_characters() {
        let style = Style::plain(60);
        assert_eq!(cut_tail("日本語の名前", 7, &style), "日本語…");
        assert_eq!(
            cut_head("example.com/a/b/cmd/api", 10, &style),
            "…b/cmd/api"
        );
        assert_eq!(cut_head("short", 5, &style), "short");
        assert_eq!(
            cut_tail(
                "abcdef",
                4,
                &Style {
                    unicode: false,
                    ..style
                }
            ),
            "a..."
        );
    }

    #[test]
    fn nothing_is_wider_than_the_page() {
        let style = Style::plain(60);
        let long = "x".repeat(500);
        let text = page(&style, |page| {
            page.line(Line::plain(&long).then_painted(Paint::Bad, &long));
            page.spread(Line::plain(&long), Line::plain("exit 0 in 3.1 s"));
            page.flow(
                Line::plain("  Head      "),
                &[Line::plain(&long), Line::plain("b"), Line::plain(&long)],
                " · ",
                9,
            );
            page.sentence(Line::plain("  ▲ "), &"many words ".repeat(30), 3);
        });
        for line in text.lines() {
            assert!(width(line) <= 60, "{} columns: {line}", width(line));
        }
    }

    #[test]
    fn text_of_a_line_is_escaped() {
        let text = page(&Style::plain(60), |page| {
            page.line(Line::plain("a\u{1b}[31mb\nc"));
        });
        assert_eq!(text, "a\\u{1b}[31mb\\u{a}c\n");
    }

    #[test]
    fn lines_have_no_blanks_at_their_end() {
        let text = page(
            &Style {
                colour: true,
                ..Style::plain(60)
            },
            |page| {
                page.line(Line::plain("a").then_painted(Paint::Dim, "   ").pad_to(40));
                page.gap();
                page.gap();
            },
        );
        assert_eq!(text, "a\n\n");
    }
}
