//! Files that a hostile builder may put in place of an output.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::{FileType, mknodat};
use tempfile::TempDir;

use super::*;

fn me() -> Reader {
    Reader {
        uid: rustix::process::getuid().as_raw(),
        public: false,
    }
}

struct TestDir {
    dir: TempDir,
}

impl TestDir {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn open(&self, name: &str, reader: Reader, limit: u64) -> Result<Opened, Refused> {
        Root::own().unwrap().open(&self.path(name), reader, limit)
    }

    fn check(&self, name: &str, refused: &str) {
        let error = self.open(name, me(), OUTPUT_LIMIT).unwrap_err();
        assert_eq!(error.to_string(), refused);
    }
}

#[test]
fn a_file_of_the_builder_is_read_and_hashed() {
    let files = TestDir::new();
    fs::write(files.path("out"), "abc").unwrap();
    let opened = files.open("out", me(), OUTPUT_LIMIT).unwrap();
    assert_eq!(opened.read().unwrap(), b"abc");
    let artifact = opened.artifact(&ReaderSpawner::own().unwrap()).unwrap();
    assert_eq!(artifact.size, 3);
    // FIPS 180-2, appendix B.1.
    let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(artifact.sha256, known);
}

#[test]
fn a_symlink_in_place_of_the_file_is_refused() {
    let files = TestDir::new();
    symlink("/etc/passwd", files.path("out")).unwrap();
    files.check("out", "not a regular file");
}

#[test]
fn a_fifo_a_device_and_a_directory_are_never_opened() {
    let files = TestDir::new();
    mknodat(CWD, files.path("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    fs::create_dir(files.path("dir")).unwrap();
    files.check("fifo", "not a regular file");
    files.check("dir", "not a regular file");
    let null = Root::own().unwrap().open(Path::new("/dev/null"), me(), 1);
    assert_eq!(null.unwrap_err().to_string(), "not a regular file");
    assert!(open_program(&files.path("fifo")).is_err());
}

#[test]
fn a_file_of_another_user_is_refused_by_any_path() {
    let files = TestDir::new();
    fs::create_dir(files.path("real")).unwrap();
    fs::write(files.path("real/secret"), "x").unwrap();
    symlink("real", files.path("link")).unwrap();
    let another = Reader {
        uid: me().uid + 1,
        public: false,
    };
    for name in ["real/secret", "link/secret"] {
        let error = files.open(name, another, OUTPUT_LIMIT).unwrap_err();
        assert!(matches!(error, Refused::Foreign { .. }), "{error}");
    }
    // A directory that is always a symlink is allowed.
    assert!(files.open("link/secret", me(), OUTPUT_LIMIT).is_ok());
}

/// Half of all openings by path would read the secret; this test must never read it.
#[test]
fn a_directory_swapped_during_the_opening_leads_to_no_foreign_file() {
    let files = TestDir::new();
    for (dir, text) in [("mine", "mine"), ("secret", "secret")] {
        fs::create_dir(files.path(dir)).unwrap();
        fs::write(files.path(dir).join("out"), text).unwrap();
    }
    let reader = if rustix::process::geteuid().is_root() {
        let nobody = rustix::fs::Uid::from_raw(65534);
        rustix::fs::chown(files.path("mine/out"), Some(nobody), None).unwrap();
        Reader {
            uid: 65534,
            public: false,
        }
    } else {
        // Without root the test cannot create a foreign file, so it only checks that it reads its own.
        fs::write(files.path("secret/out"), "mine").unwrap();
        me()
    };
    symlink("mine", files.path("to-mine")).unwrap();
    symlink("secret", files.path("to-secret")).unwrap();
    let is_finished = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let both = (files.path("to-mine"), files.path("to-secret"));
            while !is_finished.load(std::sync::atomic::Ordering::Relaxed) {
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(CWD, &both.0, CWD, &both.1, exchange).unwrap();
            }
        });
        let open = |_| {
            let opened = files.open("to-mine/out", reader, OUTPUT_LIMIT);
            opened.and_then(|opened| opened.read()).ok()
        };
        let contents: Vec<Vec<u8>> = (0..20_000).filter_map(open).collect();
        is_finished.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(!contents.is_empty());
        assert!(contents.iter().all(|content| content == b"mine"));
    });
}

