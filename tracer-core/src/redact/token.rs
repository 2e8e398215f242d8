//! Keys that are known by their form, whoever names them: the prefixes that their issuers publish so that leaks can be found.

use std::borrow::Cow;

use super::REDACTED;

/// Bytes that may follow a prefix, and how many at least.
struct Form {
    prefix: &'static [u8],
    alphabet: fn(u8) -> bool,
    min: usize,
    /// The prefix is so short that it may stand inside other text by chance: nothing alphanumeric may be before it.
    word: bool,
}

const fn form(prefix: &'static [u8], min: usize, word: bool) -> Form {
    Form {
        prefix,
        alphabet: is_base64url,
        min,
        word,
    }
}

const FORMS: &[Form] = &[
    Form {
        prefix: b"AKIA",
        alphabet: is_upper,
        min: 16,
        word: true,
    },
    Form {
        prefix: b"ASIA",
        alphabet: is_upper,
        min: 16,
        word: true,
    },
    form(b"AIza", 30, true),
    form(b"dop_v1_", 20, false),
    form(b"gho_", 20, false),
    form(b"ghp_", 20, false),
    form(b"ghr_", 20, false),
    form(b"ghs_", 20, false),
    form(b"ghu_", 20, false),
    form(b"github_pat_", 20, false),
    form(b"glcbt-", 16, false),
    form(b"gldt-", 16, false),
    form(b"glpat-", 16, false),
    form(b"glptt-", 16, false),
    form(b"glrt-", 16, false),
    form(b"hvb.", 20, true),
    form(b"hvs.", 20, true),
    form(b"npm_", 30, true),
    form(b"pypi-Ag", 20, false),
    form(b"rk_live_", 16, false),
    form(b"sk_live_", 16, false),
    form(b"sk_test_", 16, false),
    form(b"xapp-1-", 10, true),
    form(b"xoxa-", 10, false),
    form(b"xoxb-", 10, false),
    form(b"xoxe-", 10, false),
    form(b"xoxp-", 10, false),
    form(b"xoxr-", 10, false),
    form(b"xoxs-", 10, false),
];

/// A JSON web token: base64 of `{"`, then two more parts after dots.
const JWT: &[u8] = b"eyJ";
/// Longest first part of a web token that is looked for.
const JWT_HEAD_MAX: usize = 512;
const PEM_BEGIN: &[u8] = b"-----BEGIN ";
const PEM_END: &[u8] = b"-----END ";

/// Length of the key that a text begins with, if it does; `before` is the byte in front of it.
pub(super) fn len(text: &[u8], before: Option<u8>) -> Option<usize> {
    if !matches!(text, [first, second, ..] if is_likely(*first, *second)) {
        return None;
    }
    let stands_alone = before.is_none_or(|it| !it.is_ascii_alphanumeric());
    if stands_alone && text.starts_with(JWT) {
        return jwt(text);
    }
    if text.starts_with(PEM_BEGIN) {
        return pem(text);
    }
    FORMS
        .iter()
        .filter(|it| stands_alone || !it.word)
        .find_map(|form| {
            let rest = text.strip_prefix(form.prefix)?;
            let n = rest.iter().take_while(|it| (form.alphabet)(**it)).count();
            (n >= form.min).then_some(form.prefix.len() + n)
        })
}

/// A text with keys that are known by their form taken out, and nothing else.
pub(super) fn without(text: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|it| !it.is_empty()) {
        let before = at.checked_sub(1).and_then(|it| text.get(it)).copied();
        match len(rest, before) {
            Some(n) => {
                out.extend_from_slice(text.get(copied..at).unwrap_or_default());
                out.extend_from_slice(REDACTED.as_bytes());
                at += n.max(1);
                copied = at;
            }
            None => at += 1,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.extend_from_slice(text.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

/// Whether a key may begin with these bytes: nearly every place is dismissed here.
pub(super) fn is_likely(first: u8, second: u8) -> bool {
    matches!(
        (first, second),
        (b'-', b'-')
            | (b'A', b'I' | b'K' | b'S')
            | (b'd', b'o')
            | (b'e' | b'p', b'y')
            | (b'g', b'h' | b'i' | b'l')
            | (b'h', b'v')
            | (b'n', b'p')
            | (b'r' | b's', b'k')
            | (b'x', b'a' | b'o')
    )
}

/// Whether a text that was cut off may have been going to hold a key.
pub(super) fn may_begin(text: &[u8]) -> bool {
    let has = |it: &[u8]| text.windows(it.len()).any(|window| window == it);
    has(JWT) || has(PEM_BEGIN) || FORMS.iter().any(|form| has(form.prefix))
}

fn jwt(text: &[u8]) -> Option<usize> {
    let head = text
        .iter()
        .take(JWT_HEAD_MAX)
        .take_while(|it| is_base64url(**it))
        .count();
    if head < 10 || text.get(head) != Some(&b'.') {
        return None;
    }
    Some(
        text.iter()
            .take_while(|it| is_base64url(**it) || **it == b'.')
            .count(),
    )
}

/// A private key, to the end of its last line; to the end of the text if that is not there.
fn pem(text: &[u8]) -> Option<usize> {
    let title = text
        .get(PEM_BEGIN.len()..)?
        .get(..64)
        .unwrap_or(text.get(PEM_BEGIN.len()..)?);
    if !title.windows(11).any(|it| it == b"PRIVATE KEY") {
        return None;
    }
    let Some(end) = text.windows(PEM_END.len()).position(|it| it == PEM_END) else {
        return Some(text.len());
    };
    let after = text.get(end + PEM_END.len()..)?;
    let close = after
        .windows(5)
        .position(|it| it == b"-----")
        .map_or(after.len(), |it| it + 5);
    Some(end + PEM_END.len() + close)
}

fn is_upper(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_form_is_dismissed_by_its_first_bytes() {
        for form in FORMS {
            let key = [form.prefix, &vec![b'A'; form.min]].concat();
            assert_eq!(
                len(&key, None),
                Some(key.len()),
                "{}",
                String::from_utf8_lossy(form.prefix)
            );
            assert_eq!(len(&key[..key.len() - 1], None), None);
            assert!(may_begin(&key[..key.len() - 1]));
        }
    }
}
