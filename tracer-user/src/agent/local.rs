//! Requests to the agent of this machine, as its configuration describes it: over a port, TLS or a Unix socket, with its token.
//!
//! The server must have the configured certificate, whatever its name: another process may have taken the port. For the same reason, a
//! token is not sent over an unencrypted port.

mod pin;

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::Config;
use super::http::tokens;
use crate::config::ListenAddress;

/// Maximum size of the head of an answer.
const HEAD: usize = 16 << 10;
const CHUNK: usize = 16 << 10;

/// The way to the agent of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAgent {
    address: ListenAddress,
    tls_cert: Option<PathBuf>,
    token_file: Option<PathBuf>,
}

/// An answer of the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    pub status: u16,
    pub body: Vec<u8>,
}

impl LocalAgent {
    /// `None` if the agent has no pages.
    pub fn of(config: &Config) -> Option<Self> {
        let Config { listen, http, .. } = config;
        (*listen != ListenAddress::None).then(|| Self {
            address: listen.reachable(),
            tls_cert: http.tls_cert.clone(),
            token_file: http.token_file.clone(),
        })
    }

    /// The URL of a path, for messages.
    pub fn url(&self, path: &str) -> String {
        let Self {
            address, tls_cert, ..
        } = self;
        match address {
            ListenAddress::Tcp(address) if tls_cert.is_some() => format!("https://{address}{path}"),
            ListenAddress::Tcp(address) => format!("http://{address}{path}"),
            ListenAddress::Unix(_) | ListenAddress::None => format!("{path} of {address}"),
        }
    }

    /// Requests a page. Fails after `timeout`, or if the page has more than `limit` bytes.
    pub fn get(&self, path: &str, timeout: Duration, limit: usize) -> io::Result<Page> {
        let deadline = Instant::now() + timeout;
        let mut connection = self.connect(deadline)?;
        let token = self
            .token()
            .map_or_else(String::new, |it| format!("Authorization: Bearer {it}\r\n"));
        let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n{token}\r\n");
        connection.stream.write_all(request.as_bytes())?;
        connection.stream.flush()?;
        read_page(&mut connection, deadline, limit)
    }

    /// The first token, if this user can read it and the connection is protected.
    fn token(&self) -> Option<String> {
        let is_protected = match self.address {
            ListenAddress::Tcp(_) => self.tls_cert.is_some(),
            ListenAddress::Unix(_) => true,
            ListenAddress::None => false,
        };
        let file = self.token_file.as_deref().filter(|_| is_protected)?;
        let token = tokens(file).ok()?.into_iter().next()?;
        String::from_utf8(token.into()).ok()
    }

    fn connect(&self, deadline: Instant) -> io::Result<Connection> {
        match &self.address {
            ListenAddress::None => Err(io::Error::other("the agent has no pages")),
            ListenAddress::Unix(path) => {
                let stream = connect_unix(path)?;
                Ok(Connection {
                    socket: Socket::Unix(stream.try_clone()?),
                    stream: Box::new(stream),
                })
            }
            ListenAddress::Tcp(address) => {
                let stream = TcpStream::connect_timeout(address, left(deadline)?)?;
                let socket = Socket::Tcp(stream.try_clone()?);
                socket.limit(deadline)?;
                let stream: Box<dyn Duplex> = match &self.tls_cert {
                    None => Box::new(stream),
                    Some(cert) => Box::new(pin::encrypt(stream, cert)?),
                };
                Ok(Connection { stream, socket })
            }
        }
    }
}

trait Duplex: Read + Write {}

impl<T: Read + Write> Duplex for T {}

struct Connection {
    stream: Box<dyn Duplex>,
    /// The socket below the encryption.
    socket: Socket,
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Limits the next read and write.
    fn limit(&self, deadline: Instant) -> io::Result<()> {
        let left = Some(left(deadline)?);
        match self {
            Self::Tcp(it) => it
                .set_read_timeout(left)
                .and_then(|()| it.set_write_timeout(left)),
            Self::Unix(it) => it
                .set_read_timeout(left)
                .and_then(|()| it.set_write_timeout(left)),
        }
    }
}

fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    Ok(left)
}

/// Connects without waiting: a server with a full queue hangs.
fn connect_unix(path: &Path) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    Ok(stream)
}

fn read_page(connection: &mut Connection, deadline: Instant, limit: usize) -> io::Result<Page> {
    let mut answer = Vec::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        connection.socket.limit(deadline)?;
        let n = match connection.stream.read(&mut chunk) {
            Ok(n) => n,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(ErrorKind::TimedOut.into());
            }
            Err(error) => return Err(error),
        };
        if n == 0 {
            return Err(io::Error::other("the answer ends too early"));
        }
        answer.extend(chunk.iter().take(n));
        if let Some(page) = page(&answer)? {
            return Ok(page);
        }
        if answer.len() > limit.saturating_add(HEAD) {
            return Err(io::Error::other("the answer is too large"));
        }
    }
}

/// The page, if the answer is complete.
fn page(answer: &[u8]) -> io::Result<Option<Page>> {
    const GAP: &[u8] = b"\r\n\r\n";
    let Some(end) = memchr::memmem::find(answer, GAP) else {
        return Ok(None);
    };
    let (head, rest) = answer.split_at(end);
    let body = rest.get(GAP.len()..).unwrap_or_default();
    let foreign = || io::Error::other("the answer is not that of an agent");
    let head = str::from_utf8(head).map_err(|_| foreign())?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|it| it.strip_prefix("HTTP/1."));
    let status = status.and_then(|it| it.split(' ').nth(1)?.parse().ok());
    let mut fields = lines.filter_map(|it| it.split_once(':'));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|(_, it)| it.trim().parse::<usize>().ok());
    let (status, length) = status.zip(length).ok_or_else(foreign)?;
    Ok(body.get(..length).map(|body| Page {
        status,
        body: body.to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_complete_with_its_whole_body() {
        let answer = b"HTTP/1.0 503 Unavailable\r\nContent-Length: 3\r\n\r\nabc";
        let expected = Page {
            status: 503,
            body: b"abc".to_vec(),
        };
        assert_eq!(page(answer).unwrap(), Some(expected));
        for n in 0..answer.len() {
            assert_eq!(page(&answer[..n]).unwrap(), None, "{n}");
        }
        for foreign in [
            &b"SSH-2.0-OpenSSH\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"\xff\r\n\r\n",
        ] {
            assert!(page(foreign).is_err(), "{foreign:?}");
        }
    }
}
