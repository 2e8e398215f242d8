//! The cost of each test of a `go test`: vet, compile, link and run. Some work is shared by tests, and some is repeated.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::what_if::{Conditions, Model, NoPrediction, Prediction};
use crate::byte_string::ByteString;
use crate::explain::cpu_of_actions;
use crate::golang::tool::split_variant;
use crate::model::{Action, Build, KeyKind, Outcome};

/// Suffix of the import path of a test program.
const PROGRAM: &[u8] = b".test";

/// The cost of actions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Cost {
    /// The number of executed actions.
    pub n: u32,
    pub cpu_ns: u64,
    /// The sum of their times, also if they ran at once.
    pub wall_ns: u64,
}

impl Cost {
    fn add(&mut self, cpu_ns: u64, wall_ns: u64) {
        self.n = self.n.saturating_add(1);
        self.cpu_ns = self.cpu_ns.saturating_add(cpu_ns);
        self.wall_ns = self.wall_ns.saturating_add(wall_ns);
    }
}

/// The test of one package.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TestCost {
    /// Import path.
    pub package: String,
    /// Absent if no run was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    pub vet: Cost,
    /// The variants of packages that only this test contains.
    pub compile: Cost,
    pub link: Cost,
    /// The run of the test program, with the processes that it started.
    pub run: Cost,
}

impl TestCost {
    pub fn cpu_ns(&self) -> u64 {
        let parts = [self.vet, self.compile, self.link, self.run];
        parts
            .iter()
            .map(|it| it.cpu_ns)
            .fold(0, u64::saturating_add)
    }
}

/// The costs of the tests of a build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct TestLedger {
    /// Dearest first.
    pub tests: Vec<TestCost>,
    /// Packages that were compiled without a test variant: each once, for all tests.
    pub shared_compile: Cost,
    /// Vet of packages that is not part of a test.
    pub shared_vet: Cost,
    /// Packages that do not belong to a tested package, and were compiled again for a test because they import the tested package.
    pub compiled_again: Cost,
    /// The predictions for other flags; empty without the graph of the build.
    pub predictions: Vec<TestPrediction>,
    /// The reason why there is no prediction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_prediction: Option<String>,
}

/// A change, and the build under it.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct TestPrediction {
    pub change: TestChange,
    #[serde(flatten)]
    pub prediction: Prediction,
}

/// A change to how tests are built and run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TestChange {
    /// `-vet=off`.
    NoVet,
    /// One test program instead of several: of all links, only the longest remains.
    OneProgram,
    /// `-p N`.
    Workers(u32),
}

impl TestLedger {
    /// `cpus` is the number of CPUs of the machine.
    pub fn of(build: &Build, cpus: u32) -> Self {
        let mut ledger = Self::default();
        let mut tests: BTreeMap<Vec<u8>, TestCost> = BTreeMap::new();
        for action in &build.actions {
            if let Some(package) = run_of(action) {
                let test = tests.entry(package.to_vec()).or_default();
                test.outcome = Some(action.outcome);
            }
        }
        let cpu = cpu_of_actions(build);
        for (index, action) in (0u32..).zip(&build.actions) {
            let is_executed = matches!(action.outcome, Outcome::Executed | Outcome::Failed);
            let kind = KeyKind::of_mode(&action.mode).filter(|_| is_executed);
            let (Some(kind), Some(package)) = (kind, &action.package) else {
                continue;
            };
            let package = package.as_bytes();
            let cpu_ns = cpu.get(&index).copied().unwrap_or(0);
            let wall_ns = action.end.map_or(0, |it| it.since(action.start));
            let tested = match kind {
                KeyKind::Test => Some(package),
                KeyKind::Vet if tests.contains_key(package) => Some(package),
                KeyKind::Vet | KeyKind::Build | KeyKind::Link => tested(package),
            };
            let Some(tested) = tested else {
                match kind {
                    KeyKind::Build => ledger.shared_compile.add(cpu_ns, wall_ns),
                    KeyKind::Vet => ledger.shared_vet.add(cpu_ns, wall_ns),
                    KeyKind::Link | KeyKind::Test => {}
                }
                continue;
            };
            let test = tests.entry(tested.to_vec()).or_default();
            let cost = match kind {
                KeyKind::Vet => &mut test.vet,
                KeyKind::Build => &mut test.compile,
                KeyKind::Link => &mut test.link,
                KeyKind::Test => &mut test.run,
            };
            cost.add(cpu_ns, wall_ns);
            if kind == KeyKind::Build && is_other_package(package, tested) {
                ledger.compiled_again.add(cpu_ns, wall_ns);
            }
        }
        ledger.tests = tests
            .into_iter()
            .map(|(package, cost)| TestCost {
                package: String::from_utf8_lossy(&package).into_owned(),
                ..cost
            })
            .collect();
        ledger
            .tests
            .sort_by_key(|it| std::cmp::Reverse(it.cpu_ns()));
        match ledger.predict(build, cpus) {
            Ok(predictions) => ledger.predictions = predictions,
            Err(why) => ledger.no_prediction = Some(why.to_string()),
        }
        ledger
    }

