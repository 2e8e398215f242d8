//! Whether builds would be seen: now and then gotrace runs itself, under a name that the kernel side looks for, and demands to see
//! that in the very ring that builds come through.
//!
//! It only finds out; what follows from it is the sink's to say. The child does nothing (`gotrace itself`), and its events reach no
//! session.

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

/// Name of the program that gotrace is then: at most 15 bytes, and no Go tool's.
pub(super) const NAME: &str = "gotrace-itself";
/// The hidden word of the command line that does nothing.
pub const WORD: &str = "itself";

/// How long the child has to be seen.
const PATIENCE: Duration = Duration::from_secs(10);
/// When it is tried again that was seen.
const PERIOD: Duration = Duration::from_mins(1);
/// And what was not.
const RETRY: Duration = Duration::from_secs(5);

/// What the last one came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It is under way for the first time.
    #[default]
    Pending,
    /// Both its exec and its exit were seen.
    Seen,
    /// They were not, for this reason.
    Unseen(String),
}

/// All about it that lasts.
pub(super) struct SelfTest {
    /// Holds nothing but the link that lends gotrace the name.
    dir: PathBuf,
    verdict: Verdict,
    has_changed: bool,
    under_way: Option<Try>,
    /// Of a try that is over, until the kernel has let go of it.
    leftover: Option<Child>,
    next: Instant,
}

struct Try {
    child: Child,
    sight: Sight,
    deadline: Instant,
    lost_before: u64,
}

impl SelfTest {
    /// The link is made in this directory, which is made, too, and nobody else may write to.
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

    /// Whether there is another verdict than at the last call.
    pub(super) fn has_changed(&mut self) -> bool {
        std::mem::take(&mut self.has_changed)
    }

    /// Looks at an event. Says whether it was about the child, and so is nobody else's business.
    pub(super) fn take(&mut self, event: &Event) -> bool {
        self.under_way
            .as_mut()
            .is_some_and(|it| it.sight.take(event))
    }

    /// Starts what is due and ends what is over. `lost` are the records that were lost so far.
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
            if let Some(verdict) = running.sight.verdict(is_late, n_lost) {
                self.end(verdict, now);
            }
        } else if now >= self.next {
            match self.start() {
                Ok((child, sight)) => {
                    self.under_way = Some(Try {
                        child,
                        sight,
                        deadline: now + PATIENCE,
                        lost_before: lost(),
                    });
                }
                Err(error) => {
                    let why = format!("gotrace cannot run itself to see whether it sees: {error}");
                    self.end(Verdict::Unseen(why), now);
                }
            }
        }
    }

    fn start(&mut self) -> io::Result<(Child, Sight)> {
        if self.leftover.is_some() {
            return Err(io::Error::other("the process of the last try does not end"));
        }
        let link = self.dir.join(NAME);
        let at =
            |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", link.display()));
        lend_name(&self.dir, &link).map_err(at)?;
        // Not to be mistaken for the child of another gotrace.
        let token = format!("{}-{}", std::process::id(), clock::boot().0);
        let child = Command::new(&link)
            .arg0(NAME)
            .args([WORD, &token])
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(at)?;
        match numbered(&child) {
            Ok(number) => Ok((child, Sight::of(number, token))),
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
        if let Some(Try { child, .. }) = self.under_way.take() {
            self.let_go(child);
        }
    }

    fn let_go(&mut self, mut child: Child) {
        // Over already, if all is well.
        let _over = child.kill();
        if matches!(child.try_wait(), Ok(None)) {
            self.leftover = Some(child);
        }
    }
}

impl Drop for SelfTest {
    fn drop(&mut self) {
        if let Some(Try { mut child, .. }) = self.under_way.take() {
            // Nobody is left to tell; the process is the init's to reap if it does not end at once.
            let _over = child.kill();
            let _reaped = child.try_wait();
        }
        // What cannot be removed is made anew by the next.
        let _gone = fs::remove_file(self.dir.join(NAME));
        let _gone = fs::remove_dir(&self.dir);
    }
}

