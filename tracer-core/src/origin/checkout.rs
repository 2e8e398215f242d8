//! Reads the checkout that a build ran in, from Git's own files and without Git.
//!
//! This module decides which files to request and parses them. The rim opens them by its own rules and returns their content. The builder
//! can write all of these files. Every requested path is therefore absolute and clean, the number of requests is bounded, and content that
//! Git would not write is absent.
//!
//! Not supported: repositories without a checkout, `GIT_DIR`, files that a configuration includes, `insteadOf`, and the reftable format. A
//! reftable repository names no branch in `HEAD`, so branch and revision are absent.

mod config;
mod reference;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::reference::RefTarget;
use super::ci;
use crate::byte_string::ByteString;
use crate::golang::tool;
use crate::redact;

/// Most directories between the directory of a build and the top of its checkout.
const DEPTH: usize = 64;
/// Most steps of a branch that refers to another branch.
const SYMBOLIC: usize = 5;
/// Most bytes of a file with one line.
const LINE: u64 = 4096;
/// Most bytes of a configuration.
const CONFIG: u64 = 1 << 20;
/// Most bytes of the list of branches and tags: about two hundred thousand of them.
const PACKED: u64 = 16 << 20;

/// The checkout that a build ran in. All fields are claims of any user with write access to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Checkout {
    /// Address of the remote `origin`, without credentials.
    pub repository: Option<String>,
    /// Absent if a commit or a tag was checked out.
    pub branch: Option<String>,
    /// The commit that was checked out.
    pub revision: Option<String>,
}

/// A requested file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRequest {
    /// Absolute, in the build's own root directory.
    pub path: ByteString,
    /// A larger file is not read.
    pub limit: u64,
    pub source: PathSource,
}

/// The source of a requested path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathSource {
    /// The file is at or above the directory of the build.
    Above,
    /// Another file names its directory. It must belong to the user of the build; otherwise anybody could have any file read.
    Named,
}

impl Checkout {
    /// The checkout of a build that ran in `dir`. `read` returns the content of a file, if it exists and may be read.
    pub fn read(
        dir: &ByteString,
        mut read: impl FnMut(&FileRequest) -> Option<Vec<u8>>,
    ) -> Option<Self> {
        let (repository, head) = Repository::find(dir, &mut read)?;
        let (branch, revision) = match head {
            RefTarget::Commit(hash) => (None, Some(hash)),
            RefTarget::Elsewhere => (None, None),
            RefTarget::Reference(name) => {
                let revision = repository.resolve(&name, &mut read);
                let branch = name.strip_prefix(b"refs/heads/").map(ByteString::from);
                (branch.and_then(|it| ci::shown(&it)), revision)
            }
        };
        let config = repository.common("config", CONFIG);
        let address = read(&config).and_then(|it| config::origin_url(&it));
        let checkout = Self {
            repository: address.and_then(|it| ci::shown(&redact::repository(&it))),
            branch,
            revision,
        };
        (checkout != Self::default()).then_some(checkout)
    }
}

/// The directories of a repository.
struct Repository {
    /// The directory of this checkout.
    own: ByteString,
    /// The directory that all checkouts of the repository share.
    shared: ByteString,
    source: PathSource,
}

impl Repository {
    /// The nearest repository at or above `dir`, and its checked-out reference.
    fn find(
        dir: &ByteString,
        read: &mut impl FnMut(&FileRequest) -> Option<Vec<u8>>,
    ) -> Option<(Self, RefTarget)> {
        if !dir.as_bytes().starts_with(b"/") {
            return None;
        }
        let mut at = tool::resolve(dir, None);
        for _ in 0..DEPTH {
            let git = below(&at, ".git");
            let here = Self {
                shared: git.clone(),
                own: git.clone(),
                source: PathSource::Above,
            };
            if let Some(head) = read(&here.own("HEAD", LINE)).and_then(|it| RefTarget::parse(&it)) {
                return Some((here, head));
            }
            let link = FileRequest {
                path: git,
                limit: LINE,
                source: PathSource::Above,
            };
            if let Some(text) = read(&link) {
                // A worktree or a submodule. Git, too, searches no further then.
                return Self::named(&at, &text, read);
            }
            let parent = tool::resolve(&"..".into(), Some(&at));
            if parent == at {
                return None;
            }
            at = parent;
        }
        None
    }

    /// The repository that the file `.git` in `dir` names.
    fn named(
        dir: &ByteString,
        text: &[u8],
        read: &mut impl FnMut(&FileRequest) -> Option<Vec<u8>>,
    ) -> Option<(Self, RefTarget)> {
        let path = reference::line(text)?.strip_prefix(b"gitdir: ")?;
        let own = tool::resolve(&path.into(), Some(dir));
        let mut here = Self {
            shared: own.clone(),
            own,
            source: PathSource::Named,
        };
        let head = read(&here.own("HEAD", LINE)).and_then(|it| RefTarget::parse(&it))?;
        // A worktree has one, a submodule has none.
        if let Some(text) = read(&here.own("commondir", LINE)) {
            let shared = reference::line(&text)?;
            here.shared = tool::resolve(&shared.into(), Some(&here.own));
        }
        Some((here, head))
    }

    /// The commit that a reference leads to.
    fn resolve(
        &self,
        name: &[u8],
        read: &mut impl FnMut(&FileRequest) -> Option<Vec<u8>>,
    ) -> Option<String> {
        let mut name = name.to_vec();
        for _ in 0..SYMBOLIC {
            let loose = if reference::is_of_one_checkout(&name) {
                self.own(&name, LINE)
            } else {
                self.common(&name, LINE)
            };
            match read(&loose).and_then(|it| RefTarget::parse(&it)) {
                Some(RefTarget::Commit(hash)) => return Some(hash),
                Some(RefTarget::Reference(next)) => name = next,
                Some(RefTarget::Elsewhere) => return None,
                None => {
                    let packed = read(&self.common("packed-refs", PACKED))?;
                    return reference::packed(&packed, &name);
                }
            }
        }
        None
    }

    fn own(&self, name: impl AsRef<[u8]>, limit: u64) -> FileRequest {
        FileRequest {
            path: below(&self.own, name),
            limit,
            source: self.source,
        }
    }

    fn common(&self, name: impl AsRef<[u8]>, limit: u64) -> FileRequest {
        FileRequest {
            path: below(&self.shared, name),
            limit,
            source: self.source,
        }
    }
}

fn below(dir: &ByteString, name: impl AsRef<[u8]>) -> ByteString {
    let dir = dir.as_bytes();
    let dir = dir.strip_suffix(b"/").unwrap_or(dir);
    [dir, b"/", name.as_ref()].concat().into()
}

#[cfg(test)]
mod tests;
