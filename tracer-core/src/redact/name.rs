//! Recognises names of flags, variables and headers whose values are secret.

/// Parts of a name that make it secret at any position.
const SECRET: &[&str] = &[
    "accesskey",
    "accountkey",
    "apikey",
    "authkey",
    "authorization",
    "bearer",
    "cookie",
    "deploykey",
    "encryptionkey",
    "hmac",
    "jwt",
    "keypass",
    "masterkey",
    "otp",
    "passcode",
    "privatekey",
    "psk",
    "sas",
    "secretkey",
    "sharedaccesskey",
    "sig",
    "signature",
    "signingkey",
    "sshkey",
    "storepass",
    "token",
];
/// Words that make a name secret at any position, even across its parts: `MyPassWord`, `DPASSWORD`.
const ANYWHERE: &[&str] = &[
    "credential",
    "passphrase",
    "passwd",
    "password",
    "passwort",
    "secret",
];
/// Parts that make a longer name secret at its end: `DB_PASS`, `api-key`, `_auth`.
const SECRET_LAST: &[&str] = &["auth", "key", "pass", "pat", "pw", "pwd"];
/// Last parts that make it the name, the location or the size of a secret instead.
const ABOUT: &[&str] = &[
    "count", "dir", "enabled", "endpoint", "expiry", "file", "go", "helper", "id", "issuer", "len",
    "length", "limit", "mode", "name", "path", "size", "ttl", "type", "uri", "url", "version",
];
/// Header fields. For these a colon counts as an equals sign.
const HEADER: &[&str] = &[
    "authorization",
    "cookie",
    "deploy-token",
    "job-token",
    "private-token",
    "proxy-authorization",
    "set-cookie",
];
/// Parameters of an address that sign it or replace a login, without `-` and `_`.
const QUERY: &[&str] = &[
    "auth",
    "awsaccesskeyid",
    "code",
    "googleaccessid",
    "key",
    "keypairid",
    "pass",
    "policy",
    "pw",
    "pwd",
    "session",
    "sessionid",
    "sid",
    "ticket",
];
/// Words in the name of a C macro that make it secret. The list is longer than elsewhere, because few macros have a value that a reader
/// would miss.
const MACRO: &[&str] = &[
    "auth",
    "cert",
    "cred",
    "hmac",
    "jwt",
    "key",
    "licen",
    "nonce",
    "pass",
    "private",
    "pwd",
    "salt",
    "secret",
    "seed",
    "signature",
    "signing",
    "token",
];
/// Longer names are compared only up to this length, and longer values are not checked.
const NAME_MAX: usize = 256;
/// Shorter values of a macro are words, whatever they contain: `c99`, `x86_64`.
const MACRO_VALUE_MIN: usize = 12;

/// True if a value of this name is secret. Parts of a name are separated by `_`, `-`, `.`, or a capital after a small letter.
pub(super) fn is_secret(name: &[u8]) -> bool {
    let mut last: &[u8] = b"";
    let (mut n_parts, mut has_secret) = (0, false);
    for part in parts(name) {
        has_secret |= is_one_of(SECRET, part) || (ends_in_token(part) && !name.starts_with(b"GO"));
        last = part;
        n_parts += 1;
    }
    if is_one_of(ABOUT, last) {
        return false;
    }
    has_secret || (n_parts > 1 && is_one_of(SECRET_LAST, last)) || has_anywhere(name, ANYWHERE)
}

/// True for `accesstoken` and `CI_BOTTOKEN`.
fn ends_in_token(part: &[u8]) -> bool {
    part.len()
        .checked_sub(5)
        .and_then(|at| part.get(at..))
        .is_some_and(|it| it.eq_ignore_ascii_case(b"token"))
}

/// True if a name contains one of the words. The part after the word must not make it the name or the location of a secret.
fn has_anywhere(name: &[u8], words: &[&str]) -> bool {
    let joined = joined(name);
    words.iter().any(|word| {
        let word = word.as_bytes();
        joined
            .windows(word.len())
            .rposition(|it| it == word)
            .and_then(|at| joined.get(at + word.len()..))
            .is_some_and(|after| !is_one_of(ABOUT, after))
    })
}

/// A name in small letters, without the separators of its parts.
fn joined(name: &[u8]) -> Vec<u8> {
    name.iter()
        .take(NAME_MAX)
        .filter(|it| !matches!(it, b'_' | b'-' | b'.'))
        .map(u8::to_ascii_lowercase)
        .collect()
}

/// True for a parameter of an address, after `?` or `&`.
pub(super) fn is_query(name: &[u8]) -> bool {
    is_secret(name) || is_one_of(QUERY, &joined(name))
}

/// True for names of a password, which need no more than a colon or `is` before the value.
pub(super) fn is_password(name: &[u8]) -> bool {
    is_secret(name) && has_anywhere(name, &["passphrase", "passwd", "password"])
}