#[test]
fn a_world_readable_settings_file_may_have_any_owner() {
    let files = TestDir::new();
    fs::write(files.path("go.env"), "x").unwrap();
    let another = Reader {
        uid: me().uid + 1,
        public: true,
    };
    for (mode, may) in [(0o644, true), (0o640, false)] {
        rustix::fs::chmod(files.path("go.env"), Mode::from_raw_mode(mode)).unwrap();
        assert_eq!(
            files.open("go.env", another, TEXT_LIMIT).is_ok(),
            may,
            "{mode:o}"
        );
    }
}

#[test]
fn dots_do_not_lead_out_of_the_root() {
    let files = TestDir::new();
    fs::create_dir(files.path("root")).unwrap();
    fs::write(files.path("outside"), "x").unwrap();
    symlink("../outside", files.path("root/link")).unwrap();
    symlink(files.path("outside"), files.path("root/absolute")).unwrap();
    let dir = openat(CWD, files.path("root"), OFlags::PATH, Mode::empty()).unwrap();
    let root = Root {
        id: RootId::of(&dir),
        dir,
        mounts: None,
    };
    for path in [
        "/../outside",
        "/link",
        "/absolute",
        "/../../../../../../etc/passwd",
    ] {
        let error = root.open(Path::new(path), me(), OUTPUT_LIMIT).unwrap_err();
        assert!(
            matches!(error, Refused::Open(_) | Refused::Special),
            "{path}: {error}"
        );
    }
}

#[test]
fn magic_links_are_not_followed() {
    let files = TestDir::new();
    fs::write(files.path("out"), "x").unwrap();
    let file = File::open(files.path("out")).unwrap();
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let root = Root::own().unwrap();
    assert!(root.open(&path, me(), OUTPUT_LIMIT).is_err());
    let path = PathBuf::from(format!("/proc/self/root{}", files.path("out").display()));
    assert!(root.open(&path, me(), OUTPUT_LIMIT).is_err());
}

#[test]
fn a_sparse_file_over_the_limit_is_not_read() {
    let files = TestDir::new();
    let file = File::create(files.path("out")).unwrap();
    file.set_len(8 << 40).unwrap();
    let error = files.open("out", me(), OUTPUT_LIMIT).unwrap_err();
    assert!(matches!(error, Refused::Large { .. }), "{error}");
}

#[test]
fn a_large_file_of_mostly_holes_is_not_read() {
    let files = TestDir::new();
    let file = File::create(files.path("out")).unwrap();
    file.set_len(OUTPUT_LIMIT).unwrap();
    let error = files.open("out", me(), OUTPUT_LIMIT).unwrap_err();
    assert!(matches!(error, Refused::Sparse { .. }), "{error}");
    // A small file is read, regardless of its stored size.
    file.set_len(WHOLE_LIMIT).unwrap();
    assert!(files.open("out", me(), OUTPUT_LIMIT).is_ok());
}

#[test]
fn a_file_that_is_too_large_is_not_analysed() {
    let files = TestDir::new();
    let file = File::create(files.path("out")).unwrap();
    file.set_len(ANALYSIS_LIMIT + 1).unwrap();
    let opened = files.open("out", me(), OUTPUT_LIMIT).unwrap();
    let spawner = ReaderSpawner::own().unwrap();
    let error = opened.anatomy("", &spawner).unwrap_err();
    assert!(matches!(error, Unanalysed::Large { .. }), "{error}");
}

/// The misbehaviour of a child of this test program, selected by the size of the file: see `sandbox::tests`.
pub(crate) fn misbehave(size: &str) {
    match size {
        "1001" => loop {
            std::hint::spin_loop();
        },
        "1002" => std::process::abort(),
        "1004" => drop(rustix::io::write(
            rustix::stdio::stdout(),
            b"{\"version\":1",
        )),
        "1005" => while rustix::io::write(rustix::stdio::stdout(), &[b'x'; 4096]).is_ok() {},
        "1006" => drop(rustix::process::kill_process(
            rustix::process::getpid(),
            rustix::process::Signal::KILL,
        )),
        "1007" => drop(rustix::process::kill_process(
            rustix::process::getpid(),
            rustix::process::Signal::SYS,
        )),
        "1008" => answer_and_linger(),
        _ => return,
    }
    // SAFETY: takes a number. The process has nothing to flush or to drop.
    unsafe { libc::_exit(0) };
}

