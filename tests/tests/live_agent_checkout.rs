//! Origin of a build whose environment contains none: the agent's result equals Git's data of the checkout.
#![cfg(test)]

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::agent::Agent;
use tests::{Module, Toolchain, run_gotrace, toolchain};

const NO_ENV: [(&str, &str); 0] = [];

/// Output of Git; `None` if Git fails or prints nothing.
fn git(dir: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .args(["-c", "user.name=a", "-c", "user.email=a@example.com"])
        .args(args)
        .current_dir(dir)
        .env("HOME", dir)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .expect("git: `cargo xtask test` installs it");
    let text = String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

fn go_build(module: &Module, toolchain: &Toolchain, dir: &Path, env: &[(&str, &str)]) {
    let mut go = module.sandbox.go(toolchain);
    go.args(["build", "-o", "out", "."]).current_dir(dir);
    let output = go.envs(env.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// The first output of a build, as `gotrace show` prints it.
fn artifact(agent: &Agent, build: &Value) -> Value {
    let store = agent.store();
    let id = build["id"].as_str().unwrap();
    let args = ["show", id, "--format", "json", "--store"];
    let output = run_gotrace(args.into_iter().chain([store.to_str().unwrap()]), NO_ENV);
    assert!(output.status.success(), "{output:?}");
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    shown["trace"]["builds"][0]["outputs"][0]["artifact"].clone()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

#[test]
fn the_origin_of_a_build_equals_gits_data_of_the_checkout() {
    let new = toolchain("1.27");
    let module = Module::copy("wasm");
    module.sandbox.make_warm(&new);
    let top = module.dir();
    git(top, &["init", "-q", "-b", "main"]);
    git(top, &["add", "go.mod", "main.go"]);
    git(top, &["commit", "-q", "-m", "one"]);
    let url = "https://user:hunter2@example.com/team/app.git";
    git(top, &["remote", "add", "origin", url]);
    git(top, &["branch", "side"]);
    git(top, &["pack-refs", "--all"]);
    // Below the module, so that one query of the agent's history returns the builds of both.
    let side = top.join("side");
    git(top, &["worktree", "add", "-q", "side", "side"]);
    git(&side, &["commit", "-q", "--allow-empty", "-m", "two"]);
    let agent = Agent::start();
    go_build(&module, &new, top, &[]);
    go_build(&module, &new, &side, &[]);
    // The agent reads each output before the next build overwrites it.
    agent.wait_for(&module, 2);
    git(&side, &["checkout", "-q", "--detach"]);
    go_build(&module, &new, &side, &[]);
    agent.wait_for(&module, 3);
    let variables = [
        ("GITHUB_ACTIONS", "true"),
        ("GITHUB_REPOSITORY", "team/other"),
    ];
    go_build(&module, &new, &side, &variables);
    let builds = agent.wait_for(&module, 4);
    let revisions = [top, &side].map(|it| git(it, &["rev-parse", "HEAD"]));
    let [main, side] = revisions;
    assert_ne!(main, side);
    let expected = [
        ("https://example.com/team/app.git", Some("main"), &main),
        ("https://example.com/team/app.git", Some("side"), &side),
        ("https://example.com/team/app.git", None, &side),
        // Facts from the environment have priority. Other facts come from Git.
        ("team/other", None, &side),
    ];
    for (build, (repository, branch, revision)) in builds.iter().zip(expected) {
        let context = &build["context"];
        assert_eq!(text(&context["repository"]).as_deref(), Some(repository));
        assert_eq!(text(&context["branch"]).as_deref(), branch, "{context:#}");
        assert_eq!(text(&context["revision"]), *revision, "{context:#}");
        // The go command itself ran Git.
        let vcs = &artifact(&agent, build)["stamp"]["vcs"];
        assert_eq!(text(&vcs["revision"]), *revision, "{vcs:#}");
        assert_eq!(vcs["system"], "git");
    }
    assert_eq!(
        artifact(&agent, &builds[0])["stamp"]["vcs"]["modified"],
        true
    );
    let by_branch = ["builds", "--branch", "side", "--format", "json", "--store"];
    let store = agent.store();
    let found = run_gotrace(
        by_branch.into_iter().chain([store.to_str().unwrap()]),
        NO_ENV,
    );
    let found: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(found["builds"].as_array().unwrap().len(), 1, "{found:#}");
    assert_eq!(found["builds"][0]["id"], builds[1]["id"]);
    agent.stop();
}
