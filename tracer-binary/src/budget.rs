//! Budgets: the growth at which a comparison fails.
//!
//! A budget is written as words: a grain, an optional name, and a limit, such as `total +5%`, `section .text +3%`,
//! `symbol +1KB`, `entropy +0.3`. Without a name, the limit applies to every row of the grain.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::diff::{Diff, Row};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    Total,
    Group,
    Content,
    Section,
    Module,
    Package,
    Symbol,
    /// A member of an archive.
    Archive,
    Entropy,
}

const GRAINS: [(&str, Grain); 9] = [
    ("total", Grain::Total),
    ("group", Grain::Group),
    ("content", Grain::Content),
    ("section", Grain::Section),
    ("module", Grain::Module),
    ("package", Grain::Package),
    ("symbol", Grain::Symbol),
    ("archive", Grain::Archive),
    ("entropy", Grain::Entropy),
];

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    Bytes(u64),
    /// Per cent of the size before. Does not apply to new rows, which have no size before.
    Percent(f64),
    /// Bits per byte.
    Bits(f64),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Budget {
    pub grain: Grain,
    pub name: Option<String>,
    pub limit: Limit,
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    #[error(
        "a budget is a grain, an optional name, and a limit, as in `total +5%`, `section .text +10KB` or `entropy +0.3`"
    )]
    Form,
    #[error(
        "unknown grain `{0}`; the grains are total, group, content, section, module, package, symbol, archive and entropy"
    )]
    Grain(String),
    #[error(
        "`{0}` is not a limit; write +5%, +200KB (1000 bytes), +200KiB (1024 bytes), or +0.3 for entropy"
    )]
    Limit(String),
    #[error("`total` has no name")]
    NamedTotal,
}

/// An exceeded budget, and the amount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Breach {
    pub budget: String,
    pub name: String,
    pub grew_by: String,
}

impl FromStr for Budget {
    type Err = BudgetError;

