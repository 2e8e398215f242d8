//! Two hundred secrets in a build's environment, command line, settings, files and names: none of them is anywhere that gotrace writes,
//! shows or sends. Needs root.
#![cfg(test)]

use std::cell::RefCell;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Output};

use tests::agent::Agent;
use tests::figures::tell;
use tests::otlp::{Receiver, Reply};
use tests::{Module, Toolchain, gotrace_command, toolchain};

/// Variables with names that say so, and such as nobody knows: none of them is any of gotrace's business.
const NAMES: [&str; 60] = [
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
    "ACTIONS_RUNTIME_TOKEN",
    "ANSIBLE_VAULT_PASSWORD",
    "API_KEY",
    "ARTIFACTORY_PASSWORD",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AZURE_CLIENT_SECRET",
    "AZURE_DEVOPS_EXT_PAT",
    "BITBUCKET_STEP_OIDC_TOKEN",
    "BUILDKITE_AGENT_ACCESS_TOKEN",
    "CARGO_REGISTRY_TOKEN",
    "CF_API_TOKEN",
    "CIRCLE_OIDC_TOKEN",
    "CIRCLE_TOKEN",
    "CI_BUILD_TOKEN",
    "CI_DEPLOY_PASSWORD",
    "CI_JOB_JWT",
    "CI_JOB_TOKEN",
    "CI_NETRC_PASSWORD",
    "CI_REGISTRY_PASSWORD",
    "CODECOV_TOKEN",
    "DATABASE_URL",
    "DB_PASSWORD",
    "DIGITALOCEAN_ACCESS_TOKEN",
    "DOCKER_AUTH_CONFIG",
    "DOCKER_PASSWORD",
    "DRONE_NETRC_PASSWORD",
    "FASTLY_API_TOKEN",
    "GCP_SA_KEY",
    "GH_TOKEN",
    "GITHUB_TOKEN",
    "GITLAB_TOKEN",
    "GIT_ASKPASS_PASSWORD",
    "GOOGLE_APPLICATION_CREDENTIALS_JSON",
    "GODADDY_SECRET",
    "GOPASS_TOKEN",
    "GPG_PASSPHRASE",
    "HEROKU_API_KEY",
    "INPUT_PASSWORD",
    "JFROG_TOKEN",
    "KUBECONFIG_DATA",
    "MYSQL_PWD",
    "NETLIFY_AUTH_TOKEN",
    "NPM_TOKEN",
    "NUGET_API_KEY",
    "OPENAI_API_KEY",
    "PGPASSWORD",
    "PRIVATE_KEY",
    "PYPI_TOKEN",
    "RUNNER_SECRET",
    "SENTRY_AUTH_TOKEN",
    "SIGNING_KEY",
    "SLACK_WEBHOOK",
    "SONAR_TOKEN",
    "SSH_PRIVATE_KEY",
    "SYSTEM_ACCESSTOKEN",
    "TERRAFORM_TOKEN",
    "VAULT_TOKEN",
];

/// Variables that are kept, as addresses with a user in them: the pipelines of everybody.
const ADDRESSES: [(&str, &str); 14] = [
    ("GITHUB_ACTIONS", "GITHUB_SERVER_URL"),
    ("GITLAB_CI", "CI_PIPELINE_URL"),
    ("GITLAB_CI", "CI_JOB_URL"),
    ("JENKINS_URL", "BUILD_URL"),
    ("JENKINS_URL", "GIT_URL"),
    ("BUILDKITE", "BUILDKITE_REPO"),
    ("BUILDKITE", "BUILDKITE_BUILD_URL"),
    ("CIRCLECI", "CIRCLE_REPOSITORY_URL"),
    ("CIRCLECI", "CIRCLE_BUILD_URL"),
    ("CIRCLECI", "CIRCLE_PULL_REQUEST"),
    ("DRONE", "DRONE_BUILD_LINK"),
    ("DRONE", "DRONE_REPO"),
    ("TF_BUILD", "SYSTEM_COLLECTIONURI"),
    ("TEKTON_PIPELINE", "TEKTON_REPOSITORY"),
];

