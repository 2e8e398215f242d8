//! Readers of a history in use: `sqlite3`, backups, `gotrace builds` and `gotrace show`, and the agent's API.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use crate::ledger::{LIST, Ledger};
use crate::tools::{self, PATIENCE, assert_intact, ended_ids, ended_in, locked, retry};
use crate::{Counts, Shared, add};

/// `sqlite3 history.db 'SELECT ...'`.
pub(crate) fn sqlite3(shared: &Shared, counts: &Counts) {
    while !shared.has_ended() {
        let ids = ended_ids(counts, &shared.store);
        shared.ledger.add_seen("sqlite3", ids);
    }
}

/// Copies with `.backup`, `VACUUM INTO` and `gotrace store backup`. Each copy contains every build that was returned before the
/// copy began.
pub(crate) fn copies(shared: &Shared, counts: &Counts) {
    let file = shared.copies.path().join("copy.db");
    let path = file.to_str().unwrap();
    let by_sqlite3 = [format!(".backup '{path}'"), format!("VACUUM INTO '{path}'")];
    let ways = by_sqlite3.iter().map(Some).chain([None]);
    for command in ways.cycle().take_while(|_| !shared.has_ended()) {
        let seen = shared.ledger.seen();
        retry(counts, || {
            // Removes the previous copy, or the partial copy of a busy database.
            remove(shared);
            match command {
                Some(command) => tools::sqlite3_once(&shared.store, command),
                None => tools::gotrace_once(&shared.store, &["store", "backup", path]),
            }
        });
        let way = command.map_or("gotrace store backup", |it| it);
        assert_intact(counts, &file);
        Ledger::assert_all(&seen, &ended_ids(counts, &file), way);
        add(&counts.copies);
    }
}

fn remove(shared: &Shared) {
    for file in fs::read_dir(shared.copies.path()).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
}

/// `gotrace builds`, `gotrace show` and the agent's API.
pub(crate) fn gotrace(shared: &Shared, counts: &Counts) {
    while !shared.has_ended() {
        let list = tools::gotrace(counts, &shared.store, &LIST);
        shared.ledger.add_seen("gotrace builds", ended_in(&list));
        if let Some(id) = shared.ledger.newest_seen() {
            let shown = tools::gotrace(counts, &shared.store, &["show", &id]);
            assert!(shown.contains(&id), "{id}: {shown}");
        }
        // The agent can be stopped, or be killed during the request.
        let list = retry(counts, || {
            let address = locked(&shared.address).clone().ok_or("no agent")?;
            let answer = ask(&address).map_err(|it| it.to_string())?;
            match answer.split_once("\r\n\r\n") {
                Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
                _ => Err(answer),
            }
        });
        shared.ledger.add_seen("the API", ended_in(&list));
    }
}

fn ask(address: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request =
        "GET /api/v1/builds?limit=1000 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
