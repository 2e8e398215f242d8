//! The chart and its rendered form. Helm's own library renders it, Kubernetes' own schemas validate it, and promtool checks its
//! rules.
#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use expect_test::expect_file;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::dashboard::queries;
use tests::{helm_library, pypi_dir, pypi_python};

/// The oldest supported version, a middle one, and the newest with published schemas.
const KUBERNETES: [&str; 3] = ["1.25.0", "1.30.0", "1.37.0"];
/// API version of kinds that Kubernetes itself does not define.
const OPERATOR: &str = "monitoring.coreos.com/v1";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn chart() -> PathBuf {
    repository().join("deploy/helm/gotrace")
}

fn file(name: &str) -> PathBuf {
    chart().join("files").join(name)
}

/// Runs `helm install` with these values, and `helm lint`.
fn helm(values: &Value) -> Output {
    Command::new(pypi_python())
        .arg(repository().join("tests/kubernetes/render.py"))
        .args([helm_library(), chart()])
        .arg(values.to_string())
        .output()
        .unwrap()
}

fn render(values: &Value) -> String {
    let output = helm(values);
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{values}: {printed}");
    let rendered: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(rendered["lint"]["Errors"], Value::Null, "{rendered:#}");
    rendered["release"]["manifest"].as_str().unwrap().to_owned()
}

/// Objects of a YAML text, by an independent parser.
fn objects(yaml: &str) -> Vec<Value> {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("it.yaml");
    fs::write(&path, yaml).unwrap();
    let read = "import json, sys, yaml; print(json.dumps([it for it in yaml.safe_load_all(open(sys.argv[1])) if it]))";
    let output = Command::new(pypi_python())
        .env("PYTHONPATH", pypi_dir())
        .args(["-c", read])
        .arg(path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Returns whether this version of Kubernetes accepts the manifest with all its keys.
fn validate(version: &str, manifest: &str) -> Result<(), String> {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("it.yaml");
    fs::write(&path, manifest).unwrap();
    let output = Command::new(pypi_python())
        .env("PYTHONPATH", pypi_dir())
        .args(["-m", "kubernetes_validate", "--strict", "-k", version])
        .arg(path)
        .output()
        .unwrap();
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed).into_owned();
    if output.status.success() {
        Ok(())
    } else {
        Err(printed)
    }
}

fn promtool(args: &[&str], path: &Path) {
    let output = Command::new("promtool")
        .args(args)
        .arg(path)
        .output()
        .unwrap();
    let printed = [output.stdout, output.stderr].concat();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&printed)
    );
}

fn everything() -> Value {
    json!({
        "namespace": {"create": true},
        "priorityClassName": "system-node-critical",
        "image": {"digest": format!("sha256:{}", "5a".repeat(32)), "pullSecrets": [{"name": "registry"}]},
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "builds", "operator": "In", "values": ["go"]}]}
        ]}}},
        "podAnnotations": {"a": "b"},
        "podLabels": {"c": "d"},
        "extraEnv": [{"name": "SSL_CERT_DIR", "value": "/certificates"}],
        "extraVolumes": [{"name": "certificates", "hostPath": {"path": "/etc/ssl/certs"}}],
        "extraVolumeMounts": [{"name": "certificates", "mountPath": "/certificates", "readOnly": true}],
        "networkPolicy": {"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]},
        "podMonitor": {"enabled": true, "labels": {"release": "prometheus"}},
        "prometheusRule": {"enabled": true},
        "dashboard": {"enabled": true},
    })
}

#[test]
fn the_plain_manifest_equals_the_output_of_helm() {
    let values = fs::read_to_string(repository().join("deploy/kubernetes/values.yaml")).unwrap();
    let values = objects(&values).remove(0);
    let manifest = format!(
        "# Rendered from deploy/helm/gotrace with deploy/kubernetes/values.yaml by `cargo xtask bless`.\n{}\n",
        render(&values).trim_end()
    );
    expect_file!["../../deploy/kubernetes/gotrace.yaml"].assert_eq(&manifest);
}

