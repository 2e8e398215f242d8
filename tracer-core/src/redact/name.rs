//! Which names of flags, variables and headers say that their values are secret.

/// Parts of a name that make it secret wherever they stand.
const SECRET: &[&str] = &[
    "apikey",
    "authorization",
    "authtoken",
    "bearer",
    "cookie",
    "credential",
    "credentials",
    "passphrase",
    "passwd",
    "password",
    "pgpassword",
    "privatekey",
    "secret",
    "secretkey",
    "token",
];
/// Parts that do so at the end of a longer name: `DB_PASS`, `api-key`, `_auth`.
const SECRET_LAST: &[&str] = &["auth", "key", "pass", "pat", "pwd"];
/// Last parts that make it a name, a place or a measure of a secret instead.
const ABOUT: &[&str] = &[
    "count", "dir", "enabled", "endpoint", "expiry", "file", "go", "helper", "id", "issuer", "len",
    "length", "limit", "mode", "name", "path", "size", "ttl", "type", "uri", "url", "version",
];
/// Header fields, for which a colon is as good as an equals sign.
const HEADER: &[&str] = &[
    "authorization",
    "cookie",
    "deploy-token",
    "job-token",
    "private-token",
    "proxy-authorization",
    "set-cookie",
];

/// Whether a name says that what it is given is secret. Parts are set off by `_`, `-`, `.`, or a capital after a small letter.
pub(super) fn is_secret(name: &[u8]) -> bool {
    let mut last: &[u8] = b"";
    let (mut n_parts, mut has_secret) = (0, false);
    for part in parts(name) {
        has_secret |= is_one_of(SECRET, part);
        last = part;
        n_parts += 1;
    }
    (has_secret || (n_parts > 1 && is_one_of(SECRET_LAST, last))) && !is_one_of(ABOUT, last)
}

fn is_one_of(list: &[&str], part: &[u8]) -> bool {
    list.iter()
        .any(|it| it.as_bytes().eq_ignore_ascii_case(part))
}

/// `key` alone: an object's key as often as a cipher's. Then the value decides.
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

/// Values that are no secret under any name.
pub(super) fn is_harmless(value: &[u8]) -> bool {
    matches!(
        value,
        b"" | b"0" | b"1" | b"true" | b"false" | b"yes" | b"no" | b"on" | b"off" | b"none"
    ) || value == super::REDACTED.as_bytes()
}

/// Long, with both letters and digits: not a word.
pub(super) fn looks_random(value: &[u8]) -> bool {
    value.len() >= 16
        && value.iter().any(u8::is_ascii_digit)
        && value.iter().any(u8::is_ascii_alphabetic)
}

/// Parts of a name, without those that only number them.
fn parts(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    name.split(|it| matches!(it, b'_' | b'-' | b'.'))
        .flat_map(|word| word.chunk_by(|a, b| !(a.is_ascii_lowercase() && b.is_ascii_uppercase())))
        .filter(|it| !it.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell() {
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
