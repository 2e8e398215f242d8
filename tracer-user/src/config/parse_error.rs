//! An error in a configuration file. It names the line and the key, but never the value, which may be a secret.

use std::fmt;

/// An error of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Counted from 1.
    line: usize,
    /// `None` if the line has no key.
    key: Option<String>,
    message: String,
}

impl ParseError {
    pub(super) fn new(text: &str, error: &toml::de::Error) -> Self {
        let at = error.span().map_or(0, |span| span.start).min(text.len());
        let before = text.get(..at).unwrap_or_default();
        let start = before.rfind('\n').map_or(0, |it| it + 1);
        let line = text.get(start..).and_then(|it| it.lines().next());
        let key = line.and_then(|it| it.split_once('=')).map(|(key, _)| key);
        Self {
            line: before.matches('\n').count() + 1,
            key: key.map(|it| it.trim().to_owned()),
            message: without_value(error.message()),
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, key, message } = self;
        match key {
            Some(key) => write!(f, "{line}: {key}: {message}"),
            None => write!(f, "{line}: {message}"),
        }
    }
}

/// `invalid type: string "secret", expected u32` without the secret.
fn without_value(message: &str) -> String {
    match (message.find('"'), message.rfind('"')) {
        (Some(first), Some(last)) if first < last => {
            let (before, after) = (message.get(..first), message.get(last + 1..));
            let before = before.unwrap_or_default().trim_end();
            format!("{before}{}", after.unwrap_or_default())
        }
        _ => message.to_owned(),
    }
}
