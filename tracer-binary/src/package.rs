//! From a symbol's name to its package, from a package to its module and group.
//!
//! Names follow the linker's mangling (`cmd/internal/objabi.PathToPrefix`): the path up to the first dot
//! behind the last slash, in which a dot, a quote or a byte outside of ASCII is written `%2e`.

use std::borrow::Cow;
use std::collections::HashMap;

/// Index of a package in [`Packages`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PackageId(pub u32);

impl PackageId {
    /// What belongs to no package.
    pub(crate) const NONE: Self = Self(u32::MAX);
}

/// Every package met so far, by its mangled name.
#[derive(Debug, Default)]
pub(crate) struct Packages<'i> {
    names: Vec<&'i [u8]>,
    ids: HashMap<&'i [u8], PackageId>,
    /// Neighbours in a file are of the same package more often than not.
    last: Option<(&'i [u8], PackageId)>,
}

impl<'i> Packages<'i> {
    pub(crate) fn intern(&mut self, name: &'i [u8]) -> PackageId {
        if let Some((last, id)) = self.last
            && last == name
        {
            return id;
        }
        let next = PackageId(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        let id = *self.ids.entry(name).or_insert(next);
        if id == next {
            self.names.push(name);
        }
        self.last = Some((name, id));
        id
    }

    /// The package of a symbol, `NONE` for one that belongs to none.
    pub(crate) fn of_symbol(&mut self, symbol: &'i [u8]) -> PackageId {
        if let Some((last, id)) = self.last
            && is_of(symbol, last)
        {
            return id;
        }
        of_symbol(symbol).map_or(PackageId::NONE, |name| self.intern(name))
    }

    /// Only among those already met: for data symbols, whose names C shares.
    pub(crate) fn known_of_symbol(&self, symbol: &[u8]) -> PackageId {
        of_symbol(symbol)
            .and_then(|name| self.ids.get(name).copied())
            .unwrap_or(PackageId::NONE)
    }

    pub(crate) fn name(&self, id: PackageId) -> Option<Cow<'i, str>> {
        self.names
            .get(usize::try_from(id.0).ok()?)
            .map(|name| unescape(name))
    }

    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Cow<'i, str>> + '_ {
        self.names.iter().map(|name| unescape(name))
    }
}

/// Whether a symbol is one of `package`: what [`of_symbol`] would find, with less to look at.
fn is_of(symbol: &[u8], package: &[u8]) -> bool {
    let Some([b'.', rest @ ..]) = symbol.strip_prefix(package) else {
        return false;
    };
    // With another slash the path is longer than that.
    rest.iter()
        .find(|&&byte| byte == b'/' || ends_path(byte))
        .is_none_or(|&byte| byte != b'/')
}

/// What stands behind a path at the earliest, in type arguments and receivers.
fn ends_path(byte: u8) -> bool {
    matches!(byte, b'[' | b'(' | b'{' | b' ' | b',')
}

/// The package part of a symbol's name, still mangled.
pub(crate) fn of_symbol(name: &[u8]) -> Option<&[u8]> {
    if !matches!(name, [b'g' | b't', ..]) {
        return plain(name);
    }
    // 1.20 and later write a colon where earlier ones wrote a dot.
    for prefix in [
        &b"go:itab."[..],
        b"go.itab.",
        b"type:.eq.",
        b"type..eq.",
        b"type:.hash.",
        b"type..hash.",
        b"type:",
        b"type.",
    ] {
        if let Some(rest) = name.strip_prefix(prefix) {
            return of_type(rest);
        }
    }
    if name.starts_with(b"go:") || name.starts_with(b"go.") {
        return None;
    }
    plain(name)
}

/// The package that a type's name begins with, behind pointers, slices and the like.
fn of_type(mut name: &[u8]) -> Option<&[u8]> {
    loop {
        name = match name {
            [b'*', rest @ ..] => rest,
            [b'[', rest @ ..] => rest.get(rest.iter().position(|&byte| byte == b']')? + 1..)?,
            [b'.', ..] => return None,
            _ => return plain(name),
        };
    }
}

fn plain(name: &[u8]) -> Option<&[u8]> {
    let (mut slash, mut dot) = (0, None);
    for (at, &byte) in name.iter().enumerate() {
        match byte {
            b'/' => (slash, dot) = (at + 1, None),
            b'.' if dot.is_none() => dot = Some(at),
            byte if ends_path(byte) => break,
            _ => {}
        }
    }
    name.get(..dot.filter(|&dot| dot > slash)?)
}

fn unescape(name: &[u8]) -> Cow<'_, str> {
    if !name.contains(&b'%') {
        return String::from_utf8_lossy(name);
    }
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let [byte, tail @ ..] = rest {
        rest = tail;
        let escaped = tail
            .get(..2)
            .filter(|_| *byte == b'%')
            .and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(value) = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            plain.push(value);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            plain.push(*byte);
        }
    }
    Cow::Owned(String::from_utf8_lossy(&plain).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symbol_names_its_package() {
        let check = |symbol: &str, package: Option<&str>| {
            let found = of_symbol(symbol.as_bytes()).map(|name| unescape(name).into_owned());
            assert_eq!(found.as_deref(), package, "{symbol}");
        };
        check("main.main", Some("main"));
        check("net/http.(*Client).Do", Some("net/http"));
        check("gopkg.in/yaml%2ev3.Marshal", Some("gopkg.in/yaml.v3"));
        check(
            "main.Map[go.shape.string,example.com/x/y.T].func1",
            Some("main"),
        );
        check("main.glob..func1", Some("main"));
        check(
            "vendor/golang.org/x/net/idna.init",
            Some("vendor/golang.org/x/net/idna"),
        );
        check("go:itab.*os.File,io.Reader", Some("os"));
        check("go.itab.*a.b/c.T,io.Reader", Some("a.b/c"));
        check("type:.eq.[7]internal/cpu.option", Some("internal/cpu"));
        check("type:.eq.struct { a/b.T; c int }", None);
        check("go:string.*", None);
        check("a/.hidden", None);
        check("x_cgo_init", None);
        check(".hidden", None);
        check("", None);
    }

    #[test]
    fn a_neighbour_is_told_the_same_the_short_way() {
        let names = [
            "github.com/a/b.F",
            "github.com.F",
            "github.com/a/b.(*T).M[github.com/x/y.T]",
            "github.com/a/b/c.F",
            "github.com/a.v2/b.F",
            "github.com/a",
            "main.F(a/b.T)",
        ];
        for symbol in names.map(str::as_bytes) {
            for package in names.iter().filter_map(|name| of_symbol(name.as_bytes())) {
                assert_eq!(is_of(symbol, package), of_symbol(symbol) == Some(package));
            }
        }
    }
}
