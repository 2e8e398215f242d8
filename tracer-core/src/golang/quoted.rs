//! Text that Go quoted, as `strconv.Quote` and `%q` do: a string, or a list of strings.

/// The strings of a list such as `["-s" "-w"]`. `None` if it is not a list, or not whole.
pub fn list(text: &str) -> Option<Vec<String>> {
    let mut rest = text.trim().strip_prefix('[')?.strip_suffix(']')?;
    let mut strings = Vec::new();
    while !rest.is_empty() {
        let (string, after) = first(rest)?;
        strings.push(string);
        rest = after.trim_start_matches(' ');
    }
    Some(strings)
}

/// Strings as such a list.
pub fn to_list(strings: &[String]) -> String {
    let quoted: Vec<String> = strings.iter().map(|it| to_string(it)).collect();
    format!("[{}]", quoted.join(" "))
}

fn to_string(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            it if it.is_ascii_control() => {
                quoted.extend(format!("\\x{:02x}", u32::from(it)).chars());
            }
            it => quoted.push(it),
        }
    }
    quoted + "\""
}

/// One quoted string. `None` if it is not whole.
pub fn string(text: &str) -> Option<String> {
    let (string, rest) = first(text.trim_end())?;
    rest.is_empty().then_some(string)
}

/// The quoted string at the beginning of a text, and the rest of the text. A byte that is no text becomes U+FFFD.
fn first(text: &str) -> Option<(String, &str)> {
    let inside = text.strip_prefix('"')?;
    let mut is_escaped = false;
    let end = inside.find(|it| {
        let is_end = it == '"' && !is_escaped;
        is_escaped = it == '\\' && !is_escaped;
        is_end
    })?;
    let (quoted, rest) = inside.split_at_checked(end)?;
    let plain = unquoted(quoted.as_bytes())?;
    Some((String::from_utf8_lossy(&plain).into_owned(), rest.get(1..)?))
}

/// The content of a quoted string, without its quotes. `None` if an escape is not Go's.
pub fn unquoted(quoted: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(quoted.len());
    let mut rest = quoted;
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'\\' {
            plain.push(*byte);
            continue;
        }
        let (letter, after) = rest.split_first()?;
        let digits = match letter {
            b'x' => 2,
            b'u' => 4,
            b'U' => 8,
            _ => 0,
        };
        let (digits, after) = after.split_at_checked(digits)?;
        rest = after;
        let number = || u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        match letter {
            b'a' => plain.push(7),
            b'b' => plain.push(8),
            b'f' => plain.push(12),
            b'n' => plain.push(b'\n'),
            b'r' => plain.push(b'\r'),
            b't' => plain.push(b'\t'),
            b'v' => plain.push(11),
            b'\\' | b'"' => plain.push(*letter),
            b'x' => plain.push(u8::try_from(number()?).ok()?),
            b'u' | b'U' => {
                let letter = char::from_u32(number()?)?;
                plain.extend(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
            _ => return None,
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_strings_are_read_as_go_writes_them() {
        assert_eq!(list("[]").unwrap(), Vec::<String>::new());
        assert_eq!(list(r#"["-s" "-w"]"#).unwrap(), ["-s", "-w"]);
        assert_eq!(list(r#"["a \"b\"" "c\n"]"#).unwrap(), ["a \"b\"", "c\n"]);
        assert_eq!(string(r#""a\tb\x00\u00e9""#).unwrap(), "a\tb\0é");
        assert_eq!(string(r#""a\\""#).unwrap(), "a\\");
        let strings = ["", "a b", "\"\\", "\n\u{7f}\0", "é"].map(str::to_owned);
        assert_eq!(list(&to_list(&strings)).unwrap(), strings);
        for broken in [
            "",
            "[",
            r#"["a"#,
            r#"["a" b]"#,
            r#""a"#,
            r#""\x0"#,
            r#""a" b"#,
            r#""\q""#,
        ] {
            assert_eq!(list(broken), None, "{broken}");
            assert_eq!(string(broken), None, "{broken}");
        }
    }
}
