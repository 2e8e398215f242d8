//! Recognises keys by their form, whatever their name: issuers publish prefixes so that leaks can be found.

use std::borrow::Cow;

use super::REDACTED;

/// A prefix and the form of the key after it.
struct Form {
    prefix: &'static [u8],
    /// The bytes of the key's first part, and their smallest number. Further bytes of [`is_base64url`] may follow.
    alphabet: fn(u8) -> bool,
    min: usize,
    edge: Edge,
    look: Look,
}

/// The positions at which a prefix counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    /// Everywhere: no other text contains it.
    Anywhere,
    /// After a letter or a digit only if the key looks random.
    Glued,
    /// Not after a capital or a digit.
    Capitals,
    /// Not after a letter or a digit.
    Word,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Any,
    /// Letters and digits: the prefix is also the beginning of other words.
    Random,
}

const fn form(
    prefix: &'static [u8],
    alphabet: fn(u8) -> bool,
    min: usize,
    edge: Edge,
    look: Look,
) -> Form {
    Form {
        prefix,
        alphabet,
        min,
        edge,
        look,
    }
}

/// A unique prefix.
const fn sure(prefix: &'static [u8], min: usize) -> Form {
    form(prefix, is_base64url, min, Edge::Anywhere, Look::Any)
}

/// A prefix before letters and digits that may be the end of a word: `highs_`, `network_live_`.
const fn glued(prefix: &'static [u8], min: usize) -> Form {
    form(prefix, is_alphanumeric, min, Edge::Glued, Look::Any)
}

/// A short prefix.
const fn word(prefix: &'static [u8], min: usize) -> Form {
    form(prefix, is_alphanumeric, min, Edge::Word, Look::Random)
}

const fn capitals(prefix: &'static [u8], min: usize) -> Form {
    form(prefix, is_upper, min, Edge::Capitals, Look::Any)
}

const fn hex(prefix: &'static [u8], min: usize) -> Form {
    form(prefix, is_hex, min, Edge::Word, Look::Random)
}

