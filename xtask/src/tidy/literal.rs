//! Extracts the string literals of Rust code, with their lines.
//!
//! Reads comments, characters, raw strings and escapes as far as needed to find the ends of literals. Byte strings are left out.

/// A string literal, without its quotes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Literal {
    /// The line of the opening quote, from one.
    pub(super) line: usize,
    /// The code before the opening quote in its line.
    pub(super) before: String,
    /// Content with resolved line breaks and quotes. Other escapes stay as they are written.
    pub(super) text: String,
}

/// All string literals of a file, in order.
pub(super) fn literals(code: &str) -> Vec<Literal> {
    let mut reader = Reader {
        rest: code,
        line: 1,
    };
    let mut literals = Vec::new();
    let literal = |rest: &str, line, text| {
        let start = code.get(..code.len() - rest.len()).unwrap_or_default();
        let before = start.lines().next_back().unwrap_or_default().trim();
        let before = before.to_owned();
        Literal { line, before, text }
    };
    let mut before = ' ';
    while let Some(next) = reader.peek() {
        let is_word_before = before.is_alphanumeric() || before == '_';
        if reader.rest.starts_with("//") {
            reader.skip_to("\n");
        } else if reader.rest.starts_with("/*") {
            reader.skip_to("*/");
        } else if let Some((prefix, is_text)) = raw_prefix(reader.rest).filter(|_| !is_word_before)
        {
            let (rest, line) = (reader.rest, reader.line);
            reader.advance(prefix);
            let end = format!("\"{}", "#".repeat(prefix - 2 - usize::from(!is_text)));
            let text = reader.skip_to(&end).to_owned();
            literals.extend(is_text.then(|| literal(rest, line, text)));
        } else if next == '"' {
            let (rest, line) = (reader.rest, reader.line);
            let text = reader.quoted();
            literals.extend((before != 'b').then(|| literal(rest, line, text)));
        } else if next == '\'' {
            reader.character();
        } else {
            reader.advance(next.len_utf8());
        }
        before = next;
    }
    literals
}

/// Length of `r#"` or `br#"` at the start of `code`, and whether the literal is text.
fn raw_prefix(code: &str) -> Option<(usize, bool)> {
    let is_text = !code.starts_with('b');
    let after = code.strip_prefix('b').unwrap_or(code).strip_prefix('r')?;
    let hashes = after.len() - after.trim_start_matches('#').len();
    let is_string = after.get(hashes..)?.starts_with('"');
    is_string.then_some((usize::from(!is_text) + 1 + hashes + 1, is_text))
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn advance(&mut self, n_bytes: usize) -> &'a str {
        let (skipped, rest) = self.rest.split_at(n_bytes.min(self.rest.len()));
        self.line += skipped.matches('\n').count();
        self.rest = rest;
        skipped
    }

    /// Moves behind the next `end`, and returns the text before it.
    fn skip_to(&mut self, end: &str) -> &'a str {
        let at = self.rest.find(end).unwrap_or(self.rest.len());
        let skipped = self.advance(at);
        self.advance(end.len());
        skipped
    }

    fn quoted(&mut self) -> String {
        let mut text = String::new();
        self.advance(1);
        while let Some(next) = self.peek() {
            self.advance(next.len_utf8());
            match next {
                '"' => break,
                '\\' => {
                    let escaped = self.peek().unwrap_or_default();
                    self.advance(escaped.len_utf8());
                    match escaped {
                        '\n' => {
                            let indent = self.rest.len() - self.rest.trim_start().len();
                            self.advance(indent);
                        }
                        'n' => text.push('\n'),
                        '"' | '\\' => text.push(escaped),
                        _ => text.extend(['\\', escaped]),
                    }
                }
                _ => text.push(next),
            }
        }
        text
    }

    /// Skips a character, or the quote of a lifetime.
    fn character(&mut self) {
        self.advance(1);
        if self.rest.starts_with('\\') {
            self.advance(2);
            self.skip_to("'");
        } else if let Some(next) = self.peek()
            && self
                .rest
                .get(next.len_utf8()..)
                .is_some_and(|it| it.starts_with('\''))
        {
            self.advance(next.len_utf8() + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(code: &str) -> Vec<String> {
        literals(code).into_iter().map(|it| it.text).collect()
    }

    #[test]
    fn escapes_and_raw_strings_are_read_to_their_end() {
        assert_eq!(texts(r#"f("a \"b\" c", "d")"#), [r#"a "b" c"#, "d"]);
        assert_eq!(
            texts("f(r#\"a \"b\" c\"#, r\"d\\\", \"e\")"),
            ["a \"b\" c", "d\\", "e"]
        );
        assert_eq!(texts("f(\"one \\\n    two\\nthree\")"), ["one two\nthree"]);
    }

    #[test]
    fn comments_characters_lifetimes_and_bytes_contain_no_literal() {
        assert_eq!(texts("// \"a\"\n/* \"b\" */ \"c\""), ["c"]);
        assert_eq!(texts("f('\"', '\\'', '\\u{22}', \"d\")"), ["d"]);
        assert_eq!(texts("fn f<'a>(it: &'a str) { g(\"e\") }"), ["e"]);
        assert_eq!(texts("f(b\"x\", br#\"y\"#, \"z\")"), ["z"]);
        assert_eq!(texts("for\"a\""), ["a"]);
    }

    #[test]
    fn a_literal_has_the_line_of_its_opening_quote() {
        let lines: Vec<usize> = literals("\n\"a\nb\"\n\"c\"")
            .iter()
            .map(|it| it.line)
            .collect();
        assert_eq!(lines, [2, 4]);
    }

    #[test]
    fn a_literal_has_the_code_before_it() {
        let found = literals("f(1);\n    help = \"a\", about = \"b\"");
        let before: Vec<_> = found.iter().map(|it| it.before.as_str()).collect();
        assert_eq!(before, ["help =", "help = \"a\", about ="]);
    }
}
