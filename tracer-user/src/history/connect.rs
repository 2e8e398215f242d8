//! Opening the database: for writing, with its tables made or brought up to date, and for reading, whoever reads.
//!
//! A reader changes nothing and makes no file. What that takes: in WAL mode `SQLite` wants a log and a file of shared memory beside
//! the database, which a reader without rights cannot make, and one with rights would leave behind. While a writer is at work, and
//! after one was killed, they are there and can be read. When the last one has ended well there is no log, and the database is opened
//! as one that does not change; that it did not is checked afterwards ([`Stamp`]).

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::{M, Migrations};

use super::error::Why;

/// One for each change of the tables, in order; never changed once released.
///
/// The first also says whose database it is, in the same transaction: "gotr".
const MIGRATIONS: &[M<'_>] = &[
    M::up(concat!(
        "PRAGMA application_id = 0x676f7472;\n",
        include_str!("schema/1.sql")
    )),
    M::up(include_str!("schema/2.sql")),
    M::up(include_str!("schema/3.sql")),
];
/// Form of the database that this gotrace writes. It reads every earlier one, too: what a reader asks for is in all of them.
const FORM: i64 = 3;
const APPLICATION: i64 = 0x676f_7472;
/// How long to wait for another writer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Command lines and paths of everybody's builds are nobody else's business; root may give a group the right to read.
const MODE: u32 = 0o640;
const DIR_MODE: u32 = 0o750;

/// Opens it for writing, and makes it if it is not there.
pub(super) fn for_writing(path: &Path) -> Result<Connection, Why> {
    let path = create(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    // Only while there is no table yet; later it says what is so already.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    let form = form(&connection)?;
    if form == 0 {
        let n_tables: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let application: i64 =
            connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        if n_tables > 0 || application != 0 {
            return Err(Why::Foreign);
        }
    }
    let _mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    // A power cut may take the last builds and leaves the rest whole; being killed takes none.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "journal_size_limit", 16 << 20)?;
    match Migrations::from_slice(MIGRATIONS).to_latest(&mut connection) {
        // Another writer was faster.
        Err(_) if self::form(&connection)? == FORM => {}
        done => done?,
    }
    Ok(connection)
}

/// The file and its directory, with their rights. Returns its path with no link in it.
fn create(path: &Path) -> Result<PathBuf, Why> {
    let name = path
        .file_name()
        .ok_or(io::Error::from(ErrorKind::InvalidInput))?;
    let dir = match path.parent() {
        Some(dir) if dir != Path::new("") => dir,
        Some(_) | None => Path::new("."),
    };
    match fs::DirBuilder::new().mode(DIR_MODE).create(dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(Why::Dir(error)),
        Ok(()) | Err(_) => {}
    }
    let path = dir.canonicalize()?.join(name);
    let made = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(MODE)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(&path)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::EACCES | libc::EPERM | libc::EROFS) => Why::NotYours(error),
            Some(libc::ELOOP) => Why::Link,
            Some(_) | None => Why::Io(error),
        })?;
    if !made.metadata()?.is_file() {
        return Err(Why::Foreign);
    }
    Ok(path)
}

/// A connection that only reads.
pub(super) struct ForReading {
    pub(super) connection: Connection,
    /// What the file must still be when everything was read; absent where `SQLite` sees to that.
    pub(super) stamp: Option<Stamp>,
}

/// A database that nobody was writing to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Stamp {
    /// Absent where there is a log: somebody writes, or was killed.
    pub(super) fn of(path: &Path) -> io::Result<Option<Self>> {
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        match fs::metadata(log) {
            Ok(metadata) if metadata.len() > 0 => return Ok(None),
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(_) | Err(_) => {}
        }
        let metadata = fs::metadata(path)?;
        Ok(Some(Self {
            inode: metadata.ino(),
            size: metadata.size(),
            changed: (metadata.mtime(), metadata.mtime_nsec()),
        }))
    }
}

/// Opens it for reading.
pub(super) fn for_reading(path: &Path) -> Result<ForReading, Why> {
    // Opening a pipe would wait for somebody to write to it.
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .and_then(|it| it.metadata());
    match opened {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(Why::Foreign),
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(Why::Missing),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Err(Why::Denied),
        Err(error) => return Err(error.into()),
    }
    let path = path.canonicalize()?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let stamp = Stamp::of(&path)?;
    let connection = if stamp.is_some() {
        Connection::open_with_flags(uri(&path), flags | OpenFlags::SQLITE_OPEN_URI)?
    } else {
        Connection::open_with_flags(&path, flags)?
    };
    connection.busy_timeout(PATIENCE)?;
    // As PostgreSQL does: a module's path has its capitals for a reason.
    connection.pragma_update(None, "case_sensitive_like", "ON")?;
    check(&connection)?;
    Ok(ForReading { connection, stamp })
}

/// Whether it is a history that this gotrace can read.
fn check(connection: &Connection) -> Result<(), Why> {
    match form(connection)? {
        1..=FORM => Ok(()),
        // A writer makes the file before the tables.
        0 => Err(Why::Missing),
        _ => Err(Why::Foreign),
    }
}

fn form(connection: &Connection) -> Result<i64, Why> {
    let form: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if form == 0 {
        return Ok(form);
    }
    let application: i64 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application != APPLICATION {
        return Err(Why::Foreign);
    }
    if form > FORM {
        return Err(Why::Newer {
            found: form,
            known: FORM,
        });
    }
    Ok(form)
}

/// As `SQLite`'s own file names go: everything but plain characters by number.
fn uri(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let plain = |it: u8| it.is_ascii_alphanumeric() || b"/-_.".contains(&it);
    let path = path.as_os_str().as_bytes().iter();
    let path: String = path
        .map(|&it| {
            if plain(it) {
                char::from(it).to_string()
            } else {
                format!("%{it:02X}")
            }
        })
        .collect();
    format!("file:{path}?immutable=1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_is_the_number_of_migrations() {
        assert_eq!(usize::try_from(FORM).unwrap(), MIGRATIONS.len());
        Migrations::from_slice(MIGRATIONS).validate().unwrap();
    }

    #[test]
    fn no_name_of_a_file_is_taken_for_an_option() {
        assert_eq!(
            uri(Path::new("/a b/x?mode=rw#1%")),
            "file:/a%20b/x%3Fmode%3Drw%231%25?immutable=1"
        );
    }
}