/// Sorted by their prefixes.
const FORMS: &[Form] = &[
    form(b".atlasv1.", is_base64url, 16, Edge::Anywhere, Look::Any),
    capitals(b"ABIA", 16),
    capitals(b"ACCA", 16),
    capitals(b"AGE-SECRET-KEY-1", 16),
    sure(b"AIza", 30),
    word(b"AKCp", 20),
    capitals(b"AKIA", 16),
    capitals(b"ASIA", 16),
    sure(b"ATATT3", 16),
    word(b"ATBB", 20),
    sure(b"CCIPAT_", 10),
    sure(b"CFPAT-", 16),
    sure(b"EAACEdEose0cBA", 8),
    form(b"FlyV1 ", is_base64url, 10, Edge::Word, Look::Any),
    sure(b"GOCSPX-", 16),
    sure(b"HRKU-", 16),
    form(b"LS0tLS1CRUdJTi", is_base64, 16, Edge::Anywhere, Look::Any),
    word(b"LTAI", 16),
    capitals(b"NRAK-", 16),
    sure(b"PMAK-", 16),
    form(
        b"PuTTY-User-Key-File-",
        |_| true,
        1,
        Edge::Anywhere,
        Look::Any,
    ),
    form(b"SG.", is_base64url, 16, Edge::Word, Look::Random),
    hex(b"SK", 32),
    form(b"amzn.mws.", is_base64url, 16, Edge::Anywhere, Look::Any),
    form(
        b"api.telegram.org/bot",
        is_address,
        10,
        Edge::Anywhere,
        Look::Any,
    ),
    word(b"bkua_", 20),
    hex(b"dapi", 32),
    sure(b"dckr_oat_", 10),
    sure(b"dckr_pat_", 10),
    form(
        b"discord.com/api/webhooks/",
        is_address,
        10,
        Edge::Anywhere,
        Look::Any,
    ),
    form(
        b"discordapp.com/api/webhooks/",
        is_address,
        10,
        Edge::Anywhere,
        Look::Any,
    ),
    sure(b"doo_v1_", 10),
    sure(b"dop_v1_", 10),
    sure(b"dor_v1_", 10),
    form(b"dp.pt.", is_base64url, 20, Edge::Word, Look::Any),
    form(b"dp.st.", is_dotted, 20, Edge::Word, Look::Any),
    form(b"dt0c01.", is_dotted, 16, Edge::Anywhere, Look::Any),
    word(b"figd_", 16),
    word(b"fm1r_", 16),
    word(b"fm2_", 16),
    word(b"fo1_", 16),
    glued(b"gho_", 10),
    glued(b"ghp_", 10),
    glued(b"ghr_", 10),
    glued(b"ghs_", 10),
    glued(b"ghu_", 10),
    sure(b"github_pat_", 10),
    sure(b"glagent-", 10),
    word(b"glc_", 20),
    sure(b"glcbt-", 10),
    sure(b"gldt-", 10),
    sure(b"glffct-", 10),
    sure(b"glft-", 10),
    sure(b"glimt-", 10),
    sure(b"gloas-", 10),
    sure(b"glpat-", 10),
    sure(b"glptt-", 10),
    sure(b"glrt-", 10),
    word(b"glsa_", 20),
    sure(b"glsoat-", 10),
    word(b"gsk_", 20),
    word(b"hf_", 16),
    form(
        b"hooks.slack.com/",
        is_address,
        10,
        Edge::Anywhere,
        Look::Any,
    ),
    sure(b"hvb.", 16),
    sure(b"hvr.", 16),
    sure(b"hvs.", 16),
    hex(b"key-", 32),
    sure(b"lin_api_", 10),
    sure(b"lin_oauth_", 10),
    word(b"nfp_", 20),
    glued(b"npm_", 20),
    word(b"ntn_", 20),
    sure(b"nvapi-", 16),
    sure(b"ops_eyJ", 16),
    word(b"phx_", 20),
    word(b"pplx-", 20),
    sure(b"pscale_oauth_", 10),
    sure(b"pscale_pw_", 10),
    sure(b"pscale_tkn_", 10),
    hex(b"pul-", 32),
    sure(b"pypi-Ag", 10),
    word(b"r8_", 20),
    glued(b"rk_live_", 10),
    glued(b"rk_test_", 10),
    word(b"rnd_", 20),
    hex(b"rubygems_", 16),
    word(b"s.", 24),
    hex(b"sbp_", 32),
    hex(b"sgp_", 32),
    sure(b"shpat_", 10),
    sure(b"shpca_", 10),
    sure(b"shppa_", 10),
    sure(b"shpss_", 10),
    form(b"sk-", is_alphanumeric, 20, Edge::Word, Look::Random),
    sure(b"sk-ant-", 10),
    sure(b"sk-or-v1-", 10),
    sure(b"sk-proj-", 10),
    sure(b"sk-svcacct-", 10),
    glued(b"sk_live_", 10),
    glued(b"sk_test_", 10),
    sure(b"sntrys_", 10),
    sure(b"sntryu_", 10),
    sure(b"sq0atp-", 10),
    sure(b"sq0csp-", 10),
    hex(b"sqa_", 32),
    hex(b"sqp_", 32),
    hex(b"squ_", 32),
    word(b"tfp_", 20),
    sure(b"tskey-", 10),
    sure(b"vercel_blob_rw_", 10),
    glued(b"whsec_", 16),
    word(b"xai-", 20),
    sure(b"xapp-", 10),
    sure(b"xkeysib-", 10),
    sure(b"xoxa-", 10),
    sure(b"xoxb-", 10),
    sure(b"xoxc-", 10),
    sure(b"xoxd-", 10),
    sure(b"xoxe-", 10),
    sure(b"xoxe.xoxb-", 10),
    sure(b"xoxe.xoxp-", 10),
    sure(b"xoxo-", 10),
    sure(b"xoxp-", 10),
    sure(b"xoxr-", 10),
    sure(b"xoxs-", 10),
    sure(b"ya29.", 16),
];

