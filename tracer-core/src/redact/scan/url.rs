//! The rule for names and passwords in URLs.

use super::super::REDACTED;
use super::{LOOK_AHEAD, Scan, SecretRange};

impl Scan<'_> {
    /// `scheme://user:password@host`: everything before the `@`. The name is removed too, because tokens are given as names.
    pub(super) fn userinfo(&self) -> Option<SecretRange> {
        self.rest(self.at).strip_prefix(b"://").filter(|_| {
            self.before(self.at)
                .is_some_and(|it| it.is_ascii_alphanumeric())
        })?;
        let start = self.at + 3;
        let rest = self.rest(start);
        let ends = |it: &u8| it.is_ascii_whitespace() || matches!(it, b'"' | b'\'' | b'`');
        let whole = rest
            .iter()
            .take(LOOK_AHEAD)
            .position(ends)
            .unwrap_or(rest.len().min(LOOK_AHEAD));
        let whole = rest.get(..whole)?;
        let ends = |it: &u8| matches!(it, b'/' | b',' | b'|' | b')' | b']' | b'}');
        let authority = whole.get(..whole.iter().position(ends).unwrap_or(whole.len()))?;
        let is_at = |it: &u8| *it == b'@';
        let len = match authority.iter().rposition(is_at) {
            Some(len) => len,
            // An unescaped slash or comma in a password: the apparent port is not a port.
            None if has_odd_port(authority) => whole.iter().rposition(is_at)?,
            None => return None,
        };
        let info = rest.get(..len)?;
        let is_ssh = self.text.get(..self.at)?.ends_with(b"ssh");
        let is_name = !info.contains(&b':') && (is_ssh || info == b"git");
        (!info.is_empty() && !is_name && info != REDACTED.as_bytes())
            .then_some((start, start + len))
    }
}

/// True if the part after the last colon of a host is not a number.
fn has_odd_port(authority: &[u8]) -> bool {
    // `[::1]:80` was cut at its bracket.
    !authority.starts_with(b"[")
        && authority
            .iter()
            .rposition(|it| *it == b':')
            .and_then(|at| authority.get(at + 1..))
            .is_some_and(|port| !port.iter().all(u8::is_ascii_digit))
}