#[test]
fn every_version_of_kubernetes_accepts_the_manifest() {
    let plain = fs::read_to_string(repository().join("deploy/kubernetes/gotrace.yaml")).unwrap();
    let full = render(&everything());
    let is_known = |it: &&str| !it.contains(OPERATOR);
    let schemas: Vec<&str> = full.split("\n---\n").filter(is_known).collect();
    let schemas = schemas.join("\n---\n");
    assert!(
        schemas.contains("kind: DaemonSet") && schemas.contains("gotrace-dashboard"),
        "{schemas}"
    );
    for version in KUBERNETES {
        for manifest in [&plain, &schemas] {
            validate(version, manifest).unwrap_or_else(|why| panic!("{version}: {why}"));
        }
        // Proves that the validator finds mistakes.
        for (right, wrong) in [
            ("hostPID: true", "hostPid: true"),
            (
                "readOnlyRootFilesystem: true",
                "readOnlyRootFileSystem: true",
            ),
            ("containerPort: 10127", "containerPort: metrics"),
        ] {
            assert!(plain.contains(right));
            let why = validate(version, &plain.replace(right, wrong)).unwrap_err();
            assert!(why.contains("ERROR"), "{version}, {wrong}: {why}");
        }
    }
}

#[test]
fn the_pod_has_only_the_rights_it_needs() {
    let manifest = fs::read_to_string(repository().join("deploy/kubernetes/gotrace.yaml")).unwrap();
    let objects = objects(&manifest);
    let of_kind = |kind: &str| objects.iter().find(|it| it["kind"] == kind).unwrap();
    let pod = &of_kind("DaemonSet")["spec"]["template"]["spec"];
    assert_eq!(pod["hostPID"], true);
    for other in ["hostNetwork", "hostIPC"] {
        assert_eq!(pod[other], Value::Null);
    }
    assert_eq!(pod["automountServiceAccountToken"], false);
    let security = &pod["containers"][0]["securityContext"];
    assert_eq!(security["privileged"], false);
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(
        security["capabilities"],
        json!({"drop": ["ALL"], "add": ["BPF", "PERFMON", "SYS_PTRACE", "DAC_READ_SEARCH", "LEASE"]})
    );
    // By default only the node has access.
    assert_eq!(of_kind("NetworkPolicy")["spec"]["ingress"], json!([]));
}

#[test]
fn an_unknown_value_is_refused() {
    for (values, why) in [
        (json!({"tolerationz": []}), "tolerationz"),
        (json!({"image": {"digest": "latest"}}), "digest"),
        (json!({"capabilities": ["cap_bpf"]}), "capabilities"),
        (json!({"port": 0}), "port"),
    ] {
        let output = helm(&values);
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && printed.contains(why),
            "{values}: {printed}"
        );
    }
}

#[test]
fn optional_parts_equal_the_files() {
    let objects = objects(&render(&everything()));
    let of_kind = |kind: &str| {
        let found = objects.iter().filter(|it| it["kind"] == kind);
        found.cloned().collect::<Vec<_>>()
    };
    let rules = self::objects(&fs::read_to_string(file("rules.yaml")).unwrap());
    assert_eq!(of_kind("PrometheusRule")[0]["spec"], rules[0]);
    let monitor = &of_kind("PodMonitor")[0]["spec"];
    let pod = &of_kind("DaemonSet")[0]["spec"]["template"];
    let selected = monitor["selector"]["matchLabels"].as_object().unwrap();
    assert!(!selected.is_empty());
    for (name, value) in selected {
        assert_eq!(&pod["metadata"]["labels"][name], value);
    }
    let endpoint = &monitor["podMetricsEndpoints"][0]["port"];
    assert_eq!(endpoint, &pod["spec"]["containers"][0]["ports"][0]["name"]);
    let boards = of_kind("ConfigMap");
    let board = boards
        .iter()
        .find_map(|it| it["data"]["gotrace.json"].as_str());
    let board: Value = serde_json::from_str(board.unwrap()).unwrap();
    let dashboard: Value =
        serde_json::from_str(&fs::read_to_string(file("dashboard.json")).unwrap()).unwrap();
    assert_eq!(board, dashboard);
}

#[test]
fn the_alerts_fire_in_the_expected_cases() {
    promtool(&["check", "rules"], &file("rules.yaml"));
    promtool(
        &["test", "rules"],
        &repository().join("tests/kubernetes/rules_test.yaml"),
    );
}

