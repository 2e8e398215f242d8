//! The rule for values that the linker writes into a variable: `-X importpath.name=value`.

use std::borrow::Cow;

use super::super::quote::Quote;
use super::super::{REDACTED, name};
use super::{LOOK_AHEAD, Scan, SecretRange};

/// The defaults of `GODEBUG`, which Go itself sets and which contain no secret.
const GODEBUG: &[u8] = b"runtime.godebugDefault";

/// The whole of `importpath.name=value`: the argument after `-X` in a list.
pub(in crate::redact) fn symbol_value(symbol: &[u8]) -> Cow<'_, [u8]> {
    match symbol
        .iter()
        .position(|it| *it == b'=')
        .and_then(|at| symbol.split_at_checked(at + 1))
    {
        Some((head, value))
            if head.strip_suffix(b"=") != Some(GODEBUG) && !name::is_harmless(value) =>
        {
            Cow::Owned([head, REDACTED.as_bytes()].concat())
        }
        Some(_) | None => Cow::Borrowed(symbol),
    }
}

impl Scan<'_> {
    /// The linker's `-X importpath.name=value` in any quoting: shell, Go's own, `%q` lists, escaped once more.
    pub(super) fn linker_x(&self) -> Option<SecretRange> {
        if self
            .before(self.at)
            .is_some_and(|it| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_' | b'/' | b'.'))
        {
            return None;
        }
        let dashes = self
            .rest(self.at)
            .iter()
            .take_while(|it| **it == b'-')
            .count();
        let mut at = self.at + dashes;
        if dashes > 2 || self.rest(at).first() != Some(&b'X') {
            return None;
        }
        at += 1;
        let mut outer = Quote::before(self.text, self.at);
        // `"-X" "main.t=value"`
        if let Some(quote) = outer.filter(|it| Quote::at(self.rest(at)) == Some(*it)) {
            at += quote.len();
            outer = None;
        }
        if self.rest(at).first() == Some(&b'=') {
            at += 1;
        } else {
            let blanks = self
                .rest(at)
                .iter()
                .take(LOOK_AHEAD)
                .take_while(|it| it.is_ascii_whitespace())
                .count();
            at += (blanks > 0).then_some(blanks)?;
            // A quote around flag and value does not belong to the value: `"-X main.t=value -s"`.
            outer = None;
        }
        let inner = Quote::at(self.rest(at));
        at += inner.map_or(0, Quote::len);
        let symbol = self
            .rest(at)
            .iter()
            .take(LOOK_AHEAD)
            .take_while(|it| is_symbol_byte(**it))
            .count();
        let start = at + symbol + 1;
        if symbol == 0
            || self.text.get(start - 1) != Some(&b'=')
            || self.text.get(at..start - 1) == Some(GODEBUG)
        {
            return None;
        }
        let end = match inner.or(outer) {
            Some(quote) => start + quote.close(self.rest(start)),
            None => self.end_of_words(start),
        };
        if name::is_harmless(self.text.get(start..end)?) {
            // `testing.testBinary=1`, which Go sets for tests.
            return None;
        }
        self.span(start, end)
    }
}

/// Import path and name, as the linker takes them; a path may be escaped.
fn is_symbol_byte(byte: u8) -> bool {
    !byte.is_ascii_whitespace() && !matches!(byte, b'=' | b'"' | b'\'' | b'`' | b'\\')
}