/// Forms of keys that their issuers publish.
const FORMS: [&str; 17] = [
    "ghp_",
    "gho_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "glrt-",
    "xoxb-",
    "xoxp-",
    "sk_live_",
    "rk_live_",
    "dop_v1_",
    "npm_",
    "github_pat_11",
    "ghu_",
    "ghr_",
    "xoxs-",
    "glptt-",
];

/// All that were planted.
#[derive(Default)]
struct Planted(RefCell<Vec<String>>);

impl Planted {
    /// Another one: letters and digits that stand nowhere else.
    fn plant(&self) -> String {
        self.plant_as("")
    }

    fn plant_as(&self, prefix: &str) -> String {
        let mut all = self.0.borrow_mut();
        let n = u64::try_from(all.len()).unwrap();
        let [a, b, c] = [1, 2, 3].map(|part| mixed(n * 3 + part));
        let random = format!("{a:016x}{b:016x}{c:016x}");
        let secret = format!("{prefix}{}", &random[..36]);
        all.push(random[..36].to_owned());
        secret
    }

    fn n(&self) -> usize {
        self.0.borrow().len()
    }

    fn assert_absent(&self, text: &[u8], place: &str) {
        let text = String::from_utf8_lossy(text);
        for secret in self.0.borrow().iter() {
            if let Some((before, after)) = text.split_once(secret.as_str()) {
                let before: String = before.chars().rev().take(120).collect();
                let before: String = before.chars().rev().collect();
                let after: String = after.chars().take(40).collect();
                panic!("{place}: {before}{secret}{after}");
            }
        }
    }

    fn assert_absent_in(&self, output: &Output, place: &str) {
        self.assert_absent(&output.stdout, place);
        self.assert_absent(&output.stderr, place);
    }

    /// Every file below, whatever it is.
    fn assert_absent_below(&self, dir: &Path) {
        for entry in fs::read_dir(dir).unwrap().flatten() {
            let path = entry.path();
            self.assert_absent(path.as_os_str().as_bytes(), "a file's name");
            if entry.file_type().unwrap().is_dir() {
                self.assert_absent_below(&path);
            } else {
                self.assert_absent(&fs::read(&path).unwrap(), &path.display().to_string());
            }
        }
    }
}

/// A number that looks like none (`SplitMix64`).
fn mixed(n: u64) -> u64 {
    let mut it = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    it ^ (it >> 31)
}

/// A build with arguments and variables.
struct Build {
    args: Vec<String>,
    env: Vec<(String, String)>,
}

