//! With whose rights a history is written under sudo.
//!
//! A history that root keeps for itself is root's. Any other file that the command line names belongs to the user who called sudo,
//! and root opens nothing in a directory where others could have laid a link or a file for it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::launch::caller::Caller;

/// Does `f` with the rights that the place asks for.
pub fn as_whom<T>(path: &Path, caller: Option<&Caller>, f: impl FnOnce() -> T) -> T {
    match caller {
        Some(caller) if !is_roots_alone(path) => caller.with_rights(f),
        Some(_) | None => f(),
    }
}

/// Whether only root can change any directory on the way to it. Those that are not there yet do not count.
fn is_roots_alone(path: &Path) -> bool {
    const OTHERS_MAY_WRITE: u32 = 0o022;
    let Some(dir) = path.ancestors().skip(1).find_map(|it| {
        let it = if it == Path::new("") {
            Path::new(".")
        } else {
            it
        };
        it.canonicalize().ok()
    }) else {
        return false;
    };
    dir.ancestors().all(|it| {
        fs::symlink_metadata(it).is_ok_and(|it| it.uid() == 0 && it.mode() & OTHERS_MAY_WRITE == 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_others_may_write_is_not_roots_alone() {
        assert!(is_roots_alone(Path::new("/usr/lib/history.db")));
        assert!(is_roots_alone(Path::new(
            "/usr/lib/no-such-directory/history.db"
        )));
        assert!(!is_roots_alone(Path::new("/tmp/history.db")));
        let dir = tempfile::tempdir().unwrap();
        assert!(!is_roots_alone(&dir.path().join("history.db")));
    }
}
