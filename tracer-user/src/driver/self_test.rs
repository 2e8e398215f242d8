//! The self-test: gotrace regularly runs itself under a name that the kernel programs trace. The records of this run must
//! arrive in the same ring as those of builds.
//!
//! This module only determines the result; the sink decides what follows from it. The child (`gotrace itself`) does
//! nothing, and its events reach no session.

use std::fs::{self, DirBuilder};
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};
use tracer_core::byte_string::ByteString;
use tracer_core::event::{Event, Exec, ProcKey, Status, Tgid};

use crate::clock;

/// Name of the program in the test: at most 15 bytes, and not the name of a Go tool.
pub(super) const NAME: &str = "gotrace-itself";
/// The hidden command of the child, which does nothing.
pub const COMMAND: &str = "itself";

/// Time for the records of the child to arrive.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a successful test.
const PERIOD: Duration = Duration::from_mins(1);
/// Pause after a failed test.
const RETRY: Duration = Duration::from_secs(5);

/// The result of the last test.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The first test has not finished.
    #[default]
    Pending,
    /// The exec and the exit of the child were recorded.
    Seen,
    /// The test failed for this reason.
    Unseen(String),
}

/// The state of the self-test.
pub(super) struct SelfTest {
    /// The directory of the link, which gives gotrace the name of the test program.
    dir: PathBuf,
    verdict: Verdict,
    has_changed: bool,
    under_way: Option<RunningTest>,
    /// The child of an earlier test, until it can be reaped.
    leftover: Option<Child>,
    next: Instant,
}

struct RunningTest {
    child: Child,
    events: ChildEvents,
    deadline: Instant,
    lost_before: u64,
}

impl SelfTest {
    /// `dir` is the directory of the link. It is created, and only its owner may write to it.
    pub(super) fn new(dir: PathBuf, now: Instant) -> Self {
        Self {
            dir,
            verdict: Verdict::Pending,
            has_changed: false,
            under_way: None,
            leftover: None,
            next: now,
        }
    }

    pub(super) fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// True if the result has changed since the last call.
    pub(super) fn has_changed(&mut self) -> bool {
        std::mem::take(&mut self.has_changed)
    }

    /// Takes an event. Returns true if the event belongs to the child; sessions must not receive it.
    pub(super) fn take(&mut self, event: &Event) -> bool {
        self.under_way
            .as_mut()
            .is_some_and(|it| it.events.take(event))
    }

    /// Starts a test that is due, and ends a completed one. `lost` returns the number of lost records so far.
    pub(super) fn turn(&mut self, now: Instant, lost: impl Fn() -> u64) {
        if let Some(child) = &mut self.leftover
            && !matches!(child.try_wait(), Ok(None))
        {
            self.leftover = None;
        }
        if let Some(running) = &self.under_way {
            let is_late = now >= running.deadline;
            let n_lost = if is_late {
                lost().saturating_sub(running.lost_before)
            } else {
                0
            };
            if let Some(verdict) = running.events.verdict(is_late, n_lost) {
                self.end(verdict, now);
            }
        } else if now >= self.next {
            match self.start() {
                Ok((child, events)) => {
                    self.under_way = Some(RunningTest {
                        child,
                        events,
                        deadline: now + TIMEOUT,
                        lost_before: lost(),
                    });
                }
                Err(error) => {
                    let why = format!("the self-test cannot start its child process: {error}");
                    self.end(Verdict::Unseen(why), now);
                }
            }
        }
    }

    fn start(&mut self) -> io::Result<(Child, ChildEvents)> {
        if self.leftover.is_some() {
            return Err(io::Error::other("the previous child has not ended"));
        }
        let link = self.dir.join(NAME);
        let at =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", link.display()));
        create_link(&self.dir, &link).map_err(at)?;
        // The token distinguishes the child from those of other gotrace processes.
        let token = format!("{}-{}", std::process::id(), clock::boot().0);
        let child = Command::new(&link)
            .arg0(NAME)
            .args([COMMAND, &token])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(at)?;
        match child_tgid(&child) {
            Ok(number) => Ok((child, ChildEvents::of(number, token))),
            Err(error) => {
                self.let_go(child);
                Err(error)
            }
        }
    }

