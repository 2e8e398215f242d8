//! The rule for values whose names say that they are secret.

use super::super::name;
use super::super::quote::Quote;
use super::{LOOK_AHEAD, Scan, Span, is_name_byte};

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

impl Scan<'_> {
    /// `NAME=value`, `--name value`, `Name: value` where the name says that it is secret.
    pub(super) fn named(&self) -> Option<Span> {
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
        // Most names are dismissed by what follows them, before anything is asked of the name itself.
        let may_have_value = match rest.get(len)? {
            b'=' | b':' | b'"' | b'\'' | b'`' | b'\\' => true,
            b' ' => name.starts_with(b"-"),
            _ => false,
        };
        if !may_have_value {
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
}
