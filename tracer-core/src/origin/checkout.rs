//! What the checkout that a build ran in says of itself: Git's own files, read without Git.
//!
//! This decides which files are asked for and what they mean; the rim opens them, by its rules, and gives back what they hold. All of
//! it is written by whoever builds, so every path that is asked for is absolute and clean, their number is bounded, and what is not as
//! Git writes it is absent.
//!
//! Not here: repositories without a checkout, `GIT_DIR`, files that a configuration includes, `insteadOf`, and the reftable format,
//! which is told by its name for no branch and leaves branch and revision absent.

mod config;
mod reference;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::reference::Head;
use super::ci;
use crate::byte_string::ByteString;
use crate::golang::tool;
use crate::redact;

/// Directories between where a build ran and the top of its checkout at most.
const DEPTH: usize = 64;
/// A branch that stands for another, which stands for another.
const SYMBOLIC: usize = 5;
/// Most bytes of a file that holds one line.
const LINE: u64 = 4096;
/// Most bytes of a configuration.
const CONFIG: u64 = 1 << 20;
/// Most bytes of the list of branches and tags: some two hundred thousand of them.
const PACKED: u64 = 16 << 20;

/// The checkout that a build ran in. All are claims of whoever may write there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Checkout {
    /// Address of the remote `origin`, without credentials.
    pub repository: Option<String>,
    /// Absent where a commit or a tag was checked out.
    pub branch: Option<String>,
    /// The commit that was checked out.
    pub revision: Option<String>,
}

/// A file that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Absolute, in the build's own root.
    pub path: ByteString,
    /// Of a larger one nothing is wanted.
    pub limit: u64,
    pub place: Place,
}

/// How its path came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It lies at or above where the build ran.
    Above,
    /// Another file names its directory: it must belong to who builds, or anybody could have anything read.
    Named,
}

impl Checkout {
    /// Of a build that ran in `dir`. `read` gives back a file's content, if it is there and may be read.
    pub fn read(
        dir: &ByteString,
        mut read: impl FnMut(&Wanted) -> Option<Vec<u8>>,
    ) -> Option<Self> {
        let (repository, head) = Repository::find(dir, &mut read)?;
        let (branch, revision) = match head {
            Head::Commit(hash) => (None, Some(hash)),
            Head::Elsewhere => (None, None),
            Head::Reference(name) => {
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

/// Where the files of a repository are.
struct Repository {
    /// Those of this checkout.
    own: ByteString,
    /// Those of all checkouts of the repository.
    shared: ByteString,
    place: Place,
}

impl Repository {
    /// The nearest at or above `dir`, and what is checked out.
    fn find(
        dir: &ByteString,
        read: &mut impl FnMut(&Wanted) -> Option<Vec<u8>>,
    ) -> Option<(Self, Head)> {
        if !dir.as_bytes().starts_with(b"/") {
            return None;
        }
        let mut at = tool::resolve(dir, None);
        for _ in 0..DEPTH {
            let git = below(&at, ".git");
            let here = Self {
                shared: git.clone(),
                own: git.clone(),
                place: Place::Above,
            };
            if let Some(head) = read(&here.own("HEAD", LINE)).and_then(|it| Head::parse(&it)) {
                return Some((here, head));
            }
            let link = Wanted {
                path: git,
                limit: LINE,
                place: Place::Above,
            };
            if let Some(text) = read(&link) {
                // A worktree or a submodule. Git, too, looks no further then.
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

    /// The one that the file `.git` in `dir` names.
    fn named(
        dir: &ByteString,
        text: &[u8],
        read: &mut impl FnMut(&Wanted) -> Option<Vec<u8>>,
    ) -> Option<(Self, Head)> {
        let path = reference::line(text)?.strip_prefix(b"gitdir: ")?;
        let own = tool::resolve(&path.into(), Some(dir));
        let mut here = Self {
            shared: own.clone(),
            own,
            place: Place::Named,
        };
        let head = read(&here.own("HEAD", LINE)).and_then(|it| Head::parse(&it))?;
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
        read: &mut impl FnMut(&Wanted) -> Option<Vec<u8>>,
    ) -> Option<String> {
        let mut name = name.to_vec();
        for _ in 0..SYMBOLIC {
            let loose = if reference::is_of_one_checkout(&name) {
                self.own(&name, LINE)
            } else {
                self.common(&name, LINE)
            };
            match read(&loose).and_then(|it| Head::parse(&it)) {
                Some(Head::Commit(hash)) => return Some(hash),
                Some(Head::Reference(next)) => name = next,
                Some(Head::Elsewhere) => return None,
                None => {
                    let packed = read(&self.common("packed-refs", PACKED))?;
                    return reference::packed(&packed, &name);
                }
            }
        }
        None
    }

    fn own(&self, name: impl AsRef<[u8]>, limit: u64) -> Wanted {
        Wanted {
            path: below(&self.own, name),
            limit,
            place: self.place,
        }
    }

    fn common(&self, name: impl AsRef<[u8]>, limit: u64) -> Wanted {
        Wanted {
            path: below(&self.shared, name),
            limit,
            place: self.place,
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
