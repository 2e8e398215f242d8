//! A table with aligned columns, fitted to the page.

use super::{Line, Page};

/// A table.
#[derive(Default)]
pub struct Table {
    rows: Vec<Vec<Line>>,
    keeps_end: bool,
}

impl Table {
    /// A table whose first column is shortened at its end if necessary.
    pub fn of_texts() -> Self {
        Self::default()
    }

    /// A table whose first column is shortened at its beginning, because the end of a path is more important.
    pub fn of_paths() -> Self {
        Self {
            keeps_end: true,
            ..Self::default()
        }
    }

    pub fn row(&mut self, cells: Vec<Line>) {
        self.rows.push(cells);
    }

    /// Adds the rows to the page, the first one after `head`. The first and the last column are left-aligned, the others
    /// right-aligned. The first column is shortened to leave space for the others, and a quarter of the page for the last. Its
    /// smallest width is `at_least`. The last column gets the remaining space.
    pub fn put(self, page: &mut Page<'_>, head: &Line, at_least: usize) {
        const BETWEEN: usize = 2;
        let n_columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let mut widths = vec![0; n_columns];
        for row in &self.rows {
            for (widest, cell) in widths.iter_mut().zip(row) {
                *widest = cell.width().max(*widest);
            }
        }
        if let (true, Some(last)) = (n_columns > 1, widths.last_mut()) {
            *last = (*last).min(page.style().columns() / 4);
        }
        let style = page.style();
        let indent = head.width();
        let others: usize = widths.iter().skip(1).map(|it| it + BETWEEN).sum();
        let room = style
            .columns()
            .saturating_sub(indent + others)
            .max(at_least);
        if let Some(first) = widths.first_mut() {
            *first = room.min(*first);
        }
        for (n_row, row) in self.rows.into_iter().enumerate() {
            let mut line = if n_row == 0 {
                head.clone()
            } else {
                Line::default().pad_to(indent)
            };
            let mut column = indent;
            for (index, (cell, &cell_width)) in row.into_iter().zip(&widths).enumerate() {
                let start = if index == 0 { column } else { column + BETWEEN };
                column = start + cell_width;
                line = if index == 0 {
                    line.then_line(if self.keeps_end {
                        cell.keeping_end(cell_width, style)
                    } else {
                        cell.cut(cell_width, style)
                    })
                } else if index + 1 == n_columns {
                    line.pad_to(start).then_line(cell)
                } else {
                    line.pad_to(column.saturating_sub(cell.width()))
                        .then_line(cell)
                };
            }
            page.line(line);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::style::{Style, width};

    #[test]
    fn columns_align_and_the_first_one_shrinks() {
        let style = Style::plain(60);
        let mut page = Page::new(&style);
        let mut table = Table::of_paths();
        for (name, number) in [
            ("short", "1.0 s"),
            (&*format!("{}/end", "x".repeat(90)), "112 ms"),
        ] {
            table.row(vec![
                Line::plain(name),
                Line::plain(number),
                Line::plain("about it"),
            ]);
        }
        table.put(&mut page, &Line::plain("Head  "), 10);
        let mut out = Vec::new();
        page.write(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("Head  short "));
        assert!(lines[1].contains("xx/end  112 ms  about it"), "{text}");
        let columns_to = |line: &str, unit: &str| width(&line[..line.find(unit).unwrap()]);
        assert_eq!(
            columns_to(lines[0], " s  about"),
            columns_to(lines[1], " ms  about") + 1,
            "{text}"
        );
        assert!(lines.iter().all(|it| width(it) <= 60));
    }
}
