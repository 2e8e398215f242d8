//! Makes names of a build safe for a terminal.
//!
//! A package path or an argument may contain escape sequences that move the cursor, or controls that reverse the direction of text.
//! Such a line could look like another one. This module shows such characters by their number.

use std::borrow::Cow;
use std::fmt::Write as _;

/// The text, with every character that can change the look of other text written as `\u{1b}`.
pub fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_unsafe(character) {
            // Writing to a string cannot fail.
            let _ = write!(safe, "{}", character.escape_unicode());
        } else {
            safe.push(character);
        }
    }
    Cow::Owned(safe)
}

/// Controls (C0, DEL, C1), line and paragraph separators, direction marks and overrides, invisible joiners, fillers, tags.
pub(in crate::render) fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{3164}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_and_reversing_characters_are_escaped() {
        assert_eq!(
            escape("\u{1b}[2Jx\r\n\t\u{7f}\u{9b}"),
            r"\u{1b}[2Jx\u{d}\u{a}\u{9}\u{7f}\u{9b}"
        );
        assert_eq!(
            escape("a\u{202e}b\u{2066}c\u{200f}d\u{2028}e"),
            r"a\u{202e}b\u{2066}c\u{200f}d\u{2028}e"
        );
        assert_eq!(escape("\u{e0041}\u{feff}"), r"\u{e0041}\u{feff}");
    }

    #[test]
    fn ordinary_names_are_unchanged() {
        for name in [
            "example.com/a/b_test [p.test]",
            "größe/日本語/é",
            "-ldflags=-X 'a=b'",
        ] {
            assert!(matches!(escape(name), Cow::Borrowed(same) if same == name));
        }
    }
}