    fn from_str(text: &str) -> Result<Self, BudgetError> {
        let text = text.trim();
        let (head, limit) = text
            .rsplit_once(char::is_whitespace)
            .ok_or(BudgetError::Form)?;
        let (grain, name) = match head.trim().split_once(char::is_whitespace) {
            Some((grain, name)) => (grain, Some(name.trim().to_owned())),
            None => (head.trim(), None),
        };
        let known = GRAINS.iter().find(|(word, _)| *word == grain);
        let (_, grain) = known.ok_or_else(|| BudgetError::Grain(grain.to_owned()))?;
        if *grain == Grain::Total && name.is_some() {
            return Err(BudgetError::NamedTotal);
        }
        let limit = limit_of(limit, *grain).ok_or_else(|| BudgetError::Limit(limit.to_owned()))?;
        Ok(Self {
            grain: *grain,
            name,
            limit,
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Limit {
    /// Parses a size limit of a budget: `+5%`, `+200KB`.
    pub fn of_size(text: &str) -> Result<Self, BudgetError> {
        limit_of(text.trim(), Grain::Total).ok_or_else(|| BudgetError::Limit(text.to_owned()))
    }
}

fn limit_of(text: &str, grain: Grain) -> Option<Limit> {
    let text = text.strip_prefix('+').unwrap_or(text);
    let positive = |number: &str| {
        number
            .parse::<f64>()
            .ok()
            .filter(|value| value.is_finite() && *value >= 0.0)
    };
    if grain == Grain::Entropy {
        return positive(text).map(Limit::Bits);
    }
    if let Some(number) = text.strip_suffix('%') {
        return positive(number.trim_end()).map(Limit::Percent);
    }
    let digits = text
        .find(|char: char| !char.is_ascii_digit() && char != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "kib" => 1024.0,
        "m" | "mb" => 1e6,
        "mib" => 1024.0 * 1024.0,
        "g" | "gb" => 1e9,
        _ => return None,
    };
    let bytes = positive(number)? * unit;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be a small positive number"
    )]
    (bytes <= 1e15).then_some(Limit::Bytes(bytes.round() as u64))
}

/// The exceeded budgets, in the order they were given.
pub fn breaches(diff: &Diff, budgets: &[Budget]) -> Vec<Breach> {
    budgets
        .iter()
        .flat_map(|budget| budget.breaches(diff))
        .collect()
}

impl Budget {
    fn breaches(&self, diff: &Diff) -> Vec<Breach> {
        let rows = match self.grain {
            Grain::Total => std::slice::from_ref(&diff.total),
            Grain::Group => &diff.groups,
            Grain::Content => &diff.contents,
            Grain::Section => &diff.sections,
            Grain::Module => &diff.modules,
            Grain::Package => &diff.packages,
            Grain::Symbol => &diff.symbols,
            Grain::Archive => &diff.members,
            Grain::Entropy => return self.entropy(diff),
        };
        let is_selected = |row: &&Row| self.name.as_ref().is_none_or(|name| *name == row.name);
        rows.iter()
            .filter(is_selected)
            .filter_map(|row| self.breach(row))
            .collect()
    }

    fn breach(&self, row: &Row) -> Option<Breach> {
        let change = u64::try_from(row.change())
            .ok()
            .filter(|&change| change > 0)?;
        let grew_by = match self.limit {
            Limit::Bytes(most) => (change > most).then(|| format!("{change} bytes"))?,
            Limit::Percent(most) => row
                .percent()
                .filter(|percent| *percent > most)
                .map(|percent| format!("{percent:.2}%"))?,
            Limit::Bits(_) => return None,
        };
        let name = if row.within.is_empty() {
            row.name.clone()
        } else {
            format!("{} ({})", row.name, row.within)
        };
        Some(Breach {
            budget: self.text.clone(),
            name,
            grew_by,
        })
    }

    fn entropy(&self, diff: &Diff) -> Vec<Breach> {
        let Limit::Bits(most) = self.limit else {
            return Vec::new();
        };
        let meant = diff.entropy.iter().filter(|change| {
            self.name
                .as_ref()
                .is_none_or(|name| *name == change.section)
        });
        meant
            .filter(|change| change.after - change.before > most)
            .map(|change| Breach {
                budget: self.text.clone(),
                name: change.section.clone(),
                grew_by: format!("{:.3} bits per byte", change.after - change.before),
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_read_as_written() {
        let check = |text: &str, grain, name: Option<&str>, limit| {
            let budget: Budget = text.parse().unwrap();
            assert_eq!(
                (budget.grain, budget.name.as_deref(), budget.limit),
                (grain, name, limit),
                "{text}"
            );
        };
        check("total +5%", Grain::Total, None, Limit::Percent(5.0));
        check("total +200KB", Grain::Total, None, Limit::Bytes(200_000));
        check("total 1MiB", Grain::Total, None, Limit::Bytes(1 << 20));
        check(
            "section .text +3%",
            Grain::Section,
            Some(".text"),
            Limit::Percent(3.0),
        );
        check("symbol +1KB", Grain::Symbol, None, Limit::Bytes(1000));
        check("archive +10KB", Grain::Archive, None, Limit::Bytes(10_000));
        check("entropy +0.3", Grain::Entropy, None, Limit::Bits(0.3));
        check(
            "group standard library +1kb",
            Grain::Group,
            Some("standard library"),
            Limit::Bytes(1000),
        );
    }

    #[test]
    fn an_invalid_budget_is_refused_with_the_reason() {
        let check = |text: &str, error: BudgetError| {
            assert_eq!(text.parse::<Budget>(), Err(error), "{text}");
        };
        check("+5%", BudgetError::Form);
        check("size +5%", BudgetError::Grain("size".into()));
        check("total +5x", BudgetError::Limit("+5x".into()));
        check("total -5%", BudgetError::Limit("-5%".into()));
        check("total nan%", BudgetError::Limit("nan%".into()));
        check("total x +5%", BudgetError::NamedTotal);
    }

    #[test]
    fn a_budget_holds_up_to_its_limit_and_not_past_it() {
        let row = |after| Row {
            name: ".text".into(),
            before: Some(1000),
            after: Some(after),
            ..Row::default()
        };
        let budget: Budget = "section +5%".parse().unwrap();
        assert_eq!(budget.breach(&row(1050)), None);
        assert_eq!(budget.breach(&row(900)), None);
        assert_eq!(
            budget
                .breach(&row(1051))
                .map(|breach| breach.grew_by)
                .as_deref(),
            Some("5.10%")
        );
        let budget: Budget = "section +50".parse().unwrap();
        assert_eq!(budget.breach(&row(1050)), None);
        assert!(budget.breach(&row(1051)).is_some());
        let new = Row {
            name: "new".into(),
            after: Some(51),
            ..Row::default()
        };
        assert!(budget.breach(&new).is_some());
    }
}
