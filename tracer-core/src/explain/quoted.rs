//! Text that Go quoted with `%q`: a string, or a list of strings.

/// The strings of a list such as `["-s" "-w"]`. `None` if it is not a list, or not whole.
pub(super) fn list(text: &str) -> Option<Vec<String>> {
    let inside = text.trim().strip_prefix('[')?.strip_suffix(']')?;
    let mut strings = Vec::new();
    let mut rest = inside;
    while !rest.is_empty() {
        let (string, after) = first(rest)?;
        strings.push(string);
        rest = after.trim_start_matches(' ');
    }
    Some(strings)
}

/// One quoted string. `None` if it is not whole.
pub(super) fn string(text: &str) -> Option<String> {
    let (string, rest) = first(text.trim_end())?;
    rest.is_empty().then_some(string)
}

/// The words of flags inside a flag: separated by blanks, with `'` or `"` around words that contain some.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while let Some(mark) = rest.chars().next() {
        let (word, after) = match rest.get(1..).filter(|_| matches!(mark, '\'' | '"')) {
            Some(inside) => inside.split_once(mark).unwrap_or((inside, "")),
            None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = after.trim_start();
    }
    words
}

/// The quoted string at the beginning of a text, and the rest of the text.
fn first(text: &str) -> Option<(String, &str)> {
    let inside = text.strip_prefix('"')?;
    let mut string = String::new();
    let mut characters = inside.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((string, inside.get(at + 1..)?)),
            '\\' => string.push(match characters.next()?.1 {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'a' => '\x07',
                'b' => '\x08',
                'f' => '\x0c',
                'v' => '\x0b',
                'x' => code(&mut characters, 2)?,
                'u' => code(&mut characters, 4)?,
                'U' => code(&mut characters, 8)?,
                other => other,
            }),
            other => string.push(other),
        }
    }
    None
}

/// A character from its code in hexadecimal digits. A byte that is no text becomes U+FFFD.
fn code(characters: &mut impl Iterator<Item = (usize, char)>, n_digits: usize) -> Option<char> {
    let mut code = 0;
    for _ in 0..n_digits {
        code = code * 16 + characters.next()?.1.to_digit(16)?;
    }
    let is_byte = n_digits == 2 && code >= 0x80;
    let character = char::from_u32(code).filter(|_| !is_byte);
    Some(character.unwrap_or(char::REPLACEMENT_CHARACTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_may_be_quoted() {
        assert_eq!(
            words("-s  -X 'main.t=a b' \"-X=c d\""),
            ["-s", "-X", "main.t=a b", "-X=c d"]
        );
        assert_eq!(words(" '"), [""]);
        assert_eq!(words(""), Vec::<String>::new());
    }

    #[test]
    fn lists_and_strings_are_read_as_go_writes_them() {
        assert_eq!(list("[]").unwrap(), Vec::<String>::new());
        assert_eq!(list(r#"["-s" "-w"]"#).unwrap(), ["-s", "-w"]);
        assert_eq!(list(r#"["a \"b\"" "c\n"]"#).unwrap(), ["a \"b\"", "c\n"]);
        assert_eq!(string(r#""a\tb\x00\u00e9""#).unwrap(), "a\tb\0é");
        for broken in [
            "",
            "[",
            r#"["a"#,
            r#"["a" b]"#,
            r#""a"#,
            r#""\x0"#,
            r#""a" b"#,
        ] {
            assert_eq!(list(broken), None, "{broken}");
            assert_eq!(string(broken), None, "{broken}");
        }
    }
}
