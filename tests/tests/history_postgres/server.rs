//! A private `PostgreSQL` for a test, with functions that fill and query it.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tracer_core::history::{Kept, Limits};
use tracer_user::history::central::{Address, CentralSettings};
use tracer_user::history::{DeliveryCounts, ForwardConfig, Forwarder, Store};
use tracer_user::log::Log;

const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";
const DEADLINE: Duration = Duration::from_mins(1);
pub(crate) const PASSWORD: &str = "pa55 w%rd/with?all@of:it";

/// A private server, which ends with its test.
pub(crate) struct Server {
    pub(crate) dir: TempDir,
    pub(crate) port: u16,
    running: Option<Child>,
}

/// Retries until `look` succeeds; fails with its last error.
pub(crate) fn wait_for<T>(what: &str, mut read: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        match read() {
            Ok(it) => return it,
            Err(seen) if Instant::now() > deadline => panic!("{what}: {seen}"),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// Runs as the user that the Debian package creates, because a server refuses to run as root. The process ends with the thread of
/// its test.
fn as_postgres(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid=postgres",
        "--regid=postgres",
        "--clear-groups",
        "--pdeathsig=KILL",
    ]);
    command.arg(format!("{PROGRAMS}/{program}"));
    command.env("LC_ALL", "C").current_dir("/");
    command
}

