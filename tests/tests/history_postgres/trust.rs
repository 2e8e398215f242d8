//! Verification of servers by certificate and of users by password. Error messages do not contain the password.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tests::run_gotrace;
use tracer_user::history::central;

use crate::harness::small_builds;
use crate::server::{Machine, PASSWORD, Server};

fn openssl(dir: &Path, line: &str) {
    let output = Command::new("openssl")
        .args(line.split(' '))
        .current_dir(dir)
        .output()
        .unwrap();
    assert!(output.status.success(), "openssl {line}: {output:?}");
}

/// Creates an authority that signs a certificate for `localhost`, and another that signs none.
fn certify(server: &mut Server) {
    let dir = server.dir.path().to_owned();
    for authority in ["ca", "stranger"] {
        openssl(
            &dir,
            &format!(
                "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN={authority} -keyout {authority}.key -out {authority}.pem"
            ),
        );
    }
    openssl(
        &dir,
        "req -newkey rsa:2048 -nodes -subj /CN=db -keyout server.key -out server.csr",
    );
    fs::write(dir.join("names"), "subjectAltName=DNS:localhost\n").unwrap();
    openssl(
        &dir,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.crt",
    );
    for (name, mode) in [("server.key", "600"), ("server.crt", "644")] {
        let to = dir.join("data").join(name);
        fs::copy(dir.join(name), &to).unwrap();
        for words in [["chown", "postgres"], ["chmod", mode]] {
            assert!(
                Command::new(words[0])
                    .arg(words[1])
                    .arg(&to)
                    .status()
                    .unwrap()
                    .success()
            );
        }
    }
    server.query("ALTER SYSTEM SET ssl = on");
    // The server refuses unencrypted connections.
    let rules = dir.join("data/pg_hba.conf");
    fs::write(
        rules,
        "local all admin scram-sha-256\nhostssl all all all scram-sha-256\n",
    )
    .unwrap();
    server.kill();
    server.restart();
}

fn list(at: &str) -> Output {
    run_gotrace(["builds", "--format", "json", "--store", at], [("A", "B")])
}

#[test]
fn a_server_must_prove_its_identity_as_the_address_requires() {
    let mut server = Server::start();
    central::prepare(&server.address("admin")).unwrap();
    certify(&mut server);
    let dir = server.dir.path().display().to_string();
    let at = |host: &str, question: &str| {
        let at = server.url("admin").replace("127.0.0.1", host);
        list(&format!("{at}?{}", question.replace("DIR", &dir)))
    };
    for (host, question) in [
        ("localhost", "sslmode=verify-full&sslrootcert=DIR/ca.pem"),
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert=DIR/ca.pem"),
        ("127.0.0.1", "sslmode=require&sslrootcert=DIR/ca.pem"),
        ("127.0.0.1", "sslmode=require"),
        ("127.0.0.1", "sslmode=prefer"),
        ("127.0.0.1", ""),
    ] {
        let output = at(host, question);
        assert!(output.status.success(), "{host} {question}: {output:?}");
    }
    for (host, question, expected) in [
        (
            "127.0.0.1",
            "sslmode=verify-full&sslrootcert=DIR/ca.pem",
            "cannot be trusted: its certificate is for another host",
        ),
        (
            "localhost",
            "sslmode=verify-full&sslrootcert=DIR/stranger.pem",
            "cannot be trusted",
        ),
        (
            "localhost",
            "sslmode=verify-ca&sslrootcert=DIR/stranger.pem",
            "cannot be trusted: no root in sslrootcert signed its certificate",
        ),
        (
            "localhost",
            "sslmode=require&sslrootcert=DIR/stranger.pem",
            "cannot be trusted",
        ),
        (
            "localhost",
            "sslmode=verify-full",
            "name a PEM file with sslrootcert=FILE",
        ),
        (
            "localhost",
            "sslmode=verify-full&sslrootcert=DIR/nothing",
            "cannot be read",
        ),
        (
            "localhost",
            "sslmode=verify-full&sslrootcert=DIR/server.key",
            "contains none; name a PEM file",
        ),
        ("localhost", "sslmode=on", "sslmode must be disable, prefer"),
        ("localhost", "sslmode=disable", "rejects this user"),
    ] {
        let output = at(host, question);
        let printed = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{host} {question}: {output:?}"
        );
        assert!(printed.contains(expected), "{host} {question}: {printed}");
        assert!(
            !printed.contains(PASSWORD) && !printed.contains("pa55"),
            "{printed}"
        );
    }
    // Delivery is encrypted, too.
    let machine = Machine::new();
    machine.finish(&small_builds(3));
    let at = server.url("admin").replace("127.0.0.1", "localhost");
    let at = format!("{at}?sslmode=verify-full&sslrootcert={dir}/ca.pem");
    machine.deliver(central::Address::of(&at).unwrap());
    assert_eq!(server.count("build"), 3);
}

