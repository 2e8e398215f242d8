//! Quotes in text that was quoted once or more: a quote character with the backslashes before it.

/// `"`, `\"`, `\\\"`, `'`: only an equal quote closes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quote {
    mark: u8,
    backslashes: usize,
}

/// Deeper nesting does not occur in practice; this bounds the work.
const DEPTH_MAX: usize = 8;
const BACKSLASHES_MAX: usize = 32;

impl Quote {
    /// The quote at the start of a text, if there is one.
    pub(super) fn at(text: &[u8]) -> Option<Self> {
        if !matches!(text.first()?, b'"' | b'\'' | b'`' | b'\\') {
            return None;
        }
        let backslashes = text
            .iter()
            .take(BACKSLASHES_MAX)
            .take_while(|it| **it == b'\\')
            .count();
        let mark = *text.get(backslashes)?;
        matches!(mark, b'"' | b'\'' | b'`').then_some(Self { mark, backslashes })
    }

    /// The quote that ends just before `at`.
    pub(super) fn before(text: &[u8], at: usize) -> Option<Self> {
        let (mark, head) = text.get(..at)?.split_last()?;
        let backslashes = head
            .iter()
            .rev()
            .take(BACKSLASHES_MAX)
            .take_while(|it| **it == b'\\')
            .count();
        matches!(mark, b'"' | b'\'' | b'`').then_some(Self {
            mark: *mark,
            backslashes,
        })
    }

    pub(super) fn len(self) -> usize {
        self.backslashes + 1
    }

    /// The position of the next equal quote in a text; the text's end if no quote follows.
    pub(super) fn close(self, text: &[u8]) -> usize {
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|it| !it.is_empty()) {
            at += match Self::at(rest) {
                Some(quote) if quote == self => return at,
                Some(quote) => quote.len(),
                None => {
                    1 + rest
                        .iter()
                        .skip(1)
                        .take_while(|it| !matches!(it, b'\\' | b'"' | b'\'' | b'`'))
                        .count()
                }
            };
        }
        text.len()
    }
}

/// Quotes that are open at a position in a text.
#[derive(Debug, Default)]
pub(super) struct Open(Vec<Quote>);

impl Open {
    /// Processes a quote. `opens` is true if the text before it lets it open a quoted part.
    pub(super) fn meet(&mut self, quote: Quote, opens: bool) {
        if let Some(at) = self.0.iter().position(|it| *it == quote) {
            self.0.truncate(at);
        } else if opens && self.0.len() < DEPTH_MAX {
            self.0.push(quote);
        }
    }

    pub(super) fn has(&self, quote: Quote) -> bool {
        self.0.contains(&quote)
    }
}

/// The lines of a quoted text, separated by escaped line feeds.
pub(super) fn escaped_lines(text: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let (mut start, mut at) = (0, 0);
    while let Some(byte) = text.get(at) {
        at += if *byte == b'\\' { 2 } else { 1 };
        if *byte == b'\\' && text.get(at - 1) == Some(&b'n') {
            lines.extend(text.get(start..at - 2));
            start = at;
        }
    }
    lines.extend(text.get(start..));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_of_one_depth_match() {
        let text = br#"\"a 'b" c\" d"#;
        let quote = Quote::at(text).expect("a quote");
        assert_eq!(quote.len(), 2);
        assert_eq!(quote.close(&text[2..]), 7);
        assert_eq!(Quote::before(text, 2), Some(quote));
        assert_eq!(Quote::at(b"'").expect("a quote").close(b"never"), 5);
        assert_eq!(Quote::at(b"\\"), None);
        assert_eq!(Quote::at(b""), None);
    }

    #[test]
    fn escaped_lines_are_separated() {
        let parts = escaped_lines(br"a\nb\\nc\n");
        assert_eq!(parts, [&b"a"[..], br"b\\nc", b""]);
        assert_eq!(escaped_lines(b""), [b""]);
        assert_eq!(escaped_lines(b"x\\"), [b"x\\"]);
    }
}
