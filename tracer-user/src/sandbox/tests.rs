//! Tests the sandbox: each attempt runs in a process of its own, which must end as expected.
//!
//! Such a process is this test program, started again. A constructor recognises its arguments before the test harness starts threads. The
//! tests of the parent start the child that reads outputs in the same way.

use std::fs;
use std::io::Read as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::*;
use crate::inspect::child::{self, Task};

const ATTEMPT: &str = "attempt";
const MEMORY: u64 = 256 << 20;
const TIMEOUT: Duration = Duration::from_mins(1);

#[used]
#[unsafe(link_section = ".init_array")]
static PERHAPS_BE_A_CHILD: extern "C" fn() = perhaps_be_a_child;

extern "C" fn perhaps_be_a_child() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let code = match args.as_slice() {
        [child::WORD, size] => {
            crate::inspect::misbehave(size);
            child::run(&Task::Identity, size.parse().unwrap()).into()
        }
        [child::WORD, size, sha256] => {
            let sha256 = (*sha256).to_owned();
            child::run(&Task::Anatomy { sha256 }, size.parse().unwrap()).into()
        }
        [ATTEMPT, name] => attempt(name),
        _ => return,
    };
    // SAFETY: takes a number. Nothing needs to be flushed or dropped, because all output was written at once.
    unsafe { libc::_exit(code) };
}

const BOUNDS: Bounds = Bounds {
    memory: MEMORY,
    cpu_seconds: 1,
    nice: 0,
};

