//! The protection of the agent's pages: TLS, tokens and Unix sockets, with curl as an independent client. Needs no root.
#![cfg(test)]

use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tracer_user::agent::Config;
use tracer_user::agent::http::{Readiness, Rules, Served, Server};
use tracer_user::agent::local::LocalAgent;
use tracer_user::agent::metrics::Metrics;
use tracer_user::config::Layer;
use tracer_user::config::http::HttpSettings;
use tracer_user::history::ReadPool;

const PATIENCE: Duration = Duration::from_secs(20);
const LIMIT: usize = 1 << 20;

fn run(program: &str, dir: &Path, words: &[&str]) -> Output {
    let output = Command::new(program).args(words).current_dir(dir).output();
    output.unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// Creates a certificate for `localhost` in two files.
fn certify(dir: &Path, name: &str) {
    let line = format!(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name} \
         -addext subjectAltName=DNS:localhost -keyout {name}.key -out {name}.crt"
    );
    let made = run("openssl", dir, &line.split(' ').collect::<Vec<_>>());
    assert!(made.status.success(), "{made:?}");
}

struct Agent {
    dir: TempDir,
    server: Server,
    settings: HttpSettings,
}

impl Agent {
    /// Starts a server with a certificate and a token.
    fn start() -> Self {
        let dir = TempDir::new().unwrap();
        certify(dir.path(), "one");
        let token = dir.path().join("token");
        fs::write(&token, "old-token\nnew-token\n").unwrap();
        let settings = HttpSettings {
            token_file: Some(token),
            ..with_certificate(dir.path(), "one")
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let rules = Rules::load(&settings).unwrap();
        Self {
            server: Server::start(listener, served(dir.path()), rules).unwrap(),
            dir,
            settings,
        }
    }

    /// The status of a page, or the exit code of curl with a minus sign.
    fn status(&self, cert: &str, path: &str, more: &[&str]) -> String {
        let port = self.server.address().unwrap().port();
        let url = format!("https://localhost:{port}{path}");
        let words = ["--silent", "--cacert", cert, "--output", "body", &url];
        let words = [&words[..], &["--write-out", "%{http_code}"], more].concat();
        let output = run("curl", self.dir.path(), &words);
        match output.status.code() {
            Some(0) => String::from_utf8(output.stdout).unwrap(),
            code => format!("-{}", code.unwrap()),
        }
    }

    /// The client of gotrace's own commands.
    fn local(&self, settings: &HttpSettings) -> LocalAgent {
        let listen = self.server.address().unwrap().to_string();
        let layer = Layer {
            listen: Some(listen.parse().unwrap()),
            http: Some(settings.clone()),
            ..Layer::default()
        };
        LocalAgent::of(&Config::of(layer)).unwrap()
    }
}

fn with_certificate(dir: &Path, name: &str) -> HttpSettings {
    HttpSettings {
        tls_cert: Some(dir.join(format!("{name}.crt"))),
        tls_key: Some(dir.join(format!("{name}.key"))),
        ..HttpSettings::default()
    }
}

fn served(dir: &Path) -> Arc<Served> {
    Arc::new(Served {
        metrics: Arc::new(Metrics::new(Duration::MAX).unwrap()),
        history: ReadPool::new(&dir.join("history.db")),
        readiness: Readiness::not_yet("the test does not trace"),
    })
}

#[test]
fn pages_are_encrypted_and_require_a_token() {
    let agent = Agent::start();
    for (path, header, status) in [
        ("/metrics", "", "401"),
        ("/metrics", "Authorization: Bearer wrong", "401"),
        ("/metrics", "Authorization: Bearer old-token", "200"),
        ("/metrics", "Authorization: Bearer new-token", "200"),
        ("/-/healthy", "", "200"),
        ("/-/ready", "", "503"),
        ("/api/v1/builds", "", "401"),
        ("/nowhere", "", "401"),
    ] {
        let shown = agent.status("one.crt", path, &["--header", header]);
        assert_eq!(shown, status, "{path} {header}");
    }
    let dump = ["--dump-header", "-"];
    let head = agent.status("one.crt", "/metrics", &dump);
    let challenge = "www-authenticate: Bearer realm=\"gotrace\"\r\n";
    assert!(head.contains(challenge), "{head}");

    // The server does not answer without encryption.
    let port = agent.server.address().unwrap().port();
    let plain = format!("http://localhost:{port}/-/healthy");
    let plain = run("curl", agent.dir.path(), &["--silent", &plain]);
    assert!(
        !plain.status.success() && plain.stdout.is_empty(),
        "{plain:?}"
    );
}

#[test]
fn a_new_certificate_and_token_apply_to_the_next_connection() {
    let agent = Agent::start();
    let dir = agent.dir.path();
    certify(dir, "two");
    fs::write(dir.join("token"), "third-token\n").unwrap();
    let settings = HttpSettings {
        token_file: agent.settings.token_file.clone(),
        ..with_certificate(dir, "two")
    };
    agent.server.set_rules(Rules::load(&settings).unwrap());
    let third = ["--header", "Authorization: Bearer third-token"];
    let old = ["--header", "Authorization: Bearer old-token"];
    assert_eq!(agent.status("two.crt", "/metrics", &third), "200");
    assert_eq!(agent.status("two.crt", "/metrics", &old), "401");
    assert_eq!(agent.status("one.crt", "/metrics", &third), "-60");
}

#[test]
fn a_certificate_with_another_key_is_refused() {
    let agent = Agent::start();
    let dir = agent.dir.path();
    certify(dir, "two");
    let mixed = HttpSettings {
        tls_key: Some(dir.join("two.key")),
        ..agent.settings.clone()
    };
    let error = format!("{:#}", Rules::load(&mixed).unwrap_err());
    assert_eq!(error, "http.tls_key: it is not the key of the certificate");
    for (settings, cause) in [
        (with_certificate(dir, "three"), "http.tls_cert: cannot read"),
        (
            HttpSettings {
                tls_key: Some(dir.join("one.crt")),
                ..agent.settings.clone()
            },
            "http.tls_key: ",
        ),
    ] {
        let error = format!("{:#}", Rules::load(&settings).unwrap_err());
        assert!(error.starts_with(cause), "{error}");
    }
}

#[test]
fn half_open_handshakes_delay_nobody() {
    let agent = Agent::start();
    let address = agent.server.address().unwrap();
    let half = |_| {
        let mut stream = TcpStream::connect(address).unwrap();
        // The start of a ClientHello.
        stream.write_all(&[0x16, 3, 1, 2, 0, 1]).unwrap();
        stream
    };
    let _half: Vec<TcpStream> = (0..200).map(half).collect();
    let begun = Instant::now();
    assert_eq!(agent.status("one.crt", "/-/healthy", &[]), "200");
    assert!(begun.elapsed() < Duration::from_secs(2));
}

#[test]
fn the_commands_of_gotrace_send_the_token_to_their_own_agent_only() {
    let agent = Agent::start();
    let own = agent.local(&agent.settings);
    let page = own.get("/metrics", PATIENCE, LIMIT).unwrap();
    assert_eq!(page.status, 200);
    assert!(page.body.starts_with(b"# "));
    certify(agent.dir.path(), "two");
    let other = HttpSettings {
        token_file: agent.settings.token_file.clone(),
        ..with_certificate(agent.dir.path(), "two")
    };
    let error = agent.local(&other).get("/metrics", PATIENCE, LIMIT);
    assert!(error.unwrap_err().to_string().contains("certificate"));

    // Without encryption, the token is not sent.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = HttpSettings {
        token_file: agent.settings.token_file.clone(),
        ..HttpSettings::default()
    };
    let rules = Rules::load(&plain).unwrap();
    let server = Server::start(listener, served(agent.dir.path()), rules).unwrap();
    let agent = Agent { server, ..agent };
    let page = agent.local(&plain).get("/metrics", PATIENCE, LIMIT);
    assert_eq!(page.unwrap().status, 401);
}
