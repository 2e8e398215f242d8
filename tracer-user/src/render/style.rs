//! Layout of text: width, colour, glyphs. Escaping prevents that text of a build looks like text of gotrace.
//!
//! The caller detects the colour and UTF-8 support of the terminal.

mod escape;
mod line;
mod table;

pub use escape::escape;
pub(super) use escape::is_unsafe;
pub use line::{Line, Page, cut_head, cut_tail, width};
pub use table::Table;

/// Range of page widths. Text for narrower and wider terminals uses its ends.
const COLUMNS: std::ops::RangeInclusive<usize> = 60..=160;

/// The style of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Columns of the terminal.
    pub width: usize,
    pub colour: bool,
    /// True if the terminal shows check marks and blocks.
    pub unicode: bool,
}

/// The role of a piece of text, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    Bold,
    Dim,
    Good,
    Bad,
    Warn,
}

impl Style {
    /// A style without colour, for files and logs.
    pub fn plain(width: usize) -> Self {
        Self {
            width,
            colour: false,
            unicode: true,
        }
    }

    /// Width of the page.
    pub fn columns(&self) -> usize {
        self.width.clamp(*COLUMNS.start(), *COLUMNS.end())
    }

    /// The text in its colour. This does not escape; [`Line`] does.
    pub fn paint(&self, paint: Paint, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let look = look(paint);
        format!("{look}{text}{look:#}")
    }

    pub fn check(&self) -> &'static str {
        if self.unicode { "✔" } else { "ok" }
    }

    pub fn cross(&self) -> &'static str {
        if self.unicode { "✘" } else { "FAILED" }
    }

    /// Sign before an important sentence.
    pub fn bullet(&self) -> &'static str {
        if self.unicode { "▲" } else { "!" }
    }

    /// The mark before an advice.
    pub fn arrow(&self) -> &'static str {
        if self.unicode { "→" } else { "->" }
    }

    /// Separator between items of one kind.
    pub fn dot(&self) -> &'static str {
        if self.unicode { " · " } else { ", " }
    }

    /// A bar of at most `columns` for `part` of `whole`. A part above zero always has a visible bar.
    pub fn bar(&self, part: u64, whole: u64, columns: usize) -> String {
        const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
        let steps = if self.unicode { 8 } else { 1 };
        let all = columns as u128 * steps;
        let exact = (u128::from(part.min(whole)) * all + u128::from(whole) / 2)
            .checked_div(u128::from(whole))
            .unwrap_or(0);
        let filled = if part > 0 { exact.max(1) } else { 0 };
        let (full, rest) = (
            usize::try_from(filled / steps).unwrap_or(columns),
            usize::try_from(filled % steps).unwrap_or(0),
        );
        let end = EIGHTHS.get(rest).copied().unwrap_or_default();
        format!("{}{end}", if self.unicode { "█" } else { "#" }.repeat(full))
    }
}

fn look(paint: Paint) -> anstyle::Style {
    use anstyle::{AnsiColor, Style};
    match paint {
        Paint::Bold => Style::new().bold(),
        Paint::Dim => Style::new().dimmed(),
        Paint::Good => AnsiColor::Green.on_default(),
        Paint::Bad => AnsiColor::Red.on_default().bold(),
        Paint::Warn => AnsiColor::Yellow.on_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_fill_their_columns_and_no_more() {
        let style = Style::plain(100);
        assert_eq!(
            [
                style.bar(1, 1, 4),
                style.bar(1, 2, 3),
                style.bar(1, 1000, 4)
            ],
            ["████", "█▌", "▏"]
        );
        assert_eq!(
            [style.bar(0, 0, 4), style.bar(5, 0, 4), style.bar(9, 3, 4)],
            ["", "▏", "████"]
        );
        assert_eq!(width(&style.bar(u64::MAX, u64::MAX, 20)), 20);
        assert_eq!(
            Style {
                unicode: false,
                ..style
            }
            .bar(1, 2, 4),
            "##"
        );
    }

    #[test]
    fn colour_is_written_only_on_request() {
        let plain = Style::plain(100);
        assert_eq!(plain.paint(Paint::Bad, "x"), "x");
        assert_eq!(
            Style {
                colour: true,
                ..plain
            }
            .paint(Paint::Bad, "x"),
            "\u{1b}[1m\u{1b}[31mx\u{1b}[0m"
        );
    }
}
