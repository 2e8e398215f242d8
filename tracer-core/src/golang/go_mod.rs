//! Finds the module of a file or directory: from the text of `go.mod` and `go.work`, and from paths in the module cache.

use crate::byte_string::ByteString;

/// Most modules of a workspace that are read.
const USES_MAX: usize = 256;
/// Most replaced modules of a file that are read.
const REPLACES_MAX: usize = 256;

/// Path of the module, from the `module` line.
pub fn module_path(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let mut lines = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default().trim());
    let rest = lines.by_ref().find_map(|line| {
        let rest = line.strip_prefix("module")?;
        rest.starts_with([' ', '\t', '"', '`', '('])
            .then(|| rest.trim())
    })?;
    // `module ( path )` is allowed as for every other directive, but very rare.
    let word = if rest == "(" {
        lines.find(|line| !line.is_empty())?
    } else {
        rest
    };
    let path = word.trim_matches(['"', '`']);
    (!path.is_empty() && !path.contains(char::is_whitespace)).then(|| path.to_owned())
}

/// Directories of the modules that a `go.work` names, as written there.
pub fn work_dirs(text: &[u8]) -> Vec<ByteString> {
    let text = String::from_utf8_lossy(text);
    let mut dirs = Vec::new();
    let mut is_block = false;
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default().trim();
        let dir = if is_block {
            is_block = line != ")";
            line
        } else {
            let Some(rest) = line.strip_prefix("use") else {
                continue;
            };
            is_block = rest.trim() == "(";
            if !rest.starts_with([' ', '\t', '"', '`']) {
                continue;
            }
            rest.trim()
        };
        let dir = dir.trim_matches(['"', '`']);
        if !matches!(dir, "" | "(" | ")") && dirs.len() < USES_MAX {
            dirs.push(ByteString::from(dir));
        }
    }
    dirs
}

/// Modules that directories replace, and the directories as written: `replace example.com/a v1.0.0 => ../a` in `go.mod` or `go.work`.
pub fn replaced_dirs(text: &[u8]) -> Vec<(String, ByteString)> {
    let text = String::from_utf8_lossy(text);
    let mut found = Vec::new();
    let mut is_block = false;
    for line in text.lines() {
        let line = line.split("//").next().unwrap_or_default().trim();
        let line = if is_block {
            is_block = line != ")";
            line
        } else {
            let Some(rest) = line.strip_prefix("replace") else {
                continue;
            };
            is_block = rest.trim() == "(";
            if !rest.starts_with([' ', '\t']) {
                continue;
            }
            rest
        };
        let Some((old, new)) = line.split_once("=>") else {
            continue;
        };
        let path = old.split_whitespace().next().unwrap_or_default();
        let (path, dir) = (unquoted(path), unquoted(new.trim()));
        let is_dir = ["./", "../", "/"].iter().any(|it| dir.starts_with(it));
        if (is_dir || matches!(dir, "." | "..")) && !path.is_empty() && found.len() < REPLACES_MAX {
            found.push((path.to_owned(), ByteString::from(dir)));
        }
    }
    found
}

fn unquoted(word: &str) -> &str {
    word.trim_matches(['"', '`'])
}

/// A module in the module cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CachedModule {
    pub path: String,
    pub version: String,
}

/// The module of a directory in the module cache: `$GOMODCACHE/example.com/!x@v1.0.0/cmd` belongs to `example.com/X` `v1.0.0`.
pub fn cached_module(dir: &ByteString, cache: &ByteString) -> Option<CachedModule> {
    let inside = dir.as_bytes().strip_prefix(cache.as_bytes())?;
    let inside = std::str::from_utf8(inside.strip_prefix(b"/")?).ok()?;
    let (escaped, rest) = inside.split_once('@')?;
    let version = rest.split('/').next()?;
    // `cache/download` contains archives, whose names contain `@`, too.
    let is_module = !escaped.is_empty() && !escaped.ends_with('/') && !version.is_empty();
    is_module.then_some(())?;
    Some(CachedModule {
        path: unescape(escaped)?,
        version: unescape(version)?,
    })
}

