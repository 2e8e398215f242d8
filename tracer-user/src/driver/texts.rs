//! Reads texts that the `go` command also reads: its settings and module, arguments of its tools, and Git's files of the
//! checkout.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use tracer_core::byte_string::ByteString;
use tracer_core::event::{
    BuildInfo, Captured, CheckedOut, EnvFile, Event, MainPackage, ProcKey, ResponseFile, Settings,
    WorkspaceModule,
};
use tracer_core::golang::version::GoVersion;
use tracer_core::golang::{build_info, go_mod, response_file, settings, tool};
use tracer_core::origin::Place;
use tracer_core::redact;

use super::readers::ReadJob;
use crate::clock;
use crate::inspect::{self, FileOwner, OUTPUT_LIMIT, Reader, Root, TEXT_LIMIT, checkout};
use crate::toolchain;

/// Most directories between a build's working directory and its `go.mod`.
const DEPTH_MAX: usize = 64;

/// A request to read a text for a process that existed at the time of the request.
#[derive(Debug)]
pub(super) struct TextRequest {
    pub(super) process: ProcKey,
    pub(super) text: Text,
    /// The user with whose rights the text is read.
    pub(super) uid: u32,
    pub(super) root: Arc<Root>,
}

/// The text to read.
#[derive(Clone, Debug)]
pub(super) enum Text {
    /// The settings files, and the module that contains this directory.
    Settings {
        user: Option<ByteString>,
        root: Option<ByteString>,
        dir: Option<ByteString>,
        /// Arguments and environment of the process, which may choose other files instead of `go.mod` and `go.work`.
        argv: Vec<ByteString>,
        env: Vec<(ByteString, ByteString)>,
        /// Container and pod of the process, which are already known.
        place: Option<Place>,
    },
    /// Arguments of a tool of this version.
    ResponseFile {
        path: ByteString,
        version: Option<GoVersion>,
    },
    /// The checkout that contains this directory.
    Checkout(ByteString),
    /// The build information in this program, or in this configuration of the linker.
    BuildInfo(ByteString),
}

impl Text {
    /// The event if the text is not read.
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
                workspace: Vec::new(),
                replaced: Vec::new(),
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
            Self::BuildInfo(path) => Event::BuildInfo(BuildInfo {
                at,
                process,
                path,
                main: None,
            }),
        }
    }
}

impl ReadJob for TextRequest {
    type Output = Event;

    fn file_owner(&self) -> FileOwner {
        self.root.file_owner(self.uid)
    }

    fn failed(&self) -> Event {
        self.text.clone().unread(self.process)
    }

