//! Takes secrets out of command lines, variables and cache-key lines before anything else sees them.
//!
//! In comes text from the kernel; out comes the same text with values replaced by `<redacted>`: passwords in URLs, values
//! of linker `-X` flags, of C macros, of assignments and flags whose names say that they are secret, of authorization headers,
//! signatures of addresses, and keys that are known by their form. Names stay. Where text can be read in two ways, more is taken out rather than less.
//!
//! It does not find a secret that neither its name, its place nor its form gives away.
//! Everything is idempotent, and the work is linear in the text: look-ahead has fixed limits.

mod name;
mod quote;
mod scan;
mod token;

use std::borrow::Cow;

use crate::byte_string::ByteString;

/// What stands in a secret's place.
pub const REDACTED: &str = "<redacted>";

/// Whose command line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The `go` command.
    Go,
    /// A tool of the Go toolchain: no flag of theirs takes a secret, apart from the linker's `-X`.
    GoTool,
    /// Anything else: shells, `make`, `curl`, the programs that tests and `go generate` run.
    Other,
}

impl Program {
    /// By the base name of a path or of `argv[0]`; in doubt `Other`, which takes out most.
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

/// A command and what it is to do are among so many of its first words.
const COMMAND_WORDS: usize = 8;

/// A command line.
pub fn argv(program: Program, argv: Vec<ByteString>) -> Vec<ByteString> {
    let words: Vec<ByteString> = argv.iter().take(COMMAND_WORDS).cloned().collect();
    let mut expects = Expects::Nothing;
    argv.into_iter()
        .enumerate()
        .map(|(n, arg)| {
            let before = words.get(..n.min(words.len())).unwrap_or_default();
            let (glued, next) = Expects::of(program, before, arg.as_bytes());
            let redacted = match (std::mem::replace(&mut expects, next), glued) {
                (Expects::Nothing, Some((flag, takes))) => glued_to(arg.as_bytes(), flag, takes),
                (Expects::Nothing, None) => argument(arg.as_bytes()),
                (Expects::Symbol, _) => symbol(arg.as_bytes()),
                (Expects::Definition, _) => definition(arg.as_bytes()),
                (Expects::User, _) => user(arg.as_bytes()),
                (Expects::Secret, _) => not_a_flag(arg.as_bytes()),
            };
            match redacted {
                Cow::Borrowed(_) => arg,
                Cow::Owned(bytes) => bytes.into(),
            }
        })
        .collect()
}

/// Any text: a script, `GOFLAGS`, a line of a file.
pub fn text(text: &[u8]) -> Cow<'_, [u8]> {
    scan::text(text)
}

/// A path, or the name of a package or a file: no word in it says that what follows is secret, but it may be a key by its form.
pub fn name(text: &[u8]) -> Cow<'_, [u8]> {
    token::without(text)
}

/// An environment variable, or a line of a settings file.
pub fn variable(name: &[u8], value: &[u8]) -> ByteString {
    let is_secret = match name {
        // Commands, and what they are given, that print credentials; two words stand for none.
        b"GOAUTH" => !matches!(value, b"" | b"off" | b"netrc"),
        // Import paths and digests: `go/token` is a package.
        b"TOOLEXEC_IMPORTPATH" => return self::name(value).as_ref().into(),
        _ => name::is_secret(name) && !name::is_harmless(value),
    };
    if is_secret {
        REDACTED.into()
    } else if crate::origin::is_variable(name) {
        // After the text, which knows where a password ends that has a slash in it.
        address(&text(value)).as_slice().into()
    } else {
        text(value).as_ref().into()
    }
}

/// The address of a repository, as Git takes it: a URL, `user@host:path`, or a path. No user stays but `git`, which all share.
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

/// An address without credentials, query and fragment; what is none stays as it is.
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

/// A line that goes into a cache key of the `go` command.
pub fn key_line(line: &[u8]) -> Cow<'_, [u8]> {
    // `packagefile go/token=...`, `import go/token ...`: content ids of packages, whatever their names.
    if [&b"packagefile "[..], b"packageshlib ", b"import ", b"file "]
        .iter()
        .any(|it| line.starts_with(it))
    {
        return name(line);
    }
    // A quoted text of several lines. Each stands for itself, so that one `-X` does not take the rest with it.
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

/// The last word of a text that was cut off: half a secret is not known by its form any more.
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

/// What the argument before says of the one at hand.
enum Expects {
    Nothing,
    /// After `-X`: `importpath.name=value`.
    Symbol,
    /// After `--password` and its like.
    Secret,
    /// After curl's `-u`: `name:password`.
    User,
    /// After `-D`: `NAME=value`.
    Definition,
}

impl Expects {
    /// What a flag and the words before it say: of the rest of the same argument, and of the argument that follows.
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

/// What follows `-D`: `NAME=value`, all of it.
fn definition(arg: &[u8]) -> Cow<'_, [u8]> {
    let head = scan::definition(arg, 0);
    macro_value(arg, head).unwrap_or_else(|| argument(arg))
}

/// An argument that defines a macro, its value taken out if that is secret.
fn macro_value<'a>(arg: &'a [u8], head: Option<scan::Head<'_>>) -> Option<Cow<'a, [u8]>> {
    let head = head?;
    let (kept, value) = arg.split_at_checked(head.len)?;
    // Parts that commas set off are looked at one by one.
    let is_list = kept.starts_with(b"-W");
    let is_secret = if is_list {
        let name = name::is_secret_macro(head.name, b"a value");
        name && value.contains(&b' ')
    } else {
        name::is_secret_macro(head.name, value)
    };
    is_secret.then(|| Cow::Owned([&scan::text(kept), REDACTED.as_bytes()].concat()))
}

/// One argument. What begins it governs all of it, blanks and all: `-X=a.b=c d`, `DB_PASSWORD=a b`, `--token=x;y`.
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

/// What follows `-X` on a line: the linker's symbol and value, or curl's method.
fn symbol(arg: &[u8]) -> Cow<'_, [u8]> {
    match scan::symbol_value(arg) {
        Cow::Borrowed(arg) => scan::text(arg),
        Cow::Owned(arg) => Cow::Owned(scan::text(&arg).into_owned()),
    }
}

/// What follows a flag that takes a secret, unless it is the next flag.
fn not_a_flag(arg: &[u8]) -> Cow<'_, [u8]> {
    let redacted = argument(arg);
    if arg.is_empty() || redacted.starts_with(b"-") {
        redacted
    } else {
        Cow::Owned(REDACTED.into())
    }
}

/// A name and a password; the name may hide more, and what has no password is an argument like any other.
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
