//! The differences between the facts about a file that a test used: size, mode and modification time, but never the content.
//!
//! Source: `hashOpen`, `hashStat` and `hashWriteStat` of `cmd/go/internal/test/test.go`, Go 1.19 to 1.27.

use std::collections::BTreeMap;

use super::diff::Change;
use super::input::{InputKind, input};

/// A file or a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fact<'a> {
    /// `stat 12 1a4 2026-01-02 15:04:05.5 +0000 UTC false`.
    Stat {
        size: &'a str,
        mode: &'a str,
        time: &'a str,
    },
    /// `err stat /m/a.txt: no such file or directory`, without the path.
    Error(&'a str),
}

/// The changes of a file and of the entries of a directory. `None` if facts are missing.
pub(super) fn changes(name: &str, before: &[String], after: &[String]) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    let (before, after) = (facts(name, before)?, facts(name, after)?);
    for (name, old) in &before {
        match after.get(name) {
            Some(new) => old.iter().zip(new).for_each(|(old, new)| {
                compare(name, *old, *new, &mut changes);
            }),
            None => changes.push(change(InputKind::TestFile, name, Some(""), None)),
        }
    }
    for name in after.keys().filter(|it| !before.contains_key(*it)) {
        changes.push(change(InputKind::TestFile, name, None, Some("")));
    }
    Some(changes)
}

/// The facts about each file: about a link two, of which the second one is about the link itself. `None` if a line is of another form.
fn facts<'a>(name: &str, lines: &'a [String]) -> Option<BTreeMap<String, Vec<Fact<'a>>>> {
    let mut facts: BTreeMap<String, Vec<Fact<'_>>> = BTreeMap::new();
    let mut at = name.to_owned();
    for line in lines {
        if let Some(entry) = line.strip_prefix("file ") {
            at = format!("{name}/{}", entry.strip_suffix(' ').unwrap_or(entry));
            facts.entry(at.clone()).or_default();
        } else {
            let line = line.trim_end_matches('\n');
            facts.entry(at.clone()).or_default().push(Fact::of(line)?);
        }
    }
    (!facts.is_empty()).then_some(facts)
}

impl<'a> Fact<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let (word, rest) = line.split_once(' ')?;
        if word == "err" {
            return Some(Self::Error(rest.rsplit(": ").next()?));
        }
        let (size, rest) = rest.split_once(' ').filter(|_| word == "stat")?;
        let (mode, rest) = rest.split_once(' ')?;
        let (time, _is_directory) = rest.rsplit_once(' ')?;
        Some(Self::Stat { size, mode, time })
    }
}

fn compare(name: &str, old: Fact<'_>, new: Fact<'_>, changes: &mut Vec<Change>) {
    let mut differ = |kind: InputKind, old: &str, new: &str| {
        if old != new {
            changes.push(change(kind, name, Some(old), Some(new)));
        }
    };
    match (old, new) {
        (
            Fact::Stat { size, mode, time },
            Fact::Stat {
                size: new_size,
                mode: new_mode,
                time: new_time,
            },
        ) => {
            differ(InputKind::TestFileSize, size, new_size);
            differ(InputKind::TestFileMode, mode, new_mode);
            match (instant(time), instant(new_time)) {
                (Some((old, old_zone)), Some((new, new_zone))) if old == new => {
                    if old_zone != new_zone {
                        let (old, new) = (Some(old_zone), Some(new_zone));
                        changes.push(change(InputKind::TestTimeZone, "", old, new));
                    }
                }
                _ => differ(InputKind::TestFileTime, time, new_time),
            }
        }
        (Fact::Error(old), Fact::Error(new)) => differ(InputKind::TestFileError, old, new),
        (Fact::Error(_), Fact::Stat { .. }) => {
            changes.push(change(InputKind::TestFile, name, None, Some("")));
        }
        (Fact::Stat { .. }, Fact::Error(_)) => {
            changes.push(change(InputKind::TestFile, name, Some(""), None));
        }
    }
}

fn change(kind: InputKind, name: &str, before: Option<&str>, after: Option<&str>) -> Change {
    Change {
        input: input(kind, name),
        before: before.map(str::to_owned),
        after: after.map(str::to_owned),
    }
}

/// Nanoseconds since a fixed time, and the zone, of a time such as `2026-01-02 15:04:05.5 +0100 CET`. `None` if it is of another form.
fn instant(time: &str) -> Option<(i128, &str)> {
    let (date, rest) = time.split_once(' ')?;
    let (clock, zone) = rest.split_once(' ')?;
    let offset = zone.split(' ').next()?;
    let number = |it: &str| {
        it.parse::<i128>()
            .ok()
            .filter(|it| (0..=9_999).contains(it))
    };
    let mut date = date.splitn(3, '-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut clock = clock.splitn(3, ':').map(number);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let nanos = format!("{fraction:0<9}").parse::<u32>().ok()?;
    let sign = match offset.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let shift = number(offset.get(1..3)?)? * 60 + number(offset.get(3..)?)?;
    // Years begin in March here, so that the leap day is their last day.
    let year = if month <= 2 { year - 1 } else { year };
    let in_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * year + year / 4 - year / 100 + year / 400 + in_year;
    let minutes = (days * 24 + hour) * 60 + minute - sign * shift;
    let ns = (minutes * 60 + second) * 1_000_000_000 + i128::from(nanos);
    Some((ns, zone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_instants_in_two_zones_are_equal() {
        let ns = |it: &str| instant(it).unwrap().0;
        let utc = ns("2026-02-28 23:30:00.25 +0000 UTC");
        assert_eq!(utc, ns("2026-03-01 01:00:00.25 +0130 X"));
        assert_eq!(utc, ns("2026-02-28 18:30:00.250 -0500 EST"));
        assert!(utc < ns("2026-02-28 23:30:00.250000001 +0000 UTC"));
        for broken in [
            "",
            "2026",
            "2026-01-01 00:00:00",
            "a-b-c 0:0:0 +0000",
            "2026-01-01 0:0:0 +é",
        ] {
            assert_eq!(instant(broken), None);
        }
    }
}