/// Builds that work, with a secret in every place that one could get to.
fn builds(planted: &Planted) -> Vec<Build> {
    let plain = |args: Vec<String>, env: Vec<(&str, String)>| Build {
        args,
        env: env
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    };
    let secret = || planted.plant();
    let env = NAMES.iter().map(|name| (*name, secret())).collect();
    let others: Vec<String> = NAMES.iter().map(|it| format!("{it}_OF_STAGING")).collect();
    let other_env = others
        .iter()
        .map(|name| (name.as_str(), secret()))
        .collect();
    let mut builds = vec![plain(Vec::new(), env), plain(Vec::new(), other_env)];
    for (system, variable) in ADDRESSES {
        let value = format!(
            "https://ci:{}@host.example/team/project?token={}",
            secret(),
            secret()
        );
        let is_url = system == "JENKINS_URL";
        let on = if is_url {
            "https://jenkins.example/"
        } else {
            "true"
        };
        builds.push(plain(
            Vec::new(),
            vec![(system, on.to_owned()), (variable, value)],
        ));
    }
    let user = || format!("https://user:{}@proxy.example/{}", secret(), "go");
    let settings = vec![
        (
            "GOPROXY",
            format!("{},https://{}@other.example|off", user(), secret()),
        ),
        (
            "GOSUMDB",
            format!("sum.golang.org https://u:{}@sum.example", secret()),
        ),
        ("GOAUTH", format!("git /home/ci/{}", secret())),
        ("CGO_CFLAGS", format!("-O2 -DAPI_TOKEN={}", secret())),
        ("CGO_LDFLAGS", format!("-Wl,--defsym,password={}", secret())),
        ("GOFLAGS", format!("-ldflags=-X=main.token={}", secret())),
    ];
    builds.push(plain(Vec::new(), settings));
    for value in [
        format!("-X main.a={} -X 'main.b={} and more'", secret(), secret()),
        format!("-X=main.c={}", secret()),
        format!("-s -X \"main.d={}\" -w", secret()),
        format!("-X main.e=https://u:{}@host.example", secret()),
    ] {
        builds.push(plain(
            vec!["-ldflags".to_owned(), value.clone()],
            Vec::new(),
        ));
        builds.push(plain(vec![format!("-ldflags={value}")], Vec::new()));
    }
    for name in ["API_TOKEN", "DB_PASSWORD", "AUTH_SECRET"] {
        let value = format!("env {name}={}", secret());
        builds.push(plain(vec!["-toolexec".to_owned(), value], Vec::new()));
    }
    for form in FORMS {
        let tags = format!("-tags={}", planted.plant_as(form));
        builds.push(plain(vec![tags], Vec::new()));
        let output = format!("out-{}", planted.plant_as(form));
        builds.push(plain(vec!["-o".to_owned(), output], Vec::new()));
    }
    builds
}

/// A module with keys in the names of its package, of a directory and of a file, and in what is stamped of it.
fn module(planted: &Planted, toolchain: &Toolchain) -> Module {
    let module = Module::copy("wasm");
    module.sandbox.make_warm(toolchain);
    let package = planted.plant_as("ghp_");
    let file = planted.plant_as("glpat-");
    module.write("go.mod", "module example.com/planted\n\ngo 1.19\n");
    module.write(
        &format!("internal/{package}/{file}.go"),
        &format!(
            "package held\n\nvar Key = \"{}\"\n",
            planted.plant_as("sk_live_")
        ),
    );
    module.write(
        "main.go",
        &format!("package main\n\nimport held \"example.com/planted/internal/{package}\"\n\nvar token, a, b, c, d, e string\n\nfunc main() {{ println(held.Key, token, a, b, c, d, e) }}\n"),
    );
    module
}

fn go(module: &Module, toolchain: &Toolchain, build: &Build) -> Command {
    let mut go = module.sandbox.go(toolchain);
    go.arg("build").args(&build.args);
    if !build.args.iter().any(|it| it == "-o") {
        go.args(["-o", "out"]);
    }
    go.arg(".")
        .current_dir(module.dir())
        .envs(build.env.iter().cloned());
    go
}

/// As the user would: gotrace and its arguments before the build's own command.
fn under_gotrace(args: &[&OsStr], module: &Module, go: &Command) -> Output {
    let env = go
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)));
    let output = gotrace_command(env)
        .args(args)
        .arg("--")
        .arg(go.get_program())
        .args(go.get_args())
        .current_dir(module.dir())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output
}

