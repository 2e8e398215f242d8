use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use super::*;

/// Responds to one request with these bytes. The thread returns the head of the request.
fn answering(answer: &'static str) -> (Endpoint, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = move || {
        let (mut stream, _) = listener.accept().unwrap();
        let head = head(&stream);
        stream.write_all(answer.as_bytes()).unwrap();
        head
    };
    let endpoint = format!("http://ci:s3cret@{address}/base").parse().unwrap();
    (endpoint, thread::spawn(serve))
}

fn head(stream: &TcpStream) -> String {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let lines: Vec<String> = lines.take_while(|it| !it.is_empty()).collect();
    lines.join("\n")
}

fn client(endpoint: Endpoint) -> Client {
    Client::new(endpoint, Authorization::None, None).unwrap()
}

fn outcome(answer: &'static str) -> Outcome {
    let (endpoint, server) = answering(answer);
    let outcome = client(endpoint).send(&HttpRequest::new(Method::Delete, "/x"));
    server.join().unwrap();
    outcome
}

#[test]
fn a_request_contains_all_given_parts() {
    let (endpoint, server) = answering("HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nok");
    let request = HttpRequest {
        headers: &[("content-type", "text/plain")],
        body: b"one 1\n",
        ..HttpRequest::new(Method::Put, "/metrics/job/a%2Fb")
    };
    let outcome = client(endpoint).send(&request);
    let answer = HttpResponse {
        body: b"ok".to_vec(),
        is_whole: true,
    };
    assert_eq!(outcome, Outcome::Done(answer));
    let head = server.join().unwrap().to_ascii_lowercase();
    assert!(
        head.starts_with("put /base/metrics/job/a%2fb http/1.1"),
        "{head}"
    );
    for line in [
        "content-type: text/plain",
        "content-length: 6",
        "authorization: basic y2k6cznjcmv0",
        "user-agent: gotrace/",
    ] {
        assert!(head.contains(line), "no {line} in {head}");
    }
}

#[test]
fn responses_are_classified() {
    let refused = outcome(
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 22\r\n\r\nno:\ttoken=\u{1b}s3cret\nbad",
    );
    let Outcome::Refused(why) = refused else {
        panic!("{refused:?}")
    };
    assert!(why.contains("400 Bad Request: no: token="), "{why}");
    assert!(!why.contains("s3cret") && !why.contains('\u{1b}'), "{why}");
    let moved = outcome(
        "HTTP/1.1 308 Permanent Redirect\r\nlocation: http://x/\r\ncontent-length: 0\r\n\r\n",
    );
    assert!(
        matches!(&moved, Outcome::Refused(why) if why.contains("final address")),
        "{moved:?}"
    );
    let busy =
        outcome("HTTP/1.1 429 Too Many Requests\r\nretry-after: 17\r\ncontent-length: 0\r\n\r\n");
    let after = Some(Duration::from_secs(17));
    assert!(
        matches!(&busy, Outcome::Later { after: it, .. } if *it == after),
        "{busy:?}"
    );
    let broken = outcome("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
    assert!(
        matches!(&broken, Outcome::Later { after: None, .. }),
        "{broken:?}"
    );
    let nonsense = outcome("SSH-2.0-OpenSSH_9.2\r\n\r\n");
    assert!(matches!(&nonsense, Outcome::Later { .. }), "{nonsense:?}");
}

#[test]
fn a_long_response_is_cut() {
    let (endpoint, server) = answering("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789");
    let request = HttpRequest {
        limit: 4,
        ..HttpRequest::new(Method::Get, "")
    };
    let answer = HttpResponse {
        body: b"0123".to_vec(),
        is_whole: false,
    };
    assert_eq!(client(endpoint).send(&request), Outcome::Done(answer));
    server.join().unwrap();
}

#[test]
fn no_connection_and_no_response_are_temporary_failures() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let silent = client(format!("http://ci:s3cret@{address}").parse().unwrap());
    let begun = Instant::now();
    let request = HttpRequest {
        patience: Duration::from_millis(100),
        ..HttpRequest::new(Method::Get, "")
    };
    let outcome = silent.send(&request);
    assert!(begun.elapsed() < TOTAL);
    assert!(
        matches!(&outcome, Outcome::Later { why, .. } if why == "no answer in time"),
        "{outcome:?}"
    );
    drop(listener);
    let outcome = silent.send(&request);
    assert!(
        matches!(&outcome, Outcome::Later { why, .. } if why.contains("refused")),
        "{outcome:?}"
    );
    assert!(!format!("{silent:?} {outcome:?}").contains("s3cret"));
}

#[test]
fn a_file_without_a_certificate_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    std::fs::write(&file, "hello").unwrap();
    let endpoint: Endpoint = "https://localhost:1".parse().unwrap();
    let error = Client::new(endpoint, Authorization::None, Some(&file)).unwrap_err();
    let error = format!("{error:#}");
    assert!(error.contains("holds no certificate in PEM"), "{error}");
}
