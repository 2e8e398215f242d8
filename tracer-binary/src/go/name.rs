//! Names of symbols: the package of a name, by the rules of the compiler and the linker.
//!
//! A name is the import path, a dot and the rest. The path ends at the first dot behind its last slash.
//! `cmd/internal/objabi.PathToPrefix` ensures this: it writes some bytes as `%2e`. These are a dot of the last element,
//! a quote, a percent sign and a byte outside of printable ASCII. A closure of an inlined function has its path escaped
//! once more (`%252e`).
//!
//! The toolchain's own names begin with `go:` and `type:` since 1.20. Earlier releases wrote `go.` and `type.`. The
//! path of a package may begin with these as well (`go.uber.org/zap`).

use std::borrow::Cow;

/// The release's spelling of the toolchain's own names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// `go.` and `type.`, up to 1.19.
    Dot,
    /// `go:` and `type:`, since 1.20.
    Colon,
    /// The file does not state its release.
    #[default]
    Unknown,
}

/// The owner of a symbol, as far as its name states it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SymbolOwner<'n> {
    /// The import path, still escaped.
    Package(&'n [u8]),
    /// The compiler or the linker made it, for no package in particular.
    Toolchain,
    /// The name has no package: assembly, or another language.
    Unnamed,
}

impl<'n> SymbolOwner<'n> {
    pub(crate) fn package(self) -> Option<&'n [u8]> {
        match self {
            Self::Package(path) => Some(path),
            Self::Toolchain | Self::Unnamed => None,
        }
    }

    fn of_path(path: Option<&'n [u8]>, otherwise: Self) -> Self {
        path.map_or(otherwise, Self::Package)
    }
}

pub(crate) fn owner(name: &[u8], spelling: Spelling) -> SymbolOwner<'_> {
    let is_dot = match name {
        [b'g', b'o', b':', ..] | [b't', b'y', b'p', b'e', b':', ..] => false,
        [b'g', b'o', b'.', ..] | [b't', b'y', b'p', b'e', b'.', ..] => true,
        // Constants that packages share are named after their bits: `$f64.3ff0000000000000`.
        b"typerel:*" | b"typerel.*" | [b'$', ..] => return SymbolOwner::Toolchain,
        _ => return SymbolOwner::of_path(path(name), SymbolOwner::Unnamed),
    };
    // No import path contains a colon in any release.
    if is_dot && spelling == Spelling::Colon {
        return of_reserved_path(name);
    }
    match name {
        [b'g', _, _, rest @ ..] => of_go(name, rest, is_dot),
        [_, _, _, _, _, rest @ ..] => of_descriptor(rest),
        _ => SymbolOwner::Toolchain,
    }
}

/// True if a function may be in the archive of another package than its own. Such functions are instances of generic
/// functions, wrappers of method values, and functions that compare or hash values of a type.
pub(crate) fn is_made_for_others(name: &[u8]) -> bool {
    let is_of_type = matches!(name, [b't', b'y', b'p', b'e', b':' | b'.', ..]);
    is_of_type || name.ends_with(b"-fm") || memchr::memchr(b'[', name).is_some()
}

/// True if the linker made the symbol for the whole file, and took it from no archive: `go:buildid`,
/// `go:textfipsstart`.
pub(crate) fn is_of_the_file(name: &[u8]) -> bool {
    matches!(name, [b'g', b'o', b':' | b'.', ..]) && memchr::memchr(b'{', name).is_none()
}

/// True for an interface table.
pub(crate) fn is_itab(name: &[u8]) -> bool {
    matches!(name, [b'g', b'o', b':', b'i', b't', b'a', b'b', b'.', ..])
        || name.strip_prefix(b"go.itab.").is_some_and(has_comma)
}

/// True for the descriptor of a type or a part of one; `name` must not be a function's. Up to 1.19 only programs that
/// import plugin have these in the symbol table, where their names are hashes.
pub(crate) fn is_descriptor(name: &[u8]) -> bool {
    let is_hash = |rest: &[u8]| rest.len() == 8 && !rest.contains(&b'.');
    match name {
        [b't', b'y', b'p', b'e', b':', ..] => true,
        [b't', b'y', b'p', b'e', b'.', rest @ ..] => {
            matches!(rest, [b'*' | b'.', ..]) || is_hash(rest)
        }
        _ => false,
    }
}

