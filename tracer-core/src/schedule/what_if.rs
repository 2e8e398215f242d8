//! Predicts how long a build would take under other conditions.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::Serialize;

use super::ActionGraph;
use super::go_memory_limit::Need;
use super::simulate::{Limits, Part, Simulated, Task, priorities, simulate};
use super::tasks::{float, tasks};
use crate::byte_string::ByteString;
use crate::event::Ktime;
use crate::golang::tool::split_variant;
use crate::model::{Action, Build, KeyKind, Outcome};

/// The conditions of a prediction. Absent: as in the build.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Conditions {
    /// CPUs of the machine.
    pub cpus: Option<u32>,
    /// The number of actions at once (`-p`). Without it, a change of CPUs changes the number of workers, as in the `go` command.
    pub workers: Option<u32>,
    /// Packages that nothing imports, with everything that only they import.
    pub without: Vec<String>,
    /// Packages whose tools need this percentage less CPU time.
    pub faster: Vec<(String, u8)>,
    /// Packages that come from the build cache.
    pub cached: Vec<String>,
    /// No package is vetted (`-vet=off`).
    pub no_vet: bool,
    /// Of all links of test programs, only the longest remains.
    pub one_test_program: bool,
}

/// A build under other conditions.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Prediction {
    /// Time of the build on the clock.
    pub measured_ns: u64,
    /// Predicted time: the measured time, changed by the part by which the conditions change the simulation.
    pub predicted_ns: u64,
    /// Time of the simulation with the conditions of the build. The difference to `measured_ns` is the error of the simulation.
    pub simulated_ns: u64,
    /// CPUs and actions at once in the build.
    pub cpus: u32,
    pub workers: u32,
    /// The same in the prediction.
    pub predicted_cpus: u32,
    pub predicted_workers: u32,
    /// The largest sum of the peaks of all tools that run at once, in the simulation of the build and in the prediction. The peaks of two
    /// tools seldom coincide, so mostly less memory is used. A real build can run other tools at once.
    pub peak_bytes: u64,
    pub predicted_peak_bytes: u64,
    /// The number of actions that the conditions remove or change.
    pub n_changed: u32,
    /// The number of actions whose imports are not known.
    pub n_unknown: u32,
}

/// The answer to a question about other conditions.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct WhatIf {
    pub prediction: Prediction,
    /// The answer for an amount of memory, if one was given.
    pub memory: Option<Fit>,
}

/// The actions at once that fit in an amount of memory.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Fit {
    pub limit_bytes: u64,
    /// The prediction with the largest number of actions at once whose tools fit by the sum of their peaks. Absent if a single tool needs
    /// more.
    pub fitting: Option<Prediction>,
    /// If a single tool needs more: a GOMEMLIMIT that most likely keeps all tools below the limit. Absent if no value does, or if the heap
    /// of such a tool is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub go_memory_limit_bytes: Option<u64>,
}

/// The reason why there is no prediction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPrediction {
    #[error("the imports of the packages are not known: trace the build with --detail cache-key")]
    NoGraph,
    #[error("the build executed no action")]
    NoActions,
    #[error("no action of {0} ran in this build")]
    NoPackage(String),
    #[error("the end of the build was not seen")]
    NoEnd,
}

/// A build that can be simulated.
pub struct Model<'a> {
    build: &'a Build,
    graph: ActionGraph,
    cpus: u32,
    workers: u32,
    end: Ktime,
    /// The simulation with the conditions of the build.
    same: Simulated,
}

impl<'a> Model<'a> {
    /// `cpus` is the number of CPUs of the machine.
    pub fn of(build: &'a Build, cpus: u32) -> Result<Self, NoPrediction> {
        let end = build.end.ok_or(NoPrediction::NoEnd)?;
        let graph = ActionGraph::of(build, end).ok_or(NoPrediction::NoGraph)?;
        let is_executed = |it: &Action| matches!(it.outcome, Outcome::Executed | Outcome::Failed);
        if !build.actions.iter().any(is_executed) {
            return Err(NoPrediction::NoActions);
        }
        let cpus = cpus.max(1);
        let workers = workers(build).unwrap_or(cpus).max(1);
        let same = tasks(build, &graph, f64::from(cpus), f64::from(cpus));
        Ok(Self {
            build,
            graph,
            cpus,
            workers,
            end,
            same: run(&same, cpus, workers),
        })
    }

