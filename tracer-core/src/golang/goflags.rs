//! Splits `GOFLAGS` into words as the `go` command does. [`super::command`] parses the words.

use crate::byte_string::ByteString;

use super::version::GoVersion;

/// The meaning of quotes in `GOFLAGS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quoting {
    /// `'…'` or `"…"` around a whole word, without escapes inside. Go 1.21 and later.
    Shell,
    /// Words end at blanks; quotes are ordinary bytes. Go 1.19.
    Blank,
}

impl Quoting {
    /// The quoting of a toolchain. Go 1.20 is untested. It is assumed to match 1.19, because its source is closer to 1.19.
    pub fn of(version: Option<&GoVersion>) -> Self {
        match version {
            Some(version) if version.minor() < 21 && version.major() <= 1 => Self::Blank,
            Some(_) | None => Self::Shell,
        }
    }
}

/// A quote was opened and not closed; the `go` command refuses to run with such `GOFLAGS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unterminated {} in GOFLAGS: close the quote", *quote as char)]
pub struct Unterminated {
    pub quote: u8,
}

/// The words of a `GOFLAGS` value.
///
/// A quote counts only at the start of a word, and the closing quote ends the word: `a'b c'` is `a'b` and `c'`, `'a'b` is `a` and `b`.
pub fn split(text: &[u8], quoting: Quoting) -> Result<Vec<ByteString>, Unterminated> {
    let mut words = Vec::new();
    let mut rest = text.trim_ascii_start();
    while let Some(first) = rest.first().copied() {
        let (word, after) = match (quoting, first) {
            (Quoting::Shell, b'"' | b'\'') => {
                let body = rest.get(1..).unwrap_or_default();
                let end = body
                    .iter()
                    .position(|it| *it == first)
                    .ok_or(Unterminated { quote: first })?;
                (body.get(..end), body.get(end + 1..))
            }
            (Quoting::Shell | Quoting::Blank, _) => {
                let end = rest
                    .iter()
                    .position(u8::is_ascii_whitespace)
                    .unwrap_or(rest.len());
                (rest.get(..end), rest.get(end..))
            }
        };
        words.push(word.unwrap_or_default().into());
        rest = after.unwrap_or_default().trim_ascii_start();
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, quoting: Quoting, expected: &[&str]) {
        let words = split(text.as_bytes(), quoting).expect("closed quotes");
        assert_eq!(words, expected, "{text}");
    }

    #[test]
    fn words_are_split_as_go_does() {
        check("", Quoting::Shell, &[]);
        check("  \t\n", Quoting::Shell, &[]);
        check(
            "-mod=mod  -trimpath",
            Quoting::Shell,
            &["-mod=mod", "-trimpath"],
        );
        check(
            "'-ldflags=-s -w' -trimpath",
            Quoting::Shell,
            &["-ldflags=-s -w", "-trimpath"],
        );
        check(
            r#""-ldflags=-X 'main.a=b c'" -v"#,
            Quoting::Shell,
            &["-ldflags=-X 'main.a=b c'", "-v"],
        );
        check("-a'b c'", Quoting::Shell, &["-a'b", "c'"]);
        check("'a'b", Quoting::Shell, &["a", "b"]);
        check("''", Quoting::Shell, &[""]);
        check("'-ldflags=-s -w'", Quoting::Blank, &["'-ldflags=-s", "-w'"]);
    }

    #[test]
    fn an_open_quote_is_an_error() {
        assert_eq!(
            split(b"-v '-ldflags=-s", Quoting::Shell),
            Err(Unterminated { quote: b'\'' })
        );
        assert!(split(b"-v '-ldflags=-s", Quoting::Blank).is_ok());
    }

    #[test]
    fn the_version_decides() {
        let of = |text| Quoting::of(GoVersion::parse(text).as_ref());
        assert_eq!(of("go1.19.8"), Quoting::Blank);
        assert_eq!(of("go1.21.13"), Quoting::Shell);
        assert_eq!(of("devel go1.28-x"), Quoting::Shell);
        assert_eq!(of("?"), Quoting::Shell);
    }
}
