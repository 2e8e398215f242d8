//! One pass over a text, from left to right. At each position the rules are tried in turn; the first that finds a secret returns its end.

mod command;
mod define;
mod named;
mod symbol;
mod url;

use std::borrow::Cow;

use super::quote::{Open, Quote};
use super::{REDACTED, token};

pub(super) use command::{Takes, flag, takes};
pub(super) use define::{MacroHead, definition, head};
pub(super) use symbol::symbol_value;

/// The distance that a rule searches ahead.
const LOOK_AHEAD: usize = 1024;

/// Most passes, because the removal of one secret can reveal another beside it. A text that needs more is not real, and is removed as a
/// whole.
const PASSES: usize = 8;

/// Redacts any text.
pub(super) fn text(text: &[u8]) -> Cow<'_, [u8]> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    repeated(text, pass)
}

/// Applies a rule until it removes nothing more.
pub(super) fn repeated(
    text: &[u8],
    rule: impl for<'b> Fn(&'b [u8]) -> Cow<'b, [u8]>,
) -> Cow<'_, [u8]> {
    let mut out = rule(text);
    if matches!(out, Cow::Borrowed(_)) {
        return out;
    }
    for _ in 1..PASSES {
        match rule(&out) {
            Cow::Owned(next) if next != *out => out = Cow::Owned(next),
            Cow::Borrowed(_) | Cow::Owned(_) => return out,
        }
    }
    Cow::Owned(REDACTED.into()) // A borrowed text would mean that nothing was removed.
}

/// True for most texts, which are paths and words: every rule needs one of five bytes, or a key with a known form.
fn is_plain(text: &[u8]) -> bool {
    !text
        .iter()
        .any(|it| matches!(it, b'=' | b':' | b' ' | b'%' | b'\\'))
        && token::likely(text).is_none()
}

fn pass(text: &[u8]) -> Cow<'_, [u8]> {
    let mut scan = Scan {
        text,
        at: 0,
        out: Vec::new(),
        copied: 0,
        open: Open::default(),
    };
    scan.run();
    if scan.out.is_empty() && scan.copied == 0 {
        return Cow::Borrowed(text);
    }
    scan.out
        .extend_from_slice(text.get(scan.copied..).unwrap_or_default());
    // Only secrets that had been removed before.
    if scan.out == text {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(scan.out)
    }
}

/// Bytes of names of flags, variables and headers.
pub(super) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// The start and end of a secret.
type SecretRange = (usize, usize);

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    out: Vec<u8>,
    /// The length of the text that is in `out`, or replaced there.
    copied: usize,
    open: Open,
}

impl Scan<'_> {
    fn run(&mut self) {
        while let Some(byte) = self.text.get(self.at).copied() {
            if byte == b'<' && self.rest(self.at).starts_with(REDACTED.as_bytes()) {
                self.at += REDACTED.len();
                continue;
            }
            if let Some(span) = self.secret(byte) {
                self.replace(span);
                continue;
            }
            if let Some(quote) = Quote::at(self.rest(self.at)) {
                let opens = self
                    .before(self.at)
                    .is_none_or(|it| !it.is_ascii_alphanumeric());
                self.open.meet(quote, opens);
                self.at += quote.len();
            } else {
                self.at += 1;
                if is_name_byte(byte) {
                    self.skip_name();
                }
            }
        }
    }

    /// Skips bytes inside of a name at which no rule applies. Most of a text is such bytes.
    fn skip_name(&mut self) {
        while let Some(byte) = self.text.get(self.at).copied()
            && is_name_byte(byte)
            && byte != b'-'
            && !matches!(self.text.get(self.at + 1), Some(next) if token::is_likely(byte, *next))
        {
            self.at += 1;
        }
    }

    fn secret(&self, byte: u8) -> Option<SecretRange> {
        if byte == b':' {
            return self.userinfo();
        }
        if let Some(len) = token::len(self.rest(self.at), self.kept(self.at)) {
            return Some((self.at, self.at + len));
        }
        if byte == b'-'
            && let Some(span) = self.linker_x().or_else(|| self.flag_of_a_command())
        {
            return Some(span);
        }
        if matches!(byte, b'-' | b'/')
            && let Some(head) = self.definition_head()
        {
            return self.definition(&head);
        }
        let starts_name =
            is_name_byte(byte) && self.before(self.at).is_none_or(|it| !is_name_byte(it));
        if starts_name {
            self.named().or_else(|| self.stated())
        } else {
            None
        }
    }

    fn rest(&self, at: usize) -> &[u8] {
        self.text.get(at..).unwrap_or_default()
    }

    /// The byte before a position, as it is in the output.
    fn before(&self, at: usize) -> Option<u8> {
        if at == self.copied && !self.out.is_empty() {
            return self.out.last().copied();
        }
        at.checked_sub(1).and_then(|it| self.text.get(it)).copied()
    }

    /// The text before a position, since the last removed secret.
    fn kept(&self, at: usize) -> &[u8] {
        let start = if self.out.is_empty() { 0 } else { self.copied };
        self.text.get(start..at).unwrap_or_default()
    }

    fn replace(&mut self, (start, end): SecretRange) {
        self.out
            .extend_from_slice(self.text.get(self.copied..start).unwrap_or_default());
        self.out.extend_from_slice(REDACTED.as_bytes());
        self.copied = end.max(start);
        self.at = self.copied;
    }

    /// A range, unless it is empty or was removed before.
    fn span(&self, start: usize, end: usize) -> Option<SecretRange> {
        let value = self.text.get(start..end)?;
        (!value.is_empty() && value != REDACTED.as_bytes()).then_some((start, end))
    }

    /// End of an unquoted word of a shell: a blank, an operator, or the quote that is open around it.
    fn end_of_word(&self, start: usize) -> usize {
        self.end(start, |rest| {
            rest.first().is_some_and(|it| {
                it.is_ascii_whitespace() || matches!(it, b'&' | b';' | b'|' | b')')
            })
        })
    }

    fn end_of_line(&self, start: usize) -> usize {
        self.end(start, |rest| rest.starts_with(b"\n"))
    }

    /// End of a value of `-X`: the next flag. A blank alone does not end it, because the next word is either a flag or part of an unquoted
    /// value.
    fn end_of_words(&self, start: usize) -> usize {
        self.end(start, |rest| match rest {
            [b'\n', ..] => true,
            [blank, after @ ..] if blank.is_ascii_whitespace() => {
                let next = after.iter().find(|it| !matches!(it, b' ' | b'\t'));
                next.is_none_or(|it| matches!(it, b'-' | b'\n' | b'"' | b'\'' | b'&' | b';' | b'|'))
            }
            _ => false,
        })
    }

    /// The first position where `stops` is true or a quote closes that was open before. Quoted parts inside are skipped.
    fn end(&self, start: usize, stops: impl Fn(&[u8]) -> bool) -> usize {
        let mut at = start;
        while let Some(byte) = self.text.get(at).copied() {
            let rest = self.rest(at);
            if stops(rest) {
                break;
            }
            at += match Quote::at(rest) {
                Some(quote) if self.open.has(quote) => break,
                Some(quote) => {
                    let inside = self.rest(at + quote.len());
                    let close = quote.close(inside);
                    quote.len() + close + if close < inside.len() { quote.len() } else { 0 }
                }
                // An escaped blank or operator.
                None if byte == b'\\' => 2,
                None => 1,
            };
        }
        at.min(self.text.len())
    }
}