/// The owner of a name with a reserved start. The compiler refuses `go` and `type` as import paths, but not longer
/// paths that begin with them.
fn of_reserved_path(name: &[u8]) -> SymbolOwner<'_> {
    let with_slash = path(name).filter(|path| path.contains(&b'/'));
    SymbolOwner::of_path(with_slash, SymbolOwner::Toolchain)
}

/// The owner of a name that begins with `go:` or `go.`.
fn of_go<'n>(name: &'n [u8], rest: &'n [u8], is_dot: bool) -> SymbolOwner<'n> {
    if let Some(types) = rest.strip_prefix(b"itab.")
        && (!is_dot || has_comma(types))
    {
        return of_type(types);
    }
    // Methods of a struct without a name are of the pseudo package `go`.
    if let Some(fields) = [&b"struct {"[..], b"(*struct {"]
        .iter()
        .find_map(|start| rest.strip_prefix(*start))
    {
        return of_struct(fields);
    }
    if is_dot && !is_generated(rest) {
        return of_reserved_path(name);
    }
    SymbolOwner::Toolchain
}

/// True for the names behind `go.` that may contain a slash. Up to 1.19 the linker has no others with one.
fn is_generated(rest: &[u8]) -> bool {
    const LINK: [&[u8]; 6] = [
        b"abihash.",
        b"libname.",
        b"linkhash.",
        b"pkghash",
        b"pkglinkhash.",
        b"pkgname.",
    ];
    if let Some(rest) = rest.strip_prefix(b"link.") {
        return LINK.iter().any(|start| rest.starts_with(start));
    }
    rest.starts_with(b"string.\"") || rest.starts_with(b"track.")
}

/// True if there is a comma, as between the two types of an interface table.
fn has_comma(types: &[u8]) -> bool {
    let mut depth = 0usize;
    types.iter().any(|byte| {
        match byte {
            b'[' | b'(' | b'{' => depth += 1,
            b']' | b')' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        *byte == b',' && depth == 0
    })
}

/// The owner of a name that begins with `type:` or `type.`: a descriptor, or a function that compares or hashes values
/// of the type.
fn of_descriptor(rest: &[u8]) -> SymbolOwner<'_> {
    if let Some(of) = [&b".eq."[..], b".hash."]
        .iter()
        .find_map(|start| rest.strip_prefix(*start))
    {
        // Each package that compares such arrays has a function for it.
        return match of {
            [b'[', ..] => SymbolOwner::Toolchain,
            _ => of_type(of),
        };
    }
    // The mark `type:*`, and names that the linker shortened to a hash.
    if rest == b"*" || rest.starts_with(b".") {
        return SymbolOwner::Toolchain;
    }
    of_type(rest)
}

/// The package of the type at the start of a description, behind pointers, arrays and the like.
fn of_type(mut name: &[u8]) -> SymbolOwner<'_> {
    const BEFORE: [&[u8]; 5] = [b"*", b"noalg.", b"chan ", b"<-chan ", b"chan<- "];
    loop {
        if let Some(rest) = BEFORE.iter().find_map(|start| name.strip_prefix(*start)) {
            name = rest;
        } else if let [b'[', rest @ ..] = name {
            let len = rest.iter().position(|&byte| byte == b']');
            name = len.and_then(|len| rest.get(len + 1..)).unwrap_or_default();
        } else if let Some(fields) = name.strip_prefix(b"struct {") {
            return of_struct(fields);
        } else {
            break;
        }
    }
    // Parts of a map's type have names with a dot, and the shape of a type argument has no owner.
    if name.starts_with(b"map.") || name.starts_with(b"go.shape.") {
        return SymbolOwner::Toolchain;
    }
    SymbolOwner::of_path(path(name), SymbolOwner::Toolchain)
}

