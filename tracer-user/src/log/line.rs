//! The line of a message. It contains no other line: line breaks and control characters of a build's names are escaped.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{Level, Record};
use crate::history::rfc3339;
use crate::render::style::escape;

/// The form of the lines of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// Time, level and message.
    Text,
    /// The priority that journald removes, and the message. The journal has its own time.
    Journal,
    Json,
}

#[derive(Serialize)]
struct JsonLine<'a> {
    time: &'a str,
    level: &'a str,
    process: &'a str,
    message: &'a str,
    #[serde(flatten)]
    fields: BTreeMap<&'static str, &'a Value>,
}

/// The line with its line break. `wall_ns` is the current time.
pub(super) fn line(record: &Record<'_>, style: Style, process: &str, wall_ns: i64) -> String {
    let Record {
        level,
        message,
        fields,
    } = record;
    match style {
        Style::Text => {
            let time = rfc3339(wall_ns);
            format!("{time} {:5} {}\n", level.name(), escape(message))
        }
        Style::Journal => format!("<{}>{}\n", priority(*level), escape(message)),
        Style::Json => {
            let line = serde_json::to_string(&JsonLine {
                time: &rfc3339(wall_ns),
                level: level.name(),
                process,
                message,
                fields: fields.iter().map(|(name, value)| (*name, value)).collect(),
            });
            // Texts and numbers are always valid JSON.
            line.unwrap_or_default() + "\n"
        }
    }
}

/// The priority of syslog(3), as in sd-daemon(3).
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug => 7,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const AT: i64 = 1_796_040_000_123_456_789;

    fn of(style: Style, message: &str) -> String {
        let record = Record {
            level: Level::Warn,
            message,
            fields: &[("builds", json!(3)), ("cause", json!("a\"b"))],
        };
        line(&record, style, "storage", AT)
    }

    #[test]
    fn a_text_line_has_time_level_and_message() {
        let expected = "2026-11-30T12:00:00.123Z warn  3 builds were dropped\n";
        assert_eq!(of(Style::Text, "3 builds were dropped"), expected);
    }

    #[test]
    fn the_journal_receives_a_priority_and_no_time() {
        assert_eq!(of(Style::Journal, "x"), "<4>x\n");
        assert_eq!(Level::ALL.map(priority), [3, 4, 6, 7]);
    }

    #[test]
    fn a_json_line_is_one_object() {
        let line = of(Style::Json, "a\nb\u{1b}");
        assert_eq!(line.matches('\n').count(), 1);
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(
            value,
            json!({
                "time": "2026-11-30T12:00:00.123Z",
                "level": "warn",
                "process": "storage",
                "message": "a\nb\u{1b}",
                "builds": 3,
                "cause": "a\"b",
            })
        );
        assert!(line.starts_with(r#"{"time":"#), "{line}");
    }

    #[test]
    fn a_name_cannot_begin_a_line() {
        for style in [Style::Text, Style::Journal] {
            let line = of(style, "cannot read a\n<0>forged\r\u{1b}[2K");
            assert_eq!(line.matches(['\n', '\r', '\u{1b}']).count(), 1, "{line:?}");
            assert!(line.ends_with('\n'));
        }
    }
}
