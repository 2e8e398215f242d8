//! Git's references in files: `HEAD`, loose ones, and the list of packed ones (gitrepository-layout(5)).

/// The content of a file that holds one reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RefTarget {
    /// A hash in hex: SHA-1 or SHA-256.
    Commit(String),
    /// Another reference, such as `refs/heads/main`. Having one proves that it can be a path below a repository.
    Reference(Vec<u8>),
    /// A reference that no file contains: with the reftable format it is `refs/heads/.invalid`.
    Elsewhere,
}

impl RefTarget {
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let line = line(text)?;
        match line.strip_prefix(b"ref:") {
            Some(name) => {
                let name = name.trim_ascii_start();
                Some(if is_name(name) {
                    Self::Reference(name.to_vec())
                } else {
                    Self::Elsewhere
                })
            }
            None => hash(line).map(Self::Commit),
        }
    }
}

/// The first line, without trailing blanks; `None` if it is empty.
pub(super) fn line(text: &[u8]) -> Option<&[u8]> {
    let line = text.split(|it| *it == b'\n').next()?.trim_ascii_end();
    (!line.is_empty() && !line.contains(&0)).then_some(line)
}

/// True if each checkout of a repository has its own reference of this name.
pub(super) fn is_of_one_checkout(name: &[u8]) -> bool {
    [&b"refs/bisect/"[..], b"refs/worktree/", b"refs/rewritten/"]
        .iter()
        .any(|it| name.starts_with(it))
}

/// The commit of a reference in the list. The list consists of lines with a hash and a name, sorted or not.
pub(super) fn packed(text: &[u8], name: &[u8]) -> Option<String> {
    // Comments begin with `#`, and the target of a tag with `^`: neither is a hash.
    text.split(|it| *it == b'\n').find_map(|line| {
        let at = line.iter().position(|it| *it == b' ')?;
        let (first, rest) = line.split_at_checked(at)?;
        (rest.get(1..)?.trim_ascii_end() == name)
            .then(|| hash(first))
            .flatten()
    })
}

fn hash(text: &[u8]) -> Option<String> {
    let is_hash = matches!(text.len(), 40 | 64)
        && text
            .iter()
            .all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
    let text = std::str::from_utf8(text).ok()?;
    is_hash.then(|| text.to_owned())
}

/// The rules of git-check-ref-format(1), and below `refs/`: the name cannot lead out of that directory.
fn is_name(name: &[u8]) -> bool {
    let is_part = |it: &[u8]| !it.is_empty() && !it.starts_with(b".") && !it.ends_with(b".lock");
    let is_odd = |it: &u8| *it <= b' ' || *it == 0x7f || b"~^:?*[\\".contains(it);
    name.starts_with(b"refs/")
        && name.len() <= 1024
        && !name.iter().any(is_odd)
        && !name.ends_with(b".")
        && !name.windows(2).any(|it| it == b".." || it == b"@{")
        && name.split(|it| *it == b'/').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_out_of_the_repository_are_rejected() {
        for good in ["refs/heads/main", "refs/heads/a/b.c-d", "refs/heads/größe"] {
            assert!(is_name(good.as_bytes()), "{good}");
        }
        for bad in [
            "HEAD",
            "/etc/passwd",
            "refs/",
            "refs/heads/",
            "refs/heads/../../../etc/passwd",
            "refs//heads",
            "refs/heads/.invalid",
            "refs/heads/a.lock",
            "refs/heads/a b",
            "refs/heads/a\n",
            "refs/heads/a\0",
            "refs/heads/a.",
        ] {
            assert!(!is_name(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn a_hash_is_whole_and_in_lower_case() {
        let hash = "0123456789abcdef0123456789abcdef01234567";
        let commit = |text: &str| RefTarget::parse(text.as_bytes());
        assert_eq!(
            commit(&format!("{hash}\n")),
            Some(RefTarget::Commit(hash.into()))
        );
        assert_eq!(commit(&hash[1..]), None);
        assert_eq!(commit(&hash.to_uppercase()), None);
        assert_eq!(commit(""), None);
    }

    #[test]
    fn packed_references_are_found_by_their_whole_name() {
        let (one, two) = ("1".repeat(40), "2".repeat(40));
        let text = format!(
            "# pack-refs with: peeled fully-peeled sorted \n{one} refs/heads/main2\n{two} refs/heads/main\n^{one}\n"
        );
        assert_eq!(packed(text.as_bytes(), b"refs/heads/main"), Some(two));
        assert_eq!(packed(text.as_bytes(), b"refs/heads/mai"), None);
        assert_eq!(packed(text.as_bytes(), b""), None);
    }
}
