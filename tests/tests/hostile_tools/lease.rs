//! Opening a probed program for writing blocks until gotrace has detached its probes, even if gotrace does not check for changes.
//! The number of attached probes is read from the memory of a process that runs the program.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use tests::agent::Agent;
use tests::figures::{print_figure, size};
use tests::lease::inodes;
use tests::{Toolchain, gotrace_command, toolchain};
use tracer_core::event::Tool;
use tracer_user::bpf::{Config, Ring, Tracer};
use tracer_user::inspect::open_program;
use tracer_user::toolchain::{self as tools, Candidate, Guard, Probes};

use crate::{Builds, CopiedToolchain};

const PATIENCE: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(20);
const NONBLOCK: i32 = OFlags::NONBLOCK.bits().cast_signed();

/// A copy of a compiler, and its prober, which checks for changes only on request.
struct Compiler {
    path: PathBuf,
    fifo: PathBuf,
    tracer: Tracer,
    _ring: Ring,
    probes: Probes,
    _dir: tempfile::TempDir,
}

/// A running compiler. It ends with the test, before its source is removed, because it would otherwise fail and print an error.
struct Running {
    child: Child,
    source: Option<File>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

impl Compiler {
    fn of(version: &Toolchain) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("compile");
        let fifo = dir.path().join("source.go");
        fs::copy(version.tool("compile"), &path).unwrap();
        let made = Command::new("mkfifo").arg(&fifo).status().unwrap();
        assert!(made.success());
        let (tracer, ring) = Tracer::load(&Config::default(), &tools::table()).unwrap();
        Self {
            path,
            fifo,
            tracer,
            _ring: ring,
            probes: Probes::new(),
            _dir: dir,
        }
    }

    fn probe(&mut self) -> Tool {
        let file = open_program(&self.path).unwrap();
        let tool = Candidate::examine(file, &self.path).unwrap();
        self.probes.probe(&mut self.tracer, tool)
    }

    /// Probes the compiler successfully, and returns the number of attached probes.
    fn probed(&mut self) -> usize {
        let tool = self.probe();
        assert_eq!(tool.refused, []);
        assert_eq!(self.probes.guard(tool.file), Some(Guard::Lease));
        let n = tool.attached.len();
        assert!(n > 0);
        assert_eq!(self.breakpoints(), n);
        n
    }

    /// Runs the compiler, which waits for its input.
    fn run(&self) -> Running {
        let child = Command::new(&self.path)
            .args(["-p", "main", "-o"])
            // Not /dev/null: a failing compiler removes its output.
            .arg(self.path.with_extension("o"))
            .arg(&self.fifo)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let mut running = Running {
            child,
            source: None,
        };
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(NONBLOCK);
        let since = Instant::now();
        loop {
            match options.open(&self.fifo) {
                Ok(source) => {
                    running.source = Some(source);
                    return running;
                }
                // The compiler has not opened its input yet.
                Err(error) if error.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {}
                Err(error) => panic!("{error}"),
            }
            let ended = running.child.try_wait().unwrap();
            assert!(ended.is_none() && since.elapsed() < PATIENCE, "{ended:?}");
            thread::sleep(PAUSE);
        }
    }

    /// Bytes of code that differ from the file in a process that starts the program now.
    fn breakpoints(&self) -> usize {
        let running = self.run();
        let proc = PathBuf::from(format!("/proc/{}", running.child.id()));
        let maps = fs::read_to_string(proc.join("maps")).unwrap();
        let file = fs::read(&self.path).unwrap();
        let mut memory = File::open(proc.join("mem")).unwrap();
        let name = self.path.to_str().unwrap();
        let mut n_differing = None;
        for line in maps.lines().filter(|it| it.ends_with(name)) {
            let [range, mode, offset, ..] = line.split_whitespace().collect::<Vec<_>>()[..] else {
                unreachable!("{line}");
            };
            if mode != "r-xp" {
                continue;
            }
            let number = |text| usize::from_str_radix(text, 16).unwrap();
            let (start, end) = range.split_once('-').unwrap();
            let (start, end, offset) = (number(start), number(end), number(offset));
            let of_file = &file[offset..file.len().min(offset + end - start)];
            let mut of_memory = vec![0; of_file.len()];
            memory.seek(SeekFrom::Start(start as u64)).unwrap();
            memory.read_exact(&mut of_memory).unwrap();
            let pairs = of_file.iter().zip(&of_memory);
            *n_differing.get_or_insert(0) += pairs.filter(|(a, b)| a != b).count();
        }
        n_differing.unwrap_or_else(|| panic!("its code is not in memory: {maps}"))
    }
}

#[test]
fn an_overwritten_program_loses_its_probes_before_any_check() {
    let _alone = crate::alone();
    let versions = [toolchain("1.26"), toolchain("1.27")];
    let mut compiler = Compiler::of(&versions[0]);
    let rounds = size(4, 50);
    for round in 1..=rounds {
        compiler.probed();
        fs::copy(versions[round % 2].tool("compile"), &compiler.path).unwrap();
        assert_eq!(compiler.breakpoints(), 0);
        compiler.probes.release_changed(&mut compiler.tracer);
    }
    print_figure(
        "probed program overwritten, no check for changes",
        format!("{rounds} times"),
        "0 probes attached when the writer had finished".to_owned(),
    );
}

