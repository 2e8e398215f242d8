//! Reads one value from Git's configuration (git-config(1)). Includes are not followed: only the repository's own file counts.

/// Value of `remote.origin.url`; of several the last, as in Git. Git reads nothing of a file with a mistake. This parser accepts the part
/// before the mistake.
pub(super) fn origin_url(text: &[u8]) -> Option<Vec<u8>> {
    let mut rest = Text(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text));
    let mut is_origin = false;
    let mut url = None;
    while let Some(first) = rest.next_of_line() {
        match first {
            b'\n' => {}
            b'#' | b';' => rest.skip_line(),
            b'[' => match rest.section() {
                Some(found) => is_origin = found,
                None => return url,
            },
            first if first.is_ascii_alphabetic() => {
                let Some((key, value)) = rest.variable(first) else {
                    return url;
                };
                if is_origin && key == b"url" {
                    url = value;
                }
            }
            _ => return url,
        }
    }
    url
}

/// The text that is not read yet.
struct Text<'a>(&'a [u8]);

impl Text<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        // A line may end as on Windows.
        if *first == b'\r' && rest.first() == Some(&b'\n') {
            return self.next();
        }
        Some(*first)
    }

    /// The next byte that is not a blank.
    fn next_of_line(&mut self) -> Option<u8> {
        loop {
            match self.next()? {
                b' ' | b'\t' => {}
                byte => return Some(byte),
            }
        }
    }

    fn skip_line(&mut self) {
        while self.next().is_some_and(|it| it != b'\n') {}
    }

    /// Called after the opening bracket: true if the section is `remote "origin"`. `None`: the text is not a section.
    fn section(&mut self) -> Option<bool> {
        let mut name = Vec::new();
        loop {
            match self.next()? {
                b']' => return Some(name == b"remote.origin"),
                b' ' | b'\t' => break,
                byte if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.') => {
                    name.push(byte.to_ascii_lowercase());
                }
                _ => return None,
            }
        }
        if self.next_of_line()? != b'"' {
            return None;
        }
        let mut subsection = Vec::new();
        loop {
            match self.next()? {
                b'"' => break,
                b'\n' => return None,
                b'\\' => subsection.push(self.next().filter(|it| *it != b'\n')?),
                byte => subsection.push(byte),
            }
        }
        (self.next()? == b']').then(|| name == b"remote" && subsection == b"origin")
    }

    /// A name and its value; a name alone has no value and means true. `None`: the text is not a variable.
    fn variable(&mut self, first: u8) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let mut key = vec![first.to_ascii_lowercase()];
        let mut next = self.next();
        while let Some(byte) = next.filter(|it| it.is_ascii_alphanumeric() || *it == b'-') {
            key.push(byte.to_ascii_lowercase());
            next = self.next();
        }
        while matches!(next, Some(b' ' | b'\t')) {
            next = self.next();
        }
        match next {
            None | Some(b'\n') => Some((key, None)),
            Some(b'=') => Some((key, Some(self.value()?))),
            Some(_) => None,
        }
    }

    /// Reads up to the end of the line, or of its last continuation. Blanks at both ends are dropped, unless they are quoted.
    fn value(&mut self) -> Option<Vec<u8>> {
        let mut value = Vec::new();
        // Bytes up to here are kept in any case.
        let mut kept = 0;
        let mut is_quoted = false;
        loop {
            match self.next() {
                None | Some(b'\n') if is_quoted => return None,
                None | Some(b'\n') => break,
                Some(b'#' | b';') if !is_quoted => {
                    self.skip_line();
                    break;
                }
                Some(b' ' | b'\t') if !is_quoted && value.is_empty() => {}
                Some(byte @ (b' ' | b'\t')) if !is_quoted => value.push(byte),
                Some(b'"') => {
                    is_quoted = !is_quoted;
                    kept = value.len();
                }
                Some(b'\\') => {
                    match self.next()? {
                        b'\n' => {}
                        b't' => value.push(b'\t'),
                        b'b' => value.push(8),
                        b'n' => value.push(b'\n'),
                        byte @ (b'\\' | b'"') => value.push(byte),
                        _ => return None,
                    }
                    kept = value.len();
                }
                Some(byte) => {
                    value.push(byte);
                    kept = value.len();
                }
            }
        }
        value.truncate(kept);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        let url = origin_url(text.as_bytes());
        let url = url.map(|it| String::from_utf8(it).unwrap());
        assert_eq!(url.as_deref(), expected, "{text}");
    }

    #[test]
    fn the_url_of_origin_is_found_as_in_git() {
        check(
            "[core]\n\tbare = false\n[remote \"origin\"]\n\turl = git@example.com:a/b.git\n\tfetch = +refs/*\n",
            Some("git@example.com:a/b.git"),
        );
        check("[remote \"upstream\"]\nurl=a\n", None);
        check("[Remote \"origin\"] URL=a # and so on\n", Some("a"));
        check("[remote \"Origin\"]\nurl=a\n", None);
        check("[remote.ORIGIN]\nurl=a\n", Some("a"));
        check("[remote \"o\\rigin\"]\r\nurl = a\r\n", Some("a"));
        check("[remote \"origin\"]\nurl=a\nurl=b\n", Some("b"));
        check("[remote \"origin\"]\nurl = \"a ;b\" ; c\n", Some("a ;b"));
        check("[remote \"origin\"]\nurl = a\\\n  b \n", Some("a  b"));
        check("[remote \"origin\"]\nurl = a\\tb\\\\ \n", Some("a\tb\\"));
        check("\u{feff}[remote \"origin\"]\nurl=a", Some("a"));
    }

    #[test]
    fn the_part_before_a_mistake_counts() {
        check("[remote \"origin\"]\nurl=a\n[broken\nurl=b\n", Some("a"));
        check("[remote \"origin\"]\nurl=\"a\n", None);
        check("[remote \"origin\"]\nurl=a\\x\n", None);
        check("[remote \"origin\"\nurl=a\n", None);
        check("url=a\n", None);
        check("", None);
    }
}
