//! What a hostile builder may put where an output should be.

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

struct Place {
    dir: TempDir,
}

impl Place {
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
    let place = Place::new();
    fs::write(place.path("out"), "abc").unwrap();
    let opened = place.open("out", me(), OUTPUT_LIMIT).unwrap();
    assert_eq!(opened.read().unwrap(), b"abc");
    let artifact = opened.artifact(&Analyser::own().unwrap()).unwrap();
    assert_eq!(artifact.size, 3);
    // FIPS 180-2, appendix B.1.
    let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(artifact.sha256, known);
}

#[test]
fn a_symlink_in_place_of_the_file_is_refused() {
    let place = Place::new();
    symlink("/etc/passwd", place.path("out")).unwrap();
    place.check("out", "not a regular file");
}

#[test]
fn a_fifo_a_device_and_a_directory_are_never_opened() {
    let place = Place::new();
    mknodat(CWD, place.path("fifo"), FileType::Fifo, Mode::RWXU, 0).unwrap();
    fs::create_dir(place.path("dir")).unwrap();
    place.check("fifo", "not a regular file");
    place.check("dir", "not a regular file");
    let null = Root::own().unwrap().open(Path::new("/dev/null"), me(), 1);
    assert_eq!(null.unwrap_err().to_string(), "not a regular file");
    assert!(open_program(&place.path("fifo")).is_err());
}

#[test]
fn somebody_elses_file_is_refused_by_whatever_path_it_is_reached() {
    let place = Place::new();
    fs::create_dir(place.path("real")).unwrap();
    fs::write(place.path("real/secret"), "x").unwrap();
    symlink("real", place.path("link")).unwrap();
    let another = Reader {
        uid: me().uid + 1,
        public: false,
    };
    for name in ["real/secret", "link/secret"] {
        let error = place.open(name, another, OUTPUT_LIMIT).unwrap_err();
        assert!(matches!(error, Refused::Foreign { .. }), "{error}");
    }
    // Who has a symlinked directory for good is served.
    assert!(place.open("link/secret", me(), OUTPUT_LIMIT).is_ok());
}

/// Half of all openings by path read the secret; here none does, however long one tries.
#[test]
fn a_directory_that_is_swapped_while_we_open_leads_to_nothing_foreign() {
    let place = Place::new();
    for (dir, text) in [("mine", "mine"), ("secret", "secret")] {
        fs::create_dir(place.path(dir)).unwrap();
        fs::write(place.path(dir).join("out"), text).unwrap();
    }
    let reader = if rustix::process::geteuid().is_root() {
        let nobody = rustix::fs::Uid::from_raw(65534);
        rustix::fs::chown(place.path("mine/out"), Some(nobody), None).unwrap();
        Reader {
            uid: 65534,
            public: false,
        }
    } else {
        // Nothing foreign can be made: then all that is read is ours.
        fs::write(place.path("secret/out"), "mine").unwrap();
        me()
    };
    symlink("mine", place.path("to-mine")).unwrap();
    symlink("secret", place.path("to-secret")).unwrap();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let both = (place.path("to-mine"), place.path("to-secret"));
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(CWD, &both.0, CWD, &both.1, exchange).unwrap();
            }
        });
        let open = |_| {
            let opened = place.open("to-mine/out", reader, OUTPUT_LIMIT);
            opened.and_then(|opened| opened.read()).ok()
        };
        let contents: Vec<Vec<u8>> = (0..20_000).filter_map(open).collect();
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(!contents.is_empty());
        assert!(contents.iter().all(|content| content == b"mine"));
    });
}

#[test]
fn a_settings_file_that_everybody_may_read_may_be_anybodys() {
    let place = Place::new();
    fs::write(place.path("go.env"), "x").unwrap();
    let another = Reader {
        uid: me().uid + 1,
        public: true,
    };
    for (mode, may) in [(0o644, true), (0o640, false)] {
        rustix::fs::chmod(place.path("go.env"), Mode::from_raw_mode(mode)).unwrap();
        assert_eq!(
            place.open("go.env", another, TEXT_LIMIT).is_ok(),
            may,
            "{mode:o}"
        );
    }
}

