//! Removes secrets from command lines, variables and cache-key lines before any other module receives them.
//!
//! The input is text from the kernel; the output is the same text with values replaced by `<redacted>`. Replaced are passwords in URLs,
//! values of linker `-X` flags and of C macros, and authorization headers. Also replaced are values whose names mark them as secret,
//! signatures of addresses, and keys with a known form. Names stay. If a text is ambiguous, more is removed rather than less.
//!
//! It does not find a secret that neither its name, its position nor its form reveals. All functions are idempotent. The work is linear in
//! the text, because look-ahead has fixed limits.

mod name;
mod quote;
mod scan;
mod token;

use std::borrow::Cow;

use crate::byte_string::ByteString;

/// The replacement of a secret.
pub const REDACTED: &str = "<redacted>";

/// True if a value was removed from the text, or if the text looks like that.
pub fn has_mark(text: &[u8]) -> bool {
    let begin = REDACTED.trim_end_matches('>').as_bytes();
    text.windows(begin.len()).any(|it| it == begin)
}

/// The program of a command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The `go` command.
    Go,
    /// A tool of the Go toolchain. Of its flags only the linker's `-X` takes a secret.
    GoTool,
    /// Any other program: shells, `make`, `curl`, programs that tests and `go generate` run.
    Other,
}

impl Program {
    /// From the base name of a path or of `argv[0]`. In doubt the result is `Other`, which removes most.
    pub fn of(path: &[u8]) -> Self {
        use crate::event::Role;
        match crate::golang::tool::role_of(path) {
            Some(Role::Go) => Self::Go,
            Some(
                Role::Compile
                | Role::Asm
                | Role::Link
                | Role::Cgo
                | Role::Vet
                | Role::Cover
                | Role::Pack
                | Role::Preprofile
                | Role::Fix
                | Role::BuildId,
            ) => Self::GoTool,
            None => Self::Other,
        }
    }
}

/// The number of first words that contain a command and its subcommand.
const COMMAND_WORDS: usize = 8;

/// Redacts a command line.
pub fn argv(program: Program, argv: Vec<ByteString>) -> Vec<ByteString> {
    let words: Vec<ByteString> = argv.iter().take(COMMAND_WORDS).cloned().collect();
    let mut expects = Expects::Nothing;
    argv.into_iter()
        .enumerate()
        .map(|(n, arg)| {
            let before = words.get(..n.min(words.len())).unwrap_or_default();
            let (glued, next) = Expects::of(program, before, arg.as_bytes());
            let meaning = std::mem::replace(&mut expects, next);
            let redacted = scan::repeated(arg.as_bytes(), |arg| match (&meaning, glued) {
                (Expects::Nothing, Some((flag, takes))) => glued_to(arg, flag, takes),
                (Expects::Nothing, None) => argument(arg),
                (Expects::Symbol, _) => symbol(arg),
                (Expects::Definition, _) => definition(arg),
                (Expects::User, _) => user(arg),
                (Expects::Secret, _) => not_a_flag(arg),
            });
            match redacted {
                Cow::Borrowed(_) => arg,
                Cow::Owned(bytes) => bytes.into(),
            }
        })
        .collect()
}

/// Redacts any text: a script, `GOFLAGS`, a line of a file.
pub fn text(text: &[u8]) -> Cow<'_, [u8]> {
    scan::text(text)
}

/// Redacts a path, or the name of a package or a file. The words in it do not mark secrets, but it may be a key by its form.
pub fn name(text: &[u8]) -> Cow<'_, [u8]> {
    token::without(text)
}

/// Redacts an environment variable, or a line of a settings file.
pub fn variable(name: &[u8], value: &[u8]) -> ByteString {
    let is_secret = match name {
        // Commands that print credentials, and their arguments; two words stand for none.
        b"GOAUTH" => !matches!(value, b"" | b"off" | b"netrc"),
        // Import paths and digests: `go/token` is a package.
        b"TOOLEXEC_IMPORTPATH" => return self::name(value).as_ref().into(),
        _ => name::is_secret(name) && !name::is_harmless(value),
    };
    if is_secret {
        REDACTED.into()
    } else if crate::origin::is_variable(name) {
        // After `text`, which finds the end of a password that contains a slash.
        address(&text(value)).as_slice().into()
    } else {
        text(value).as_ref().into()
    }
}

