//! A builder swaps the target of a path as fast as possible, while the path is opened a million times in total.
//!
//! The test first shows that each race can be lost: a naive open of the path reads the secret.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use tempfile::TempDir;
use tests::figures::{print_figure, size};
use tracer_user::inspect::{Reader, Root, TEXT_LIMIT};

/// Maximum number of tries until a naive open reads the secret.
const MAX_NAIVE_OPENS: u64 = 2_000_000;
const SECRET: &[u8] = b"what only root may read";
const HONEST: &[u8] = b"what was built";
/// A user ID that does not exist on this machine.
const BUILDER: u32 = 60_001;

/// A directory of the builder, and a secret of root.
struct Setup {
    dir: TempDir,
}

impl Setup {
    fn new() -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "run as root: `cargo xtask test --only live`"
        );
        let setup = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(setup.path("secrets")).unwrap();
        fs::create_dir(setup.path("outputs")).unwrap();
        fs::write(setup.secret(), SECRET).unwrap();
        fs::set_permissions(setup.secret(), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(setup.path("outputs/out"), HONEST).unwrap();
        chown(setup.path("outputs/out"), Some(BUILDER), Some(BUILDER)).unwrap();
        setup
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn secret(&self) -> PathBuf {
        self.path("secrets/out")
    }

    /// Opens `asked` while `one` and `other` swap places.
    fn race(&self, case: &str, asked: &str, one: &str, other: &str) {
        // The file has five races.
        let tries = size(200_000, 1_000_000) as u64;
        let asked = self.path(asked);
        let (one, other) = (self.path(one), self.path(other));
        let has_ended = AtomicBool::new(false);
        let n_swaps = AtomicU64::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !has_ended.load(Ordering::Relaxed) {
                    renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).unwrap();
                    n_swaps.fetch_add(1, Ordering::Relaxed);
                }
            });
            let tally = thread::scope(|scope| scope.spawn(|| count_reads(&asked, tries)).join());
            has_ended.store(true, Ordering::Relaxed);
            let Tally {
                naive,
                honest,
                secret,
                refused,
            } = tally.unwrap();
            let n_swaps = n_swaps.load(Ordering::Relaxed);
            print_figure(
                case,
                format!("{tries} opens, {n_swaps} swaps"),
                format!(
                    "the secret read {secret} times, the output {honest}, refused {refused}; a naive open read it at try {naive}"
                ),
            );
            assert_eq!(secret, 0);
            assert_eq!(honest + refused, tries);
            assert!(
                honest > 0 && refused > 0,
                "{honest} read, {refused} refused"
            );
        });
    }
}

struct Tally {
    /// The try at which the naive open read the secret.
    naive: u64,
    honest: u64,
    secret: u64,
    refused: u64,
}

fn count_reads(asked: &Path, tries: u64) -> Tally {
    let naive = (1..=MAX_NAIVE_OPENS).find(|_| read_naively(asked) == SECRET);
    let mut tally = Tally {
        naive: naive.expect("the naive open must lose the race"),
        honest: 0,
        secret: 0,
        refused: 0,
    };
    let root = Root::own().unwrap();
    let reader = Reader {
        uid: BUILDER,
        public: false,
    };
    for _ in 0..tries {
        let opened = root.open(asked, reader, TEXT_LIMIT);
        match opened.and_then(|opened| opened.read()) {
            Ok(content) if content == HONEST => tally.honest += 1,
            Ok(_) => tally.secret += 1,
            Err(_) => tally.refused += 1,
        }
    }
    tally
}

fn read_naively(path: &Path) -> Vec<u8> {
    let mut content = Vec::new();
    let read = File::open(path).and_then(|mut file| file.read_to_end(&mut content));
    if read.is_ok() { content } else { Vec::new() }
}

#[test]
fn a_file_swapped_for_a_link_is_never_followed() {
    let setup = Setup::new();
    symlink(setup.secret(), setup.path("outputs/link")).unwrap();
    setup.race(
        "race: file, link",
        "outputs/out",
        "outputs/out",
        "outputs/link",
    );
}

#[test]
fn a_directory_swapped_for_a_link_is_never_followed() {
    let setup = Setup::new();
    symlink("secrets", setup.path("link")).unwrap();
    setup.race("race: directory, link", "outputs/out", "outputs", "link");
}

#[test]
fn a_file_swapped_for_a_hard_link_is_never_read() {
    let setup = Setup::new();
    fs::hard_link(setup.secret(), setup.path("outputs/link")).unwrap();
    setup.race(
        "race: file, hard link",
        "outputs/out",
        "outputs/out",
        "outputs/link",
    );
}

/// Such links lead to an open file, even one that has no reachable name.
#[test]
fn a_file_swapped_for_a_link_of_proc_is_never_followed() {
    let setup = Setup::new();
    let file = File::open(setup.secret()).unwrap();
    let magic = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    symlink(magic, setup.path("outputs/link")).unwrap();
    setup.race(
        "race: file, link of /proc",
        "outputs/out",
        "outputs/out",
        "outputs/link",
    );
}

#[test]
fn a_directory_swapped_for_a_link_of_proc_is_never_followed() {
    let setup = Setup::new();
    let dir = File::open(setup.path("secrets")).unwrap();
    let magic = format!("/proc/{}/fd/{}", std::process::id(), dir.as_raw_fd());
    symlink(magic, setup.path("link")).unwrap();
    setup.race(
        "race: directory, link of /proc",
        "outputs/out",
        "outputs",
        "link",
    );
}