#[test]
fn dots_do_not_lead_out_of_the_root() {
    let place = Place::new();
    fs::create_dir(place.path("root")).unwrap();
    fs::write(place.path("outside"), "x").unwrap();
    symlink("../outside", place.path("root/link")).unwrap();
    symlink(place.path("outside"), place.path("root/absolute")).unwrap();
    let dir = openat(CWD, place.path("root"), OFlags::PATH, Mode::empty()).unwrap();
    let root = Root {
        place: RootPlace::of(&dir),
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
    let place = Place::new();
    fs::write(place.path("out"), "x").unwrap();
    let file = File::open(place.path("out")).unwrap();
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    let root = Root::own().unwrap();
    assert!(root.open(&path, me(), OUTPUT_LIMIT).is_err());
    let path = PathBuf::from(format!("/proc/self/root{}", place.path("out").display()));
    assert!(root.open(&path, me(), OUTPUT_LIMIT).is_err());
}

#[test]
fn a_file_over_the_limit_is_not_read_though_it_may_be_all_hole() {
    let place = Place::new();
    let file = File::create(place.path("out")).unwrap();
    file.set_len(8 << 40).unwrap();
    let error = place.open("out", me(), OUTPUT_LIMIT).unwrap_err();
    assert!(matches!(error, Refused::Large { .. }), "{error}");
}

#[test]
fn a_large_file_that_is_mostly_hole_is_not_read() {
    let place = Place::new();
    let file = File::create(place.path("out")).unwrap();
    file.set_len(OUTPUT_LIMIT).unwrap();
    let error = place.open("out", me(), OUTPUT_LIMIT).unwrap_err();
    assert!(matches!(error, Refused::Sparse { .. }), "{error}");
    // Small ones are, however they are stored.
    file.set_len(WHOLE_LIMIT).unwrap();
    assert!(place.open("out", me(), OUTPUT_LIMIT).is_ok());
}

#[test]
fn a_file_that_is_too_large_is_not_taken_apart() {
    let place = Place::new();
    let file = File::create(place.path("out")).unwrap();
    file.set_len(ANALYSIS_LIMIT + 1).unwrap();
    let opened = place.open("out", me(), OUTPUT_LIMIT).unwrap();
    let analyser = Analyser::own().unwrap();
    let error = opened.anatomy("", &analyser).unwrap_err();
    assert!(matches!(error, Unanalysed::Large { .. }), "{error}");
}

/// What a child of this test program does instead of reading, by the size of the file: see `sandbox::tests`.
pub(crate) fn mischief(size: &str) {
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
    // SAFETY: takes a number, and ends a process that has nothing to flush or to drop.
    unsafe { libc::_exit(0) };
}

/// As the kernel closes the end of a child that is on its way out, which then waits for a processor.
fn answer_and_linger() {
    let answer = answer::Answer {
        version: answer::VERSION,
        walls: None,
        found: Found::Changed,
    };
    let told = serde_json::to_vec(&answer).unwrap();
    rustix::io::write(rustix::stdio::stdout(), &told).unwrap();
    // SAFETY: nothing in this process writes there any more.
    unsafe { rustix::io::close(rustix::stdio::raw_stdout()) };
    std::thread::sleep(Duration::from_millis(1500));
}

#[test]
fn a_child_that_fails_is_said_by_class_counted_and_survived() {
    let place = Place::new();
    let read = |analyser: &Analyser, size: u64| {
        File::create(place.path("out"))
            .unwrap()
            .set_len(size)
            .unwrap();
        let opened = place.open("out", me(), OUTPUT_LIMIT).unwrap();
        opened.artifact(analyser).map_err(|it| it.to_string())
    };
    let analyser = Analyser::own().unwrap();
    for (n, (size, why)) in (1..).zip([
        (1002, "its reader ran out of the memory that it may have"),
        (1004, "its reader gave no answer that can be true"),
        (1005, "its reader gave no answer that can be true"),
        (
            1006,
            "its reader was killed, as the kernel does where memory is short",
        ),
        (1007, "its reader did what it may not do, and was ended"),
    ]) {
        assert_eq!(read(&analyser, size), Err(why.to_owned()), "{size}");
        assert_eq!(analyser.n_lost(), n);
        assert_eq!(read(&analyser, 3).unwrap().size, 3);
    }
    let told = read(&analyser, 1008).unwrap_err();
    assert_eq!(told, "it changed while it was read", "its answer is heard");
    let impatient = Analyser::own()
        .unwrap()
        .with_patience(Duration::from_millis(200));
    let late = read(&impatient, 1001).unwrap_err();
    assert!(late.starts_with("reading it took longer"), "{late}");
    assert!(impatient.cpu_ns() > 0, "it was killed and collected");
}

#[test]
fn there_are_walls_around_a_child_here() {
    let walls = Analyser::own().unwrap().walls().unwrap();
    assert!(walls.is_some());
}

#[test]
fn a_file_that_changes_while_it_is_read_is_told() {
    let place = Place::new();
    fs::write(place.path("out"), "abc").unwrap();
    let opened = place.open("out", me(), OUTPUT_LIMIT).unwrap();
    fs::write(place.path("out"), "abcd").unwrap();
    let error = opened.artifact(&Analyser::own().unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "it changed while it was read");
}

#[test]
fn a_relative_path_is_refused() {
    let root = Root::own().unwrap();
    let error = root.open(Path::new("out"), me(), OUTPUT_LIMIT).unwrap_err();
    assert_eq!(error.to_string(), "its path is not absolute");
}

#[test]
fn roots_are_told_apart_by_what_is_found_in_them() {
    let of = |path: &Path, mounts: Option<OwnedFd>| {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let dir = openat(CWD, path, flags, Mode::empty()).unwrap();
        Root {
            place: RootPlace::of(&dir),
            dir,
            mounts,
        }
    };
    let own = Root::own().unwrap();
    assert!(own.is_same(&of(Path::new("/proc/self/root"), None)));
    let place = Place::new();
    assert!(!own.is_same(&of(place.dir.path(), None)));
    // What lies on its mounts is there for longer.
    let mounts = fs::File::open("/proc/self/ns/mnt").unwrap();
    assert!(!own.is_same(&of(Path::new("/"), Some(mounts.into()))));
    // A kernel that does not say which mount it is.
    let unknown = || Root::own().unwrap().nowhere();
    assert!(!unknown().is_same(&unknown()));
}

#[test]
fn the_root_of_a_process_of_another_birth_is_gone() {
    let tgid = tracer_core::event::Tgid(std::process::id());
    let born = tracer_core::event::Ktime(1);
    assert!(matches!(
        Root::of(ProcKey { tgid, born }),
        Err(Refused::Gone)
    ));
}