/// A program is known by the name of the file that it was started from. The file that runs now has another one, and may be gone.
fn lend_name(dir: &Path, link: &Path) -> io::Result<()> {
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

/// The number that a child has in `/proc`: another one than we know it by, where we are in a pid namespace of our own and the `/proc`
/// of the machine was given to us.
fn numbered(child: &Child) -> io::Result<Tgid> {
    let own = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let own = own.ok_or_else(|| io::Error::other("the child has no number"))?;
    // Since 5.3 the descriptor of a process tells the number that it has where one looks.
    let process = pidfd_open(own, PidfdFlags::empty())?;
    let told = fs::read_to_string(format!("/proc/self/fdinfo/{}", process.as_raw_fd()))?;
    let number = told.lines().find_map(|it| it.strip_prefix("Pid:"));
    let number = number.and_then(|it| it.trim().parse().ok());
    number.map(Tgid).ok_or_else(|| {
        io::Error::other(
            "/proc does not have the children of gotrace: it is of another pid namespace",
        )
    })
}

/// What was seen of one child.
struct Sight {
    /// As `/proc` numbers it, which is what all that is seen is looked up in.
    child: Tgid,
    token: String,
    /// As the kernel numbers it.
    process: Option<ProcKey>,
    status: Option<Status>,
}

impl Sight {
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
                .eq([NAME, WORD, &self.token].map(str::as_bytes))
        })
    }

    /// Nothing as long as it is open.
    ///
    /// The same trouble is told in the same words each time, so no number is in them: then it is told once.
    fn verdict(&self, is_late: bool, n_lost: u64) -> Option<Verdict> {
        let lost = match n_lost {
            0 => "",
            _ => ", and records were lost in the meantime",
        };
        let why = match (self.process, self.status) {
            (Some(process), _) if process.tgid != self.child => {
                "gotrace is in a pid namespace of its own: a child of it has another number in its /proc than the kernel tells, so it \
                 cannot tell what it sees from other processes; run it in the machine's (Kubernetes: hostPID: true; containers: \
                 --pid=host)"
                    .to_owned()
            }
            (Some(_), Some(Status::Code(0))) => return Some(Verdict::Seen),
            (Some(_), Some(status)) => {
                format!(
                    "gotrace ran itself to see whether it sees, and that ended badly: {status:?}"
                )
            }
            _ if !is_late => return None,
            (Some(_), None) => format!(
                "gotrace ran a program to see whether it sees: its exec was seen and its exit was not{lost}; `gotrace doctor` looks further"
            ),
            (None, _) => format!(
                "gotrace ran a program to see whether it sees, and the kernel told nothing of it{lost}; `gotrace doctor` looks further"
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
        })
    }

    /// What is said of these events while there is time, and when there is none left. All that are taken are the child's.
    fn check(events: &[Event], n_lost: u64) -> (Option<Verdict>, Option<Verdict>) {
        let mut sight = Sight::of(CHILD, "7-5".to_owned());
        for event in events {
            assert!(sight.take(event), "{event:?}");
        }
        (sight.verdict(false, n_lost), sight.verdict(true, n_lost))
    }

    fn unseen(verdict: Option<Verdict>) -> String {
        match verdict {
            Some(Verdict::Unseen(why)) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_has_seen_what_began_and_ended() {
        let events = [exec(12, [NAME, WORD, "7-5"]), exit(12, Status::Code(0))];
        assert_eq!(check(&events, 0).0, Some(Verdict::Seen));
        assert_eq!(check(&events, 9).1, Some(Verdict::Seen));
    }

    #[test]
    fn half_of_it_is_not_enough() {
        let (early, late) = check(&[exec(12, [NAME, WORD, "7-5"])], 0);
        assert_eq!(early, None);
        assert!(unseen(late).contains("its exit was not; "));
        let (early, late) = check(&[], 3);
        assert_eq!(early, None);
        assert!(unseen(late).contains("nothing of it, and records were lost"));
    }

    #[test]
    fn another_number_is_another_namespace() {
        let why = unseen(check(&[exec(4012, [NAME, WORD, "7-5"])], 0).0);
        assert!(
            why.contains("has another number in its /proc than the kernel tells"),
            "{why}"
        );
        assert!(why.contains("hostPID: true"), "{why}");
    }

    #[test]
    fn a_child_that_fails_is_no_success() {
        let events = [exec(12, [NAME, WORD, "7-5"]), exit(12, Status::Signal(9))];
        assert!(unseen(check(&events, 0).0).contains("Signal(9)"));
    }

    #[test]
    fn what_others_do_is_left_to_the_sessions() {
        let mut sight = Sight::of(CHILD, "7-5".to_owned());
        for event in [
            exec(12, ["go", "build", "7-5"]),
            exec(12, [NAME, WORD, "7-6"]),
            exit(12, Status::Code(0)),
        ] {
            assert!(!sight.take(&event), "{event:?}");
        }
    }

    #[test]
    fn a_link_of_before_is_made_anew() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("self");
        let link = dir.join(NAME);
        for _ in 0..2 {
            lend_name(&dir, &link).unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), Path::new("/proc/self/exe"));
        }
        drop(SelfTest::new(dir.clone(), Instant::now()));
        assert!(!dir.exists());
    }
}