/// `!x` stands for `X` (`golang.org/x/mod/module.UnescapePath`).
fn unescape(path: &str) -> Option<String> {
    let mut plain = String::with_capacity(path.len());
    let mut letters = path.chars();
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '!' => letters
                .next()
                .filter(char::is_ascii_lowercase)?
                .to_ascii_uppercase(),
            letter => letter,
        });
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(
            module_path(text.as_bytes()).as_deref(),
            expected,
            "{text:?}"
        );
    }

    #[test]
    fn the_module_line_names_it() {
        check("module example.com/a\n\ngo 1.27\n", Some("example.com/a"));
        check(
            "// first\r\nmodule\texample.com/a // last\r\n",
            Some("example.com/a"),
        );
    }

    #[test]
    fn it_may_be_quoted_or_in_a_block() {
        check("module \"example.com/a\"\n", Some("example.com/a"));
        check("module `example.com/a`\n", Some("example.com/a"));
        check("module (\n\n\texample.com/a\n)\n", Some("example.com/a"));
    }

    #[test]
    fn without_one_there_is_none() {
        for text in ["", "go 1.27\n", "modules x\n", "module\n", "module a b\n"] {
            check(text, None);
        }
    }

    #[test]
    fn a_workspace_names_directories() {
        let check = |text: &str, expected: &[&str]| {
            let dirs = work_dirs(text.as_bytes());
            let dirs: Vec<String> = dirs.iter().map(ToString::to_string).collect();
            assert_eq!(dirs, expected, "{text:?}");
        };
        check(
            "go 1.21\n\nuse ./a // one\nuse \"./b c\"\n",
            &["./a", "./b c"],
        );
        check(
            "use (\n\t.\n\t// none\n\t../x\n)\nreplace a => ./b\nuse ./y\n",
            &[".", "../x", "./y"],
        );
        check("users ./a\nuse\nuse (", &[]);
    }

    #[test]
    fn a_module_may_be_replaced_by_a_directory() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let found = replaced_dirs(text.as_bytes());
            let found: Vec<(&str, String)> = found
                .iter()
                .map(|(path, dir)| (path.as_str(), dir.to_string()))
                .collect();
            let found: Vec<(&str, &str)> = found.iter().map(|it| (it.0, it.1.as_str())).collect();
            assert_eq!(found, expected, "{text:?}");
        };
        check(
            "module m\nreplace a/b v1.0.0 => ../b // local\nreplace \"c\" => \"./c d\"\nreplace r => /r\n",
            &[("a/b", "../b"), ("c", "./c d"), ("r", "/r")],
        );
        check(
            "replace (\n\tx => ./x\n\ty v1 => z v2\n)\nrequire w => ./w\nreplace v => .\n",
            &[("x", "./x"), ("v", ".")],
        );
        check("replaces a => ./a\nreplace\nreplace => ./a\nreplace (", &[]);
    }

    #[test]
    fn a_directory_in_the_module_cache_names_its_module() {
        let check = |dir: &str, expected: Option<&str>| {
            let module = cached_module(&dir.into(), &"/go/pkg/mod".into());
            let module = module.map(|it| format!("{} {}", it.path, it.version));
            assert_eq!(module.as_deref(), expected, "{dir}");
        };
        check(
            "/go/pkg/mod/example.com/a@v1.2.3",
            Some("example.com/a v1.2.3"),
        );
        check(
            "/go/pkg/mod/example.com/!big/a/v2@v2.0.0-!r!c1/cmd/x",
            Some("example.com/Big/a/v2 v2.0.0-RC1"),
        );
        for dir in [
            "/go/pkg/module/example.com/a@v1",
            "/go/pkg/mod/example.com/a",
            "/go/pkg/mod/example.com/a@",
            "/go/pkg/mod/@v1/x",
            "/go/pkg/mod/example.com/!!a@v1",
            "/src",
        ] {
            check(dir, None);
        }
    }
}
