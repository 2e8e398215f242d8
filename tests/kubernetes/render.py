"""Renders a chart as `helm install` does, with Helm's own library (helm-sdkpy of PyPI). Prints the result or the errors.

    render.py LIBRARY CHART VALUES_JSON

Helm queries a cluster for its kinds and its existing objects. This script therefore serves a cluster with all kinds of the chart and
no objects. It discards the data that Helm sends.
"""

import ctypes
import http.server
import json
import sys
import tempfile
import threading

KINDS = {
    "v1": [("namespaces", "Namespace", False), ("serviceaccounts", "ServiceAccount", True), ("configmaps", "ConfigMap", True), ("secrets", "Secret", True)],
    "apps/v1": [("daemonsets", "DaemonSet", True)],
    "networking.k8s.io/v1": [("networkpolicies", "NetworkPolicy", True)],
    "monitoring.coreos.com/v1": [("podmonitors", "PodMonitor", True), ("prometheusrules", "PrometheusRule", True)],
}


def answer(path):
    """Returns the status code and the object of a cluster's response."""
    if path == "/version":
        return 200, {"major": "1", "minor": "30", "gitVersion": "v1.30.0"}
    if path == "/api":
        return 200, {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        groups = [it.split("/") for it in KINDS if "/" in it]
        versions = [(group, {"groupVersion": f"{group}/{version}", "version": version}) for group, version in groups]
        return 200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": [{"name": name, "versions": [it], "preferredVersion": it} for name, it in versions]}
    for version, kinds in KINDS.items():
        if path in (f"/api/{version}", f"/apis/{version}"):
            resources = [{"name": name, "singularName": "", "kind": kind, "namespaced": own, "verbs": ["create", "get"]} for name, kind, own in kinds]
            return 200, {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}
    return 404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}


class Cluster(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.split("?")[0]
        if path.endswith("/secrets"):
            self.send(200, {"kind": "SecretList", "apiVersion": "v1", "items": []})
        else:
            self.send(*answer(path))

    def do_POST(self):
        # The same format as in the request: JSON or protobuf.
        self.respond(201, self.headers["Content-Type"], self.rfile.read(int(self.headers["Content-Length"])))

    do_PUT = do_PATCH = do_POST

    def send(self, code, what):
        self.respond(code, "application/json", json.dumps(what).encode())

    def respond(self, code, content_type, body):
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def main(library, chart, values):
    helm = ctypes.CDLL(library)
    helm.helm_sdkpy_last_error.restype = ctypes.c_char_p

    def done(code):
        if code != 0:
            sys.exit(helm.helm_sdkpy_last_error().decode())

    cluster = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cluster)
    threading.Thread(target=cluster.serve_forever, daemon=True).start()
    kubeconfig = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "clusters": [{"name": "it", "cluster": {"server": f"http://127.0.0.1:{cluster.server_address[1]}"}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "users": [{"name": "it", "user": {}}],
    }
    with tempfile.NamedTemporaryFile("w") as file:
        json.dump(kubeconfig, file)
        file.flush()
        handle, result = ctypes.c_ulonglong(), ctypes.c_char_p()
        done(helm.helm_sdkpy_config_create(b"gotrace", file.name.encode(), b"", b"{}", ctypes.byref(handle)))
        done(helm.helm_sdkpy_lint(handle, chart.encode(), ctypes.byref(result)))
        linted = json.loads(result.value)
        done(helm.helm_sdkpy_install(handle, b"gotrace", chart.encode(), values.encode(), b"", b'{"wait": false, "disable_openapi_validation": true}', ctypes.byref(result)))
        print(json.dumps({"lint": linted, "release": json.loads(result.value)}))


main(*sys.argv[1:])