#[test]
fn no_secret_of_a_build_is_stored_shown_or_sent() {
    let planted = Planted::default();
    let receiver = Receiver::start(|_, _| Reply::ok());
    let gateway = Receiver::start(|_, _| Reply::ok());
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("gotrace.toml");
    let textfile = dir.path().join("textfile");
    fs::create_dir(&textfile).unwrap();
    let text = format!(
        "detail = \"cache-key\"\n[otlp]\nendpoint = \"http://{}\"\ncompression = \"none\"\ncommand_lines = true\n\
         [pushgateway]\nurl = \"http://{}\"\n[textfile]\ndirectory = {textfile:?}\nevery_seconds = 1\n",
        receiver.address(),
        gateway.address(),
    );
    fs::write(&config, text).unwrap();
    let config = config.to_str().unwrap().to_owned();
    let agent = Agent::start_in(dir, &["--config", &config]);
    let toolchain = toolchain("1.27");
    let module = module(&planted, &toolchain);
    let all = builds(&planted);
    assert!(planted.n() >= 200, "{}", planted.n());
    for build in &all {
        let output = go(&module, &toolchain, build).output().unwrap();
        assert!(output.status.success(), "{:?}: {output:?}", build.args);
    }
    let found = agent.wait_for(&module, all.len());
    assert_eq!(found.len(), all.len());
    for page in ["/metrics", "/api/v1/builds?limit=1000"] {
        planted.assert_absent(agent.page(page).as_bytes(), page);
    }
    let store = agent.store();
    let n_anomalies = found.iter().filter(|it| it["anomalies"] != 0).count();
    assert!(n_anomalies < found.len(), "of none everything is known");
    for format in ["text", "json"] {
        for build in &found {
            let id = build["id"].as_str().unwrap();
            let page = agent.page(&format!("/api/v1/builds/{id}"));
            planted.assert_absent(page.as_bytes(), "a build's page");
            let shown = gotrace_command([("", ""); 0])
                .args(["show", id, "--format", format, "--store"])
                .arg(&store)
                .output()
                .unwrap();
            assert!(
                shown.status.success() && shown.stdout.len() > 200,
                "{shown:?}"
            );
            planted.assert_absent_in(&shown, "show");
        }
    }
    let sent = receiver.wait_for(|it| it.iter().filter(|it| it.path == "/v1/logs").count() > 5);
    assert!(sent.iter().any(|it| it.path == "/v1/traces"));
    gateway.wait_for(|it| !it.is_empty());
    agent.wait_for_page("/metrics", "go_build_builds_total{");
    let dir = agent.end();
    for request in receiver.received().iter().chain(&gateway.received()) {
        planted.assert_absent(&request.body, &request.path);
        planted.assert_absent(request.path.as_bytes(), "an address");
    }
    assert!(fs::read_dir(&textfile).unwrap().count() > 0);
    planted.assert_absent_below(dir.path());
    tell(
        "planted secrets, under an agent",
        format!("{} secrets, {} builds", planted.n(), all.len()),
        "found 0 in store, pages, metrics, text file, traces, logs and pushes",
    );
}

#[test]
fn no_secret_is_in_what_run_and_record_say() {
    let planted = Planted::default();
    let toolchain = toolchain("1.27");
    let module = module(&planted, &toolchain);
    let all = builds(&planted);
    let out = tempfile::tempdir().unwrap();
    let recording = out.path().join("recording.jsonl.gz");
    let metrics = out.path().join("metrics.prom");
    for (n, build) in all.iter().enumerate() {
        let go = go(&module, &toolchain, build);
        if n % 2 == 0 {
            let args = [
                OsStr::new("record"),
                OsStr::new("-o"),
                recording.as_os_str(),
            ];
            planted.assert_absent_in(&under_gotrace(&args, &module, &go), "record");
            let unpacked = Command::new("gzip")
                .arg("-dc")
                .arg(&recording)
                .output()
                .unwrap();
            assert!(unpacked.status.success() && unpacked.stdout.len() > 1000);
            planted.assert_absent(&unpacked.stdout, "a recording");
        } else {
            let args = [
                "run",
                "--detail",
                "cache-key",
                "--format",
                "json",
                "--metrics",
            ]
            .map(OsStr::new);
            let args = [&args[..], &[metrics.as_os_str()]].concat();
            planted.assert_absent_in(&under_gotrace(&args, &module, &go), "run");
            planted.assert_absent(&fs::read(&metrics).unwrap(), "the metrics of a run");
        }
    }
    tell(
        "planted secrets, under run and record",
        format!("{} secrets, {} builds", planted.n(), all.len()),
        "found 0 in output, JSON, recordings and metrics",
    );
    assert!(planted.n() >= 200, "{}", planted.n());
}
