//! Opens files of a checkout, by the rules for outputs, and never through a symlink in any component. Git creates no symlinks there, and
//! the kernel reports the directory of a build without any.

use tracer_core::byte_string::ByteString;
use tracer_core::origin::Checkout;
use tracer_core::origin::checkout::{FileRequest, PathSource};

use super::{Reader, Root, as_path};

/// Reads the checkout of a build of that user in `dir`.
pub fn read(root: &Root, dir: &ByteString, uid: u32) -> Option<Checkout> {
    Checkout::read(dir, |request| {
        let FileRequest {
            path,
            limit,
            source,
        } = request;
        let public = match source {
            PathSource::Above => true,
            PathSource::Named => false,
        };
        let reader = Reader { uid, public };
        let opened = root.open_linkless(as_path(path), reader, *limit).ok()?;
        opened.read().ok()
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;
    use std::process::Command;

    use super::*;

    fn me() -> u32 {
        rustix::process::getuid().as_raw()
    }

    fn checkout(dir: &Path) -> Option<Checkout> {
        read(&Root::own().unwrap(), &dir.to_str().unwrap().into(), me())
    }

    fn git(dir: &Path, args: &[&str]) -> Option<String> {
        let output = Command::new("git")
            .args(["-c", "user.name=a", "-c", "user.email=a@example.com"])
            .args(args)
            .current_dir(dir)
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("HOME", "/nowhere")
            .output()
            .expect("git: `cargo xtask test` installs it");
        let text = String::from_utf8(output.stdout).unwrap();
        let text = text.trim_end().to_owned();
        (output.status.success() && !text.is_empty()).then_some(text)
    }

    /// Compares the result with Git's own output for this directory.
    fn check(dir: &Path) {
        let found = checkout(dir).unwrap_or_default();
        assert_eq!(found.revision, git(dir, &["rev-parse", "HEAD"]));
        assert_eq!(
            found.branch,
            git(dir, &["symbolic-ref", "--short", "-q", "HEAD"])
        );
        assert_eq!(
            found.repository,
            git(dir, &["config", "--get", "remote.origin.url"])
        );
    }

    #[test]
    fn a_checkout_equals_gits_own_output() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().canonicalize().unwrap();
        let (top, sub) = (dir.join("top"), dir.join("top/a/b"));
        fs::create_dir_all(&sub).unwrap();
        git(&top, &["init", "-q", "-b", "main"]);
        check(&sub);
        git(&top, &["commit", "-q", "--allow-empty", "-m", "one"]);
        check(&sub);
        let url = "git@example.com:team/\"odd\\name # not a comment.git";
        git(&top, &["remote", "add", "origin", url]);
        check(&sub);
        git(&top, &["checkout", "-q", "-b", "feature/größe"]);
        git(&top, &["commit", "-q", "--allow-empty", "-m", "two"]);
        check(&top);
        git(&top, &["pack-refs", "--all"]);
        check(&top);
        git(&top, &["worktree", "add", "-q", "-b", "side", "../side"]);
        git(
            &dir.join("side"),
            &["commit", "-q", "--allow-empty", "-m", "three"],
        );
        check(&dir.join("side"));
        check(&top);
        git(&top, &["checkout", "-q", "--detach", "HEAD~1"]);
        check(&sub);
        git(&top, &["tag", "-a", "v1", "-m", "v1"]);
        git(&top, &["checkout", "-q", "v1"]);
        check(&top);
    }

    #[test]
    fn a_submodule_equals_gits_own_output() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().canonicalize().unwrap();
        let (lib, top) = (dir.join("lib"), dir.join("top"));
        for it in [&lib, &top] {
            fs::create_dir(it).unwrap();
            git(it, &["init", "-q", "-b", "main"]);
            git(it, &["commit", "-q", "--allow-empty", "-m", "one"]);
        }
        let from = lib.to_str().unwrap();
        let args = ["-c", "protocol.file.allow=always", "submodule", "--quiet"];
        git(&top, &[&args[..], &["add", from, "lib"]].concat());
        assert!(top.join("lib/.git").is_file());
        check(&top.join("lib"));
        check(&top);
    }

    #[test]
    fn links_are_not_followed_and_only_regular_files_are_opened() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().canonicalize().unwrap();
        let (real, linked, odd) = (dir.join("real"), dir.join("linked"), dir.join("odd"));
        for it in [&real, &linked, &odd] {
            fs::create_dir_all(it).unwrap();
        }
        git(&real, &["init", "-q", "-b", "main"]);
        git(&real, &["commit", "-q", "--allow-empty", "-m", "one"]);
        symlink(real.join(".git"), linked.join(".git")).unwrap();
        assert_eq!(checkout(&linked), None);
        // The FIFO has no writer, so opening it would block for ever.
        fs::create_dir(odd.join(".git")).unwrap();
        let fifo = odd.join(".git/HEAD");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert_eq!(checkout(&odd), None);
        // Larger than the limit of the request.
        fs::remove_file(&fifo).unwrap();
        let head = fs::File::create(&fifo).unwrap();
        head.set_len(1 << 40).unwrap();
        assert_eq!(checkout(&odd), None);
    }

    #[test]
    fn a_repository_named_by_a_file_must_belong_to_the_builder() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = temporary.path().canonicalize().unwrap();
        let (real, named) = (dir.join("real"), dir.join("named"));
        for it in [&real, &named] {
            fs::create_dir(it).unwrap();
        }
        git(&real, &["init", "-q", "-b", "main"]);
        git(&real, &["commit", "-q", "--allow-empty", "-m", "one"]);
        let link = format!("gitdir: {}\n", real.join(".git").display());
        fs::write(named.join(".git"), link).unwrap();
        assert!(checkout(&named).unwrap().revision.is_some());
        // All users may read it, but another user built here.
        let root = Root::own().unwrap();
        let dir = named.to_str().unwrap().into();
        assert_eq!(read(&root, &dir, me() + 1), None);
    }
}
