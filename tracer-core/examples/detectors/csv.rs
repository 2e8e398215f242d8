//! Labelled series: one value a line, and after a comma a label at each build that began a change.

#![expect(
    clippy::disallowed_methods,
    reason = "a benchmark reads files; the library does not"
)]

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::history::Truth;

/// A series of a file.
#[derive(Debug)]
pub(crate) struct Series {
    pub(crate) path: PathBuf,
    pub(crate) values: Vec<u64>,
    pub(crate) truths: Vec<Truth>,
    /// A value is the number in the file times this.
    pub(crate) unit: f64,
    /// Line of each value.
    pub(crate) lines: Vec<usize>,
}

/// Reads all `.csv` files of a directory, in the order of their names.
pub(crate) fn read_all(dir: &Path) -> Result<Vec<Series>> {
    let cannot_list = || format!("cannot list {}", dir.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).with_context(cannot_list)? {
        let path = entry.with_context(cannot_list)?.path();
        if path
            .extension()
            .is_some_and(|it| it.eq_ignore_ascii_case("csv"))
        {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        bail!("no .csv file in {}", dir.display());
    }
    paths.sort();
    paths.into_iter().map(read).collect()
}

fn read(path: PathBuf) -> Result<Series> {
    let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(path, &String::from_utf8_lossy(&bytes))
}

/// Parses a series. The first line may be a header, and blank lines are skipped.
fn parse(path: PathBuf, text: &str) -> Result<Series> {
    let mut numbers = Vec::new();
    let mut lines = Vec::new();
    let mut truths = Vec::new();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let filled = text.lines().enumerate().map(|(at, it)| (at + 1, it.trim()));
    for (n, (line, text)) in filled.filter(|it| !it.1.is_empty()).enumerate() {
        let (value, label) = text.split_once(',').unwrap_or((text, ""));
        let value = unquoted(value);
        let number = match value.parse::<f64>() {
            Ok(number) if number.is_finite() && number >= 0.0 => number,
            Err(_) if n == 0 && value.parse::<f64>().is_err() => continue,
            Ok(_) | Err(_) => bail!(
                "{}:{line}: not a finite number from 0: {value:?}",
                path.display()
            ),
        };
        // The first build has no predecessor from which it could differ.
        if is_label(unquoted(label)) && !numbers.is_empty() {
            truths.push(Truth {
                at: numbers.len(),
                end: numbers.len() + 1,
                direction: None,
            });
        }
        numbers.push(number);
        lines.push(line);
    }
    let unit = unit(&numbers);
    Ok(Series {
        path,
        values: numbers.iter().map(|it| whole(it * unit)).collect(),
        truths,
        unit,
        lines,
    })
}

fn unquoted(field: &str) -> &str {
    field.trim().trim_matches('"').trim()
}

/// A label is any text that is no negation.
fn is_label(text: &str) -> bool {
    let is_number_zero = text.parse::<f64>().is_ok_and(|it| it == 0.0);
    let negation = ["", "false", "no", "nan", "none", "null", "-"];
    !is_number_zero && !negation.iter().any(|it| text.eq_ignore_ascii_case(it))
}

/// The factor that makes whole numbers of values: a million for seconds, and 1 for values that are whole.
fn unit(numbers: &[f64]) -> f64 {
    let is_whole = numbers.iter().all(|it| it.fract() == 0.0);
    if is_whole { 1.0 } else { 1e6 }
}

/// A value above the range becomes the largest one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive, and the conversion saturates"
)]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(text: &str) -> Result<Series> {
        parse(PathBuf::from("s.csv"), text)
    }

    fn changes(text: &str) -> Vec<usize> {
        let series = series(text).unwrap();
        series.truths.iter().map(|it| it.at).collect()
    }

    #[test]
    fn headers_blank_lines_and_carriage_returns_are_no_values() {
        let series = series("\u{feff}value,label\r\n\r\n5,\r\n 7 , 1\r\n\r\n9\r\n").unwrap();
        assert_eq!(series.values, [5, 7, 9]);
        assert_eq!(series.lines, [3, 4, 6]);
        assert_eq!(series.truths[0].at, 1);
    }

    #[test]
    fn a_label_is_any_text_but_a_negation() {
        assert_eq!(
            changes("1\n2,1\n3,0\n4,\n5,change\n6,false\n7,0.0\n8,\"x\""),
            [1, 4, 7]
        );
        assert!(changes("1,1\n2").is_empty());
    }

    #[test]
    fn a_bad_value_has_its_file_and_line() {
        let message = |text: &str| series(text).unwrap_err().to_string();
        for bad in ["-1", "NaN", "inf", "x", ",1"] {
            let told = message(&format!("value\n\n1\n{bad}\n"));
            assert!(told.starts_with("s.csv:4: "), "{told}");
        }
        assert!(message("NaN\n1").starts_with("s.csv:1: "));
    }

    #[test]
    fn fractions_become_millionths() {
        assert_eq!(series("0.25\n3").unwrap().values, [250_000, 3_000_000]);
        assert_eq!(series("25\n3e2\n1e30").unwrap().values, [25, 300, u64::MAX]);
    }
}
