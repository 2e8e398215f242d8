//! Marks removed values of a cache key with a digest, so that two keys show which of the values changed:
//! `-X main.t=<redacted:KEY-DIGEST>`. Only digests of the same key can be compared.

use std::borrow::Cow;

use crate::redact::REDACTED;

use super::digest::DigestKey;

/// Bytes of a digest that are kept.
const DIGEST_LEN: usize = 8;

/// Adds to each mark in `redacted` the digest of the part of `raw` that it replaces. Without a key, the marks stay as they are.
pub(super) fn with_digests<'a>(
    key: Option<&DigestKey>,
    raw: &[u8],
    redacted: Cow<'a, [u8]>,
) -> Cow<'a, [u8]> {
    let Some(key) = key.filter(|_| matches!(redacted, Cow::Owned(_))) else {
        return redacted;
    };
    let parts = split(&redacted);
    let [first, others @ ..] = parts.as_slice() else {
        return redacted;
    };
    let mut left = raw.get(first.len()..).unwrap_or_default();
    let mut marked = first.to_vec();
    for (n, part) in others.iter().enumerate() {
        let is_last = n + 1 == others.len();
        let len = removed(left, part, is_last);
        let (value, rest) = left.split_at_checked(len).unwrap_or((left, b""));
        marked.extend(key.mark(value, DIGEST_LEN).bytes());
        marked.extend(*part);
        left = rest.get(part.len()..).unwrap_or_default();
    }
    Cow::Owned(marked)
}

/// The parts of a text around the marks.
fn split(redacted: &[u8]) -> Vec<&[u8]> {
    let mark = REDACTED.as_bytes();
    let mut parts = Vec::new();
    let mut rest = redacted;
    while let Some(at) = rest.windows(mark.len()).position(|it| it == mark) {
        parts.extend(rest.get(..at));
        rest = rest.get(at + mark.len()..).unwrap_or_default();
    }
    parts.push(rest);
    parts
}

/// The length of the removed value at the beginning of `text`, before the kept part that follows it. If the value contains that part,
/// the value is cut short there, and the next digest covers the rest: together, the digests cover every removed byte.
fn removed(text: &[u8], kept: &[u8], is_last: bool) -> usize {
    if is_last {
        return text.len().saturating_sub(kept.len());
    }
    if kept.is_empty() {
        return 0; // The next digest covers the value.
    }
    let at = text.windows(kept.len()).position(|it| it == kept);
    at.unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::redact;

    fn marked(raw: &str) -> String {
        let key = DigestKey::new([7; DigestKey::LEN]);
        let redacted = redact::key_line(raw.as_bytes());
        String::from_utf8(with_digests(Some(&key), raw.as_bytes(), redacted).into_owned()).unwrap()
    }

    #[test]
    fn each_value_has_its_own_digest() {
        let line = |date: &str, commit: &str| {
            marked(&format!(
                r#"linkflags ["-s" "-X" "main.date={date}" "-X" "main.commit={commit}" "-w"]"#
            ))
        };
        let one = line("2026-01-01", "abc123");
        let two = line("2026-01-02", "abc123");
        assert_ne!(one, two);
        let commit = |it: &str| it.split("main.commit=").nth(1).unwrap().to_owned();
        assert_eq!(commit(&one), commit(&two));
        assert!(
            one.contains("main.date=<redacted:") && !one.contains("2026"),
            "{one}"
        );
        assert_eq!(one, line("2026-01-01", "abc123"));
    }

    #[test]
    fn a_line_without_a_secret_stays_unchanged() {
        assert_eq!(
            marked("goos linux goarch amd64\n"),
            "goos linux goarch amd64\n"
        );
    }

    #[test]
    fn without_a_key_there_is_no_digest() {
        let raw = b"-X main.t=abc -s";
        let redacted = redact::key_line(raw);
        assert_eq!(
            &*with_digests(None, raw, redacted),
            b"-X main.t=<redacted> -s"
        );
    }

    proptest! {
        /// Any change of the text changes the line, unless the values are equal.
        #[test]
        fn a_changed_value_is_visible(a in "[ -~]{0,12}", b in "[ -~]{0,12}") {
            let line = |value: &str| marked(&format!("-X main.t={value}"));
            prop_assert_eq!(a == b, line(&a) == line(&b));
        }
    }
}
