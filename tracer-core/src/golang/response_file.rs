//! Parses the file that the `go` command passes to a tool instead of a long command line (`@/tmp/args123`).
//!
//! This module sees only its text. The rim reads the file in time, and redacts the result.

use crate::byte_string::ByteString;

use super::version::GoVersion;

/// The arguments in a response file, as the tool of that version reads it. Never fails: an open quote ends with the text.
///
/// Up to Go 1.26 an argument is a line, with `\n` and `\\` for bytes that a line cannot contain. Since 1.27 arguments are quoted as in GCC.
/// An unknown version is treated as a new one.
pub fn parse(text: &[u8], version: Option<&GoVersion>) -> Vec<ByteString> {
    match version {
        Some(version) if *version < GoVersion::release(27) => text
            .trim_ascii()
            .split(|it| *it == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .filter(|line| !line.is_empty())
            .map(unescape)
            .collect(),
        Some(_) | None => quoted(text),
    }
}

fn unescape(line: &[u8]) -> ByteString {
    let mut arg = Vec::with_capacity(line.len());
    let mut bytes = line.iter().copied();
    while let Some(byte) = bytes.next() {
        arg.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'n') => b'\n',
                Some(other) => other,
                None => b'\\',
            },
            other => other,
        });
    }
    arg.into()
}

fn quoted(text: &[u8]) -> Vec<ByteString> {
    let mut args = Vec::new();
    let mut arg: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match (quote, byte) {
            (Some(open), _) if byte == open => quote = None,
            (Some(b'"'), b'\\') => match bytes.next() {
                Some(b'\n') => {}
                Some(next @ (b'\\' | b'"' | b'$' | b'`')) => arg.get_or_insert_default().push(next),
                Some(next) => arg.get_or_insert_default().extend([b'\\', next]),
                None => arg.get_or_insert_default().push(b'\\'),
            },
            (None, b'\'' | b'"') => {
                arg.get_or_insert_default();
                quote = Some(byte);
            }
            (None, b'\\') => match bytes.next() {
                Some(b'\n') | None => {}
                Some(next) => arg.get_or_insert_default().push(next),
            },
            (None, b' ' | b'\t' | b'\r' | b'\n') => args.extend(arg.take().map(ByteString::from)),
            (Some(_) | None, _) => arg.get_or_insert_default().push(byte),
        }
    }
    args.extend(arg.map(ByteString::from));
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(version: &str, text: &str, expected: &[&str]) {
        assert_eq!(
            parse(text.as_bytes(), GoVersion::parse(version).as_ref()),
            expected,
            "{text}"
        );
    }

    #[test]
    fn lines_are_arguments_up_to_1_26() {
        check(
            "go1.26.6",
            "-o\n/tmp/a b\n-trimpath\n/w=>\nx\\\\y\\nz\n",
            &["-o", "/tmp/a b", "-trimpath", "/w=>", "x\\y\nz"],
        );
        check("go1.19.8", "'a'\r\nb", &["'a'", "b"]);
        check("go1.19.8", "", &[]);
    }

    #[test]
    fn quotes_count_since_1_27() {
        check(
            "go1.27.3",
            "-o\n\"/tmp/a b\"\n\"\"\n\"x\\\\y\\$\\q\nz\"\n",
            &["-o", "/tmp/a b", "", "x\\y$\\q\nz"],
        );
        check("go1.27.3", "a\\ b 'c d'e\\\nf", &["a b", "c def"]);
        check("?", "'open", &["open"]);
        check("?", "\\", &[]);
    }
}