/// Redacts the address of a repository, as Git takes it: a URL, `user@host:path`, or a path. Users are removed, except `git`, which is
/// shared.
pub fn repository(value: &[u8]) -> ByteString {
    let text = text(value);
    let is_url = text.windows(3).any(|it| it == b"://");
    let at = text.iter().rposition(|it| *it == b'@');
    let (user, rest) = at.map_or((None, &*text), |at| {
        let (user, rest) = text.split_at_checked(at).unwrap_or_default();
        (Some(user), rest.get(1..).unwrap_or_default())
    });
    let is_harmless = user.is_none_or(|it| it == b"git" || it.contains(&b'/'));
    if is_url || is_harmless {
        address(&text).as_slice().into()
    } else {
        rest.into()
    }
}

/// An address without credentials, query and fragment; other text stays unchanged.
fn address(text: &[u8]) -> Vec<u8> {
    let Some(at) = text.windows(3).position(|it| it == b"://") else {
        return text.to_vec();
    };
    let (scheme, rest) = text.split_at_checked(at + 3).unwrap_or((text, b""));
    let end = rest.iter().position(|it| matches!(it, b'?' | b'#'));
    let rest = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    let host = rest.iter().position(|it| *it == b'/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(host).unwrap_or((rest, b""));
    let user = authority.iter().rposition(|it| *it == b'@');
    let host = user.and_then(|it| authority.get(it + 1..));
    [scheme, host.unwrap_or(authority), path].concat()
}

/// Redacts a line that goes into a cache key of the `go` command.
pub fn key_line(line: &[u8]) -> Cow<'_, [u8]> {
    // `packagefile go/token=...` or `import go/token ...`: content ids of packages, whatever their names.
    if [&b"packagefile "[..], b"packageshlib ", b"import ", b"file "]
        .iter()
        .any(|it| line.starts_with(it))
    {
        return name(line);
    }
    // A quoted text of several lines. Each is redacted alone, so that one `-X` does not remove the rest.
    if line.starts_with(b"modinfo \"") {
        let parts: Vec<_> = quote::escaped_lines(line).into_iter().map(text).collect();
        let out = parts.join(&br"\n"[..]);
        return if out == line {
            Cow::Borrowed(line)
        } else {
            Cow::Owned(out)
        };
    }
    text(line)
}

/// Redacts the last word of a cut text, because half a key has no known form.
pub fn cut_end(text: &[u8]) -> Cow<'_, [u8]> {
    let start = text
        .iter()
        .rposition(|it| {
            it.is_ascii_whitespace()
                || matches!(it, b'"' | b'\'' | b'`' | b',' | b';' | b'&' | b'|')
        })
        .map_or(0, |it| it + 1);
    let (head, word) = text.split_at_checked(start).unwrap_or((text, b""));
    let suspicious =
        word.contains(&b'=') || word.windows(3).any(|it| it == b"://") || token::may_begin(word);
    if !suspicious || word == REDACTED.as_bytes() {
        return Cow::Borrowed(text);
    }
    Cow::Owned([head, REDACTED.as_bytes()].concat())
}

/// The meaning of an argument according to the one before it.
enum Expects {
    Nothing,
    /// After `-X`: `importpath.name=value`.
    Symbol,
    /// After `--password` and similar flags.
    Secret,
    /// After curl's `-u`: `name:password`.
    User,
    /// After `-D`: `NAME=value`.
    Definition,
}

impl Expects {
    /// The meaning of a flag and the words before it: for the rest of the same argument, and for the next argument.
    fn of(
        program: Program,
        before: &[ByteString],
        arg: &[u8],
    ) -> (Option<(usize, scan::Takes)>, Self) {
        let words = before.iter().map(ByteString::as_bytes);
        if program == Program::Other
            && let Some(flag) = scan::flag(arg)
            && let Some(takes) = scan::takes(words, flag)
        {
            let is_whole = flag.len() == arg.len();
            return match takes {
                _ if !is_whole => (Some((flag.len(), takes)), Self::Nothing),
                scan::Takes::User => (None, Self::User),
                scan::Takes::Password => (None, Self::Secret),
            };
        }
        let next = match (program, arg) {
            (_, b"-X" | b"--X") => Self::Symbol,
            (_, b"-D" | b"/D" | b"--define" | b"--define-macro") => Self::Definition,
            (Program::Go | Program::Other, [b'-', name @ ..])
                if name.iter().all(|it| scan::is_name_byte(*it)) && name::is_secret(name) =>
            {
                Self::Secret
            }
            (Program::Go | Program::GoTool | Program::Other, _) => Self::Nothing,
        };
        (None, next)
    }
}

