//! One pass over a text, from left to right: at each place the rules are asked in turn, and the first that finds a secret says
//! where it ends.

use std::borrow::Cow;

use super::quote::{Open, Quote};
use super::{REDACTED, name, token};

/// How far a rule looks ahead for what would complete it.
const LOOK_AHEAD: usize = 1024;
/// The linker's only `-X` that Go itself sets: the defaults of `GODEBUG`.
const GODEBUG: &[u8] = b"runtime.godebugDefault";

/// A secret taken out can bring another to light beside it. Few are that entangled; the rest stays as it is.
const PASSES: usize = 4;

/// Any text.
pub(super) fn text(text: &[u8]) -> Cow<'_, [u8]> {
    let mut out = pass(text);
    for _ in 1..PASSES {
        match pass(&out) {
            Cow::Borrowed(_) => break,
            Cow::Owned(next) => out = Cow::Owned(next),
        }
    }
    out
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
    // Nothing but what had been taken out before.
    if scan.out == text {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(scan.out)
    }
}

/// `importpath.name=value`, all of it: what follows `-X` in a list of arguments.
pub(super) fn symbol_value(symbol: &[u8]) -> Cow<'_, [u8]> {
    match symbol
        .iter()
        .position(|it| *it == b'=')
        .and_then(|at| symbol.split_at_checked(at + 1))
    {
        Some((head, b"")) if head.ends_with(b"=") => Cow::Borrowed(symbol),
        Some((head, value))
            if head.strip_suffix(b"=") == Some(GODEBUG) || value == REDACTED.as_bytes() =>
        {
            Cow::Borrowed(symbol)
        }
        Some((head, _)) => Cow::Owned([head, REDACTED.as_bytes()].concat()),
        None => Cow::Borrowed(symbol),
    }
}

/// Bytes of names of flags, variables and headers.
pub(super) fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// A secret: from where to where.
type Span = (usize, usize);

/// What is known of a value before it is looked at.
#[derive(Clone, Copy)]
struct Value {
    /// It is secret only if it looks so.
    is_key: bool,
    /// What ends it if it is not quoted.
    end: End,
    /// The quote around its name is closed: an equal one opens again.
    is_fresh: bool,
}

#[derive(Clone, Copy)]
enum End {
    Word,
    Line,
    /// Name and value stand in one pair of quotes.
    Quote(Quote),
}

