//! Expected builds of the history: every ended build that a reader returned, and every build that a writer must have stored.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::tools::{ENDED, PATIENCE, assert_intact, ended_ids, ended_in, gotrace, locked, sqlite3};
use crate::{Counts, Shared};

#[derive(Default)]
pub(crate) struct Ledger {
    /// Build ids, with the first reader that returned each.
    seen: Mutex<BTreeMap<String, &'static str>>,
    expected: Mutex<ExpectedBuilds>,
}

/// Builds by the name of their output, which is unique.
#[derive(Default)]
struct ExpectedBuilds {
    /// Number of starts and kills of the agent: odd while an agent runs.
    changes: usize,
    /// Builds of successful `gotrace run` commands, and builds that an agent is known to have stored.
    stored: BTreeSet<String>,
    /// Builds whose whole run was under the running agent.
    by_agent: BTreeSet<String>,
}

/// Identifies one run of an agent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct AgentRun(usize);

impl Ledger {
    pub(crate) fn add_seen(&self, reader: &'static str, ids: BTreeSet<String>) {
        let mut seen = locked(&self.seen);
        for id in ids {
            seen.entry(id).or_insert(reader);
        }
    }

    pub(crate) fn seen(&self) -> BTreeMap<String, &'static str> {
        locked(&self.seen).clone()
    }

    pub(crate) fn n_seen(&self) -> usize {
        locked(&self.seen).len()
    }

    pub(crate) fn newest_seen(&self) -> Option<String> {
        let seen = locked(&self.seen);
        seen.last_key_value().map(|(id, _)| id.clone())
    }

    /// Fails if a build that a reader returned is missing.
    pub(crate) fn assert_all(seen: &BTreeMap<String, &str>, found: &BTreeSet<String>, place: &str) {
        let lost: Vec<_> = seen.iter().filter(|(id, _)| !found.contains(*id)).collect();
        assert!(
            lost.is_empty(),
            "lost: {place}: {} of {} builds, first seen by: {lost:?}",
            lost.len(),
            seen.len()
        );
    }

    pub(crate) fn agent_started(&self) {
        locked(&self.expected).changes += 1;
    }

    /// If the observer is killed, builds that the agent has not stored yet can be lost.
    pub(crate) fn agent_killed(&self) {
        let mut expected = locked(&self.expected);
        expected.changes += 1;
        expected.by_agent.clear();
    }

    pub(crate) fn agent_run(&self) -> AgentRun {
        AgentRun(locked(&self.expected).changes)
    }

    /// Adds the build of this output, which ended; `before` is the agent run at its start.
    pub(crate) fn built_under_agent(&self, before: AgentRun, output: String) {
        let mut expected = locked(&self.expected);
        if before == AgentRun(expected.changes) && expected.changes % 2 == 1 {
            expected.by_agent.insert(output);
        }
    }

    /// Adds the build of this output, which ended successfully under `gotrace run --store`.
    pub(crate) fn built_by_run(&self, output: String) {
        locked(&self.expected).stored.insert(output);
    }

    /// Waits until the agent has stored all builds that ended under it so far.
    pub(crate) fn wait_until_stored(&self, shared: &Shared) {
        let outputs = locked(&self.expected).by_agent.clone();
        let since = Instant::now();
        loop {
            let stored = stored_outputs(shared);
            let missing: Vec<_> = outputs
                .iter()
                .filter(|it| !stored.contains_key(*it))
                .collect();
            if missing.is_empty() {
                break;
            }
            assert!(
                since.elapsed() < PATIENCE,
                "lost: {} of {} builds under the agent are not stored after {PATIENCE:?}: {missing:?}",
                missing.len(),
                outputs.len()
            );
            thread::sleep(Duration::from_millis(100));
        }
        let mut expected = locked(&self.expected);
        expected.by_agent.retain(|it| !outputs.contains(it));
        expected.stored.extend(outputs);
    }

    /// Checks that the history contains every expected build once, and is intact.
    pub(crate) fn check(&self, shared: &Shared, when: &str) {
        // These reads belong to the test itself.
        let own = Counts::default();
        assert_intact(&own, &shared.store);
        let seen = self.seen();
        Self::assert_all(&seen, &ended_ids(&own, &shared.store), when);
        let listed = gotrace(&own, &shared.store, &LIST);
        Self::assert_all(&seen, &ended_in(&listed), when);
        let stored = stored_outputs(shared);
        let expected = locked(&self.expected).stored.clone();
        let lost: Vec<_> = expected
            .iter()
            .filter(|it| !stored.contains_key(*it))
            .collect();
        assert!(
            lost.is_empty(),
            "lost: {when}: {} of {} builds: {lost:?}",
            lost.len(),
            expected.len()
        );
        // The agent and `gotrace run` both observe a build under `run`, but it is one build.
        let doubled: Vec<_> = stored.iter().filter(|(_, n)| **n > 1).collect();
        assert!(doubled.is_empty(), "doubled: {when}: {doubled:?}");
        // An agent moves a damaged history aside.
        for entry in fs::read_dir(shared.store.parent().unwrap()).unwrap() {
            let name = entry.unwrap().file_name();
            let name = name.to_string_lossy();
            assert!(!name.contains("damaged"), "{when}: {name}");
        }
    }
}

pub(crate) const LIST: [&str; 5] = ["builds", "--format", "json", "--limit", "0"];

/// Outputs of ended builds of this test, with the number of builds of each.
fn stored_outputs(shared: &Shared) -> BTreeMap<String, usize> {
    let dirs = shared.modules.each_ref().map(|it| {
        let dir = it.dir().display().to_string();
        format!("'{}'", dir.replace('\'', "''"))
    });
    let ask = format!(
        "SELECT command_line FROM build WHERE {ENDED} AND dir IN ({})",
        dirs.join(", ")
    );
    let printed = sqlite3(&Counts::default(), &shared.store, &ask);
    let mut outputs = BTreeMap::new();
    for line in printed.lines() {
        let (_, output) = line.split_once("-o ").unwrap();
        let output = output.trim_end_matches(" .").to_owned();
        *outputs.entry(output).or_insert(0) += 1;
    }
    outputs
}