type Attempt = (&'static str, fn() -> i64);

/// Actions that are attempted inside the sandbox.
const ATTEMPTS: [Attempt; 31] = [
    ("open a file", || {
        call(
            libc::SYS_openat,
            [libc::AT_FDCWD.into(), text(c"/etc/passwd"), 0],
        )
    }),
    ("read the attributes of a path", || {
        let mut stat = [0_u8; 512];
        let stat = stat.as_mut_ptr() as i64;
        call(
            libc::SYS_statx,
            [libc::AT_FDCWD.into(), text(c"/etc/shadow"), 0, 0, stat],
        )
    }),
    ("make a directory", || {
        call(
            libc::SYS_mkdirat,
            [libc::AT_FDCWD.into(), text(c"/tmp/x"), 0o700],
        )
    }),
    ("remove a file", || {
        call(
            libc::SYS_unlinkat,
            [libc::AT_FDCWD.into(), text(c"/nowhere"), 0],
        )
    }),
    ("make a socket", || {
        call(
            libc::SYS_socket,
            [libc::AF_INET.into(), libc::SOCK_STREAM.into(), 0],
        )
    }),
    ("connect", || call(libc::SYS_connect, [0, 0, 0])),
    ("make a pair of sockets", || {
        call(libc::SYS_socketpair, [libc::AF_UNIX.into(), 1, 0])
    }),
    ("trace its parent", || {
        call(libc::SYS_ptrace, [libc::PTRACE_ATTACH.into(), parent(), 0])
    }),
    ("read its parent", || {
        call(libc::SYS_process_vm_readv, [parent(), 0, 0, 0, 0, 0])
    }),
    ("end its parent", || {
        call(libc::SYS_kill, [parent(), libc::SIGTERM.into()])
    }),
    ("send a signal to another thread", || {
        call(libc::SYS_tgkill, [parent(), parent(), libc::SIGABRT.into()])
    }),
    ("execute a program", || {
        call(libc::SYS_execve, [text(c"/bin/true"), 0, 0])
    }),
    ("execute a descriptor", || {
        call(
            libc::SYS_execveat,
            [0, text(c""), 0, 0, libc::AT_EMPTY_PATH.into()],
        )
    }),
    ("fork", || {
        call(libc::SYS_clone, [libc::SIGCHLD.into(), 0, 0, 0, 0])
    }),
    ("fork by clone3", || call(libc::SYS_clone3, [0, 0])),
    ("start a thread", || {
        i64::from(std::thread::Builder::new().spawn(|| {}).is_err())
    }),
    ("write to another descriptor", || {
        call(libc::SYS_write, [3, text(c"x"), 1])
    }),
    ("write to its file", || {
        call(libc::SYS_pwrite64, [0, text(c"x"), 1, 0])
    }),
    ("truncate its file", || call(libc::SYS_ftruncate, [0, 0])),
    ("read its answer", || {
        call(libc::SYS_pread64, [1, text(c"x"), 1, 0])
    }),
    ("copy a descriptor", || call(libc::SYS_dup, [0])),
    ("control a device", || call(libc::SYS_ioctl, [0, 0x5413, 0])),
    ("map its file", || map(libc::PROT_READ, libc::MAP_PRIVATE)),
    ("map memory that can be executed", || {
        map(
            libc::PROT_READ | libc::PROT_EXEC,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        )
    }),
    ("raise its limits", || {
        call(libc::SYS_prlimit64, [0, 9, 0, 0])
    }),
    ("change its user", || call(libc::SYS_setuid, [0])),
    ("create namespaces", || {
        call(libc::SYS_unshare, [libc::CLONE_NEWUSER.into()])
    }),
    ("load a kernel program", || call(libc::SYS_bpf, [0, 0, 0])),
    ("create an io_uring", || {
        call(libc::SYS_io_uring_setup, [1, 0])
    }),
    ("use keys", || call(libc::SYS_keyctl, [0, 0, 0])),
    ("make an undefined call", || call(100_000, [])),
];

fn call<const N: usize>(number: libc::c_long, args: [i64; N]) -> i64 {
    let at = |n: usize| args.get(n).copied().unwrap_or(0);
    // SAFETY: none of the attempted calls would access invalid memory, even if the kernel allowed it.
    unsafe { libc::syscall(number, at(0), at(1), at(2), at(3), at(4), at(5)) }
}

fn text(it: &'static std::ffi::CStr) -> i64 {
    it.as_ptr() as i64
}

fn parent() -> i64 {
    std::os::unix::process::parent_id().into()
}

fn map(protection: i32, flags: i32) -> i64 {
    call(
        libc::SYS_mmap,
        [0, 4096, protection.into(), flags.into(), 0, 0],
    )
}

/// Runs in the attempting process. Returns its exit code, if the process survives.
fn attempt(name: &str) -> i32 {
    let refused = |errno: Errno| errno.raw_os_error();
    let tried = ATTEMPTS.iter().find(|(it, _)| *it == name);
    match (name, tried) {
        (_, Some((_, attempt))) => {
            enter(BOUNDS).unwrap();
            assert_eq!(rustix::io::write(rustix::stdio::stdout(), b"in"), Ok(2));
            attempt();
            0
        }
        ("behave", None) => {
            enter(BOUNDS).unwrap();
            let mut buffer = vec![0; 64 << 20];
            let n = rustix::io::pread(rustix::stdio::stdin(), &mut buffer, 0).unwrap();
            rustix::io::write(rustix::stdio::stdout(), &buffer[..n]).unwrap();
            0
        }
        ("take too much memory", None) => {
            enter(BOUNDS).unwrap();
            let bytes = vec![1_u8; usize::try_from(MEMORY).unwrap()];
            i32::from(bytes[bytes.len() / 2])
        }
        ("take too much time", None) => {
            enter(BOUNDS).unwrap();
            loop {
                std::hint::spin_loop();
            }
        }
        ("panic", None) => {
            enter(BOUNDS).unwrap();
            let caught = std::panic::catch_unwind(|| panic!("as it happens"));
            if caught.is_err() { 101 } else { 0 }
        }
        ("Landlock alone", None) => {
            set_no_new_privs(true).unwrap();
            let landlock = apply_landlock().unwrap();
            let opened = rustix::fs::open("/etc/passwd", rustix::fs::OFlags::RDONLY, 0.into());
            match (landlock, opened) {
                // A kernel without Landlock: the other restrictions are tested by themselves.
                (0, Ok(_)) => Errno::ACCESS.raw_os_error(),
                (_, opened) => opened.map_or_else(refused, |_| 0),
            }
        }
        ("capabilities alone", None) => {
            drop_capabilities().unwrap();
            // For every user, these calls need a capability.
            let hostname = rustix::system::sethostname(b"x").map_or_else(refused, |()| 0);
            let root = rustix::fs::CWD;
            let device = rustix::fs::mknodat(
                root,
                "/dev/gotrace-test",
                rustix::fs::FileType::CharacterDevice,
                0.into(),
                0x103,
            );
            let device = device.map_or_else(refused, |()| 0);
            assert_eq!(hostname, Errno::PERM.raw_os_error());
            assert!(
                [Errno::PERM, Errno::ACCESS]
                    .map(Errno::raw_os_error)
                    .contains(&device)
            );
            let status = fs::read_to_string("/proc/self/status").unwrap();
            let sets = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];
            let left = status.lines().filter(|line| {
                sets.iter().any(|set| line.starts_with(set)) && !line.ends_with("0000000000000000")
            });
            let left = left.collect::<Vec<_>>().join(" ");
            rustix::io::write(rustix::stdio::stdout(), left.as_bytes()).unwrap();
            0
        }
        ("limits alone", None) => {
            limit(BOUNDS).unwrap();
            let opened = rustix::fs::open("/etc/passwd", rustix::fs::OFlags::RDONLY, 0.into());
            opened.map_or_else(refused, |_| 0)
        }
        ("outlive its parent", None) => outlive(),
        _ => panic!("no attempt {name:?}"),
    }
}