/// `-psecret`, `--user=name:secret`.
fn glued_to(arg: &[u8], flag: usize, takes: scan::Takes) -> Cow<'_, [u8]> {
    let flag = flag + usize::from(arg.get(flag) == Some(&b'='));
    let (head, value) = arg.split_at_checked(flag).unwrap_or((arg, b""));
    let redacted = match takes {
        scan::Takes::Password if value.is_empty() => return Cow::Borrowed(arg),
        scan::Takes::Password => Cow::Borrowed(REDACTED.as_bytes()),
        scan::Takes::User => user(value),
    };
    Cow::Owned([head, &redacted].concat())
}

/// The whole of the part after `-D`: `NAME=value`.
fn definition(arg: &[u8]) -> Cow<'_, [u8]> {
    let head = scan::definition(arg, 0);
    macro_value(arg, head).unwrap_or_else(|| argument(arg))
}

/// An argument that defines a macro, with its value removed if that is secret.
fn macro_value<'a>(arg: &'a [u8], head: Option<scan::MacroHead<'_>>) -> Option<Cow<'a, [u8]>> {
    let head = head?;
    let (kept, value) = arg.split_at_checked(head.len)?;
    // Parts that are separated by commas are checked one by one.
    let is_list = kept.starts_with(b"-W");
    let is_secret = if is_list {
        let name = name::is_secret_macro(head.name, b"a value");
        name && value.contains(&b' ')
    } else {
        name::is_secret_macro(head.name, value)
    };
    is_secret.then(|| Cow::Owned([&scan::text(kept), REDACTED.as_bytes()].concat()))
}

/// Redacts one argument. Its beginning governs all of it, including blanks: `-X=a.b=c d`, `DB_PASSWORD=a b`, `--token=x;y`.
fn argument(arg: &[u8]) -> Cow<'_, [u8]> {
    if let Some(symbol) = arg
        .strip_prefix(b"-X=")
        .or_else(|| arg.strip_prefix(b"--X="))
    {
        return match scan::symbol_value(symbol) {
            Cow::Borrowed(_) => Cow::Borrowed(arg),
            Cow::Owned(kept) => Cow::Owned([b"-X=", &kept[..]].concat()),
        };
    }
    if let Some(redacted) = macro_value(arg, scan::head(arg)) {
        return redacted;
    }
    if let Some(at) = arg.iter().position(|it| *it == b'=')
        && let (name, value) = arg.split_at_checked(at + 1).unwrap_or((arg, b""))
        && let Some(bare) = name.strip_suffix(b"=")
        && bare.iter().all(|it| scan::is_name_byte(*it))
        && !value.starts_with(b">")
        && name::is_secret(bare)
        && !name::is_harmless(value)
    {
        return Cow::Owned([&scan::text(name), REDACTED.as_bytes()].concat());
    }
    scan::text(arg)
}

/// The part after `-X` on a line: the linker's symbol and value, or curl's method.
fn symbol(arg: &[u8]) -> Cow<'_, [u8]> {
    match scan::symbol_value(arg) {
        Cow::Borrowed(arg) => scan::text(arg),
        Cow::Owned(arg) => Cow::Owned(scan::text(&arg).into_owned()),
    }
}

/// The argument after a flag that takes a secret, unless it is the next flag.
fn not_a_flag(arg: &[u8]) -> Cow<'_, [u8]> {
    let redacted = argument(arg);
    if arg.is_empty() || redacted.starts_with(b"-") {
        redacted
    } else {
        Cow::Owned(REDACTED.into())
    }
}

/// A name and a password. The name may contain further secrets; without a password it is redacted like any other argument.
fn user(arg: &[u8]) -> Cow<'_, [u8]> {
    let redacted = argument(arg);
    match redacted
        .iter()
        .position(|it| *it == b':')
        .and_then(|at| redacted.get(..=at))
    {
        Some(name) => Cow::Owned([name, REDACTED.as_bytes()].concat()),
        None => redacted,
    }
}

#[cfg(test)]
mod tests;
