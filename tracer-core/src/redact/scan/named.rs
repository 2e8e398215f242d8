//! The rule for values whose names mark them as secret.

use super::super::name;
use super::super::quote::Quote;
use super::{LOOK_AHEAD, Scan, SecretRange, is_name_byte};

/// The properties of a value that are known before it is read.
#[derive(Clone, Copy)]
struct Value {
    /// The condition under which it is secret.
    is_secret: SecretIf,
    /// The end of the value if it is not quoted.
    end: ValueEnd,
    /// True if the quote around its name is closed: an equal one opens again.
    is_fresh: bool,
}

/// The condition under which a value is secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SecretIf {
    Always,
    /// If it looks random.
    Random,
    /// If it is neither a path nor a number.
    Word,
}

#[derive(Clone, Copy)]
enum ValueEnd {
    Word,
    Line,
    /// Name and value are in one pair of quotes.
    Quote(Quote),
}

impl Scan<'_> {
    /// `NAME=value`, `--name value` or `Name: value` with a name that marks a secret.
    pub(super) fn named(&self) -> Option<SecretRange> {
        let rest = self.rest(self.at);
        let len = rest
            .iter()
            .take(LOOK_AHEAD)
            .take_while(|it| is_name_byte(**it))
            .count();
        let name = rest.get(..len)?;
        // An element of a path is not the name of a secret: `go/token=...`, `//pkg/secret:target`.
        if self.before(self.at) == Some(b'/') {
            return None;
        }
        // Most names are rejected by the text after them, before the name itself is checked.
        let blanks = blanks(rest.get(len..)?);
        let may_have_value = match rest.get(len)? {
            b'=' | b':' | b'"' | b'\'' | b'`' | b'\\' | b'%' => true,
            b' ' | b'\t' => {
                name.starts_with(b"-") || matches!(rest.get(len + blanks), Some(b'=' | b':'))
            }
            _ => false,
        };
        if !may_have_value {
            return None;
        }
        let is_secret = self.is_secret(name)?;
        let at = self.at + len;
        let outer = Quote::before(self.text, self.at).filter(|it| self.open.has(*it));
        let closing = outer.filter(|it| Quote::at(self.rest(at)) == Some(*it));
        let at = at + closing.map_or(0, Quote::len);
        let next = |at: usize| self.rest(at).first().copied();
        let value = |at, end| {
            self.value(
                at,
                Value {
                    is_secret,
                    end,
                    is_fresh: closing.is_some(),
                },
            )
        };
        let end = outer
            .filter(|_| closing.is_none())
            .map_or(ValueEnd::Word, ValueEnd::Quote);
        // `token = "x"`, `token := x`.
        let at = match (
            self.rest(at + self::blanks(self.rest(at))),
            closing.is_some() || name.starts_with(b"-"),
        ) {
            ([b'=', ..] | [b':', b'=', ..], false) => at + self::blanks(self.rest(at)),
            _ => at,
        };
        if let Some(len) = escaped_equals(self.rest(at)) {
            return value(at + len, end);
        }
        match next(at) {
            Some(b'=') if next(at + 1) != Some(b'>') => {
                let apart = if at > self.at + len + closing.map_or(0, Quote::len) {
                    self::blanks(self.rest(at + 1))
                } else {
                    0
                };
                value(at + 1 + apart, end)
            }
            Some(b':') if next(at + 1) == Some(b'=') => {
                value(at + 2 + self::blanks(self.rest(at + 2)), end)
            }
            // The result of a test.
            Some(b':') if name == b"PASS" => None,
            Some(b':') => {
                let blanks = self::blanks(self.rest(at + 1));
                let start = at + 1 + blanks;
                let is_field = blanks > 0
                    || Quote::at(self.rest(start)).is_some()
                    || name::is_header(name)
                    || name::is_password(name);
                if is_field {
                    value(
                        start,
                        if closing.is_some() {
                            ValueEnd::Word
                        } else {
                            ValueEnd::Line
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
                value(at + 1, ValueEnd::Word)
            }
            Some(_) | None => None,
        }
    }

    /// The value at a position: quoted, or up to its end.
    fn value(&self, start: usize, value: Value) -> Option<SecretRange> {
        let Value {
            is_secret,
            end,
            is_fresh,
        } = value;
        if is_secret == SecretIf::Random {
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
            (None, ValueEnd::Quote(quote)) => (start, start + quote.close(self.rest(start))),
            (None, ValueEnd::Line) => (start, self.end_of_line(start)),
            (None, ValueEnd::Word) => (start, self.end_of_word(start)),
        };
        let value = self.text.get(start..end)?;
        let is_other = is_secret == SecretIf::Word && name::is_path_or_number(value);
        if is_other || name::is_harmless(value) {
            return None;
        }
        self.span(start, end)
    }

    /// The condition under which the value of a name is secret, if there is one. The text before the name may be part of an escape
    /// (`%26sig`, `\u0026sig`, `\nsig`), or mark it as a parameter of an address.
    fn is_secret(&self, name: &[u8]) -> Option<SecretIf> {
        let kept = self.kept(self.at);
        let (bare, is_query) = without_escape(kept, name);
        let of = |name: &[u8]| {
            if name::is_secret(name) || name::is_header(name) {
                Some(SecretIf::Always)
            } else if name::is_key(name) {
                Some(SecretIf::Random)
            } else if name::is_short_password(name) {
                Some(SecretIf::Word)
            } else {
                None
            }
        };
        if is_query && name::is_query(bare) {
            return Some(SecretIf::Always);
        }
        of(name).or_else(|| of(bare))
    }

    /// `password is hunter2`, `Bearer abc`, `Basic abc`, `login me password hunter2`: secret because of the words around it.
    pub(super) fn stated(&self) -> Option<SecretRange> {
        let rest = self.rest(self.at);
        let len = rest
            .iter()
            .take(LOOK_AHEAD)
            .take_while(|it| is_name_byte(**it))
            .count();
        let name = rest.get(..len)?;
        if name == b"pass" {
            // The form that `openssl` takes: `-passin pass:hunter2`.
            let value = rest.get(len..)?.strip_prefix(b":")?;
            let is_value = (value.first())
                .is_some_and(|it| !it.is_ascii_whitespace() && !matches!(it, b'"' | b'\'' | b'`'));
            let start = self.at + len + 1;
            return is_value
                .then(|| self.span(start, self.end_of_word(start)))
                .flatten();
        }
        let blanks = blanks(rest.get(len..)?);
        if blanks == 0 {
            return None;
        }
        let start = self.at + len + blanks;
        let word = |at: usize| self.text.get(at..self.end_of_word(at));
        let is_secret = if name.eq_ignore_ascii_case(b"bearer") {
            word(start)?.len() >= 6
        } else if name.eq_ignore_ascii_case(b"basic") {
            let word = word(start)?;
            word.len() >= 8
                && (word.iter().skip(1)).any(|it| it.is_ascii_uppercase() || it.is_ascii_digit())
        } else if name == b"password" && self.follows_login() {
            true
        } else if name::is_password(name) {
            let after = self.rest(start);
            let is = [&b"is "[..], b"was "]
                .into_iter()
                .find(|it| after.starts_with(it))?;
            let start = start + is.len();
            return self.span(start, self.end_of_word(start));
        } else {
            false
        };
        let next = self.rest(start).first();
        if !is_secret || matches!(next, None | Some(b'-' | b'=' | b':' | b'"' | b'\'' | b'`')) {
            return None;
        }
        self.span(start, self.end_of_word(start))
    }

    /// True if the words before are `login NAME`, as in a `.netrc`.
    fn follows_login(&self) -> bool {
        let start = self.at.saturating_sub(LOOK_AHEAD);
        let before = self.text.get(start..self.at).unwrap_or_default();
        let mut words = before
            .rsplit(u8::is_ascii_whitespace)
            .filter(|it| !it.is_empty());
        let _ = words.next();
        words
            .next()
            .is_some_and(|it| it.ends_with(b"login") || it.ends_with(b"user"))
    }
}

/// Length of an escaped equals sign or colon at the beginning of a text.
fn escaped_equals(text: &[u8]) -> Option<usize> {
    const ESCAPED: [&[u8]; 9] = [
        b"%3D", b"%3d", b"%253D", b"%253d", b"%3A%20", b"%3A", br"\u003d", br"\u003D", br"\x3d",
    ];
    let found = ESCAPED.iter().find(|it| text.starts_with(it));
    found.map(|it| it.len())
}

/// A name without the rest of the escape before it; true if it is a parameter of an address.
fn without_escape<'a>(kept: &[u8], name: &'a [u8]) -> (&'a [u8], bool) {
    const QUERY: [(u8, &[u8]); 8] = [
        (b'%', b"2526"),
        (b'%', b"26"),
        (b'%', b"3F"),
        (b'%', b"3f"),
        (b'\\', b"u0026"),
        (b'\\', b"u003f"),
        (b'\\', b"u003F"),
        (b'\\', b"x26"),
    ];
    let Some(mark) = kept.last() else {
        return (name, false);
    };
    let parameter = QUERY
        .iter()
        .filter(|(it, _)| it == mark)
        .find_map(|(_, code)| name.strip_prefix(*code));
    if let Some(bare) = parameter {
        return (bare, true);
    }
    if matches!(mark, b'?' | b'&') || kept.ends_with(b"&amp;") {
        return (name, true);
    }
    let n = match (mark, name) {
        (b'%', [a, b, ..]) if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => 2,
        (b'\\', [b'u', b'0', b'0', _, _, ..]) => 5,
        (b'\\', [b'n' | b't' | b'r' | b'v' | b'f', ..]) => 1,
        _ => 0,
    };
    (name.get(n..).unwrap_or_default(), false)
}

/// The number of blanks at the beginning of a text.
fn blanks(text: &[u8]) -> usize {
    text.iter()
        .take(LOOK_AHEAD)
        .take_while(|it| matches!(it, b' ' | b'\t'))
        .count()
}
