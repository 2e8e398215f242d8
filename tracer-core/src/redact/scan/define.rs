//! The rule for macro definitions of a C compiler: `-DNAME=value`.

use super::super::name;
use super::super::quote::Quote;
use super::{LOOK_AHEAD, Scan, SecretRange};

/// The start of a definition: `-DNAME=`, `/DNAME=`, `-D NAME=`, `--define=NAME=` or `-Wp,-DNAME=`, optionally with a quote after the flag.
/// Contains its length, the position of the name, and the quote that is open after it.
pub(in crate::redact) struct MacroHead<'a> {
    pub(in crate::redact) name: &'a [u8],
    pub(in crate::redact) len: usize,
    quote: Option<Quote>,
}

/// Parses a definition at the beginning of a text.
pub(in crate::redact) fn head(text: &[u8]) -> Option<MacroHead<'_>> {
    const FLAGS: [&[u8]; 6] = [
        b"--define-macro",
        b"--define",
        b"-Wp,-D",
        b"-Wc,-D",
        b"-D",
        b"/D",
    ];
    let flag = FLAGS.iter().find(|it| text.starts_with(it))?;
    let mut at = flag.len();
    let is_long = flag.starts_with(b"--");
    match text.get(at) {
        Some(b'=') if is_long => at += 1,
        Some(b' ' | b'\t') => at += 1,
        Some(_) if !is_long => {}
        Some(_) | None => return None,
    }
    definition(text, at)
}

/// Parses `NAME=`, `NAME(a, b)=` or `NAME:TYPE=` at a position.
pub(in crate::redact) fn definition(text: &[u8], at: usize) -> Option<MacroHead<'_>> {
    let mut at = at;
    let rest = |at: usize| text.get(at..).unwrap_or_default();
    let run = |at: usize, is: fn(&u8) -> bool| {
        rest(at)
            .iter()
            .take(LOOK_AHEAD)
            .take_while(|it| is(it))
            .count()
    };
    let quote = Quote::at(rest(at));
    at += quote.map_or(0, Quote::len);
    let start = at;
    at += run(at, |it| {
        it.is_ascii_alphanumeric() || matches!(it, b'_' | b'.' | b'$' | b'-')
    });
    let name = text.get(start..at).filter(|it| !it.is_empty())?;
    match rest(at).first()? {
        b':' => at += 1 + run(at + 1, u8::is_ascii_alphabetic),
        b'(' => at += 2 + run(at + 1, |it| !matches!(it, b')' | b'"' | b'\'' | b'\n')),
        _ => {}
    }
    let is_definition = rest(at).first() == Some(&b'=') && rest(at).get(1) != Some(&b'>');
    is_definition.then_some(MacroHead {
        name,
        len: at + 1,
        quote,
    })
}

impl Scan<'_> {
    /// A definition at this position, whether or not its value is secret.
    pub(super) fn definition_head(&self) -> Option<MacroHead<'_>> {
        let begins = self.before(self.at).is_none_or(|it| {
            it.is_ascii_whitespace()
                || matches!(
                    it,
                    b'"' | b'\'' | b'`' | b',' | b'=' | b';' | b'&' | b'|' | b'(' | b'[' | b'>'
                )
        });
        begins.then(|| head(self.rest(self.at))).flatten()
    }

    pub(super) fn definition(&self, head: &MacroHead<'_>) -> Option<SecretRange> {
        let before = self.before(self.at);
        let outer = Quote::before(self.text, self.at).filter(|it| self.open.has(*it));
        let start = self.at + head.len;
        let rest = self.rest(start);
        let inner = Quote::at(rest).filter(|it| !self.open.has(*it));
        let (start, end) = match (head.quote.or(outer), inner) {
            (Some(quote), _) => (start, start + quote.close(rest)),
            (None, Some(quote)) => {
                let inside = start + quote.len();
                let close = inside + quote.close(self.rest(inside));
                // Text directly after the quoted part belongs to the value.
                let end = self.end_of_word((close + quote.len()).min(self.text.len()));
                if end > close + quote.len() {
                    (start, end)
                } else {
                    (inside, close)
                }
            }
            (None, None) if before == Some(b',') || self.rest(self.at).starts_with(b"-W") => {
                let is_end = |it: &u8| it.is_ascii_whitespace() || *it == b',';
                let end = self.end(start, |rest| rest.first().is_some_and(is_end));
                (start, end)
            }
            (None, None) => (start, self.end_of_word(start)),
        };
        if !name::is_secret_macro(head.name, self.text.get(start..end)?) {
            return None;
        }
        self.span(start, end)
    }
}
