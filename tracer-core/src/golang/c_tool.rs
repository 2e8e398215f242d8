//! Recognises tools of the C toolchain and of version control by the base name of the file.
//!
//! A name proves little, so it decides only the label under which a process's time is shown.

use crate::model::CallKind;

/// The kind of a program; `None` if a Go build does not run programs of this name.
///
/// Target prefixes and version suffixes are ignored: `x86_64-linux-gnu-gcc-12` is `gcc`.
pub fn kind(path: &[u8]) -> Option<CallKind> {
    let base = path.rsplit(|it| *it == b'/').next().unwrap_or_default();
    let name = without_version(std::str::from_utf8(base).ok()?);
    if name.ends_with("pkg-config") || name.ends_with("pkgconf") {
        return Some(CallKind::Other);
    }
    if name == "lto-wrapper" {
        return Some(CallKind::Ld);
    }
    match name.rsplit('-').next().unwrap_or(name) {
        "gcc" | "g++" | "cc" | "c++" | "clang" | "clang++" | "cpp" | "cc1" | "cc1plus"
        | "cc1obj" | "cc1objplus" | "gfortran" | "flang" | "f951" | "lto1" | "zig" => {
            Some(CallKind::Cc)
        }
        "as" => Some(CallKind::As),
        "ld" | "ld.bfd" | "ld.gold" | "ld.lld" | "ld.mold" | "lld" | "gold" | "mold"
        | "collect2" => Some(CallKind::Ld),
        "ar" | "ranlib" | "nm" | "strip" | "objcopy" | "dlltool" => Some(CallKind::Other),
        "git" | "hg" | "svn" | "bzr" | "fossil" => Some(CallKind::Vcs),
        _ => None,
    }
}

fn without_version(name: &str) -> &str {
    let rest = name.trim_end_matches(|it: char| it.is_ascii_digit() || it == '.');
    match rest.strip_suffix('-') {
        Some(stem) if rest.len() < name.len() => stem,
        Some(_) | None => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The programs of a cold cgo build on Debian 12, and some of other systems.
    #[test]
    fn programs_are_recognised_by_name() {
        for (path, expected) in [
            ("/usr/bin/x86_64-linux-gnu-gcc-12", Some(CallKind::Cc)),
            ("/usr/bin/g++", Some(CallKind::Cc)),
            ("/usr/lib/gcc/x86_64-linux-gnu/12/cc1", Some(CallKind::Cc)),
            (
                "/usr/lib/gcc/x86_64-linux-gnu/12/collect2",
                Some(CallKind::Ld),
            ),
            ("/usr/bin/x86_64-linux-gnu-as", Some(CallKind::As)),
            ("/usr/bin/x86_64-linux-gnu-ld.bfd", Some(CallKind::Ld)),
            ("/usr/lib/llvm-17/bin/clang-17", Some(CallKind::Cc)),
            ("clang++-17.0.1", Some(CallKind::Cc)),
            ("musl-gcc", Some(CallKind::Cc)),
            ("x86_64-linux-gnu-gcc-ar-12", Some(CallKind::Other)),
            (
                "/usr/bin/x86_64-linux-gnu-pkg-config",
                Some(CallKind::Other),
            ),
            ("/usr/bin/git", Some(CallKind::Vcs)),
            ("/usr/lib/git-core/git", Some(CallKind::Vcs)),
            ("/usr/lib/go-1.19/pkg/tool/linux_amd64/asm", None),
            ("/usr/lib/go-1.19/pkg/tool/linux_amd64/link", None),
            ("/bin/sh", None),
            ("as/", None),
            ("-12", None),
            ("", None),
        ] {
            assert_eq!(kind(path.as_bytes()), expected, "{path}");
        }
        assert_eq!(kind(b"/x/\xff"), None);
    }
}
