//! Rounds of a history in use. An agent and `gotrace run` store builds, other programs read and copy the database, and both
//! processes of the agent are killed and restarted. No stored build is lost, and no copy lacks one.
//!
//! Each round ends with a check of all expected builds ([`ledger::Ledger::check`]). Needs root.
#![cfg(test)]

mod ledger;
mod readers;
mod tools;
mod writers;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tests::agent::Agent;
use tests::figures::{print_figure, size};
use tests::{Module, Toolchain, gotrace_command, target_dir, toolchain};

use ledger::Ledger;
use tools::{PATIENCE, locked, wait_for};

/// Variable with the number of long rounds.
const ROUNDS: &str = "GOTRACE_HISTORY_ROUNDS";
/// Rounds per history. The history is copied continuously, so its size is bounded.
const PER_HISTORY: usize = 10;

/// Counts of the operations.
#[derive(Debug, Default)]
struct Counts {
    agent_builds: AtomicUsize,
    run_builds: AtomicUsize,
    reads: AtomicUsize,
    copies: AtomicUsize,
    retries: AtomicUsize,
    storage_kills: AtomicUsize,
    observer_kills: AtomicUsize,
    refused: AtomicUsize,
}

fn add(count: &AtomicUsize) {
    count.fetch_add(1, Ordering::Relaxed);
}

fn get(count: &AtomicUsize) -> usize {
    count.load(Ordering::Relaxed)
}

/// State that the threads of a round share.
struct Shared {
    toolchain: Toolchain,
    modules: [Module; 2],
    store: PathBuf,
    /// Directory for copies of the history.
    copies: TempDir,
    /// Address of the agent's pages, while an agent runs.
    address: Mutex<Option<String>>,
    ledger: Ledger,
    /// The round ends, because its time is up or because a thread failed.
    has_ended: AtomicBool,
}

/// Ends the round when its thread ends, even by a panic.
struct EndRound<'a>(&'a Shared);

impl Drop for EndRound<'_> {
    fn drop(&mut self) {
        self.0.has_ended.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn new(toolchain: &Toolchain, store: PathBuf) -> Self {
        let module = || {
            let module = Module::copy("tiny");
            module.sandbox.make_warm(toolchain);
            module
        };
        Self {
            toolchain: toolchain.clone(),
            modules: [module(), module()],
            store,
            copies: directory(),
            address: Mutex::new(None),
            ledger: Ledger::default(),
            has_ended: AtomicBool::new(false),
        }
    }

    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }
}

/// A directory on the disk of cargo's target directory, because the temporary directory can be in memory.
fn directory() -> TempDir {
    let target = target_dir();
    fs::create_dir_all(&target).unwrap();
    let mut builder = tempfile::Builder::new();
    builder
        .prefix("history-rounds-")
        .tempdir_in(target)
        .unwrap()
}

#[test]
fn no_build_is_lost_while_others_read_and_agent_processes_are_killed() {
    let asked = env::var(ROUNDS).ok();
    let asked = asked.map(|it| it.parse::<usize>().unwrap());
    let rounds = asked.unwrap_or_else(|| size(2, 100));
    let seconds = asked.map_or_else(|| size(5, 60), |_| 60);
    let length = Duration::from_secs(seconds as u64);
    let toolchain = toolchain("1.27");
    let counts = Counts::default();
    let (mut done, mut n_seen) = (0, 0);
    while done < rounds {
        let n = PER_HISTORY.min(rounds - done);
        n_seen += rounds_of_one_history(&toolchain, done..done + n, length, &counts);
        done += n;
    }
    print_figure(
        "history: readers, writers and kills in rounds",
        format!(
            "{rounds} rounds of {seconds} s, {} builds under the agent, {} by run, {} kills of the storage process, {} of the observer",
            get(&counts.agent_builds),
            get(&counts.run_builds),
            get(&counts.storage_kills),
            get(&counts.observer_kills),
        ),
        format!(
            "{n_seen} builds seen by {} reads, {} copies, all intact; lost 0, of the agent's own duplicated 0; {} reads repeated, because the history was busy or the agent stopped; \
             a second agent refused {} times",
            get(&counts.reads),
            get(&counts.copies),
            get(&counts.retries),
            get(&counts.refused),
        ),
    );
}