#[test]
fn a_program_opened_but_not_written_is_probed_again() {
    let _alone = crate::alone();
    let mut compiler = Compiler::of(&toolchain("1.27"));
    let n = compiler.probed();
    let mut writer = OpenOptions::new();
    let writer = writer.append(true).open(&compiler.path).unwrap();
    assert_eq!(compiler.tracer.n_links(), 0);
    drop(writer);
    assert_eq!(compiler.breakpoints(), 0);
    compiler.probes.release_changed(&mut compiler.tracer);
    assert_eq!(compiler.breakpoints(), n);
}

#[test]
fn only_writers_are_blocked() {
    let _alone = crate::alone();
    let mut compiler = Compiler::of(&toolchain("1.27"));
    let n = compiler.probed();
    let away = compiler.path.with_extension("away");
    fs::rename(&compiler.path, &away).unwrap();
    fs::hard_link(&away, &compiler.path).unwrap();
    fs::remove_file(&away).unwrap();
    fs::set_permissions(&compiler.path, fs::Permissions::from_mode(0o700)).unwrap();
    fs::read(&compiler.path).unwrap();
    assert_eq!(compiler.breakpoints(), n);
    // The kernel refuses writes to a running program. A failed attempt detaches no probe.
    let running = compiler.run();
    let refused = OpenOptions::new().append(true).open(&compiler.path);
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ExecutableFileBusy);
    drop(running);
    assert_eq!(compiler.breakpoints(), n);
}

#[test]
fn a_program_open_for_writing_is_not_probed_until_it_is_closed() {
    let _alone = crate::alone();
    let mut compiler = Compiler::of(&toolchain("1.27"));
    let writer = OpenOptions::new().append(true).open(&compiler.path);
    let tool = compiler.probe();
    assert_eq!(tool.attached, [""; 0]);
    let all_report = |it: &str| tool.refused.iter().all(|refusal| refusal.why == it);
    assert!(
        !tool.refused.is_empty() && all_report("another process has the file open for writing")
    );
    drop(writer.unwrap());
    compiler.probed();
}

#[test]
fn a_program_is_probed_without_the_right_to_a_lease_and_marked_so() {
    let _alone = crate::alone();
    let mut compiler = Compiler::of(&toolchain("1.27"));
    chown(&compiler.path, Some(1), Some(1)).unwrap();
    thread::spawn(move || {
        // Affects only this thread.
        let mut sets = capabilities(None).unwrap();
        sets.effective.remove(CapabilitySet::LEASE);
        set_capabilities(None, sets).unwrap();
        let tool = compiler.probe();
        assert_eq!(tool.refused, []);
        let guard = compiler.probes.guard(tool.file);
        assert_eq!(guard, Some(Guard::NotPermitted));
        assert_eq!(compiler.breakpoints(), tool.attached.len());
    })
    .join()
    .unwrap();
}

/// Returns whether this process holds a lease on this file.
fn has_lease(pid: u32, path: &Path) -> bool {
    let locks = fs::read_to_string("/proc/locks").unwrap();
    let inode = fs::metadata(path).unwrap().ino();
    inodes(&locks, &pid.to_string()).contains(&inode)
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < PATIENCE, "timed out waiting for {what}");
        thread::sleep(PAUSE);
    }
}

/// Sends a stop request, as ^Z does. While stopped, the agent could not detach probes.
#[test]
fn an_agent_asked_to_stop_blocks_no_writer() {
    let _alone = crate::alone();
    let mut gotrace = gotrace_command([("", ""); 0]);
    // The kernel does not stop a process group without a parent in its session (`setsid cargo test`), because no shell could
    // continue it. In a group of its own, this test is the parent.
    gotrace.process_group(0);
    let agent = Agent::start_as(gotrace, tempfile::tempdir().unwrap(), &[]);
    let version = toolchain("1.27");
    let mut builds = Builds::new(&[&version]);
    let goroot = builds.module.sandbox.path().join("goroot");
    let own = CopiedToolchain::new(&version, goroot).toolchain(&version);
    builds.next(&own);
    let compile = own.tool("compile");
    let pid = Pid::from_raw(i32::try_from(agent.pid()).unwrap()).unwrap();
    wait_until("a lease", || has_lease(agent.pid(), &compile));
    kill_process(pid, Signal::TSTP).unwrap();
    let is_stopped = || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", agent.pid())).unwrap();
        stat.contains(") T ")
    };
    wait_until("a stopped agent", is_stopped);
    assert!(!has_lease(agent.pid(), &compile));
    // A non-blocking open fails where it would wait.
    let mut options = OpenOptions::new();
    let writer = options.append(true).custom_flags(NONBLOCK);
    drop(writer.open(&compile).unwrap());
    kill_process(pid, Signal::CONT).unwrap();
    wait_until("a lease again", || has_lease(agent.pid(), &compile));
    builds.next(&own);
    builds.seen_by(&agent);
    agent.stop();
}