    /// The sum of a cost over all tests.
    pub fn sum(&self, of: impl Fn(&TestCost) -> Cost) -> Cost {
        let mut sum = Cost::default();
        for it in self.tests.iter().map(of) {
            sum.n = sum.n.saturating_add(it.n);
            sum.cpu_ns = sum.cpu_ns.saturating_add(it.cpu_ns);
            sum.wall_ns = sum.wall_ns.saturating_add(it.wall_ns);
        }
        sum
    }

    fn predict(&self, build: &Build, cpus: u32) -> Result<Vec<TestPrediction>, NoPrediction> {
        let model = Model::of(build, cpus)?;
        let mut changes = Vec::new();
        changes.extend((self.sum(|it| it.vet).n > 0).then_some(TestChange::NoVet));
        changes.extend((self.sum(|it| it.link).n > 1).then_some(TestChange::OneProgram));
        let workers = model.workers();
        changes.extend((workers > 1).then_some(TestChange::Workers(workers / 2)));
        changes.push(TestChange::Workers(workers.saturating_mul(2)));
        let predict = |change: TestChange| {
            let mut conditions = Conditions::default();
            match change {
                TestChange::NoVet => conditions.no_vet = true,
                TestChange::OneProgram => conditions.one_test_program = true,
                TestChange::Workers(n) => conditions.workers = Some(n),
            }
            let prediction = model.predict(&conditions)?;
            Ok(TestPrediction { change, prediction })
        };
        changes.into_iter().map(predict).collect()
    }
}

fn run_of(action: &Action) -> Option<&[u8]> {
    let is_run = KeyKind::of_mode(&action.mode) == Some(KeyKind::Test);
    action
        .package
        .as_ref()
        .filter(|_| is_run)
        .map(ByteString::as_bytes)
}

/// The package whose test this package is a part of: `p` for `p [p.test]`, `q [p.test]`, `p_test [p.test]` and `p.test`.
fn tested(package: &[u8]) -> Option<&[u8]> {
    let (path, variant) = split_variant(package);
    variant.unwrap_or(path).strip_suffix(PROGRAM)
}

/// True for `q [p.test]`: neither `p`, nor its external test `p_test`, nor its program.
fn is_other_package(package: &[u8], tested: &[u8]) -> bool {
    let (path, variant) = split_variant(package);
    variant.is_some() && path != tested && path.strip_suffix(b"_test") != Some(tested)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_belong_to_the_tested_package() {
        assert_eq!(tested(b"a/p [a/p.test]"), Some(&b"a/p"[..]));
        assert_eq!(tested(b"a/q [a/p.test]"), Some(&b"a/p"[..]));
        assert_eq!(tested(b"a/p_test [a/p.test]"), Some(&b"a/p"[..]));
        assert_eq!(tested(b"a/p.test"), Some(&b"a/p"[..]));
        assert_eq!(tested(b"a/p"), None);
        assert!(is_other_package(b"a/q [a/p.test]", b"a/p"));
        assert!(!is_other_package(b"a/p [a/p.test]", b"a/p"));
        assert!(!is_other_package(b"a/p_test [a/p.test]", b"a/p"));
        assert!(!is_other_package(b"a/p.test", b"a/p"));
    }
}
