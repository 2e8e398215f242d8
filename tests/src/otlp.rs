//! An OTLP receiver that stores requests and sends the replies a test configures, and an independent decoder for the requests.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "in a test harness a panic is the failure of the test"
)]

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::pypi::{pypi_dir, pypi_python};

const PATIENCE: Duration = Duration::from_mins(2);
const DECODE: &str = include_str!("otlp/decode.py");

/// A complete request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    pub path: String,
    /// Headers as sent, with names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(it, _)| it == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A status, headers that each end in a line break, and a body.
    Now(u16, &'static str, Vec<u8>),
    /// No reply until the client disconnects.
    Never,
}

impl Reply {
    pub fn ok() -> Self {
        Self::Now(200, "", Vec::new())
    }
}

/// Listens until the test ends.
#[derive(Clone, Debug)]
pub struct Receiver {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    /// `reply` receives the request and the number of earlier requests for the same path.
    pub fn start(reply: impl Fn(&Received, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), reply)
    }

    pub fn start_at(
        address: SocketAddr,
        reply: impl Fn(&Received, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            requests: Arc::default(),
        };
        let (requests, reply) = (Arc::clone(&receiver.requests), Arc::new(reply));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (requests, reply) = (Arc::clone(&requests), Arc::clone(&reply));
                // The thread ends with the connection.
                thread::spawn(move || serve(&stream, &requests, &*reply));
            }
        });
        receiver
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn received(&self) -> Vec<Received> {
        lock(&self.requests).clone()
    }

    /// Waits until the received requests satisfy `wanted`.
    pub fn wait_for(&self, wanted: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        let since = Instant::now();
        loop {
            let received = self.received();
            if wanted(&received) {
                return received;
            }
            let paths: Vec<&str> = received.iter().map(|it| &*it.path).collect();
            assert!(since.elapsed() < PATIENCE, "received only {paths:?}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// An address on which nothing listens now.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn lock(requests: &Mutex<Vec<Received>>) -> std::sync::MutexGuard<'_, Vec<Received>> {
    requests.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(
    stream: &TcpStream,
    requests: &Mutex<Vec<Received>>,
    reply: &dyn Fn(&Received, usize) -> Reply,
) {
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        let n_before = {
            let mut requests = lock(requests);
            let n = requests.iter().filter(|it| it.path == request.path).count();
            requests.push(request.clone());
            n
        };
        match reply(&request, n_before) {
            Reply::Now(status, headers, body) => {
                let head = format!(
                    "HTTP/1.1 {status} Told\r\nContent-Type: application/x-protobuf\r\n{headers}Content-Length: {}\r\n\r\n",
                    body.len()
                );
                let answer = [head.into_bytes(), body].concat();
                let mut writer = stream;
                if writer.write_all(&answer).is_err() {
                    return;
                }
            }
            Reply::Never => {
                let mut rest = [0];
                // Returns when the client disconnects.
                let _gone = reader.read(&mut rest);
                return;
            }
        }
    }
}

/// Returns `None` at the end of the connection.
fn read(reader: &mut BufReader<&TcpStream>) -> Option<Received> {
    let mut line = String::new();
    if reader.read_line(&mut line).ok()? == 0 {
        return None;
    }
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = Received {
        path,
        headers,
        body: Vec::new(),
    };
    let length = request.header("content-length")?.parse().ok()?;
    request.body.resize(length, 0);
    reader.read_exact(&mut request.body).ok()?;
    Some(request)
}

/// Spans, log records and metrics of the requests, decoded by the official Python package.
pub fn decode(requests: &[Received]) -> Vec<Value> {
    let mut lines = String::new();
    for request in requests {
        let mut body = String::new();
        for byte in &request.body {
            write!(body, "{byte:02x}").unwrap();
        }
        let gzip = request.header("content-encoding") == Some("gzip");
        let line = json!({ "path": request.path, "gzip": gzip, "body": body });
        writeln!(lines, "{line}").unwrap();
    }
    let mut python = Command::new(pypi_python())
        .args(["-c", DECODE])
        .env("PYTHONPATH", pypi_dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = python.stdin.take().unwrap();
    let writer = thread::spawn(move || stdin.write_all(lines.as_bytes()));
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "the requests cannot be decoded");
    serde_json::from_slice(&output.stdout).unwrap()
}
