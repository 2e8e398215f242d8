//! The agent moves a damaged gotrace history aside and begins a new one. Other files stay in place. A backup can be read and can
//! replace a history.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::Connection;
use tests::agent::Agent;
use tests::{Module, run_gotrace, toolchain};
use tracer_user::history::Store;

use crate::harness::{assert_intact, listed, small_builds};

const NO_ENV: [(&str, &str); 0] = [];

/// Files in the history's directory that were moved aside, without their side files.
fn set_aside(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).unwrap().flatten().map(|it| it.path());
    files
        .filter(|it| {
            let name = it.file_name().unwrap().to_str().unwrap();
            name.starts_with("history.db.damaged-")
                && !name.ends_with("-wal")
                && !name.ends_with("-shm")
        })
        .collect()
}

/// A kind of damage, and a function that causes it.
type Damage<'a> = (&'a str, &'a dyn Fn(&Path));

/// A history with some builds, as its writer left it.
fn history_with(dir: &Path, n: i64) -> PathBuf {
    let path = dir.join("history.db");
    let mut store = Store::open(&path).unwrap();
    for kept in small_builds(n) {
        store.finish(&kept).unwrap();
    }
    path
}

#[test]
fn a_damaged_history_is_moved_aside_and_a_new_one_is_created() {
    let toolchain = toolchain("1.27");
    let module = Module::copy("tiny");
    module.sandbox.make_warm(&toolchain);
    let ways: [Damage<'_>; 2] = [
        ("cut", &|path| {
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_len(5000).unwrap();
        }),
        ("overwritten from the second page on", &|path| {
            let file = fs::File::options().write(true).open(path).unwrap();
            let size = usize::try_from(file.metadata().unwrap().len()).unwrap();
            file.write_all_at(&vec![0xa5; size - 4096], 4096).unwrap();
        }),
    ];
    for (what, damage) in ways {
        let dir = tempfile::tempdir().unwrap();
        let path = history_with(dir.path(), 30);
        damage(&path);
        let damaged = fs::read(&path).unwrap();
        let agent = Agent::start_in(dir, &[]);
        module.run_go(&toolchain, &["build", "-o", "out", "."]);
        let found = agent.wait_for(&module, 1);
        assert_eq!(found.len(), 1, "{what}");
        agent.wait_for_page("/metrics", "gotrace_history_set_aside_total 1");
        let aside = set_aside(agent.dir());
        assert_eq!(aside.len(), 1, "{what}: {aside:?}");
        // Before SQLite finds the damage, it can write to the first page, which contains a change counter.
        let moved = fs::read(&aside[0]).unwrap();
        assert_eq!(moved.len(), damaged.len(), "{what}");
        assert!(moved[4096..] == damaged[4096..], "{what}: unchanged");
        agent.stop();
    }
}

#[test]
fn damage_found_while_storing_loses_no_build() {
    let toolchain = toolchain("1.27");
    let module = Module::copy("tiny");
    module.sandbox.make_warm(&toolchain);
    let dir = tempfile::tempdir().unwrap();
    let path = history_with(dir.path(), 300);
    // Damages the pages of the details, which no start reads.
    let connection = Connection::open(&path).unwrap();
    let root: i64 = connection
        .query_row(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'detail'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    drop(connection);
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&[0xa5; 4096], u64::try_from(root - 1).unwrap() * 4096)
        .unwrap();
    let mut agent = Agent::start_in(dir, &[]);
    module.run_go(&toolchain, &["build", "-o", "out", "."]);
    let printed = agent.wait_for_log("is damaged: moved it to");
    agent.wait_for_new_storage_process();
    let found = agent.wait_for(&module, 1);
    assert_eq!(found.len(), 1);
    module.run_go(&toolchain, &["build", "-o", "out2", "."]);
    assert_eq!(agent.wait_for(&module, 2).len(), 2);
    let aside = set_aside(agent.dir());
    assert_eq!(aside.len(), 1);
    assert!(printed.contains(aside[0].to_str().unwrap()), "{printed}");
    let store = agent.store();
    let dir = agent.stop_with_dir();
    assert_intact(&store);
    drop(dir);
}

#[test]
fn a_file_that_is_no_history_is_refused_and_never_moved() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("passwd");
    fs::write(&text, "root:x:0:0:root:/root:/bin/bash\n".repeat(60)).unwrap();
    let other = dir.path().join("other.db");
    let connection = Connection::open(&other).unwrap();
    connection.execute_batch("CREATE TABLE t (x)").unwrap();
    drop(connection);
    let cut = dir.path().join("cut.db");
    fs::copy(&other, &cut).unwrap();
    fs::File::options()
        .write(true)
        .open(&cut)
        .unwrap()
        .set_len(4100)
        .unwrap();
    for path in [&text, &other, &cut] {
        let before = fs::read(path).unwrap();
        let output = run_gotrace(
            [
                "agent",
                "--listen",
                "none",
                "--store",
                path.to_str().unwrap(),
            ],
            NO_ENV,
        );
        assert!(!output.status.success(), "{output:?}");
        let printed = String::from_utf8_lossy(&output.stderr);
        assert!(printed.contains("name another"), "{printed}");
        assert!(fs::read(path).unwrap() == before);
    }
    assert!(set_aside(dir.path()).is_empty());
}

#[test]
fn a_backup_made_during_writes_can_replace_the_history() {
    let dir = tempfile::tempdir().unwrap();
    let path = history_with(dir.path(), 20);
    let mut store = Store::open(&path).unwrap();
    let more = small_builds(30);
    store.finish(&more[25]).unwrap();
    let copy = dir.path().join("copy.db");
    let back_up = || {
        run_gotrace(
            [
                "store",
                "backup",
                copy.to_str().unwrap(),
                "--store",
                path.to_str().unwrap(),
            ],
            NO_ENV,
        )
    };
    let output = back_up();
    assert!(output.status.success(), "{output:?}");
    store.finish(&more[26]).unwrap();
    assert_eq!(listed(&copy, &[]).len(), 21);
    assert_intact(&copy);
    let again = back_up();
    assert_eq!(again.status.code(), Some(2), "{again:?}");
    assert!(String::from_utf8_lossy(&again.stderr).contains("already exists: name a new file"));
    drop(store);
    // Follows the documentation of `store backup`.
    fs::rename(&copy, &path).unwrap();
    let mut restored = Store::open(&path).unwrap();
    restored.finish(&more[27]).unwrap();
    assert_eq!(listed(&path, &[]).len(), 22);
    drop(restored);
    assert_intact(&path);
    let locked = Command::new("sqlite3")
        .arg(&path)
        .arg("PRAGMA integrity_check")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&locked.stdout), "ok\n");
}