/// True for `pass`, `--pw` and `Pwd`; then the value decides. `PWD` is a directory.
pub(super) fn is_short_password(name: &[u8]) -> bool {
    let name = name.strip_prefix(b"-").unwrap_or(name);
    let name = name.strip_prefix(b"-").unwrap_or(name);
    matches!(
        name,
        b"pass" | b"Pass" | b"PASS" | b"pw" | b"Pw" | b"PW" | b"pwd" | b"Pwd"
    )
}

/// True if the value of a short password name is a path or a number instead.
pub(super) fn is_path_or_number(value: &[u8]) -> bool {
    value.iter().all(u8::is_ascii_digit) || matches!(value, [b'/' | b'.' | b'$' | b'-', ..])
}

/// True if a C macro's value must be removed: its name marks it as secret, or its form does not rule that out.
pub(super) fn is_secret_macro(name: &[u8], value: &[u8]) -> bool {
    if is_harmless(value) {
        return false;
    }
    let is_named = is_secret(name)
        || has_anywhere(name, MACRO)
        || parts(name).any(|it| is_one_of(&["pin", "pat", "pw", "sig"], it));
    is_named || !is_macro_value(value)
}

/// True for a short word, a number, a version, a path, a word of letters, or an expression.
fn is_macro_value(value: &[u8]) -> bool {
    if value.len() > NAME_MAX {
        return false;
    }
    let value = value.trim_ascii();
    let value: Vec<u8> = (value.iter().copied())
        .filter(|it| !matches!(it, b'"' | b'\'' | b'\\'))
        .collect();
    let all = |is: fn(&u8) -> bool| value.iter().all(is);
    value.len() < MACRO_VALUE_MIN
        || all(|it| {
            it.is_ascii_digit() || matches!(it, b'.' | b'-' | b'+' | b'u' | b'U' | b'l' | b'L')
        })
        || all(|it| it.is_ascii_alphabetic() || matches!(it, b'_' | b' ' | b'*' | b'-'))
        || value.contains(&b'(')
        || (matches!(value.as_slice(), [b'/' | b'.' | b'<', ..]) && !value.contains(&b'?'))
}

fn is_one_of(list: &[&str], part: &[u8]) -> bool {
    list.iter()
        .any(|it| it.as_bytes().eq_ignore_ascii_case(part))
}

/// True for `key` alone: an object's key as often as a cipher's. Then the value decides.
pub(super) fn is_key(name: &[u8]) -> bool {
    let mut parts = parts(name);
    parts
        .next()
        .is_some_and(|it| it.eq_ignore_ascii_case(b"key"))
        && parts.next().is_none()
}

pub(super) fn is_header(name: &[u8]) -> bool {
    is_one_of(HEADER, name) || (name.starts_with(b"X-") && is_secret(name))
}

/// True for values that are not secret under any name.
pub(super) fn is_harmless(value: &[u8]) -> bool {
    matches!(
        value,
        b"" | b"0" | b"1" | b"true" | b"false" | b"yes" | b"no" | b"on" | b"off" | b"none"
    ) || value == super::REDACTED.as_bytes()
}

/// True if a value is long and contains both letters and digits, so it is not a word.
pub(super) fn looks_random(value: &[u8]) -> bool {
    value.len() >= 16
        && value.iter().any(u8::is_ascii_digit)
        && value.iter().any(u8::is_ascii_alphabetic)
}

/// Parts of a name, without parts that only number them.
fn parts(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    name.split(|it| matches!(it, b'_' | b'-' | b'.'))
        .flat_map(|word| word.chunk_by(|a, b| !(a.is_ascii_lowercase() && b.is_ascii_uppercase())))
        .map(without_number)
        .filter(|it| !it.is_empty())
}

/// `TOKEN2` is another `TOKEN`.
fn without_number(part: &[u8]) -> &[u8] {
    let end = part.iter().rposition(|it| !it.is_ascii_digit());
    end.and_then(|it| part.get(..=it)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mark_secrets() {
        for name in [
            "token",
            "TOKEN",
            "GITHUB_TOKEN",
            "authToken",
            "_authToken",
            "DB_PASS",
            "db-password",
            "AWS_SECRET_ACCESS_KEY",
            "SECRET_1",
            "-api-key",
            "X-Api-Key",
            "clientSecret",
            "MY_TOKEN_FOR_CI",
            "npm.auth",
            "DSECRET_TOKEN",
            "PGPASSWORD",
            "MYSQL_PWD",
        ] {
            assert!(is_secret(name.as_bytes()), "{name}");
        }
        for name in [
            "",
            "_",
            "key",
            "auth",
            "pass",
            "PWD",
            "OLDPWD",
            "monkey",
            "tokenizer",
            "trimpath",
            "TOKEN_FILE",
            "credential.helper",
            "secretName",
            "token.go",
            "buildid",
            "X",
            "importcfg",
            "keys",
            "compass",
            "GOPRIVATE",
            "GOAUTH",
        ] {
            assert!(!is_secret(name.as_bytes()), "{name}");
        }
        assert!(is_key(b"KEY") && is_key(b"key") && !is_key(b"api-key"));
        assert!(
            is_header(b"Authorization")
                && is_header(b"PRIVATE-TOKEN")
                && is_header(b"X-Api-Key")
                && !is_header(b"Accept")
        );
    }
}