    /// The number of actions that the `go` command ran at once.
    pub fn workers(&self) -> u32 {
        self.workers
    }

    pub fn predict(&self, conditions: &Conditions) -> Result<Prediction, NoPrediction> {
        let cpus = conditions.cpus.unwrap_or(self.cpus).max(1);
        let workers = conditions.workers.unwrap_or_else(|| {
            let is_default = workers(self.build).is_none();
            if is_default { cpus } else { self.workers }
        });
        let same = self.same;
        let (from, to) = (f64::from(self.cpus), f64::from(cpus));
        let mut changed = tasks(self.build, &self.graph, from, to);
        let n_changed = self.change(&mut changed, conditions)?;
        let other = run(&changed, cpus, workers.max(1));
        let measured_ns = self.end.since(self.build.start);
        // Loading and the end of the build take the same time as before.
        let actions_ns = self.actions_ns();
        let around_ns = measured_ns.saturating_sub(actions_ns);
        let scale = if same.wall_ns > 0.0 {
            other.wall_ns / same.wall_ns
        } else {
            1.0
        };
        Ok(Prediction {
            measured_ns,
            predicted_ns: around_ns.saturating_add(ns(float(actions_ns) * scale)),
            simulated_ns: around_ns.saturating_add(ns(same.wall_ns)),
            cpus: self.cpus,
            workers: self.workers,
            predicted_cpus: cpus,
            predicted_workers: workers.max(1),
            peak_bytes: same.peak_bytes,
            predicted_peak_bytes: other.peak_bytes,
            n_changed,
            n_unknown: self.graph.n_unknown(),
        })
    }

    /// The answer to these conditions, and to an amount of memory.
    pub fn answer(
        &self,
        conditions: &Conditions,
        memory: Option<u64>,
    ) -> Result<WhatIf, NoPrediction> {
        let prediction = self.predict(conditions)?;
        let memory = memory.map(|it| self.fit(conditions, &prediction, it));
        Ok(WhatIf {
            memory: memory.transpose()?,
            prediction,
        })
    }

    /// Tries fewer actions at once than in `most` until their tools fit.
    fn fit(
        &self,
        conditions: &Conditions,
        most: &Prediction,
        limit_bytes: u64,
    ) -> Result<Fit, NoPrediction> {
        let mut next = most.clone();
        let fitting = loop {
            if next.predicted_peak_bytes <= limit_bytes {
                break Some(next);
            }
            let fewer = next.predicted_workers - 1;
            if fewer == 0 {
                break None;
            }
            next = self.predict(&Conditions {
                workers: Some(fewer),
                ..conditions.clone()
            })?;
        };
        let go_memory_limit_bytes = match fitting {
            Some(_) => None,
            None => self.go_memory_limit(limit_bytes),
        };
        Ok(Fit {
            limit_bytes,
            fitting,
            go_memory_limit_bytes,
        })
    }

    fn go_memory_limit(&self, room: u64) -> Option<u64> {
        let calls = self.build.calls.iter();
        let large = calls.filter(|it| it.usage.max_rss_bytes > Some(room));
        let limits = large.map(|it| Need::of(it)?.limit_for(room));
        // Every such tool must fit.
        limits.reduce(|one, other| Some(one?.min(other?))).flatten()
    }

    /// Time from the first action to the end of the last.
    fn actions_ns(&self) -> u64 {
        let spans = self.graph.spans().iter();
        let first = spans.clone().map(|(start, _)| *start).min();
        let last = spans.map(|(_, end)| *end).max();
        first.zip(last).map_or(0, |(first, last)| last.since(first))
    }

