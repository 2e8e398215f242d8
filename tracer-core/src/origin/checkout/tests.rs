//! Checkouts as maps from paths to contents.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const ONE: &str = "1111111111111111111111111111111111111111";
const TWO: &str = "2222222222222222222222222222222222222222";

/// The checkout that is read from these files, and the requested files.
fn read(dir: &str, files: &[(&str, &str)]) -> (Option<Checkout>, Vec<FileRequest>) {
    let files: BTreeMap<&str, &str> = files.iter().copied().collect();
    let mut requested = Vec::new();
    let checkout = Checkout::read(&dir.into(), |request| {
        requested.push(request.clone());
        let text = files.get(&*request.path.to_str())?;
        Some(text.as_bytes().to_vec())
    });
    (checkout, requested)
}

fn check(dir: &str, files: &[(&str, &str)], expected: [Option<&str>; 3]) {
    let (checkout, requested) = read(dir, files);
    let Checkout {
        repository,
        branch,
        revision,
    } = checkout.unwrap_or_default();
    let found = [&repository, &branch, &revision].map(Option::as_deref);
    assert_eq!(found, expected);
    bounded(&requested);
}

fn bounded(requested: &[FileRequest]) {
    assert!(
        requested.len() <= 2 * DEPTH + SYMBOLIC + 4,
        "{}",
        requested.len()
    );
    for request in requested {
        assert_eq!(tool::resolve(&request.path, None), request.path);
        assert!(request.path.as_bytes().starts_with(b"/"));
    }
}

#[test]
fn a_branch_is_found_from_below_its_top() {
    let config = "[remote \"origin\"]\nurl = https://user:hunter2@example.com/a/b.git?x=y\n";
    check(
        "/src/app/cmd/../cmd",
        &[
            ("/src/.git/HEAD", "ref: refs/heads/feature/x\n"),
            ("/src/.git/refs/heads/feature/x", ONE),
            ("/src/.git/config", config),
        ],
        [
            Some("https://example.com/a/b.git"),
            Some("feature/x"),
            Some(ONE),
        ],
    );
}

#[test]
fn a_branch_may_be_packed_unborn_or_none() {
    let packed = format!("{TWO} refs/heads/main\n");
    let head = ("/src/.git/HEAD", "ref: refs/heads/main\n");
    check(
        "/src",
        &[head, ("/src/.git/packed-refs", &packed)],
        [None, Some("main"), Some(TWO)],
    );
    let loose = ("/src/.git/refs/heads/main", ONE);
    check(
        "/src",
        &[head, ("/src/.git/packed-refs", &packed), loose],
        [None, Some("main"), Some(ONE)],
    );
    check("/src", &[head], [None, Some("main"), None]);
    check("/src", &[("/src/.git/HEAD", TWO)], [None, None, Some(TWO)]);
    check("/src", &[], [None, None, None]);
}

#[test]
fn worktrees_and_submodules_are_followed() {
    let config = ("/r/.git/config", "[remote \"origin\"]\nurl=git@h:a/b\n");
    check(
        "/wt/sub",
        &[
            ("/wt/.git", "gitdir: /r/.git/worktrees/wt\n"),
            ("/r/.git/worktrees/wt/HEAD", "ref: refs/heads/two\n"),
            ("/r/.git/worktrees/wt/commondir", "../..\n"),
            ("/r/.git/refs/heads/two", TWO),
            config,
        ],
        [Some("git@h:a/b"), Some("two"), Some(TWO)],
    );
    let (checkout, requested) = read(
        "/r/lib",
        &[
            ("/r/lib/.git", "gitdir: ../.git/modules/lib\n"),
            ("/r/.git/modules/lib/HEAD", ONE),
            (
                "/r/.git/modules/lib/config",
                "[remote \"origin\"]\nurl=/x\n",
            ),
            config,
        ],
    );
    let checkout = checkout.unwrap();
    assert_eq!(checkout.revision.as_deref(), Some(ONE));
    assert_eq!(checkout.repository.as_deref(), Some("/x"));
    // Only the user of the build may have written these names.
    for request in requested {
        let is_above = request.path.as_bytes().starts_with(b"/r/lib/.git");
        assert_eq!(request.source == PathSource::Above, is_above, "{request:?}");
    }
}

#[test]
fn a_reftable_leaves_branch_and_revision_absent() {
    let config = "[extensions]\nrefStorage = reftable\n[remote \"origin\"]\nurl=https://h/x\n";
    check(
        "/src",
        &[
            ("/src/.git/HEAD", "ref: refs/heads/.invalid\n"),
            ("/src/.git/config", config),
        ],
        [Some("https://h/x"), None, None],
    );
}

#[test]
fn an_endless_chain_of_references_ends() {
    let loops = [
        ("/src/.git/HEAD", "ref: refs/heads/a"),
        ("/src/.git/refs/heads/a", "ref: refs/heads/b"),
        ("/src/.git/refs/heads/b", "ref: refs/heads/a"),
    ];
    check("/src", &loops, [None, Some("a"), None]);
}

#[test]
fn credentials_of_an_address_are_not_kept() {
    for url in [
        "https://user:hunter2@h/x",
        "https://hunter2@h/x",
        "hunter2@h:x",
        "user:hunter2@h:x",
        "https://h/x?token=hunter2",
        "ssh://user:hunter2@h/x",
    ] {
        let config = format!("[remote \"origin\"]\nurl = \"{url}\"\n");
        let (checkout, _) = read(
            "/src",
            &[("/src/.git/HEAD", ONE), ("/src/.git/config", &config)],
        );
        let repository = checkout.unwrap().repository.unwrap();
        assert!(!repository.contains("hunter2"), "{repository}");
        assert!(repository.contains('x'), "{url}: {repository}");
    }
}

proptest! {
    #[test]
    fn any_files_are_read_within_bounds(
        dir in "/[a-z./]{0,40}",
        files in prop::collection::vec(
            prop_oneof![
                "(ref: |gitdir: )?(refs/heads/)?[a-z./]{0,20}\n?",
                "(\\[remote \"origin\"\\]\n)?(url=)?[ -~\n\t]{0,40}",
            ],
            0..20,
        ),
    ) {
        let mut files = files.into_iter();
        let mut requested = Vec::new();
        let _checkout = Checkout::read(&dir.as_str().into(), |request| {
            requested.push(request.clone());
            files.next().map(String::into_bytes)
        });
        bounded(&requested);
    }
}
