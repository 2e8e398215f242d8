//! Candidate paths of a command, by the rules of execvp(3). Reads no file: the child tries the paths with its own permissions.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The search path of execvp without `PATH`.
const DEFAULT: &str = "/bin:/usr/bin";

/// Paths to try in order. A name with a slash is itself a path; an empty name is not found.
pub(super) fn candidates(name: &OsStr, path: Option<&OsStr>) -> Vec<OsString> {
    if name.is_empty() || name.as_bytes().contains(&b'/') {
        return vec![name.to_owned()];
    }
    let path = path.unwrap_or(OsStr::new(DEFAULT));
    path.as_bytes()
        .split(|&byte| byte == b':')
        .map(|dir| {
            // An empty entry is the working directory.
            let dir = if dir.is_empty() { b"." } else { dir };
            OsString::from_vec([dir, b"/", name.as_bytes()].concat())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, path: Option<&str>, expected: &[&str]) {
        assert_eq!(candidates(OsStr::new(name), path.map(OsStr::new)), expected);
    }

    #[test]
    fn a_bare_name_is_searched_in_order() {
        check("go", Some("/a:/b/c"), &["/a/go", "/b/c/go"]);
    }

    #[test]
    fn a_name_with_a_slash_is_a_path() {
        check("./go", Some("/a"), &["./go"]);
    }

    #[test]
    fn an_empty_entry_is_the_working_directory() {
        check("go", Some(":/a"), &["./go", "/a/go"]);
    }

    #[test]
    fn without_a_path_the_standard_directories_are_searched() {
        check("go", None, &["/bin/go", "/usr/bin/go"]);
    }

    #[test]
    fn an_empty_name_is_not_a_directory_of_the_path() {
        check("", Some("/a"), &[""]);
    }
}