/// Returns the number of ended builds that the readers returned.
fn rounds_of_one_history(
    toolchain: &Toolchain,
    rounds: std::ops::Range<usize>,
    length: Duration,
    counts: &Counts,
) -> usize {
    let dir = directory();
    let mut shared = Shared::new(toolchain, dir.path().join("history.db"));
    let mut agent = start(&shared, dir);
    for round in rounds {
        *shared.has_ended.get_mut() = false;
        agent = thread::scope(|scope| {
            let shared = &shared;
            let work: [fn(&Shared, &Counts); 5] = [
                writers::under_the_agent,
                writers::by_run,
                readers::sqlite3,
                readers::copies,
                readers::gotrace,
            ];
            for work in work {
                scope.spawn(move || {
                    let _ending = EndRound(shared);
                    work(shared, counts);
                });
            }
            let _ending = EndRound(shared);
            faults(shared, agent, round, length, counts)
        });
        shared.ledger.wait_until_stored(&shared);
        shared
            .ledger
            .check(&shared, &format!("after round {round}"));
    }
    let dir = agent.stop_with_dir();
    shared.ledger.check(&shared, "after the agent ended");
    drop(dir);
    shared.ledger.n_seen()
}

fn start(shared: &Shared, dir: TempDir) -> Agent {
    let agent = Agent::start_in(dir, &[]);
    *locked(&shared.address) = Some(agent.address().to_owned());
    shared.ledger.agent_started();
    agent
}

/// Kills the processes of the agent and starts a second agent, in turns, until the round ends. Does each at least once.
fn faults(shared: &Shared, agent: Agent, round: usize, length: Duration, counts: &Counts) -> Agent {
    const STEPS: usize = 4;
    let began = Instant::now();
    let mut agent = agent;
    let mut step = 0;
    while !shared.has_ended() && (step < STEPS || began.elapsed() < length) {
        let before = get(&counts.agent_builds);
        wait_for("a build under the agent", || {
            get(&counts.agent_builds) > before || shared.has_ended()
        });
        // The delay differs from step to step.
        let moment = (round * STEPS + step) as u64 * 7919 % 90_000;
        thread::sleep(Duration::from_micros(moment));
        match step % STEPS {
            1 => {
                refuse_a_second(&shared.store);
                add(&counts.refused);
            }
            3 => {
                shared.ledger.wait_until_stored(shared);
                shared.ledger.agent_killed();
                *locked(&shared.address) = None;
                let dir = agent.kill();
                add(&counts.observer_kills);
                agent = start(shared, dir);
            }
            _ => {
                agent.kill_storage_process();
                // The pages of the new agent have another port.
                *locked(&shared.address) = Some(agent.address().to_owned());
                add(&counts.storage_kills);
            }
        }
        step += 1;
    }
    agent
}

/// A second agent on the same history ends by itself and reports the reason.
fn refuse_a_second(store: &Path) {
    let mut second: Command = gotrace_command([("", ""); 0]);
    let mut second = second
        .args(["agent", "--listen", "none", "--store"])
        .arg(store)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let since = Instant::now();
    while second.try_wait().unwrap().is_none() {
        if since.elapsed() > PATIENCE {
            second.kill().unwrap();
            let output = second.wait_with_output().unwrap();
            panic!("a second agent was not refused: {output:?}");
        }
        thread::sleep(Duration::from_millis(20));
    }
    let output = second.wait_with_output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{printed}");
    assert!(printed.contains("another agent writes"), "{printed}");
}