/// The parent ends as soon as its child is inside the sandbox, and prints the child's process ID.
fn outlive() -> i32 {
    // SAFETY: this process has one thread, so its child may call any function.
    let pid = unsafe { libc::fork() };
    if pid != 0 {
        rustix::io::write(rustix::stdio::stdout(), format!("{pid} ").as_bytes()).unwrap();
        let mut byte = [0; 1];
        // The test closes stdin when the child is inside the sandbox.
        let _closed = std::io::stdin().read(&mut byte);
        return 0;
    }
    let bounds = Bounds {
        cpu_seconds: 600,
        ..BOUNDS
    };
    enter(bounds).unwrap();
    let _written = rustix::io::write(rustix::stdio::stdout(), b"in");
    loop {
        std::hint::spin_loop();
    }
}

fn start(name: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .arg0("gotrace")
        .args([ATTEMPT, name])
        // As for a real child: a backtrace would open files.
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The exit status and the output of the attempt.
fn try_to(name: &str) -> (ExitStatus, String) {
    let output = start(name).wait_with_output().unwrap();
    let output_text = String::from_utf8(output.stdout).unwrap();
    (output.status, output_text)
}

#[test]
fn every_forbidden_action_ends_the_process() {
    for (name, _) in ATTEMPTS {
        let (status, printed) = try_to(name);
        assert_eq!(printed, "in", "{name}: it was inside the sandbox");
        assert_eq!(status.signal(), Some(libc::SIGSYS), "{name}: {status}");
    }
}

#[test]
fn an_honest_reader_reads_its_file_and_answers() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "content").unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args([ATTEMPT, "behave"])
        .stdin(fs::File::open(dir.path().join("file")).unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(output.stdout, b"content");
}

#[test]
fn memory_and_cpu_time_are_limited() {
    assert_eq!(
        try_to("take too much memory").0.signal(),
        Some(libc::SIGABRT)
    );
    assert_eq!(try_to("take too much time").0.signal(), Some(libc::SIGXCPU));
    assert_eq!(try_to("panic").0.code(), Some(101));
}

#[test]
fn each_restriction_holds_without_the_filter() {
    let (status, _) = try_to("Landlock alone");
    assert_eq!(status.code(), Some(libc::EACCES));
    let (status, _) = try_to("limits alone");
    assert_eq!(status.code(), Some(libc::EMFILE));
    let (status, left) = try_to("capabilities alone");
    assert_eq!(status.code(), Some(0));
    // Without root, the bounding set is irrelevant.
    if rustix::process::geteuid().is_root() {
        assert_eq!(left, "");
    }
}

#[test]
fn it_does_not_outlive_its_parent() {
    let mut parent = start("outlive its parent");
    let mut printed = String::new();
    let mut pipe = parent.stdout.take().unwrap();
    while !printed.ends_with("in") {
        let mut byte = [0];
        assert_eq!(pipe.read(&mut byte).unwrap(), 1, "{printed:?}");
        printed.push(char::from(byte[0]));
    }
    let pid = printed.trim_end_matches(" in");
    // Let the parent end.
    drop(parent.stdin.take());
    assert!(parent.wait().unwrap().success());
    let since = Instant::now();
    let is_there = || {
        fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|it| !it.rsplit(')').next().is_some_and(|it| it.starts_with(" Z")))
    };
    while is_there() {
        assert!(since.elapsed() < TIMEOUT, "{pid} still runs");
        std::thread::sleep(Duration::from_millis(5));
    }
}
