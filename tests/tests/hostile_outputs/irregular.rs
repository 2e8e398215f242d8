//! Paths that are not regular files, belong to another user, or change during the read. gotrace refuses or reports them, and never
//! waits.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::chown;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use tempfile::TempDir;
use tests::gotrace;
use tracer_core::event::{Artifact, Ktime, ProcKey, Tgid};
use tracer_user::inspect::{OUTPUT_LIMIT, Opened, Reader, ReaderSpawner, Refused, Root};

/// Much longer than opening takes, and shorter than the kernel's lease timeout (45 s).
const PATIENCE: Duration = Duration::from_secs(30);

const ROOT: Reader = Reader {
    uid: 0,
    public: false,
};

/// Fails instead of waiting.
fn in_time<T: Send + 'static>(what: &str, job: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, finished) = channel();
    thread::spawn(move || done.send(job()));
    let result = finished.recv_timeout(PATIENCE);
    result.unwrap_or_else(|_| panic!("{what} did not finish within {PATIENCE:?}"))
}

fn open(path: PathBuf) -> Result<Opened, Refused> {
    let what = path.display().to_string();
    in_time(&what, move || {
        Root::own().unwrap().open(&path, ROOT, OUTPUT_LIMIT)
    })
}

fn place() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    (dir, path)
}

#[test]
fn paths_that_are_no_regular_file_are_not_opened() {
    let kinds = [
        (FileType::Fifo, 0),
        (FileType::CharacterDevice, makedev(1, 3)),
        (FileType::CharacterDevice, makedev(5, 0)),
        (FileType::BlockDevice, makedev(7, 200)),
    ];
    for (kind, device) in kinds {
        let (_dir, path) = place();
        mknodat(CWD, &path, kind, Mode::RWXU, device).unwrap();
        let refused = open(path).unwrap_err();
        assert!(matches!(refused, Refused::Special), "{kind:?}: {refused}");
    }
    let (_dir, path) = place();
    let _listener = UnixListener::bind(&path).unwrap();
    let refused = open(path).unwrap_err();
    assert!(matches!(refused, Refused::Special), "a socket: {refused}");
}

/// The holder of a lease can block others until the kernel's timeout.
#[test]
fn a_foreign_lease_does_not_block_gotrace() {
    let (_dir, path) = place();
    fs::write(&path, "leased").unwrap();
    let script = "import fcntl, signal, sys\n\
                  signal.signal(signal.SIGIO, signal.SIG_IGN)\n\
                  file = open(sys.argv[1], 'r+')\n\
                  fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n\
                  print('ready', flush=True)\nsys.stdin.read()\n";
    let _holder = ChildProcess::start(Command::new("python3").args(["-c", script]).arg(&path));
    let refused = open(path).unwrap_err();
    let Refused::Open(error) = &refused else {
        panic!("{refused}");
    };
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "{refused}");
}

#[test]
fn a_sparse_file_of_eight_tebibytes_is_not_read() {
    let (_dir, path) = place();
    let file = File::create(&path).unwrap();
    for (size, is_sparse) in [(8 << 40, false), (OUTPUT_LIMIT, true)] {
        file.set_len(size).unwrap();
        let refused = open(path.clone()).unwrap_err();
        let as_expected = match refused {
            Refused::Large { .. } => !is_sparse,
            Refused::Sparse { .. } => is_sparse,
            Refused::Gone
            | Refused::Crowded(_)
            | Refused::Relative
            | Refused::Open(_)
            | Refused::Special
            | Refused::Foreign { .. }
            | Refused::Read(_)
            | Refused::Changed
            | Refused::Reader(_) => false,
        };
        assert!(as_expected, "{size}: {refused}");
    }
}

fn read(path: PathBuf, spawner: &ReaderSpawner) -> Result<Artifact, Refused> {
    open(path)?.artifact(spawner)
}