/// Closes the pipe before exiting, as the kernel does for an exiting child that then waits for a CPU.
fn answer_and_linger() {
    let answer = answer::Answer {
        version: answer::VERSION,
        restrictions: None,
        found: Found::Changed,
    };
    let encoded = serde_json::to_vec(&answer).unwrap();
    rustix::io::write(rustix::stdio::stdout(), &encoded).unwrap();
    // SAFETY: nothing in this process writes to this descriptor any more.
    unsafe { rustix::io::close(rustix::stdio::raw_stdout()) };
    std::thread::sleep(Duration::from_millis(1500));
}

#[test]
fn a_failed_child_is_reported_by_class_and_counted() {
    let files = TestDir::new();
    let read = |spawner: &ReaderSpawner, size: u64| {
        File::create(files.path("out"))
            .unwrap()
            .set_len(size)
            .unwrap();
        let opened = files.open("out", me(), OUTPUT_LIMIT).unwrap();
        opened.artifact(spawner).map_err(|it| it.to_string())
    };
    let spawner = ReaderSpawner::own().unwrap();
    for (n, (size, why)) in (1..).zip([
        (1002, "its reader exceeded its memory limit"),
        (1004, "its reader gave an invalid answer"),
        (1005, "its reader gave an invalid answer"),
        (
            1006,
            "its reader was killed by SIGKILL, which the kernel sends if memory is short",
        ),
        (
            1007,
            "its reader made a forbidden system call and was killed",
        ),
    ]) {
        assert_eq!(read(&spawner, size), Err(why.to_owned()), "{size}");
        assert_eq!(spawner.n_lost(), n);
        assert_eq!(read(&spawner, 3).unwrap().size, 3);
    }
    let changed = read(&spawner, 1008).unwrap_err();
    assert_eq!(
        changed, "it changed while it was read",
        "its answer is read"
    );
    let hurried = ReaderSpawner::own()
        .unwrap()
        .with_timeout(Duration::from_millis(200));
    let late = read(&hurried, 1001).unwrap_err();
    assert!(late.starts_with("reading it took longer"), "{late}");
    assert!(hurried.cpu_ns() > 0, "it was killed and reaped");
}

#[test]
fn a_child_has_restrictions_here() {
    let restrictions = ReaderSpawner::own().unwrap().restrictions().unwrap();
    assert!(restrictions.is_some());
}

#[test]
fn a_file_that_changes_while_it_is_read_is_reported() {
    let files = TestDir::new();
    fs::write(files.path("out"), "abc").unwrap();
    let opened = files.open("out", me(), OUTPUT_LIMIT).unwrap();
    fs::write(files.path("out"), "abcd").unwrap();
    let error = opened.artifact(&ReaderSpawner::own().unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "it changed while it was read");
}

#[test]
fn a_relative_path_is_refused() {
    let root = Root::own().unwrap();
    let error = root.open(Path::new("out"), me(), OUTPUT_LIMIT).unwrap_err();
    assert_eq!(error.to_string(), "its path is not absolute");
}

#[test]
fn roots_differ_by_their_files() {
    let of = |path: &Path, mounts: Option<OwnedFd>| {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let dir = openat(CWD, path, flags, Mode::empty()).unwrap();
        Root {
            id: RootId::of(&dir),
            dir,
            mounts,
        }
    };
    let own = Root::own().unwrap();
    assert!(own.is_same(&of(Path::new("/proc/self/root"), None)));
    let files = TestDir::new();
    assert!(!own.is_same(&of(files.dir.path(), None)));
    // A root with mounts keeps its files longer.
    let mounts = fs::File::open("/proc/self/ns/mnt").unwrap();
    assert!(!own.is_same(&of(Path::new("/"), Some(mounts.into()))));
    // A kernel that does not report the mount.
    let unknown = || Root::own().unwrap().without_id();
    assert!(!unknown().is_same(&unknown()));
}

#[test]
fn the_root_of_a_process_with_another_birth_is_gone() {
    let tgid = tracer_core::event::Tgid(std::process::id());
    let born = tracer_core::event::Ktime(1);
    assert!(matches!(
        Root::of(ProcKey { tgid, born }),
        Err(Refused::Gone)
    ));
}