    fn end(&mut self, verdict: Verdict, now: Instant) {
        self.next = now
            + match verdict {
                Verdict::Pending | Verdict::Seen => PERIOD,
                Verdict::Unseen(_) => RETRY,
            };
        if self.verdict != verdict {
            self.has_changed = true;
            self.verdict = verdict;
        }
        if let Some(RunningTest { child, .. }) = self.under_way.take() {
            self.let_go(child);
        }
    }

    fn let_go(&mut self, mut child: Child) {
        // Normally the child has already ended.
        let _over = child.kill();
        if matches!(child.try_wait(), Ok(None)) {
            self.leftover = Some(child);
        }
    }
}

impl Drop for SelfTest {
    fn drop(&mut self) {
        if let Some(RunningTest { mut child, .. }) = self.under_way.take() {
            // Errors are ignored at the end. If the child does not end at once, init reaps it.
            let _over = child.kill();
            let _reaped = child.try_wait();
        }
        // The next agent replaces files that cannot be removed.
        let _gone = fs::remove_file(self.dir.join(NAME));
        let _gone = fs::remove_dir(&self.dir);
    }
}

/// Creates the link. The kernel names a process after the file that it executes. The file of the running gotrace has
/// another name, and may be deleted.
fn create_link(dir: &Path, link: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    match symlink("/proc/self/exe", link) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::remove_file(link)?;
            symlink("/proc/self/exe", link)
        }
        done => done,
    }
}

/// The ID of a child in `/proc`. It differs from the known one if gotrace is in its own PID namespace and has the `/proc`
/// of the machine.
fn child_tgid(child: &Child) -> io::Result<Tgid> {
    let own = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let own = own.ok_or_else(|| io::Error::other("the child process has no ID"))?;
    // Since Linux 5.3, the descriptor of a process contains its ID in the namespace of this `/proc`.
    let process = pidfd_open(own, PidfdFlags::empty())?;
    let fdinfo = fs::read_to_string(format!("/proc/self/fdinfo/{}", process.as_raw_fd()))?;
    let number = fdinfo.lines().find_map(|it| it.strip_prefix("Pid:"));
    let number = number.and_then(|it| it.trim().parse().ok());
    number.map(Tgid).ok_or_else(|| {
        io::Error::other(
            "/proc does not contain gotrace's children, because it belongs to another PID namespace",
        )
    })
}

/// The recorded events of one child.
struct ChildEvents {
    /// The ID of the child in `/proc`, where gotrace looks up all traced processes.
    child: Tgid,
    token: String,
    /// The ID of the child in the kernel's records.
    process: Option<ProcKey>,
    status: Option<Status>,
}

impl ChildEvents {
    fn of(child: Tgid, token: String) -> Self {
        Self {
            child,
            token,
            process: None,
            status: None,
        }
    }

    fn take(&mut self, event: &Event) -> bool {
        match event {
            Event::Exec(exec) if self.process.is_none() && self.is_child(exec) => {
                self.process = Some(exec.process);
                true
            }
            Event::Exit(exit) if self.process == Some(exit.process) => {
                self.status = Some(exit.status);
                true
            }
            Event::Lineage(lineage) => self.process == Some(lineage.process),
            Event::Exec(_)
            | Event::Exit(_)
            | Event::Reaped(_)
            | Event::Fork(_)
            | Event::Rename(_)
            | Event::Call(_)
            | Event::Tool(_)
            | Event::Settings(_)
            | Event::ResponseFile(_)
            | Event::Inspected(_)
            | Event::CheckedOut(_)
            | Event::BuildInfo(_)
            | Event::Lost(_)
            | Event::Unreadable(_) => false,
        }
    }

    fn is_child(&self, exec: &Exec) -> bool {
        exec.argv.get().is_some_and(|argv| {
            argv.iter()
                .map(ByteString::as_bytes)
                .eq([NAME, COMMAND, &self.token].map(str::as_bytes))
        })
    }

    /// Returns the result, or `None` if the test is still running.
    ///
    /// A reason contains no numbers: the same failure has the same text in each test, and is logged once.
    fn verdict(&self, is_late: bool, n_lost: u64) -> Option<Verdict> {
        let lost = match n_lost {
            0 => "",
            _ => ", and the ring lost records during the test",
        };
        let why = match (self.process, self.status) {
            (Some(process), _) if process.tgid != self.child => {
                "gotrace runs in its own PID namespace: run it in that of the machine \
                 (Kubernetes: hostPID: true; containers: --pid=host)"
                    .to_owned()
            }
            (Some(_), Some(Status::Code(0))) => return Some(Verdict::Seen),
            (Some(_), Some(status)) => {
                format!("the child process of the self-test failed: {status:?}")
            }
            _ if !is_late => return None,
            (Some(_), None) => format!(
                "the self-test recorded the exec of its child process, but not its exit{lost}: run `gotrace doctor`"
            ),
            (None, _) => format!(
                "the self-test recorded no event of its child process{lost}: run `gotrace doctor`"
            ),
        };
        Some(Verdict::Unseen(why))
    }
}