    fn run(self) -> Event {
        let read = |path: &Path| self.read(path);
        match &self.text {
            Text::Settings {
                user,
                root,
                dir,
                argv,
                env,
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
                let sources = settings::Sources {
                    env,
                    user: user.as_ref(),
                    root: root.as_ref(),
                };
                let command = sources.command(argv);
                let modfile = command.value("modfile").filter(|it| !it.is_empty());
                let modfile = modfile.map(|it| tool::locate(it, dir.as_ref()));
                let dir = dir.as_ref().map(inspect::as_path);
                let module = dir.and_then(|it| self.module(it, modfile.as_ref()));
                let (module, module_dir, mut replaced) = module.unwrap_or_default();
                // `-modfile` and a workspace exclude each other.
                let workspace = match (dir, modfile) {
                    (Some(dir), None) => {
                        self.workspace(dir, &sources.get("GOWORK").value, &mut replaced)
                    }
                    _ => Vec::new(),
                };
                Event::Settings(Settings {
                    at: clock::boot(),
                    process: self.process,
                    user,
                    root,
                    module,
                    module_dir,
                    workspace,
                    replaced,
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
            Text::BuildInfo(path) => Event::BuildInfo(BuildInfo {
                at: clock::boot(),
                process: self.process,
                path: path.clone(),
                main: self.main_package(inspect::as_path(path)),
            }),
        }
    }
}

impl TextRequest {
    /// Returns the module path in the nearest `go.mod` at or above `dir`, or in `modfile`, the directory of that `go.mod`, and the
    /// modules that directories replace.
    fn module(
        &self,
        dir: &Path,
        modfile: Option<&ByteString>,
    ) -> Option<(Option<String>, Option<ByteString>, Vec<WorkspaceModule>)> {
        let (text, dir) = self.nearest(dir, "go.mod")?;
        let text = match modfile {
            Some(path) => self.read(inspect::as_path(path)).unwrap_or_default(),
            None => text,
        };
        let dir = ByteString::from(dir.as_os_str().as_bytes());
        let replaced = replaced(&text, &dir).collect();
        Some((go_mod::module_path(&text), Some(dir), replaced))
    }

    /// Modules of the workspace of `dir`: those of the `go.work` that GOWORK names, or of the nearest one. Adds the modules that
    /// directories replace in the workspace.
    fn workspace(
        &self,
        dir: &Path,
        gowork: &ByteString,
        replacements: &mut Vec<WorkspaceModule>,
    ) -> Vec<WorkspaceModule> {
        let found = if gowork.is_empty() {
            self.nearest(dir, "go.work")
        } else {
            // GOWORK is `off` or an absolute path.
            let path = inspect::as_path(gowork);
            let dir = path.parent().filter(|_| path.is_absolute());
            dir.and_then(|dir| Some((self.read(path)?, dir)))
        };
        let Some((text, dir)) = found else {
            return Vec::new();
        };
        let dir = ByteString::from(dir.as_os_str().as_bytes());
        let dirs = go_mod::work_dirs(&text).into_iter();
        replacements.extend(replaced(&text, &dir));
        let module = |it: ByteString| {
            let dir = tool::resolve(&it, Some(&dir));
            let text = self.read(&inspect::as_path(&dir).join("go.mod"))?;
            let path = go_mod::module_path(&text)?;
            replacements.extend(replaced(&text, &dir));
            Some(WorkspaceModule { path, dir })
        };
        dirs.filter_map(module).collect()
    }

    /// The content of the nearest file with this name at or above `dir`, and the directory of the file.
    fn nearest<'a>(&self, dir: &'a Path, name: &str) -> Option<(Vec<u8>, &'a Path)> {
        let mut dirs = dir.ancestors().take(DEPTH_MAX);
        dirs.find_map(|dir| Some((self.read(&dir.join(name))?, dir)))
    }

    fn main_package(&self, path: &Path) -> Option<MainPackage> {
        let reader = Reader {
            uid: self.uid,
            public: false,
        };
        let found = self.root.open(path, reader, OUTPUT_LIMIT).ok()?;
        let of_program = toolchain::main_package(found.file());
        of_program.or_else(|| {
            let is_short = found.size() <= TEXT_LIMIT;
            let text = is_short.then(|| found.read().ok())?;
            build_info::of_link_config(&text?)
        })
    }

    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        let reader = Reader {
            uid: self.uid,
            public: true,
        };
        self.root.open(path, reader, TEXT_LIMIT).ok()?.read().ok()
    }
}

/// Modules that directories replace in a `go.mod` or `go.work` of this directory.
fn replaced<'a>(text: &[u8], dir: &'a ByteString) -> impl Iterator<Item = WorkspaceModule> + 'a {
    let found = go_mod::replaced_dirs(text).into_iter();
    found.map(|(path, to)| WorkspaceModule {
        path,
        dir: tool::resolve(&to, Some(dir)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use tracer_core::event::{Ktime, Tgid};

    fn question(uid: u32, text: Text) -> TextRequest {
        TextRequest {
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
            argv: vec!["go".into(), "build".into()],
            env: Vec::new(),
            place: None,
        }
    }

    #[test]
    fn the_module_is_that_of_the_nearest_directory() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("a/b");
        fs::create_dir_all(&below).unwrap();
        let text = "module example.com/m\nreplace example.com/n => ./n\n";
        fs::write(dir.path().join("go.mod"), text).unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let Event::Settings(found) = question(me(), settings(&below)).run() else {
            panic!("it answers what it was not asked");
        };
        assert_eq!(found.module.as_deref(), Some("example.com/m"));
        let replaced = WorkspaceModule {
            path: "example.com/n".to_owned(),
            dir: dir.path().join("n").to_str().unwrap().into(),
        };
        assert_eq!(found.replaced, [replaced]);
        let asked = question(me(), settings(&below));
        let Event::Settings(unread) = asked.failed() else {
            panic!("it answers what it was not asked");
        };
        assert_eq!(unread.module, None);
    }

    #[test]
    fn the_users_settings_replace_go_mod_by_another_file() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            Some(ByteString::from(path.to_str().unwrap()))
        };
        write("go.mod", "module example.com/m\n");
        write("other.mod", "module example.com/other\n");
        let flags = write("flags", "GOFLAGS=-v -modfile=other.mod\n");
        let module = |user: Option<ByteString>, words: &[&str]| {
            let mut asked = settings(dir.path());
            if let Text::Settings { user: it, argv, .. } = &mut asked {
                *it = user;
                argv.extend(words.iter().map(|it| ByteString::from(*it)));
            }
            let Event::Settings(found) = question(me(), asked).run() else {
                panic!("it answers what it was not asked");
            };
            found.module
        };
        let is = |it: &str| Some(it.to_owned());
        assert_eq!(module(None, &[]), is("example.com/m"));
        assert_eq!(module(flags.clone(), &[]), is("example.com/other"));
        assert_eq!(module(flags, &["-modfile=go.mod"]), is("example.com/m"));
    }
}