/// This crashes a reader that maps the file.
#[test]
fn a_file_truncated_during_the_read_is_harmless() {
    const READS: usize = 100;
    let (_dir, path) = place();
    let content = fs::read(gotrace()).unwrap();
    let content = &content[..4 << 20];
    fs::write(&path, content).unwrap();
    let spawner = ReaderSpawner::of(&gotrace()).unwrap();
    let honest = read(path.clone(), &spawner).unwrap();
    assert_eq!(honest.format.as_deref(), Some("ELF"));
    let has_ended = AtomicBool::new(false);
    let (n_read, n_changed) = thread::scope(|scope| {
        scope.spawn(|| {
            while !has_ended.load(Ordering::Relaxed) {
                let mut file = OpenOptions::new().write(true).open(&path).unwrap();
                file.set_len(0).unwrap();
                file.write_all(content).unwrap();
            }
        });
        let results: Vec<_> = (0..READS).map(|_| read(path.clone(), &spawner)).collect();
        has_ended.store(true, Ordering::Relaxed);
        let n_read = results.iter().filter(|it| it.is_ok()).count();
        let is_changed = |it: &&Result<_, _>| matches!(it, Err(Refused::Changed));
        (n_read, results.iter().filter(is_changed).count())
    });
    println!("of {READS} reads {n_changed} saw the file change");
    assert_eq!(n_read + n_changed, READS);
    assert!(n_changed > 0, "the race never happened");
    assert_eq!(spawner.n_lost(), 0);
    assert_eq!(read(path, &spawner).unwrap(), honest);
}

/// A process that prints `ready` and waits; it ends with the test.
struct ChildProcess(Child);

impl ChildProcess {
    fn start(command: &mut Command) -> Self {
        let child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut neighbour = Self(child);
        let mut printed = String::new();
        let stdout = neighbour.0.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut printed).unwrap();
        assert_eq!(printed, "ready\n");
        neighbour
    }

    fn key(&self) -> ProcKey {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        let ticks: u64 = rest.split(' ').nth(19).unwrap().parse().unwrap();
        let tick_ns = 1_000_000_000 / rustix::param::clock_ticks_per_second();
        ProcKey {
            tgid: Tgid(self.0.id()),
            born: Ktime(ticks * tick_ns),
        }
    }
}

impl Drop for ChildProcess {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ended = self.0.kill();
        let _reaped = self.0.wait();
    }
}

/// Starts a shell in a private mount namespace, in which the script fills `/mnt`.
fn in_own_mounts(script: &str, dir: &Path) -> ChildProcess {
    let script = format!("set -e\nmount -t tmpfs none /mnt\n{script}\necho ready\nread line\n");
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        &script,
        "sh",
    ]);
    ChildProcess::start(command.arg(dir))
}

fn content(root: &Root, path: &str) -> String {
    let opened = root.open(Path::new(path), ROOT, OUTPUT_LIMIT).unwrap();
    String::from_utf8(opened.read().unwrap()).unwrap()
}

#[test]
fn a_path_resolves_in_the_builders_mounts_and_root() {
    let (dir, _) = place();
    let mounted = in_own_mounts("echo mounted > /mnt/out", dir.path());
    let root = Root::of(mounted.key()).unwrap();
    assert_eq!(content(&root, "/mnt/out"), "mounted\n");
    assert!(
        Root::own()
            .unwrap()
            .open(Path::new("/mnt/out"), ROOT, 100)
            .is_err()
    );
    // The content stays readable after the builder and its mount namespace are gone.
    drop(mounted);
    assert_eq!(content(&root, "/mnt/out"), "mounted\n");

    let outside = dir.path().join("outside");
    fs::write(&outside, "outside").unwrap();
    let below = in_own_mounts(
        "mkdir /mnt/root\nmount --rbind / /mnt/root\n\
         mount -t tmpfs none \"/mnt/root$1\"\necho below > \"/mnt/root$1/out\"\n\
         ln -s ../../../../../../../../outside \"/mnt/root$1/link\"\n\
         exec chroot /mnt/root sh -c 'echo ready; read line'",
        dir.path(),
    );
    let root = Root::of(below.key()).unwrap();
    let dir = dir.path().to_str().unwrap();
    assert_eq!(content(&root, &format!("{dir}/out")), "below\n");
    for path in ["outside", "link", "../../../../../../outside"] {
        let path = format!("{dir}/{path}");
        assert!(root.open(Path::new(&path), ROOT, 100).is_err(), "{path}");
    }
}

#[test]
fn another_users_file_is_not_read_as_an_output() {
    let (_dir, path) = place();
    fs::write(&path, "x").unwrap();
    chown(&path, Some(60_001), None).unwrap();
    let refused = open(path).unwrap_err();
    assert!(matches!(refused, Refused::Foreign { .. }), "{refused}");
}
