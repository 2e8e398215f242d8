//! Successful builds with a secret in every possible place.

use std::process::Command;

use tests::{Module, Toolchain};

use crate::Planted;

/// Variables with names of secrets, and unknown variables. gotrace must not keep their values.
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

/// Variables that gotrace keeps, as addresses with a user: the pipelines of all providers.
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

/// Key formats that their issuers publish.
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

/// A build with arguments and variables.
pub(super) struct Build {
    pub(super) args: Vec<String>,
    env: Vec<(String, String)>,
    package: &'static str,
}

/// All builds.
pub(super) fn builds(planted: &Planted) -> Vec<Build> {
    let plain = |args: Vec<String>, env: Vec<(&str, String)>| Build {
        args,
        env: env
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        package: ".",
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
    let value = format!("env NOTE=password:{}", secret());
    builds.push(plain(vec!["-toolexec".to_owned(), value], Vec::new()));
    let tags = format!("-tags=apikey_{}", planted.plant_as("sk_live_"));
    builds.push(plain(vec![tags], Vec::new()));
    builds.push(plain(
        Vec::new(),
        vec![(
            "GOPROXY",
            format!("https://p.example/?X-Goog-Signature={},off", secret()),
        )],
    ));
    builds.extend(native(planted));
    for form in FORMS {
        let tags = format!("-tags={}", planted.plant_as(form));
        builds.push(plain(vec![tags], Vec::new()));
        let output = format!("out-{}", planted.plant_as(form));
        builds.push(plain(vec!["-o".to_owned(), output], Vec::new()));
    }
    builds
}

/// Builds that run C compilers and linkers, with a secret in their arguments: in one place each, and in all at once.
fn native(planted: &Planted) -> impl Iterator<Item = Build> {
    let settings = || {
        let [cc, cxx, cpp, c, c_address, ld] = [(); 6].map(|()| planted.plant());
        [
            ("CC", format!("gcc -DPASSWORD={cc}")),
            ("CXX", format!("g++ -DAPI_KEY={cxx}")),
            ("CGO_CPPFLAGS", format!("-DAUTH_TOKEN=\"{cpp}\"")),
            (
                "CGO_CFLAGS",
                format!("-I/x?X-Amz-Signature={c_address} -O1 -D DB_PASSWORD={c}"),
            ),
            ("CGO_LDFLAGS", format!("-L/opt/x -Wl,-rpath,/p?sig={ld}")),
        ]
    };
    let each = settings().map(|it| vec![it]);
    let all = settings().to_vec();
    each.into_iter().chain([all]).map(|env| Build {
        args: Vec::new(),
        env: env
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
        package: "./native",
    })
}

/// A module with keys in the names of its package, of a directory and of a file, and in its stamped variables.
pub(super) fn module(planted: &Planted, toolchain: &Toolchain) -> Module {
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
    module.write(
        "native/main.go",
        "package main\n\n// static int one(void) { return 1; }\nimport \"C\"\n\nfunc main() { println(C.one()) }\n",
    );
    module.write("native/plus.cc", "extern \"C\" int two() { return 2; }\n");
    module
}

pub(super) fn go(module: &Module, toolchain: &Toolchain, build: &Build) -> Command {
    let mut go = module.sandbox.go(toolchain);
    go.arg("build").args(&build.args);
    if !build.args.iter().any(|it| it == "-o") {
        go.args(["-o", "out"]);
    }
    go.arg(build.package)
        .current_dir(module.dir())
        .envs(build.env.iter().cloned());
    go
}