/// A JSON web token: base64 of `{"`, then two more parts after dots.
const JWT: &[u8] = b"eyJ";
/// Longest first part of a web token that is searched for.
const JWT_HEAD_MAX: usize = 512;
const PEM_BEGIN: &[u8] = b"-----BEGIN ";
const PEM_END: &[u8] = b"-----END ";

/// Length of the key at the beginning of a text, if there is one; `before` is the text before it.
pub(super) fn len(text: &[u8], before: &[u8]) -> Option<usize> {
    if !matches!(text, [first, second, ..] if is_likely(*first, *second)) {
        return None;
    }
    let before = last_byte(before);
    if text.starts_with(JWT) {
        return jwt(text, before.is_none());
    }
    if text.starts_with(PEM_BEGIN) {
        return pem(text);
    }
    forms(text).find_map(|form| form.len(text, before))
}

/// The forms whose prefix begins with the first three bytes of a text, or has only two.
fn forms(text: &[u8]) -> impl Iterator<Item = &'static Form> {
    let (start, end) = match text {
        [first, ..] => (FIRST[usize::from(*first)], FIRST[usize::from(*first) + 1]),
        [] => (0, 0),
    };
    let forms = FORMS.get(start..end);
    // Comparing bytes is faster than comparing slices, and rejects nearly all forms.
    forms.unwrap_or_default().iter().filter(move |form| {
        form.prefix.get(1) == text.get(1)
            && form.prefix.get(2).is_none_or(|it| text.get(2) == Some(it))
    })
}

/// The position of the first form with this first byte or a greater one.
static FIRST: [usize; 257] = {
    let mut first = [0; 257];
    let mut byte = 0;
    let mut at = 0;
    while byte < first.len() {
        while at < FORMS.len() && (FORMS[at].prefix[0] as usize) < byte {
            at += 1;
        }
        first[byte] = at;
        byte += 1;
    }
    first
};

/// The pairs of bytes with which a key may begin: 64 second bytes in each number.
static PAIRS: [[u64; 4]; 256] = {
    let mut pairs = [[0; 4]; 256];
    let mut at = 0;
    while at < FORMS.len() + 2 {
        let prefix = if at < FORMS.len() {
            FORMS[at].prefix
        } else if at == FORMS.len() {
            JWT
        } else {
            PEM_BEGIN
        };
        let (first, second) = (prefix[0] as usize, prefix[1] as usize);
        pairs[first][second / 64] |= 1 << (second % 64);
        at += 1;
    }
    pairs
};

