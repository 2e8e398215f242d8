//! A process keeps its locks on its history while it reads, deletes, delivers and copies. Without these locks, another reader would
//! assume that it is the last one and delete the log with its builds.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tests::agent::Agent;
use tests::{Module, toolchain};
use tracer_core::history::Limits;
use tracer_user::history::central::{Address, CentralSettings};
use tracer_user::history::{
    Filter, ForwardConfig, Forwarder, Location, ReadPool, Store, Writer, back_up, read,
};
use tracer_user::log::Log;

use crate::harness::{listed, small_builds};

/// Number of this process's POSIX locks on this file, from the kernel's list.
fn n_locks(pid: u32, path: &Path) -> usize {
    let inode = fs::metadata(path).unwrap().ino();
    let locks = fs::read_to_string("/proc/locks").unwrap();
    let held = locks.lines().filter(|line| {
        let mut words = line.split_whitespace().skip(1);
        let kind = words.next();
        let of = words.nth(2);
        let file = words.next().and_then(|it| it.rsplit(':').next());
        kind == Some("POSIX") && of == Some(&pid.to_string()) && file == Some(&inode.to_string())
    });
    held.count()
}

/// Reads as a backup tool does. The tool deletes the log if it assumes that it is the last reader.
fn read_by_another_process(path: &Path) -> usize {
    let output = Command::new("sqlite3")
        .arg(path)
        .arg("PRAGMA busy_timeout = 5000; SELECT count(*) FROM build")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().last().unwrap().parse().unwrap()
}

#[test]
fn a_process_keeps_its_locks_through_all_operations_on_its_history() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("history.db");
    let all = small_builds(40);
    let (writer, _) = Writer::start(&path, 64, Log::to(|it| panic!("{it}"))).unwrap();
    let pool = ReadPool::new(&path);
    let limits = Limits {
        max_age_ns: None,
        max_bytes: Some(1 << 30),
    };
    let order = ForwardConfig {
        spool: path.clone(),
        limits,
        address: Address::of("postgres://nobody@127.0.0.1:1/nothing").unwrap(),
        settings: CentralSettings::default(),
    };
    let list = |path: &Path| {
        read(path, |it| it.list(&Filter::default()))
            .unwrap()
            .0
            .len()
    };
    let acts: [(&str, &dyn Fn(usize)); 8] = [
        ("another Store", &|_| drop(Store::open(&path).unwrap())),
        ("marking what was cut off", &|_| {
            assert_eq!(Store::open(&path).unwrap().recover().unwrap(), 0);
        }),
        ("a read by path", &|n| assert_eq!(list(&path), n)),
        ("a read through the pool", &|n| {
            let found = pool.read(|it| it.list(&Filter::default())).unwrap();
            assert_eq!(found.0.len(), n);
        }),
        ("retention", &|_| {
            writer.retain(limits, 0);
            assert!(writer.flush(Duration::from_secs(30)));
        }),
        ("forwarding", &|_| {
            let forwarder = Forwarder::start(order.clone(), Log::to(|_| {})).unwrap();
            forwarder.finish(Instant::now() + Duration::from_secs(30));
        }),
        ("a backup", &|n| {
            let copy = dir.path().join(format!("copy-{n}.db"));
            back_up(&path, &copy, |copy| copy()).unwrap();
            assert_eq!(list(&copy), n);
        }),
        ("a refused path", &|_| {
            assert!(Location::File(dir.path().to_owned()).prepare(None).is_err());
        }),
    ];
    for (n, ((what, act), kept)) in acts.iter().cycle().zip(&all).enumerate() {
        writer.finish(kept.clone());
        assert!(writer.flush(Duration::from_secs(30)));
        act(n + 1);
        assert!(n_locks(std::process::id(), &path) > 0, "after {what}");
        assert_eq!(read_by_another_process(&path), n + 1, "after {what}");
    }
    assert_eq!(writer.counts().failed, 0);
    drop((pool, writer));
    assert_eq!(list(&path), all.len());
    assert!(!dir.path().join("history.db-wal").exists(), "ended well");
}

#[test]
fn an_agent_keeps_its_locks_through_requests_retention_and_reloads() {
    let toolchain = toolchain("1.27");
    let module = Module::copy("tiny");
    module.sandbox.make_warm(&toolchain);
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("gotrace.toml");
    fs::write(&config, "keep_days = 30\n").unwrap();
    let config = config.to_str().unwrap().to_owned();
    let mut agent = Agent::start_in(dir, &["--config", &config]);
    let storage = agent.storage_process().unwrap();
    let store = agent.store();
    for (n, days) in [30, 20, 10].into_iter().enumerate() {
        let output = format!("out{n}");
        module.run_go(&toolchain, &["build", "-o", &output, "."]);
        let builds = agent.wait_for(&module, n + 1);
        assert_eq!(builds.len(), n + 1);
        agent.page("/api/v1/builds?limit=1000");
        agent.page(&format!(
            "/api/v1/builds/{}",
            builds[0]["id"].as_str().unwrap()
        ));
        fs::write(&config, format!("keep_days = {days}\n")).unwrap();
        agent.signal("HUP");
        agent.wait_for_log("configuration reloaded");
        assert!(n_locks(storage, &store) > 0);
        assert!(read_by_another_process(&store) > n);
        assert!(n_locks(storage, &store) > 0);
        assert!(listed(&store, &[]).len() > n);
    }
    agent.stop();
}