/// Runs a query as a user of the database would.
pub(crate) fn psql(at: &str, sql: &str) -> Output {
    Command::new("psql")
        .args(["--no-psqlrc", "--no-align", "--tuples-only", "--quiet"])
        .args(["--set", "ON_ERROR_STOP=1", "--command", sql, at])
        .env_clear()
        .env("PATH", "/usr/bin")
        .env("PGCONNECT_TIMEOUT", "10")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

impl Server {
    /// Starts a server with an empty database `history`, whose superuser is `admin`.
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        succeeds(Command::new("chown").arg("postgres").arg(dir.path()));
        let password = dir.path().join("password");
        fs::write(&password, PASSWORD).unwrap();
        succeeds(Command::new("chmod").arg("644").arg(&password));
        succeeds(
            as_postgres("initdb")
                .args(["--username=admin", "--auth=scram-sha-256", "--no-sync"])
                .args(["--encoding=UTF8", "--locale=C", "--pwfile"])
                .arg(&password)
                .arg("--pgdata")
                .arg(dir.path().join("data")),
        );
        // The port is free now; the listener closes before the server starts.
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|it| it.local_addr())
            .unwrap()
            .port();
        let mut server = Self {
            dir,
            port,
            running: None,
        };
        server.restart();
        server.admin("postgres", "CREATE DATABASE history");
        server
    }

    /// Starts the server again.
    pub(crate) fn restart(&mut self) {
        assert!(self.running.is_none());
        let log = fs::File::options()
            .append(true)
            .create(true)
            .open(self.dir.path().join("log"))
            .unwrap();
        let child = as_postgres("postgres")
            .arg("-D")
            .arg(self.dir.path().join("data"))
            .args(["-p", &self.port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
            .args(["-c", "shared_buffers=16MB", "-c", "max_connections=40"])
            .arg("-c")
            .arg(format!(
                "unix_socket_directories={}",
                self.dir.path().display()
            ))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        self.running = Some(child);
        wait_for("the server answers", || {
            let output = psql(&self.admin_url("postgres"), "SELECT 1");
            if output.status.success() {
                return Ok(());
            }
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            Err(format!("{output:?}\n{log}"))
        });
    }

    /// Runs `kill -9` on every process of the server, without a warning.
    pub(crate) fn kill(&mut self) {
        let mut child = self.running.take().unwrap();
        let id = child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        for id in children.split_whitespace() {
            // A process whose parent has died can end by itself first.
            let _gone = Command::new("kill").args(["-9", id]).output().unwrap();
        }
        wait_for("all its processes are gone", || {
            let is_there = |it: &&str| Path::new("/proc").join(it).join("exe").exists();
            match children.split_whitespace().find(is_there) {
                Some(id) => Err(format!("{id} is still there")),
                None => Ok(()),
            }
        });
    }

    /// Address of the database for a user with [`PASSWORD`].
    pub(crate) fn url(&self, user: &str) -> String {
        let password = PASSWORD
            .replace('%', "%25")
            .replace(' ', "%20")
            .replace('/', "%2F")
            .replace('?', "%3F")
            .replace('@', "%40")
            .replace(':', "%3A");
        format!(
            "postgres://{user}:{password}@127.0.0.1:{}/history",
            self.port
        )
    }

    pub(crate) fn address(&self, user: &str) -> Address {
        Address::of(&self.url(user)).unwrap()
    }

    fn admin_url(&self, database: &str) -> String {
        self.url("admin")
            .replace("/history", &format!("/{database}"))
    }

    fn admin(&self, database: &str, sql: &str) -> String {
        let output = psql(&self.admin_url(database), sql);
        assert!(output.status.success(), "{sql}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// The result for a superuser, to whom no policy applies.
    pub(crate) fn query(&self, sql: &str) -> String {
        self.admin("history", sql)
    }

    /// Returns whether the schema exists.
    pub(crate) fn is_prepared(&self) -> bool {
        self.query("SELECT to_regclass('gotrace.build') IS NOT NULL") == "t"
    }

    pub(crate) fn count(&self, sql: &str) -> usize {
        self.query(&format!("SELECT count(*) FROM gotrace.{sql}"))
            .parse()
            .unwrap()
    }

    /// Creates a user without rights.
    pub(crate) fn make_user(&self, name: &str) {
        let password = PASSWORD.replace('\'', "''");
        self.query(&format!("CREATE ROLE {name} LOGIN PASSWORD '{password}'"));
    }

    /// Creates a user that creates and owns the tables.
    pub(crate) fn make_owner(&self, name: &str) {
        self.make_user(name);
        self.query(&format!("GRANT CREATE ON DATABASE history TO {name}"));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.running.is_some() {
            self.kill();
        }
    }
}

/// A machine: its history, and an agent's delivery to the central one.
pub(crate) struct Machine {
    dir: TempDir,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("history.db")
    }

    pub(crate) fn store(&self) -> Store {
        Store::open(&self.path()).unwrap()
    }

    pub(crate) fn finish(&self, builds: &[Kept]) {
        let mut store = self.store();
        for kept in builds {
            store.finish(kept).unwrap();
        }
    }

    pub(crate) fn forward(&self, address: Address) -> Forwarder {
        self.forward_with(address, CentralSettings::default(), Limits::default())
    }

    pub(crate) fn forward_with(
        &self,
        address: Address,
        settings: CentralSettings,
        limits: Limits,
    ) -> Forwarder {
        let order = ForwardConfig {
            spool: self.path(),
            limits,
            address,
            settings,
        };
        Forwarder::start(order, Log::to(|it| println!("{it}"))).unwrap()
    }

    pub(crate) fn n_undelivered(&self) -> usize {
        n_undelivered(&self.path())
    }

    /// Delivers all builds.
    pub(crate) fn deliver(&self, address: Address) -> DeliveryCounts {
        let forwarder = self.forward(address);
        self.wait_until_delivered();
        forwarder.finish(Instant::now() + DEADLINE)
    }

    pub(crate) fn wait_until_delivered(&self) {
        wait_for("everything is delivered", || match self.n_undelivered() {
            0 => Ok(()),
            n => Err(format!("{n} builds wait")),
        });
    }
}

pub(crate) fn n_undelivered(path: &Path) -> usize {
    let connection = rusqlite::Connection::open(path).unwrap();
    let n: i64 = connection
        .query_row("SELECT count(*) FROM undelivered", [], |row| row.get(0))
        .unwrap();
    usize::try_from(n).unwrap()
}