#[cfg(test)]
mod tests {
    use tracer_core::event::{Captured, Exit, FileId, Ktime, Usage};

    use super::*;

    const CHILD: Tgid = Tgid(12);

    fn process(tgid: u32) -> ProcKey {
        ProcKey {
            tgid: Tgid(tgid),
            born: Ktime(1),
        }
    }

    fn exec(tgid: u32, argv: [&str; 3]) -> Event {
        Event::Exec(Box::new(Exec {
            at: Ktime(2),
            process: process(tgid),
            parent: Tgid(1),
            file: FileId {
                dev: 1,
                ino: 2,
                size: 3,
                ctime_ns: 4,
            },
            exe: Captured::Missing,
            cwd: Captured::Missing,
            argv: Captured::Whole(argv.map(ByteString::from).to_vec()),
            env: Captured::Missing,
            uid: 0,
            cgroup: 1,
        }))
    }

    fn exit(tgid: u32, status: Status) -> Event {
        Event::Exit(Exit {
            at: Ktime(3),
            process: process(tgid),
            status,
            usage: Usage::default(),
            is_oom_victim: false,
        })
    }

    /// The results for these events before and after the deadline. All taken events belong to the child.
    fn check(events: &[Event], n_lost: u64) -> (Option<Verdict>, Option<Verdict>) {
        let mut child = ChildEvents::of(CHILD, "7-5".to_owned());
        for event in events {
            assert!(child.take(event), "{event:?}");
        }
        (child.verdict(false, n_lost), child.verdict(true, n_lost))
    }

    fn unseen(verdict: Option<Verdict>) -> String {
        match verdict {
            Some(Verdict::Unseen(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_exec_and_an_exit_are_a_success() {
        let events = [exec(12, [NAME, COMMAND, "7-5"]), exit(12, Status::Code(0))];
        assert_eq!(check(&events, 0).0, Some(Verdict::Seen));
        assert_eq!(check(&events, 9).1, Some(Verdict::Seen));
    }

    #[test]
    fn an_exec_without_an_exit_is_a_failure() {
        let (early, late) = check(&[exec(12, [NAME, COMMAND, "7-5"])], 0);
        assert_eq!(early, None);
        assert!(unseen(late).contains("but not its exit: run `gotrace doctor`"));
        let (early, late) = check(&[], 3);
        assert_eq!(early, None);
        assert!(unseen(late).contains("no event of its child process, and the ring lost records"));
    }

    #[test]
    fn another_process_id_means_another_namespace() {
        let why = unseen(check(&[exec(4012, [NAME, COMMAND, "7-5"])], 0).0);
        assert!(
            why.contains("gotrace runs in its own PID namespace"),
            "{why}"
        );
        assert!(why.contains("hostPID: true"), "{why}");
    }

    #[test]
    fn a_failing_child_is_a_failure() {
        let events = [
            exec(12, [NAME, COMMAND, "7-5"]),
            exit(12, Status::Signal(9)),
        ];
        assert!(unseen(check(&events, 0).0).contains("Signal(9)"));
    }

    #[test]
    fn events_of_other_processes_go_to_the_sessions() {
        let mut events = ChildEvents::of(CHILD, "7-5".to_owned());
        for event in [
            exec(12, ["go", "build", "7-5"]),
            exec(12, [NAME, COMMAND, "7-6"]),
            exit(12, Status::Code(0)),
        ] {
            assert!(!events.take(&event), "{event:?}");
        }
    }

    #[test]
    fn an_existing_link_is_replaced() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("self");
        let link = dir.join(NAME);
        for _ in 0..2 {
            create_link(&dir, &link).unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), Path::new("/proc/self/exe"));
        }
        drop(SelfTest::new(dir.clone(), Instant::now()));
        assert!(!dir.exists());
    }
}