struct Scan<'a> {
    text: &'a [u8],
    at: usize,
    out: Vec<u8>,
    /// How much of the text is in `out`, or replaced there.
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
            match Quote::at(self.rest(self.at)) {
                Some(quote) => {
                    let opens = self
                        .before(self.at)
                        .is_none_or(|it| !it.is_ascii_alphanumeric());
                    self.open.meet(quote, opens);
                    self.at += quote.len();
                }
                None => self.at += 1,
            }
        }
    }

    fn secret(&self, byte: u8) -> Option<Span> {
        if byte == b':' {
            return self.userinfo();
        }
        if let Some(len) = token::len(self.rest(self.at), self.before(self.at)) {
            return Some((self.at, self.at + len));
        }
        if byte == b'-'
            && let Some(span) = self.linker_x()
        {
            return Some(span);
        }
        let starts_name =
            is_name_byte(byte) && self.before(self.at).is_none_or(|it| !is_name_byte(it));
        if starts_name { self.named() } else { None }
    }

    fn rest(&self, at: usize) -> &[u8] {
        self.text.get(at..).unwrap_or_default()
    }

    /// The byte in front of a place, as it is in the output.
    fn before(&self, at: usize) -> Option<u8> {
        if at == self.copied && !self.out.is_empty() {
            return self.out.last().copied();
        }
        at.checked_sub(1).and_then(|it| self.text.get(it)).copied()
    }

    fn replace(&mut self, (start, end): Span) {
        self.out
            .extend_from_slice(self.text.get(self.copied..start).unwrap_or_default());
        self.out.extend_from_slice(REDACTED.as_bytes());
        self.copied = end.max(start);
        self.at = self.copied;
    }

    /// `scheme://user:password@host`: everything before the `@`. The name too: tokens are given as names.
    fn userinfo(&self) -> Option<Span> {
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
            // A slash or a comma in a password that is not escaped: what should be a port is none.
            None if has_odd_port(authority) => whole.iter().rposition(is_at)?,
            None => return None,
        };
        let info = rest.get(..len)?;
        let is_ssh = self.text.get(..self.at)?.ends_with(b"ssh");
        let is_name = !info.contains(&b':') && (is_ssh || info == b"git");
        (!info.is_empty() && !is_name && info != REDACTED.as_bytes())
            .then_some((start, start + len))
    }

    /// The linker's `-X importpath.name=value` in any quoting: shell, Go's own, `%q` lists, escaped once more.
    fn linker_x(&self) -> Option<Span> {
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
            // A quote around flag and value is not the value's: `"-X main.t=value -s"`.
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
        self.span(start, end)
    }

    /// `NAME=value`, `--name value`, `Name: value` where the name says that it is secret.
    fn named(&self) -> Option<Span> {
        let rest = self.rest(self.at);
        let len = rest
            .iter()
            .take(LOOK_AHEAD)
            .take_while(|it| is_name_byte(**it))
            .count();
        let name = rest.get(..len)?;
        // A path's element is a name of something else: `go/token=...`, `//pkg/secret:target`.
        if self.before(self.at) == Some(b'/') {
            return None;
        }
        let is_key = name::is_key(name);
        if !is_key && !name::is_secret(name) && !name::is_header(name) {
            return None;
        }
        let at = self.at + len;
        let outer = Quote::before(self.text, self.at).filter(|it| self.open.has(*it));
        let closing = outer.filter(|it| Quote::at(self.rest(at)) == Some(*it));
        let at = at + closing.map_or(0, Quote::len);
        let next = |at: usize| self.rest(at).first().copied();
        let value = |at, end| {
            self.value(
                at,
                Value {
                    is_key,
                    end,
                    is_fresh: closing.is_some(),
                },
            )
        };
        let end = outer
            .filter(|_| closing.is_none())
            .map_or(End::Word, End::Quote);
        match next(at) {
            Some(b'=') if next(at + 1) != Some(b'>') => value(at + 1, end),
            Some(b':') => {
                let blanks = self
                    .rest(at + 1)
                    .iter()
                    .take(LOOK_AHEAD)
                    .take_while(|it| matches!(it, b' ' | b'\t'))
                    .count();
                let start = at + 1 + blanks;
                let is_field =
                    blanks > 0 || Quote::at(self.rest(start)).is_some() || name::is_header(name);
                if is_field {
                    value(
                        start,
                        if closing.is_some() {
                            End::Word
                        } else {
                            End::Line
                        },
                    )
                } else {
                    None
                }
            }
            // `--token value`, and `"--token" "value"` in a list.
            Some(b' ')
                if name.starts_with(b"-") && !matches!(next(at + 1), Some(b'-' | b' ') | None) =>
            {
                value(at + 1, End::Word)
            }
            Some(_) | None => None,
        }
    }

    /// The value at a place: quoted, or up to what ends it.
    fn value(&self, start: usize, value: Value) -> Option<Span> {
        let Value {
            is_key,
            end,
            is_fresh,
        } = value;
        if is_key {
            let probe = self
                .rest(start)
                .iter()
                .take(LOOK_AHEAD)
                .position(|it| !it.is_ascii_graphic());
            let probe = probe.unwrap_or(self.rest(start).len().min(LOOK_AHEAD));
            if !name::looks_random(self.rest(start).get(..probe)?) {
                return None;
            }
        }
        let (start, end) = match (
            Quote::at(self.rest(start)).filter(|it| is_fresh || !self.open.has(*it)),
            end,
        ) {
            (Some(quote), _) => {
                let inside = start + quote.len();
                (inside, inside + quote.close(self.rest(inside)))
            }
            (None, End::Quote(quote)) => (start, start + quote.close(self.rest(start))),
            (None, End::Line) => (start, self.end_of_line(start)),
            (None, End::Word) => (start, self.end_of_word(start)),
        };
        if name::is_harmless(self.text.get(start..end)?) {
            return None;
        }
        self.span(start, end)
    }

    /// A span, unless it is empty or was taken out before.
    fn span(&self, start: usize, end: usize) -> Option<Span> {
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

    /// End of a value of `-X`: the next flag. A blank alone does not end it, as what follows is either a flag or part of a value
    /// that someone forgot to quote.
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

    /// The first place where `stops` holds or a quote closes that was open before. Quotes inside are stepped over.
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

/// Import path and name, as the linker takes them; a path may be escaped.
fn is_symbol_byte(byte: u8) -> bool {
    !byte.is_ascii_whitespace() && !matches!(byte, b'=' | b'"' | b'\'' | b'`' | b'\\')
}

/// What follows the last colon of a host is not a number.
fn has_odd_port(authority: &[u8]) -> bool {
    // `[::1]:80` was cut at its bracket.
    !authority.starts_with(b"[")
        && authority
            .iter()
            .rposition(|it| *it == b':')
            .and_then(|at| authority.get(at + 1..))
            .is_some_and(|port| !port.iter().all(u8::is_ascii_digit))
}
