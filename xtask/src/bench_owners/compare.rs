//! gotrace's numbers beside the oracle's.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde_json::Value;

use super::oracle::{self, Packages, Symbol};

/// Smaller packages are not compared one by one.
const LARGE: u64 = 10_000;

/// Bytes by package, under an empty path those of none.
type Sizes<'a> = BTreeMap<&'a str, u64>;

/// The agreement of gotrace and the oracle. Shares are in per cent.
#[derive(Debug)]
pub(super) struct Verdict {
    code: f64,
    /// Of a file with symbols.
    data: Option<f64>,
    /// Bytes in a section whose owner the file does not state. Share of the whole file.
    unattributed: f64,
    /// By code, and how far it is off.
    worst: Option<(String, f64)>,
}

impl Verdict {
    pub(super) fn of<'a>(
        analysis: &'a Value,
        symbols: &[Symbol<'a>],
        packages: &'a Packages,
    ) -> Self {
        let code = symbols
            .iter()
            .filter(|it| it.is_code && !oracle::is_mark(it));
        let named = named(analysis);
        let owner = |it: &Symbol<'a>| packages.owner(it.name).path(named.get(it.name).copied());
        let truth = sum(code.map(|it| (owner(it), packages.size(it))));
        let said = code_of(analysis);
        let is_whole = analysis["symbols"]["source"] == "symbol_table";
        let unattributed = content(analysis, "unattributed", "bytes");
        Self {
            code: agreement(&truth, &said),
            data: is_whole.then(|| data(analysis, symbols, packages)),
            unattributed: percent(unattributed, number(&analysis["size"])),
            worst: worst(&truth, &said),
        }
    }
}

fn sum<'a>(rows: impl Iterator<Item = (&'a str, u64)>) -> Sizes<'a> {
    let mut sizes = Sizes::new();
    for (path, bytes) in rows {
        *sizes.entry(path).or_default() += bytes;
    }
    sizes
}

/// The package of each function that gotrace lists.
fn named(analysis: &Value) -> HashMap<&str, &str> {
    let functions = rows(&analysis["symbols"]["list"]).filter(|row| row["content"] == "code");
    let named = functions.map(|row| {
        let name = row["name"].as_str().unwrap_or_default();
        (name, row["package"].as_str().unwrap_or_default())
    });
    named.collect()
}

fn code_of(analysis: &Value) -> Sizes<'_> {
    let mut sizes = sum(rows(&analysis["packages"]).map(|row| {
        let path = row["path"].as_str().unwrap_or_default();
        (path, number(&row["contents"]["code"]))
    }));
    let nobodys = content(analysis, "code", "bytes") - content(analysis, "code", "in_packages")
        + content(analysis, "c_code", "bytes");
    *sizes.entry("").or_default() += nobodys;
    sizes
}

/// By symbol, as data has other parts that the oracle does not list.
fn data(analysis: &Value, symbols: &[Symbol<'_>], packages: &Packages) -> f64 {
    let sections: Vec<_> = rows(&analysis["sections"])
        .map(|row| (number(&row["address"]), number(&row["disk"])))
        .collect();
    let truth: BTreeMap<(&str, &str), u64> = totals(
        symbols
            .iter()
            .filter(|it| !it.is_code && !oracle::is_mark(it))
            .map(|it| {
                let owner = packages.owner(it.name).path(None);
                ((it.name, owner), oracle::on_disk(it, &sections))
            }),
    );
    let is_data = |row: &&Value| row["content"] != "code" && row["content"] != "c_code";
    let said: BTreeMap<(&str, &str), u64> = totals(
        rows(&analysis["symbols"]["list"])
            .filter(is_data)
            .map(|row| {
                let name = row["name"].as_str().unwrap_or_default();
                let path = row["package"].as_str().unwrap_or_default();
                ((name, path), number(&row["bytes"]))
            }),
    );
    let right = truth.iter().map(|(key, bytes)| {
        let said = said.get(key).copied().unwrap_or_default();
        said.min(*bytes)
    });
    percent(right.sum(), truth.values().sum())
}

fn totals<'a>(
    rows: impl Iterator<Item = ((&'a str, &'a str), u64)>,
) -> BTreeMap<(&'a str, &'a str), u64> {
    let mut totals = BTreeMap::new();
    for (key, bytes) in rows {
        *totals.entry(key).or_default() += bytes;
    }
    totals
}

fn agreement(truth: &Sizes<'_>, said: &Sizes<'_>) -> f64 {
    let right = truth.iter().map(|(path, bytes)| {
        let said = said.get(path).copied().unwrap_or_default();
        said.min(*bytes)
    });
    // Bytes that gotrace counts and the oracle does not are at the wrong package too.
    let all = |sizes: &Sizes<'_>| sizes.values().sum::<u64>();
    percent(right.sum(), all(truth).max(all(said)))
}

fn worst(truth: &Sizes<'_>, said: &Sizes<'_>) -> Option<(String, f64)> {
    let off = |(path, bytes): (&&str, &u64)| {
        let said = said.get(path).copied().unwrap_or_default();
        ((*path).to_owned(), percent(said, *bytes) - 100.0)
    };
    let large = truth
        .iter()
        .filter(|(path, bytes)| !path.is_empty() && **bytes >= LARGE);
    large
        .map(off)
        .max_by(|a, b| a.1.abs().total_cmp(&b.1.abs()))
}

fn rows(rows: &Value) -> impl Iterator<Item = &Value> {
    rows.as_array().into_iter().flatten()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_default()
}

fn content(analysis: &Value, name: &str, field: &str) -> u64 {
    let mut rows = rows(&analysis["contents"]);
    rows.find(|row| row["content"] == name)
        .map_or(0, |row| number(&row[field]))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a file's size is far below 2^52"
)]
fn percent(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64 * 100.0
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6.2} %", self.code)?;
        match self.data {
            Some(data) => write!(f, " {data:>6.2} %")?,
            None => write!(f, " {:>8}", "-")?,
        }
        write!(f, " {:>10.2} %", self.unattributed)?;
        match &self.worst {
            Some((path, off)) => write!(f, "  {path} {off:+.1} %"),
            None => Ok(()),
        }
    }
}