/// The package that a struct without a name was written in. A field that is not exported states the package.
fn of_struct(fields: &[u8]) -> SymbolOwner<'_> {
    let (mut depth, mut in_tag, mut start) = (0usize, false, 0);
    let mut at = 0;
    while let Some(&byte) = fields.get(at) {
        match byte {
            b'\\' if in_tag => at += 1,
            b'"' => in_tag = !in_tag,
            _ if in_tag => {}
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' if depth > 0 => depth -= 1,
            b';' | b'}' if depth == 0 => {
                if let Some(package) = fields.get(start..at).and_then(of_field) {
                    return SymbolOwner::Package(package);
                }
                if byte == b'}' {
                    break;
                }
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    SymbolOwner::Toolchain
}

/// The package of `path.name type`, or of an embedded `*path.name`, unless the name is exported.
fn of_field(field: &[u8]) -> Option<&[u8]> {
    let field = field.trim_ascii_start();
    let field = field.strip_prefix(b"*").unwrap_or(field);
    let package = path(field)?;
    let first = field.get(package.len() + 1)?;
    (first.is_ascii_lowercase() || *first == b'_').then_some(package)
}

/// True for a byte that ends a path, in type arguments and receivers.
fn ends_path(byte: u8) -> bool {
    matches!(byte, b'[' | b'(' | b'{' | b' ' | b',')
}

/// The name up to the first dot behind the last slash.
fn path(name: &[u8]) -> Option<&[u8]> {
    let (mut slash, mut dot) = (0, None);
    for (at, &byte) in name.iter().enumerate() {
        match byte {
            b'/' => (slash, dot) = (at + 1, None),
            b'.' if dot.is_none() => dot = Some(at),
            byte if ends_path(byte) => break,
            _ => {}
        }
    }
    // 1.27 writes `_.goready.func1` for a closure in the body of an inlined function.
    let path = name.get(..dot.filter(|&dot| dot > slash)?)?;
    (path != b"_").then_some(path)
}

/// The possible pairs of paths in `path`. A method that is not exported may belong to another package than its
/// receiver. Its name then contains that package's path: `main.server.example.com/api.mustEmbed` is of `main`.
pub(crate) fn pairs(path: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    // Each pair is looked up. Paths of packages are shorter, and have fewer dots.
    const LONGEST: usize = 512;
    const MOST: usize = 16;
    let path = if path.len() > LONGEST { &[] } else { path };
    let last = path.iter().rposition(|&byte| byte == b'/');
    let dots = path
        .iter()
        .take(last.unwrap_or_default())
        .enumerate()
        .filter(|(_, byte)| **byte == b'.');
    dots.take(MOST).filter_map(|(at, _)| {
        let (receiver, behind) = (path.get(..at)?, path.get(at + 1..)?);
        let name = behind
            .iter()
            .position(|&byte| matches!(byte, b'.' | b'/'))?;
        let method = behind.get(name..)?.strip_prefix(b".")?;
        Some((receiver, method))
    })
}

/// True if a symbol belongs to `package`. The result is that of [`owner`], at a lower cost.
pub(crate) fn is_of(symbol: &[u8], package: &[u8]) -> bool {
    let Some([b'.', rest @ ..]) = symbol.strip_prefix(package) else {
        return false;
    };
    // With another slash the path is longer than that.
    rest.iter()
        .find(|&&byte| byte == b'/' || ends_path(byte))
        .is_none_or(|&byte| byte != b'/')
}

/// The import path without escapes. A malformed path stays as it is.
pub(crate) fn unescape(path: &[u8]) -> Cow<'_, [u8]> {
    /// The compiler escapes once, and once more for an inlined function.
    const TWICE: usize = 2;
    let mut plain = Cow::Borrowed(path);
    for _ in 0..TWICE {
        if !plain.contains(&b'%') {
            break;
        }
        plain = Cow::Owned(unescape_once(&plain));
    }
    plain
}

fn unescape_once(path: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        let escaped = match tail {
            [high, low, ..] if *byte == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            plain.push(high << 4 | low);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            plain.push(*byte);
        }
    }
    plain
}

/// The value of a hexadecimal digit. `PathToPrefix` writes lower case, and an older reader accepts both.
fn digit(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests;
