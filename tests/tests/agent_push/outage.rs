//! Gateways that are unreachable, hang or refuse. No output shows a secret.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use tracer_core::finished::FinishedTrace;

use tracer_user::agent::export::pushgateway::{Pushgateway, PushgatewaySettings};
use tracer_user::log::Log;

use crate::gateway::Gateway;
use crate::harness::{DAY, Push, built, free_address, target};

fn silent(_: &str) {}

/// Answers each request with these bytes, and sends its head to the test.
fn answering(answer: &'static str) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (sender, heads) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let head = take_request(&mut stream.unwrap(), answer);
            if sender.send(head).is_err() {
                return;
            }
        }
    });
    (address, heads)
}

fn take_request(stream: &mut TcpStream, answer: &str) -> String {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let n = reader.read_line(&mut head).unwrap();
        assert!(n > 0, "half a request: {head}");
    }
    let length = head.lines().find_map(|it| {
        let (name, value) = it.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<u64>().unwrap())
    });
    let mut body = String::new();
    reader
        .take(length.unwrap_or(0))
        .read_to_string(&mut body)
        .unwrap();
    stream.write_all(answer.as_bytes()).unwrap();
    head
}

#[test]
fn a_gateway_that_returns_gets_only_the_newest_push() {
    let address = free_address();
    let push = Push::to(&format!("http://{address}"), DAY, silent);
    push.output.ended(&FinishedTrace::of(built(300)));
    push.wait_for("a failure", |it| it.failed >= 1 && it.waiting == 1);
    push.output.ended(&FinishedTrace::of(built(200)));
    push.output.ended(&FinishedTrace::of(built(100)));
    let gateway = Gateway::start_at(address);
    let newest = gateway.wait_for(&target(), |_| true);
    let age = newest.families["push_time_seconds"][0]
        - newest.families["go_build_last_timestamp_seconds"][0];
    assert!((99.0..199.0).contains(&age), "{newest:?}");
    let (counts, _) = push.finish();
    assert_eq!((counts.sent, counts.waiting, counts.dropped), (1, 0, 0));
}

#[test]
fn waiting_pushes_survive_the_agent() {
    let address = free_address();
    let url = format!("http://{address}");
    let push = Push::to(&url, DAY, silent);
    push.output.ended(&FinishedTrace::of(built(100)));
    push.wait_for("a failure", |it| it.failed >= 1 && it.waiting == 1);
    let (counts, dir) = push.finish();
    assert_eq!((counts.sent, counts.waiting), (0, 1));
    // Left by an agent that was killed while it wrote.
    let unfinished = dir.path().join("spool/.x.json.unfinished");
    std::fs::write(&unfinished, "{").unwrap();
    let gateway = Gateway::start_at(address);
    let push = Push::restart(dir, &url, DAY, silent);
    gateway.wait_for(&target(), |_| true);
    push.wait_for("a push", |it| it.sent == 1 && it.waiting == 0);
    assert!(!unfinished.exists());
}

#[test]
fn a_silent_gateway_costs_one_file_and_is_counted() {
    // The kernel accepts the connections.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let push = Push::to(&url, DAY, silent);
    push.output.ended(&FinishedTrace::of(built(100)));
    for _ in 0..1000 {
        push.output.ended(&FinishedTrace::of(built(50)));
    }
    push.wait_for("a failure", |it| it.failed >= 1);
    let (counts, dir) = push.finish();
    assert_eq!((counts.sent, counts.waiting), (0, 1));
    let n_files = std::fs::read_dir(dir.path().join("spool")).unwrap().count();
    assert_eq!(n_files, 1);
}

#[test]
fn a_refused_push_is_retried_only_with_the_next_build() {
    static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let (address, heads) =
        answering("HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 3\r\n\r\nbad");
    let tell: fn(&str) = |it| printed(&LINES).push(it.to_owned());
    let push = Push::to(&format!("http://{address}"), DAY, tell);
    push.output.ended(&FinishedTrace::of(built(100)));
    push.wait_for("a refusal", |it| it.failed == 1 && it.waiting == 1);
    push.output.ended(&FinishedTrace::of(built(50)));
    push.wait_for("a second refusal", |it| it.failed == 2);
    let (counts, _) = push.finish();
    assert_eq!(counts.failed, 2);
    assert_eq!(heads.try_iter().count(), 2);
    let printed = printed(&LINES);
    assert_eq!(printed.len(), 1, "{printed:?}");
    assert!(printed[0].contains("400 Bad Request: bad"), "{printed:?}");
}

fn printed(printed: &Mutex<Vec<String>>) -> std::sync::MutexGuard<'_, Vec<String>> {
    printed.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_push_to_a_busy_gateway_is_retried() {
    let (address, heads) =
        answering("HTTP/1.1 503 Busy\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    let push = Push::to(&format!("http://{address}"), DAY, silent);
    push.output.ended(&FinishedTrace::of(built(100)));
    push.wait_for("a failure", |it| it.failed == 1 && it.waiting == 1);
    assert_eq!(heads.try_iter().count(), 3);
}

#[test]
fn no_secret_is_shown_or_stored() {
    static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());
    const SECRETS: [&str; 4] = ["hunter2", "cGFzc2hhbW1lcg", "aHVudGVyMg", "passhammer"];
    let tell: fn(&str) = |it| printed(&LINES).push(it.to_owned());
    let dir = tempfile::tempdir().unwrap();
    let password = dir.path().join("password");
    std::fs::write(&password, "passhammer\n").unwrap();
    // Repeats the request in its answer, as some proxies do.
    let (address, heads) = answering(
        "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 54\r\n\r\n\
         Authorization: Basic Y2k6aHVudGVyMg== password=hunter2",
    );
    let away = free_address();
    let with_file = |address: &str| PushgatewaySettings {
        username: Some("ci".to_owned()),
        password_file: Some(password.clone()),
        ..PushgatewaySettings::of(format!("http://{address}/p").parse().unwrap())
    };
    let in_url = |address: &str| {
        PushgatewaySettings::of(
            format!("http://ci:hunter2@{address}/p?k=hunter2")
                .parse()
                .unwrap(),
        )
    };
    let gone = away.to_string();
    let all = [
        in_url(&address),
        with_file(&address),
        in_url(&gone),
        with_file(&gone),
    ];
    let mut shown = String::new();
    for (n, settings) in all.iter().enumerate() {
        let spool = dir.path().join(n.to_string());
        let output =
            Pushgateway::start(settings, &spool, DAY, Log::to(move |it| tell(it.message))).unwrap();
        output.ended(&FinishedTrace::of(built(10)));
        crate::harness::wait_for("a failure", || {
            let counts = output.counts();
            (counts.failed == 1)
                .then_some(())
                .ok_or(format!("{counts:?}"))
        });
        shown = format!("{shown} {settings:?} {output:?} ");
        output.finish(std::time::Instant::now() + Duration::from_secs(20));
        for file in std::fs::read_dir(&spool).unwrap() {
            shown += &std::fs::read_to_string(file.unwrap().path()).unwrap();
        }
    }
    let lines = printed(&LINES);
    assert!(lines.len() >= 4, "{lines:?}");
    shown += &lines.join(" ");
    for secret in SECRETS {
        assert!(!shown.contains(secret), "{shown}");
    }
    let heads: Vec<String> = heads.try_iter().collect();
    assert!(heads[0].contains("Basic Y2k6aHVudGVyMg=="), "{heads:?}");
    assert!(heads[1].contains("Basic Y2k6cGFzc2hhbW1lcg=="), "{heads:?}");
}