/// The letter or digit before a key. One that ends an escape (`%3D`, `\u003d`, `\n`) does not count.
fn last_byte(before: &[u8]) -> Option<u8> {
    match before {
        [.., b'%', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => None,
        [.., b'\\', b'u', a, b, c, d] if [a, b, c, d].iter().all(|it| it.is_ascii_hexdigit()) => {
            None
        }
        [.., b'\\', b'x', a, b] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit() => None,
        [.., b'\\', b'n' | b't' | b'r' | b'f' | b'v'] => None,
        [.., last] if last.is_ascii_alphanumeric() => Some(*last),
        _ => None,
    }
}

impl Form {
    /// True if its prefix is here. A prefix that other words share counts only at the start of a word.
    fn may_begin(&self, text: &[u8], before: &[u8]) -> bool {
        text.starts_with(self.prefix) && (self.look == Look::Any || last_byte(before).is_none())
    }

    fn len(&self, text: &[u8], before: Option<u8>) -> Option<usize> {
        let rest = text.strip_prefix(self.prefix)?;
        let may = match self.edge {
            Edge::Anywhere | Edge::Glued => true,
            Edge::Capitals => {
                before.is_none_or(|it| !it.is_ascii_uppercase() && !it.is_ascii_digit())
            }
            Edge::Word => before.is_none(),
        };
        if !may {
            return None;
        }
        let n = rest.iter().take_while(|it| (self.alphabet)(**it)).count();
        let (key, tail) = rest.split_at_checked(n)?;
        let looks =
            || key.iter().any(u8::is_ascii_digit) && key.iter().any(u8::is_ascii_alphabetic);
        let must_look = self.look == Look::Random || (self.edge == Edge::Glued && before.is_some());
        let fits = !must_look || looks();
        if !fits || n < self.min {
            return None;
        }
        let tail = tail.iter().take_while(|it| is_base64url(**it)).count();
        Some(self.prefix.len() + n + tail)
    }
}

/// A text from which only keys with a known form are removed.
pub(super) fn without(text: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    let mut copied = 0;
    let mut at = 0;
    while let Some(skipped) = text.get(at..).and_then(likely) {
        at += skipped;
        let rest = text.get(at..).unwrap_or_default();
        let before = text.get(copied..at).unwrap_or_default();
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

/// True if a key may begin with these bytes. This rejects nearly every position.
#[inline]
pub(super) fn is_likely(first: u8, second: u8) -> bool {
    let seconds = &PAIRS[usize::from(first)];
    seconds[usize::from(second / 64)] >> (second % 64) & 1 == 1
}

/// The first position at which a key may begin.
pub(super) fn likely(text: &[u8]) -> Option<usize> {
    text.windows(2)
        .position(|it| matches!(it, [first, second] if is_likely(*first, *second)))
}

/// True if a cut text may have contained a key.
pub(super) fn may_begin(text: &[u8]) -> bool {
    text.windows(2).enumerate().any(|(at, pair)| {
        matches!(pair, [first, second] if is_likely(*first, *second))
            && text.split_at_checked(at).is_some_and(|(before, rest)| {
                rest.starts_with(JWT)
                    || rest.starts_with(PEM_BEGIN)
                    || forms(rest).any(|form| form.may_begin(rest, before))
            })
    })
}

/// A token in the middle of a word needs a second part that begins like the first.
fn jwt(text: &[u8], stands_alone: bool) -> Option<usize> {
    let head = text
        .iter()
        .take(JWT_HEAD_MAX)
        .take_while(|it| is_base64url(**it))
        .count();
    let after = text.get(head..)?.strip_prefix(b".")?;
    if head < 10 || (!stands_alone && !after.starts_with(JWT)) {
        return None;
    }
    Some(
        text.iter()
            .take_while(|it| is_base64url(**it) || **it == b'.')
            .count(),
    )
}

/// A private key, to the end of its last line, or to the end of the text if that line is missing.
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

fn is_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

fn is_base64(byte: u8) -> bool {
    is_base64url(byte) || matches!(byte, b'+' | b'/' | b'=')
}

fn is_dotted(byte: u8) -> bool {
    is_base64url(byte) || byte == b'.'
}

/// The path of a web hook.
fn is_address(byte: u8) -> bool {
    is_base64url(byte) || matches!(byte, b'/' | b':')
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Alternating letters and digits, in capitals.
    fn key(form: &Form, n: usize) -> Vec<u8> {
        let key = b"A1".iter().copied().cycle().take(n);
        form.prefix.iter().copied().chain(key).collect()
    }

    #[test]
    fn forms_are_sorted() {
        assert!(FORMS.is_sorted_by_key(|it| it.prefix));
    }

    #[test]
    fn no_form_is_rejected_by_its_first_bytes() {
        for form in FORMS {
            let key = key(form, form.min);
            assert_eq!(
                len(&key, b""),
                Some(key.len()),
                "{}",
                String::from_utf8_lossy(form.prefix)
            );
            assert_eq!(len(&key[..key.len() - 1], b""), None);
            assert!(may_begin(&key[..key.len() - 1]));
        }
    }

    #[test]
    fn an_escape_separates_a_key() {
        for before in [
            "", "=", "%3D", "\\u003d", "\\x3d", "\\n", "_", "a\\t", "%26",
        ] {
            for form in FORMS {
                let key = key(form, form.min);
                assert_eq!(len(&key, before.as_bytes()), Some(key.len()), "{before}");
            }
        }
        assert_eq!(len(b"AKIAIOSFODNN7EXAMPLE", b"X"), None);
        assert_eq!(len(b"AKIAIOSFODNN7EXAMPLE", b"key"), Some(20));
        assert_eq!(len(b"sk_live_streaming", b"ta"), None);
        assert_eq!(len(b"sk_live_51HxAbCdEfGhIj", b"x"), Some(22));
    }
}