    /// Changes the tasks. Returns the number of changed ones.
    fn change(&self, tasks: &mut [Task], conditions: &Conditions) -> Result<u32, NoPrediction> {
        let named = conditions.cached.iter().chain(&conditions.without);
        let named = named.chain(conditions.faster.iter().map(|(name, _)| name));
        for name in named {
            if !self.build.actions.iter().any(|it| is_of(it, name)) {
                return Err(NoPrediction::NoPackage(name.clone()));
            }
        }
        let mut changed: BTreeSet<usize> = BTreeSet::new();
        let spared = conditions
            .one_test_program
            .then(|| self.longest_test_link());
        for (index, (action, task)) in self.build.actions.iter().zip(tasks.iter_mut()).enumerate() {
            let is_one_of = |names: &[String]| names.iter().any(|it| is_of(action, it));
            let is_build = KeyKind::of_mode(&action.mode) == Some(KeyKind::Build);
            let is_vet = KeyKind::of_mode(&action.mode) == Some(KeyKind::Vet);
            if is_one_of(&conditions.cached) && (is_build || is_vet || is_cgo(action))
                || conditions.no_vet && is_vet
                || spared.is_some_and(|it| is_test_link(action) && it != Some(index))
            {
                task.parts.clear();
                task.peak_bytes = 0;
                changed.insert(index);
            }
            let faster = conditions.faster.iter().find(|(it, _)| is_of(action, it));
            if let Some((_, percent)) = faster {
                let left = f64::from(100 - percent.min(&100)) / 100.0;
                for part in &mut task.parts {
                    match part {
                        Part::Work { cpu_ns, .. } => *cpu_ns *= left,
                        Part::Blocked { ns } => *ns *= left,
                    }
                }
                changed.insert(index);
            }
        }
        if !conditions.without.is_empty() {
            changed.extend(self.remove(tasks, &conditions.without));
        }
        Ok(u32::try_from(changed.len()).unwrap_or(u32::MAX))
    }

    fn longest_test_link(&self) -> Option<usize> {
        let actions = self
            .build
            .actions
            .iter()
            .zip(self.graph.spans())
            .enumerate();
        let links = actions.filter(|(_, (action, _))| is_test_link(action));
        let longest = links.max_by_key(|(_, (_, (start, end)))| end.since(*start));
        longest.map(|(index, _)| index)
    }

    /// Removes packages, and those that no action needs without them. Returns the removed tasks.
    fn remove(&self, tasks: &mut [Task], names: &[String]) -> Vec<usize> {
        let is_removed = |it: usize| {
            let action = self.build.actions.get(it);
            action.is_some_and(|action| names.iter().any(|name| is_of(action, name)))
        };
        let mut is_below = vec![false; tasks.len()];
        for it in tasks.iter().flat_map(|it| &it.below) {
            if let Some(is_below) = is_below.get_mut(*it as usize) {
                *is_below = true;
            }
        }
        let mut needed = vec![false; tasks.len()];
        let roots = is_below.iter().enumerate().filter(|(_, it)| !**it);
        let mut left: Vec<usize> = roots.map(|(index, _)| index).collect();
        while let Some(index) = left.pop() {
            let Some(is_needed) = needed.get_mut(index) else {
                continue;
            };
            if *is_needed || is_removed(index) {
                continue;
            }
            *is_needed = true;
            let below = tasks.get(index).map_or(&[][..], |it| &it.below);
            left.extend(below.iter().map(|it| *it as usize));
        }
        let removed = needed.iter().enumerate().filter(|(_, it)| !**it);
        let removed: Vec<usize> = removed.map(|(index, _)| index).collect();
        for index in &removed {
            if let Some(task) = tasks.get_mut(*index) {
                task.parts.clear();
                task.peak_bytes = 0;
            }
        }
        removed
    }
}

/// The value of `-p`.
fn workers(build: &Build) -> Option<u32> {
    let flags = build.command.flags.iter().rev();
    let flag = flags
        .filter(|it| it.name == "p")
        .find_map(|it| it.value.as_ref());
    flag.map(ByteString::to_str)?.parse().ok()
}

/// True if the action belongs to the package or to a test variant of it.
fn is_of(action: &Action, package: &str) -> bool {
    action.package.as_ref().is_some_and(|it| {
        it.as_bytes() == package.as_bytes() || split_variant(it.as_bytes()).0 == package.as_bytes()
    })
}

fn is_cgo(action: &Action) -> bool {
    action.mode.starts_with("cgo ")
}

fn is_test_link(action: &Action) -> bool {
    let package = action.package.as_ref().map(ByteString::as_bytes);
    action.mode == KeyKind::Link.mode() && package.is_some_and(|it| it.ends_with(b".test"))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast to an integer saturates"
)]
fn ns(time: f64) -> u64 {
    time.round() as u64
}

fn run(tasks: &[Task], cpus: u32, workers: u32) -> Simulated {
    let limits = Limits {
        cpus: f64::from(cpus),
        workers: usize::try_from(workers).unwrap_or(usize::MAX),
    };
    simulate(tasks, &priorities(tasks), limits)
}
