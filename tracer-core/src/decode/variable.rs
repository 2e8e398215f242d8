//! Lines of a cache key that name a variable which a test read: `env NAME HASH`.
//!
//! The hash covers the variable's value without a salt, so a short or likely value can be guessed from it. This module replaces it with the
//! mark of a removed value, `<redacted:KEY-DIGEST>`. The digest changes only with the name and the value, and is useless without the key,
//! which stays on its machine.

use std::borrow::Cow;

use crate::redact::REDACTED;

use super::digest::DigestKey;

/// The start of each such line.
const BEGIN: &[u8] = b"env ";
/// Fewest digits of a hash. Shorter ones in a whole line cannot be distinguished from words.
const DIGITS_MIN: usize = 16;
/// Bytes of a digest that are kept.
const DIGEST_LEN: usize = 16;

/// Removes the hashes from a piece that is written into a key at once. Without a key nothing replaces them.
pub(super) fn without_hashes<'a>(
    key: Option<&DigestKey>,
    written: &'a [u8],
    is_cut: bool,
) -> Cow<'a, [u8]> {
    let starts = starts(written);
    let Some(first) = starts.first() else {
        return Cow::Borrowed(written);
    };
    let mut kept = written.get(..*first).unwrap_or_default().to_vec();
    let ends = starts.iter().skip(1).copied().chain([written.len()]);
    for (start, end) in starts.iter().zip(ends) {
        let is_cut = is_cut && end == written.len();
        line(
            key,
            written.get(*start..end).unwrap_or_default(),
            is_cut,
            &mut kept,
        );
    }
    Cow::Owned(kept)
}

/// Start offsets of the lines about variables.
fn starts(written: &[u8]) -> Vec<usize> {
    let within = written.windows(BEGIN.len() + 1).enumerate();
    let within = within
        .filter(|(_, it)| it.strip_prefix(b"\n") == Some(BEGIN))
        .map(|(at, _)| at + 1);
    let first = written.starts_with(BEGIN).then_some(0);
    first.into_iter().chain(within).collect()
}

/// One line about a variable, and everything up to the next one: a variable's name may contain a line feed.
fn line(key: Option<&DigestKey>, line: &[u8], is_cut: bool, kept: &mut Vec<u8>) {
    let mut end = 0;
    for word in line.split_inclusive(u8::is_ascii_whitespace) {
        end += word.len();
        let text = word.trim_ascii_end();
        let is_hex = !text.is_empty() && text.iter().all(u8::is_ascii_hexdigit);
        // The last word may be the first digits of a hash.
        let is_partial = is_cut && end == line.len() && text.len() == word.len();
        match key {
            _ if is_hex && is_partial => {}
            Some(key) if is_hex && text.len() >= DIGITS_MIN => {
                let hashed = line.get(..end - (word.len() - text.len()));
                // The digest covers the name, too, so that two variables with the same value have different digests.
                kept.extend(key.mark(hashed.unwrap_or_default(), DIGEST_LEN).bytes());
                kept.extend(word.get(text.len()..).unwrap_or_default());
            }
            None if is_hex && text.len() >= DIGITS_MIN => {
                kept.extend(REDACTED.bytes());
                kept.extend(word.get(text.len()..).unwrap_or_default());
            }
            _ => kept.extend(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
    const OTHER: &str = "60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752";

    fn keyed(key: u8, written: &str, is_cut: bool) -> String {
        let key = DigestKey::new([key; DigestKey::LEN]);
        let kept = without_hashes(Some(&key), written.as_bytes(), is_cut);
        String::from_utf8(kept.into_owned()).unwrap()
    }

    fn whole(written: &str) -> String {
        keyed(1, written, false)
    }

    fn cut(written: &str) -> String {
        keyed(1, written, true)
    }

    #[test]
    fn a_digest_shows_only_that_a_value_changed() {
        let line = |name: &str, hash: &str| format!("env {name} {hash}\n");
        let one = whole(&line("CI", HASH));
        assert_eq!(
            one.len(),
            "env CI <redacted:abcd->\n".len() + 2 * DIGEST_LEN
        );
        assert!(one.starts_with("env CI <redacted:") && one.ends_with(">\n"));
        assert_eq!(one, whole(&line("CI", HASH)));
        assert_ne!(one, whole(&line("CI", OTHER)));
        assert_ne!(one, keyed(2, &line("CI", HASH), false));
        // Another variable with the same value.
        let digest = |it: &str| it.split(' ').next_back().map(str::to_owned);
        assert_ne!(digest(&one), digest(&whole(&line("HOME", HASH))));
    }

    #[test]
    fn without_a_key_there_is_no_digest() {
        let line = format!("env CI {HASH}\n");
        let kept = without_hashes(None, line.as_bytes(), false);
        assert_eq!(&*kept, b"env CI <redacted>\n");
    }

    #[test]
    fn no_form_of_the_line_keeps_a_hash() {
        for written in [
            format!("env A B {HASH}\n"),
            format!("env A\nB {HASH}\n"),
            format!("env A {HASH}"),
            format!("env  {HASH}\n"),
            format!("env A {}\n", HASH.to_uppercase()),
            format!("testInputs\nenv A {HASH}\n"),
            format!("env A {HASH}\nenv B {HASH}\nopen x {OTHER}\n"),
            format!("env A {HASH}\r\n"),
            format!("env A\t{HASH}\n"),
        ] {
            let kept = whole(&written);
            assert!(!kept.to_lowercase().contains(HASH), "{kept}");
            assert!(kept.contains("env "), "{kept}");
        }
    }

    #[test]
    fn a_cut_line_keeps_no_part_of_a_hash() {
        for n in 0..HASH.len() {
            let written = format!("env LONG_NAME {}", &HASH[..n]);
            assert_eq!(cut(&written), "env LONG_NAME ", "{n}");
        }
        let all = cut(&format!("env LONG_NAME {HASH}"));
        assert_eq!(all, "env LONG_NAME ");
        assert_eq!(cut("env LONG_NA"), "env LONG_NA");
        // The digest of a line before the cut one stays.
        let two = cut(&format!("env A {HASH}\nenv B {}", &HASH[..9]));
        assert_eq!(two, whole(&format!("env A {HASH}\n")) + "env B ");
    }

    #[test]
    fn other_lines_stay_as_they_are() {
        for written in [
            "",
            "env",
            "env ",
            "env GOFLAGS=-mod=mod\n",
            "environment 9f86d081884c7d659a2feaa0c55ad015\n",
            "open /tmp/x 9f86d081884c7d659a2feaa0c55ad015\n",
            "GOENV env 9f86d081884c7d659a2feaa0c55ad015\n",
            "env CI is a word\n",
        ] {
            assert_eq!(whole(written), written);
            if !written.starts_with("env ") {
                assert_eq!(cut(written), written);
            }
        }
    }
}
