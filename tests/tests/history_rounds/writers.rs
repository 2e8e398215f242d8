//! Consecutive builds, each with a unique name of its output.

use std::fs;

use tests::Module;

use crate::{Counts, Shared, add, get};

/// Number of outputs that are kept: the agent reads an output after the build.
const OUTPUTS: usize = 16;

/// First letter of the output's name: of builds that only the agent stores, and of builds under `gotrace run`.
const AGENT: char = 'a';
pub(crate) const RUN: char = 'r';

/// Makes builds that the agent stores.
pub(crate) fn under_the_agent(shared: &Shared, counts: &Counts) {
    let module = &shared.modules[0];
    while !shared.has_ended() {
        let n = get(&counts.agent_builds);
        let output = name(AGENT, n);
        let before = shared.ledger.agent_run();
        module.run_go(&shared.toolchain, &["build", "-o", &output, "."]);
        shared.ledger.built_under_agent(before, output);
        add(&counts.agent_builds);
        remove_old(module, AGENT, n);
    }
}

/// Makes builds that `gotrace run --store` stores.
pub(crate) fn by_run(shared: &Shared, counts: &Counts) {
    let module = &shared.modules[1];
    let store = shared.store.to_str().unwrap();
    while !shared.has_ended() {
        let n = get(&counts.run_builds);
        let output = name(RUN, n);
        let args = ["run", "--store", store, "--", "go", "build", "-o"];
        let args = [&args[..], &[&output, "."]].concat();
        let ran = module.gotrace(&shared.toolchain, &args).output().unwrap();
        assert!(ran.status.success(), "{ran:?}");
        shared.ledger.built_by_run(output);
        add(&counts.run_builds);
        remove_old(module, RUN, n);
    }
}

fn name(kind: char, n: usize) -> String {
    format!("{kind}{n:06}")
}

fn remove_old(module: &Module, kind: char, n: usize) {
    if let Some(old) = n.checked_sub(OUTPUTS) {
        // The file can belong to an earlier history, which is deleted with its module.
        let _none = fs::remove_file(module.dir().join(name(kind, old)));
    }
}
