//! The rules for words that are secret because of their command: `mysql -psecret`, `sshpass -p secret`, `curl -u me:secret`.

use super::super::quote::Quote;
use super::{Scan, SecretRange};

/// The distance that is searched backwards for the command of a flag.
const LOOK_BACK: usize = 256;

/// The argument of a command's flag.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::redact) enum Takes {
    Password,
    /// A name and a password, with a colon between them.
    User,
}

/// The base name of a program.
fn base(word: &[u8]) -> &[u8] {
    word.rsplit(|it| matches!(it, b'/' | b'\\' | b'"' | b'\'' | b'`' | b'('))
        .next()
        .unwrap_or_default()
}

/// The argument of a flag that is given to a command of these words.
pub(in crate::redact) fn takes<'a>(
    mut words: impl Iterator<Item = &'a [u8]>,
    flag: &[u8],
) -> Option<Takes> {
    let is = |word: &[u8], names: &[&[u8]]| {
        let base = base(word);
        let base = base.strip_suffix(b".exe").unwrap_or(base);
        names.contains(&base)
    };
    let begins = |word: &[u8], names: &[&[u8]]| {
        let base = base(word);
        names.iter().any(|it| base.starts_with(it))
    };
    match flag {
        b"-u" | b"-U" | b"--user" | b"--proxy-user" => words
            .any(|it| {
                let base = base(it);
                [&b"curl"[..], b"wget", b"http", b"https", b"xh"]
                    .iter()
                    .any(|it| base == *it || base.strip_suffix(b".exe") == Some(it))
            })
            .then_some(Takes::User),
        b"-p" => words
            .any(|it| {
                it == b"login"
                    || is(it, &[b"sshpass", b"7z", b"7za", b"7zz", b"rar", b"unrar"])
                    || begins(it, &[b"mysql", b"mariadb", b"mongo"])
            })
            .then_some(Takes::Password),
        b"-P" => words
            .any(|it| is(it, &[b"sqlcmd", b"bcp", b"zip", b"unzip"]))
            .then_some(Takes::Password),
        b"-a" => words
            .any(|it| is(it, &[b"redis-cli"]))
            .then_some(Takes::Password),
        b"-w" => words
            .any(|it| {
                begins(
                    it,
                    &[
                        b"ldapsearch",
                        b"ldapmodify",
                        b"ldapadd",
                        b"ldapdelete",
                        b"ldappasswd",
                    ],
                )
            })
            .then_some(Takes::Password),
        _ => None,
    }
}

/// A flag at the beginning of a word, up to its end.
pub(in crate::redact) fn flag(word: &[u8]) -> Option<&[u8]> {
    [&b"--proxy-user"[..], b"--user"]
        .into_iter()
        .find(|it| word.starts_with(it))
        .filter(|it| matches!(word.get(it.len()), None | Some(b'=' | b' ' | b'\t')))
        .or_else(|| {
            let flag = word.get(..2)?;
            matches!(flag, b"-u" | b"-U" | b"-p" | b"-P" | b"-a" | b"-w").then_some(flag)
        })
}

impl Scan<'_> {
    /// `-p secret`, `-psecret` or `-u name:secret` after a command that takes it.
    pub(super) fn flag_of_a_command(&self) -> Option<SecretRange> {
        if !self
            .before(self.at)
            .is_some_and(|it| it.is_ascii_whitespace())
        {
            return None;
        }
        let rest = self.rest(self.at);
        let flag = flag(rest)?;
        let start = self.at.saturating_sub(LOOK_BACK);
        let back = self.text.get(start..self.at)?;
        let command = back
            .iter()
            .rposition(|it| matches!(it, b';' | b'&' | b'|' | b'\n'))
            .and_then(|at| back.get(at + 1..))
            .unwrap_or(back);
        let takes = takes(command.split(u8::is_ascii_whitespace), flag)?;
        let mut at = self.at + flag.len();
        at += usize::from(matches!(self.rest(at).first(), Some(b'=' | b' ' | b'\t')));
        let is_apart = at > self.at + flag.len();
        let rest = self.rest(at);
        // The next flag: `mysql -p` prompts for the password. `-proxy` is another flag than `-p`, but the two cannot be distinguished.
        if is_apart && matches!(rest.first(), None | Some(b'-' | b' ')) {
            return None;
        }
        let (start, end) = match Quote::at(rest).filter(|it| !self.open.has(*it)) {
            Some(quote) => {
                let inside = at + quote.len();
                (inside, inside + quote.close(self.rest(inside)))
            }
            None => (at, self.end_of_word(at)),
        };
        match takes {
            Takes::Password => self.span(start, end),
            Takes::User => {
                let colon = self
                    .text
                    .get(start..end)?
                    .iter()
                    .position(|it| *it == b':')?;
                self.span(start + colon + 1, end)
            }
        }
    }
}
