//! The key that an error belongs to, and the line of a key in a configuration file.
//!
//! A module that refuses a value adds the [`Key`] to its error. The caller adds the position with [`locate`], because only the caller
//! has the text of the file.

use std::fmt;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The cause of an error, as context: a key such as `otlp.headers_file`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(pub &'static str);

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Adds `FILE:LINE` to an error that belongs to a key of the text. Other errors remain unchanged.
pub(super) fn locate(path: &Path, text: &str, error: anyhow::Error) -> anyhow::Error {
    let line = error.downcast_ref().and_then(|Key(key)| line(text, key));
    match line {
        Some(line) => error.context(format!("{}:{line}", path.display())),
        None => error,
    }
}

/// The line of a key, or of its section if only the section is in the text.
pub(super) fn line(text: &str, key: &str) -> Option<usize> {
    find(text, key).map(|(line, _)| line)
}

/// The line of a key that is in the text.
pub(super) fn exact_line(text: &str, key: &str) -> Option<usize> {
    find(text, key)
        .filter(|(_, is_exact)| *is_exact)
        .map(|(line, _)| line)
}

/// The line of a key or of its section, and true if it is that of the key.
fn find(text: &str, key: &str) -> Option<(usize, bool)> {
    let root = DeTable::parse(text).ok()?;
    let mut table = root.get_ref();
    let mut at = None;
    let mut parts = key.split('.').peekable();
    let mut is_exact = false;
    while let Some(part) = parts.next() {
        let Some((name, value)) = table.get_key_value(part) else {
            break;
        };
        at = Some(name.span().start);
        is_exact = parts.peek().is_none();
        let DeValue::Table(inner) = Spanned::get_ref(value) else {
            break;
        };
        table = inner;
    }
    let before = text.get(..at?)?;
    Some((before.matches('\n').count() + 1, is_exact))
}

#[cfg(test)]
mod tests {
    use anyhow::{Context as _, anyhow};

    use super::*;

    const TEXT: &str = "keep_days = 3\n\n[otlp]\n# c\nendpoint = 'http://h'\n[ pushgateway ]\n";

    #[test]
    fn a_key_has_the_line_of_its_name_or_of_its_section() {
        for (key, expected) in [
            ("keep_days", Some(1)),
            ("otlp", Some(3)),
            ("otlp.endpoint", Some(5)),
            ("otlp.headers_file", Some(3)),
            ("pushgateway.url", Some(6)),
            ("store", None),
        ] {
            assert_eq!(line(TEXT, key), expected, "{key}");
        }
        assert_eq!(line("[broken", "broken"), None);
        assert_eq!(exact_line(TEXT, "otlp.endpoint"), Some(5));
        assert_eq!(exact_line(TEXT, "otlp.headers_file"), None);
    }

    #[test]
    fn an_error_with_a_key_has_file_line_and_key() {
        let path = Path::new("/etc/c.toml");
        let error = Err::<(), _>(anyhow!("no such file")).context(Key("otlp.headers_file"));
        let error = error.context("cannot start").unwrap_err();
        let shown = format!("{:#}", locate(path, TEXT, error));
        assert_eq!(
            shown,
            "/etc/c.toml:3: cannot start: otlp.headers_file: no such file"
        );
        let other = locate(path, TEXT, anyhow!("no such file"));
        assert_eq!(format!("{other:#}"), "no such file");
    }
}
