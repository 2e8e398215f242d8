//! Reads texts that the `go` command reads itself: its settings and module, arguments of its tools, and Git's files of the checkout.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use tracer_core::byte_string::ByteString;
use tracer_core::event::{Captured, CheckedOut, EnvFile, Event, ProcKey, ResponseFile, Settings};
use tracer_core::golang::version::GoVersion;
use tracer_core::golang::{go_mod, response_file, settings};
use tracer_core::origin::Place;
use tracer_core::redact;

use super::clock;
use super::readers::Job;
use crate::inspect::{self, Neighbour, Reader, Root, TEXT_LIMIT, checkout};

/// Most directories between a build's working directory and its `go.mod`.
const DEPTH_MAX: usize = 64;

/// Something to read, for a process that was there when it was asked.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) process: ProcKey,
    pub(super) text: Text,
    /// With whose rights.
    pub(super) uid: u32,
    pub(super) root: Arc<Root>,
}

/// What is to be read.
#[derive(Clone, Debug)]
pub(super) enum Text {
    /// The settings files, and the module that this directory lies in.
    Settings {
        user: Option<ByteString>,
        root: Option<ByteString>,
        dir: Option<ByteString>,
        /// Where the process runs, which is known.
        place: Option<Place>,
    },
    /// Arguments of a tool of this version.
    ResponseFile {
        path: ByteString,
        version: Option<GoVersion>,
    },
    /// The checkout that this directory lies in.
    Checkout(ByteString),
}

impl Text {
    /// What is said if nobody reads it.
    pub(super) fn unread(self, process: ProcKey) -> Event {
        let at = clock::boot();
        match self {
            Self::Settings { place, .. } => Event::Settings(Settings {
                at,
                process,
                user: None,
                root: None,
                module: None,
                module_dir: None,
                place,
            }),
            Self::ResponseFile { .. } => Event::ResponseFile(ResponseFile {
                at,
                process,
                args: Captured::Missing,
            }),
            Self::Checkout(_) => Event::CheckedOut(CheckedOut {
                at,
                process,
                checkout: None,
            }),
        }
    }
}

impl Job for Question {
    type Answer = Event;

    fn neighbour(&self) -> Neighbour {
        self.root.neighbour(self.uid)
    }

    fn undone(&self) -> Event {
        self.text.clone().unread(self.process)
    }

    fn done(self) -> Event {
        let read = |path: &Path| self.read(path);
        match &self.text {
            Text::Settings {
                user,
                root,
                dir,
                place,
            } => {
                let env_file = |path: &Option<ByteString>| {
                    let path = path.as_ref()?;
                    Some(EnvFile {
                        path: path.clone(),
                        variables: settings::parse_env_file(&read(inspect::as_path(path))?),
                    })
                };
                let (user, root) = (env_file(user), env_file(root));
                let module = dir
                    .as_ref()
                    .and_then(|it| self.module(inspect::as_path(it)));
                let (module, module_dir) = module.map_or((None, None), |(module, dir)| {
                    (module, Some(ByteString::from(dir.as_os_str().as_bytes())))
                });
                Event::Settings(Settings {
                    at: clock::boot(),
                    process: self.process,
                    user,
                    root,
                    module,
                    module_dir,
                    place: place.clone(),
                })
            }
            Text::ResponseFile { path, version } => {
                let args = read(inspect::as_path(path)).map_or(Captured::Missing, |text| {
                    let args = response_file::parse(&text, version.as_ref());
                    Captured::Whole(redact::argv(redact::Program::GoTool, args))
                });
                Event::ResponseFile(ResponseFile {
                    at: clock::boot(),
                    process: self.process,
                    args,
                })
            }
            Text::Checkout(dir) => Event::CheckedOut(CheckedOut {
                at: clock::boot(),
                process: self.process,
                checkout: checkout::read(&self.root, dir, self.uid),
            }),
        }
    }
}

impl Question {
    /// Path of the module of the nearest `go.mod` at or above `dir`, if it says one, and where that is.
    fn module<'a>(&self, dir: &'a Path) -> Option<(Option<String>, &'a Path)> {
        let mut dirs = dir.ancestors().take(DEPTH_MAX);
        let (text, dir) = dirs.find_map(|dir| Some((self.read(&dir.join("go.mod"))?, dir)))?;
        Some((go_mod::module_path(&text), dir))
    }

    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let reader = Reader {
            uid: self.uid,
            public: true,
        };
        self.root.open(path, reader, TEXT_LIMIT).ok()?.read().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use tracer_core::event::{Ktime, Tgid};

    fn question(uid: u32, text: Text) -> Question {
        Question {
            process: ProcKey {
                tgid: Tgid(1),
                born: Ktime(1),
            },
            text,
            uid,
            root: Arc::new(Root::own().unwrap()),
        }
    }

    fn me() -> u32 {
        rustix::process::getuid().as_raw()
    }

    fn settings(dir: &Path) -> Text {
        Text::Settings {
            user: None,
            root: None,
            dir: Some(dir.to_str().unwrap().into()),
            place: None,
        }
    }

    #[test]
    fn the_module_is_that_of_the_nearest_directory() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("a/b");
        fs::create_dir_all(&below).unwrap();
        fs::write(dir.path().join("go.mod"), "module example.com/m\n").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let Event::Settings(found) = question(me(), settings(&below)).done() else {
            panic!("it answers what it was not asked");
        };
        assert_eq!(found.module.as_deref(), Some("example.com/m"));
        let asked = question(me(), settings(&below));
        let Event::Settings(unread) = asked.undone() else {
            panic!("it answers what it was not asked");
        };
        assert_eq!(unread.module, None);
    }
}