#[test]
fn every_panel_selects_instances_and_its_legends_are_labels_of_the_result() {
    let text = fs::read_to_string(file("dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let expr = target["expr"].as_str().unwrap();
            let n_families = expr.matches('{').count();
            assert_eq!(expr.matches("$instance").count(), n_families, "{expr}");
            // The labels of the outermost aggregation.
            let labels = expr
                .split_once(" by (")
                .and_then(|(_, it)| it.split_once(')'));
            let labels: Vec<&str> = labels.map_or(Vec::new(), |(it, _)| it.split(", ").collect());
            let legend = target["legendFormat"].as_str().unwrap();
            let mut names = legend
                .split("{{")
                .skip(1)
                .map(|it| it.split("}}").next().unwrap());
            assert!(names.all(|it| labels.contains(&it)), "{legend}: {expr}");
        }
    }
}

#[test]
fn the_dashboard_contains_valid_queries() {
    let rules: Vec<Value> = queries("5m", ".*")
        .into_iter()
        .zip(0..)
        .map(|(query, n)| (query.expr, n))
        .map(|(expr, n)| json!({"record": format!("panel:{n}"), "expr": expr}))
        .collect();
    assert!(rules.len() > 10);
    let dir = TempDir::new().unwrap();
    // Every JSON text is a YAML text.
    let path = dir.path().join("rules.json");
    fs::write(
        &path,
        json!({"groups": [{"name": "panels", "rules": rules}]}).to_string(),
    )
    .unwrap();
    promtool(&["check", "rules"], &path);
}

/// Names of metrics in a text, without the suffixes of histograms and rules.
fn metrics_in(text: &str) -> BTreeSet<String> {
    let is_name = |it: char| it.is_ascii_alphanumeric() || it == '_' || it == ':';
    text.split(|it| !is_name(it))
        .filter(|it| it.starts_with("go_build_") || it.starts_with("gotrace_"))
        .map(|it| {
            ["_bucket", "_sum", "_count"]
                .iter()
                .fold(it, |it, end| it.trim_end_matches(end))
                .to_owned()
        })
        .collect()
}

#[test]
fn the_configuration_cannot_move_the_port_of_the_probes() {
    let values = json!({"config": "listen = \"127.0.0.1:1\"", "address": "[::]", "port": 9000});
    let rendered = objects(&render(&values));
    let pod = rendered
        .iter()
        .find(|it| it["kind"] == "DaemonSet")
        .unwrap();
    let container = &pod["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["ports"][0]["containerPort"], 9000);
    let variables = container["env"].as_array().unwrap();
    let listen = variables.iter().find(|it| it["name"] == "GOTRACE_LISTEN");
    assert_eq!(listen.unwrap()["value"], "[::]:9000");
}

#[test]
fn probes_and_scrapes_are_encrypted_on_request() {
    let values = json!({"scheme": "HTTPS", "podMonitor": {
        "enabled": true,
        "endpoint": {"tlsConfig": {"insecureSkipVerify": true}},
    }});
    let rendered = objects(&render(&values));
    let find = |kind: &str| rendered.iter().find(|it| it["kind"] == kind).unwrap();
    let container = &find("DaemonSet")["spec"]["template"]["spec"]["containers"][0];
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert_eq!(container[probe]["httpGet"]["scheme"], "HTTPS", "{probe}");
    }
    let endpoint = &find("PodMonitor")["spec"]["podMetricsEndpoints"][0];
    assert_eq!(endpoint["scheme"], "https");
    assert_eq!(endpoint["tlsConfig"]["insecureSkipVerify"], true);
    assert_eq!(endpoint["path"], "/metrics");
}

#[test]
fn gotrace_exports_every_queried_metric() {
    let documented = fs::read_to_string(repository().join("docs/metrics.md")).unwrap();
    let lines = documented
        .lines()
        .filter_map(|it| it.strip_prefix("| `")?.split('`').next());
    let families: BTreeSet<String> = lines.map(str::to_owned).collect();
    let rules = fs::read_to_string(file("rules.yaml")).unwrap();
    let rules = objects(&rules);
    let exprs = rules[0]["groups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|it| it["rules"].as_array().unwrap().clone());
    let exprs: Vec<String> = exprs
        .map(|it| it["expr"].as_str().unwrap().to_owned())
        .chain(queries("5m", ".*").into_iter().map(|it| it.expr))
        .collect();
    let wanted = metrics_in(&exprs.join("\n"));
    assert!(wanted.len() > 10, "{wanted:?}");
    let missing: Vec<&String> = wanted.difference(&families).collect();
    assert!(missing.is_empty(), "gotrace does not export {missing:?}");
}