#[test]
fn a_server_without_encryption_is_refused_if_the_address_requires_it() {
    let server = Server::start();
    for mode in [
        "require",
        "verify-ca&sslrootcert=/etc/ssl/certs/ca-certificates.crt",
    ] {
        let output = list(&format!("{}?sslmode={mode}", server.url("admin")));
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(
            printed.contains("cannot be trusted") && printed.contains("TLS"),
            "{printed}"
        );
    }
}

#[test]
fn a_password_is_read_from_each_source_and_never_shown() {
    let server = Server::start();
    central::prepare(&server.address("admin")).unwrap();
    let bare = format!("postgres://admin@127.0.0.1:{}/history", server.port);
    let file = server.dir.path().join("password-file");
    fs::write(&file, format!("{PASSWORD}\nnot this line\n")).unwrap();
    let named = format!("{bare}?password_file={}", file.display());
    let builds = |at: &str, password: &str| {
        run_gotrace(
            ["builds", "--format", "json", "--store", at],
            [("PGPASSWORD", password)],
        )
    };
    assert!(builds(&bare, PASSWORD).status.success());
    assert!(builds(&named, "another").status.success());
    assert!(list(&server.url("admin")).status.success());
    let wrong = server.url("admin").replace("pa55", "wr0ng");
    let no_file = format!("{bare}?password_file=/no/such/file");
    let no_at = server.url("admin").replace('@', "/");
    let no_port = server
        .url("admin")
        .replace(&format!(":{}/", server.port), ":port/");
    for (at, password, expected) in [
        (wrong.as_str(), "hunter2", "rejects this user"),
        (bare.as_str(), "hunter2", "password authentication failed"),
        (no_file.as_str(), "hunter2", "/no/such/file cannot be read"),
        (no_at.as_str(), "hunter2", ""),
        (no_port.as_str(), "hunter2", "has an invalid address"),
    ] {
        let output = builds(at, password);
        let printed = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(printed.contains(expected), "{printed}");
        for secret in ["hunter2", "wr0ng", "pa55", "w%25rd", "rd%2Fwith"] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }
    let output = run_gotrace(["builds", "--store", &bare], [("A", "B")]);
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(printed.contains("rejects this user"), "{printed}");
}

#[test]
fn missing_parts_of_the_central_history_are_reported_with_a_remedy() {
    let mut server = Server::start();
    let fails = |output: Output, expected: &str| {
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let printed = String::from_utf8(output.stderr).unwrap();
        assert!(printed.contains(expected), "{printed}");
        assert_eq!(printed.lines().count(), 1, "{printed}");
    };
    let at = server.url("admin");
    fails(list(&at), "the owner must run `gotrace store prepare`");
    central::prepare(&server.address("admin")).unwrap();
    central::prepare(&server.address("admin")).unwrap();
    server.make_user("somebody");
    fails(
        list(&server.url("somebody")),
        "has no tables for gotrace, or this user cannot read them",
    );
    server.query("UPDATE gotrace.form SET number = 99");
    fails(
        list(&at),
        "was written by a newer gotrace (schema 99, this gotrace supports up to 4)",
    );
    let newer = central::prepare(&server.address("admin")).unwrap_err();
    assert!(
        newer.cause.to_string().contains("newer gotrace"),
        "{newer:?}"
    );
    server.query("UPDATE gotrace.form SET number = 4");
    fails(
        run_gotrace(["show", "--store", &at, "0"], [("A", "B")]),
        "has no build 0: `gotrace builds` lists the builds",
    );
    server.kill();
    fails(list(&at), "cannot be reached: check that the server runs");
    fails(
        run_gotrace(["store", "prepare", "/var/lib/history.db"], [("A", "B")]),
        "its address begins with postgres://",
    );
}
