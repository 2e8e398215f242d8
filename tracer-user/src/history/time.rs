//! Times as text: `3 min ago`, `2026-11-20 14:05`, always UTC.

use std::str::FromStr;

use thiserror::Error;

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// A time from the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeArg {
    /// Nanoseconds before now.
    Ago(i64),
    /// Nanoseconds since 1970.
    At(i64),
}

/// The text is not a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "not a time: give an age (90s, 30m, 2h, 7d, 2w) or a date in UTC (2026-11-20, 2026-11-20T14:05)"
)]
pub struct BadTime;

impl TimeArg {
    /// Nanoseconds since 1970.
    pub fn at(self, now_ns: i64) -> i64 {
        match self {
            Self::Ago(ns) => now_ns.saturating_sub(ns),
            Self::At(ns) => ns,
        }
    }
}

impl FromStr for TimeArg {
    type Err = BadTime;

    fn from_str(text: &str) -> Result<Self, BadTime> {
        age(text)
            .map(Self::Ago)
            .or_else(|| instant(text).map(Self::At))
            .ok_or(BadTime)
    }
}

fn age(text: &str) -> Option<i64> {
    let unit_at = text.find(|it: char| !it.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let unit = match unit {
        "s" => SECOND,
        "m" | "min" => MINUTE,
        "h" => HOUR,
        "d" => DAY,
        "w" => 7 * DAY,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit)
}

fn instant(text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (date, clock) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
    let [year, month, day] = numbers(date, '-')?;
    if !(1970..=2261).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days(year, month, day);
    if civil(days) != (year, month, day) {
        return None;
    }
    let with_seconds = format!("{clock}:00");
    let [hour, minute, second] = numbers(clock, ':').or_else(|| numbers(&with_seconds, ':'))?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    Some(days * DAY + hour * HOUR + minute * MINUTE + second * SECOND)
}

fn numbers(text: &str, between: char) -> Option<[i64; 3]> {
    let parts: Option<Vec<i64>> = text
        .split(between)
        .map(|it| {
            let is_number = (1..=4).contains(&it.len()) && it.bytes().all(|it| it.is_ascii_digit());
            is_number.then(|| it.parse().ok()).flatten()
        })
        .collect();
    parts?.try_into().ok()
}

/// Days from 1970 to a date of the Gregorian calendar. Years begin in March here, so that the leap day is their last day.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month = (month + 9) % 12;
    let in_year = (153 * month + 2) / 5 + day - 1;
    365 * year + year / 4 - year / 100 + year / 400 + in_year - 719_468
}

/// The date of a number of days after 1970.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let in_era = days.rem_euclid(146_097);
    let year = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// `2026-11-20 14:05:09 UTC`.
pub fn date(ns: i64) -> String {
    let (year, month, day) = civil(ns.div_euclid(DAY));
    let rest = ns.rem_euclid(DAY);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC",
        rest / HOUR,
        rest / MINUTE % 60,
        rest / SECOND % 60
    )
}

/// `2026-11-20T14:05:09.123Z`, as in RFC 3339.
pub fn rfc3339(ns: i64) -> String {
    let (year, month, day) = civil(ns.div_euclid(DAY));
    let rest = ns.rem_euclid(DAY);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        rest / HOUR,
        rest / MINUTE % 60,
        rest / SECOND % 60,
        rest % SECOND / 1_000_000
    )
}

/// `3 min ago`; a date from 60 days on.
pub fn ago(ns: i64, now_ns: i64) -> String {
    match now_ns.saturating_sub(ns) {
        it if it < -MINUTE => "in the future".to_owned(),
        it if it < 10 * SECOND => "just now".to_owned(),
        it if it < 2 * MINUTE => format!("{} s ago", it / SECOND),
        it if it < 2 * HOUR => format!("{} min ago", it / MINUTE),
        it if it < 2 * DAY => format!("{} h ago", it / HOUR),
        it if it < 60 * DAY => format!("{} days ago", it / DAY),
        _ => date(ns).split(' ').next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_ages_and_dates_are_times() {
        for (text, moment) in [
            ("90s", TimeArg::Ago(90 * SECOND)),
            ("30m", TimeArg::Ago(30 * MINUTE)),
            ("2w", TimeArg::Ago(14 * DAY)),
            ("1970-01-01", TimeArg::At(0)),
            ("2000-02-29T12:00:01Z", TimeArg::At(951_825_601 * SECOND)),
            ("2026-11-20 14:05", TimeArg::At(1_795_183_500 * SECOND)),
        ] {
            assert_eq!(text.parse(), Ok(moment), "{text}");
        }
        for text in [
            "",
            "h",
            "2",
            "-2h",
            "2 h",
            "99999999999999d",
            "2026-02-29",
            "2026-13-01",
            "2026-1",
            "1969-12-31",
            "2026-11-20T24:00",
            "2026-11-20T1",
            "yesterday",
            "+2h",
            "9999-01-01",
        ] {
            assert_eq!(text.parse::<TimeArg>(), Err(BadTime), "{text}");
        }
    }

    #[test]
    fn ages_have_one_unit() {
        let now = 1_795_183_500 * SECOND;
        for (before, text) in [
            (-5 * MINUTE, "in the future"),
            (0, "just now"),
            (42 * SECOND, "42 s ago"),
            (3 * MINUTE, "3 min ago"),
            (26 * HOUR, "26 h ago"),
            (10 * DAY, "10 days ago"),
            (100 * DAY, "2026-08-12"),
        ] {
            assert_eq!(ago(now - before, now), text);
        }
    }

    proptest! {
        #[test]
        fn a_date_parses_to_its_time(seconds in 0i64..9_000_000_000) {
            let written = date(seconds * SECOND);
            let read: TimeArg = written.trim_end_matches(" UTC").parse().unwrap();
            prop_assert_eq!(read, TimeArg::At(seconds * SECOND));
        }
    }
}
