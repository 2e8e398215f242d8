//! Opens the database: for writing, with its tables created or upgraded, and for reading.
//!
//! In a process that has the database open, only `SQLite` opens the file. Linux drops all POSIX locks that a process holds on a
//! file when the process closes any descriptor of it (fcntl(2)). Without its locks a writer is invisible to other processes. The next
//! reader then takes itself for the last connection and deletes the log, with every build in it. So this module examines the file by
//! its path alone. The exception is [`create`], which creates a file before any process can have opened it.
//! `cargo xtask tidy` rejects any other module that opens the file.
//!
//! A reader in another process changes nothing and creates no file. In WAL mode `SQLite` needs a log and a file of shared memory beside
//! the database. A reader without rights cannot create them, and a reader with rights would leave them behind. They exist while a
//! writer runs and after a writer was killed. After the last writer has closed the database, no log exists. The reader then opens
//! the database as immutable, and checks afterwards that it did not change ([`FileStamp`]).

use std::ffi::c_int;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::{Connection, OpenFlags};
use rusqlite_migration::{M, Migrations};
use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::error::Cause;

/// One migration for each change of the tables, in order. A released migration never changes.
///
/// The first also sets the application ID "gotr", in the same transaction.
const MIGRATIONS: &[M<'_>] = &[
    M::up(concat!(
        "PRAGMA application_id = 0x676f7472;\n",
        include_str!("schema/1.sql")
    )),
    M::up(include_str!("schema/2.sql")),
    M::up(include_str!("schema/3.sql")),
    M::up(include_str!("schema/4.sql")),
    M::up(include_str!("schema/5.sql")),
    M::up(include_str!("schema/6.sql")),
];
/// Version of the schema that this gotrace writes. It reads every earlier version, because all contain what a reader queries.
const SCHEMA_VERSION: i64 = 6;
const APPLICATION: i64 = 0x676f_7472;
/// Time limit of the wait for another writer.
const PATIENCE: Duration = Duration::from_secs(5);

const WRITING: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE
    .union(OpenFlags::SQLITE_OPEN_NO_MUTEX)
    .union(OpenFlags::SQLITE_OPEN_NOFOLLOW);

/// Command lines and paths of builds are private. Root may give a group the right to read.
const MODE: u32 = 0o640;
const DIR_MODE: u32 = 0o750;

/// Opens the database for writing, and creates it if it does not exist.
pub(super) fn for_writing(path: &Path) -> Result<Connection, Cause> {
    let path = create(path)?;
    let mut connection = Connection::open_with_flags(path, WRITING)?;
    connection.busy_timeout(PATIENCE)?;
    // This has an effect only before the first table.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    let version = version(&connection)?;
    if version == 0 {
        let n_tables: i64 =
            connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        let application: i64 =
            connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        if n_tables > 0 || application != 0 {
            return Err(Cause::Foreign);
        }
    }
    let _mode: String =
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    // A power failure may lose the last builds and damages no other. A crash of the process loses none.
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "journal_size_limit", 16 << 20)?;
    match Migrations::from_slice(MIGRATIONS).to_latest(&mut connection) {
        // Another writer has migrated it.
        Err(_) if self::version(&connection)? == SCHEMA_VERSION => {}
        done => done?,
    }
    Ok(connection)
}

/// Creates the file and its directory, with their permissions. Returns the path without links.
fn create(path: &Path) -> Result<PathBuf, Cause> {
    let path = with_its_directory(path)?;
    match create_new(&path) {
        Err(Cause::Exists) => {}
        made => return made.map(|_| path),
    }
    let metadata = fs::symlink_metadata(&path)?;
    if metadata.is_symlink() {
        return Err(Cause::Link);
    }
    if !metadata.is_file() {
        return Err(Cause::Foreign);
    }
    // `SQLite` would open a read-only file for reading, and fail at the first build.
    may(&path, Access::READ_OK | Access::WRITE_OK).map_err(refused)?;
    Ok(path)
}

/// Creates the file. An existing file is an error.
fn create_new(path: &Path) -> Result<PathBuf, Cause> {
    /// Held until the new file is closed. A thread that opened the database before would lose its locks.
    static CREATING: Mutex<()> = Mutex::new(());
    let path = with_its_directory(path)?;
    let _creating = CREATING.lock().unwrap_or_else(PoisonError::into_inner);
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(&path);
    match made {
        Ok(_) => Ok(path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(Cause::Exists),
        Err(error) => Err(refused(error)),
    }
}

/// Creates the directory of a file if it does not exist. Returns the file's path, with no link before its name.
fn with_its_directory(path: &Path) -> Result<PathBuf, Cause> {
    let name = path
        .file_name()
        .ok_or(io::Error::from(ErrorKind::InvalidInput))?;
    let dir = match path.parent() {
        Some(dir) if dir != Path::new("") => dir,
        Some(_) | None => Path::new("."),
    };
    match fs::DirBuilder::new().mode(DIR_MODE).create(dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(Cause::Dir(error)),
        Ok(()) | Err(_) => {}
    }
    Ok(dir.canonicalize()?.join(name))
}

/// The cause of a failure to create or write a file.
fn refused(error: io::Error) -> Cause {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM | libc::EROFS) => Cause::NotYours(error),
        Some(_) | None => Cause::Io(error),
    }
}

/// Fails unless this thread, with its present rights, has this access to the file. Opens nothing.
fn may(path: &Path, access: Access) -> io::Result<()> {
    Ok(accessat(CWD, path, access, AtFlags::EACCESS)?)
}

/// A connection that only reads.
pub(super) struct ReadConnection {
    pub(super) connection: Connection,
    /// State that the file must still have after the read. `None` if `SQLite` ensures this.
    pub(super) stamp: Option<FileStamp>,
}

/// State of a database file without a writer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileStamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl FileStamp {
    /// `None` if there is a log: a writer runs, or was killed.
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

/// Opens the database for reading.
pub(super) fn for_reading(path: &Path) -> Result<ReadConnection, Cause> {
    let metadata = fs::metadata(path).and_then(|it| may(path, Access::READ_OK).map(|()| it));
    match metadata {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(Cause::Foreign),
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(Cause::Missing),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return Err(Cause::Denied),
        Err(error) => return Err(error.into()),
    }
    let path = path.canonicalize()?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let stamp = FileStamp::of(&path)?;
    let connection = if stamp.is_some() {
        Connection::open_with_flags(uri(&path), flags | OpenFlags::SQLITE_OPEN_URI)?
    } else {
        Connection::open_with_flags(&path, flags)?
    };
    connection.busy_timeout(PATIENCE)?;
    prepare_for_reading(&connection)?;
    Ok(ReadConnection { connection, stamp })
}

/// Opens a reading connection in the process of the writer, which has created the tables. This connection may write the log and the
/// shared memory, so it can be the last one to close. It rejects statements that change data.
pub(super) fn beside_the_writer(path: &Path) -> Result<Connection, Cause> {
    let path = path.canonicalize()?;
    let connection = Connection::open_with_flags(path, WRITING)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "query_only", "ON")?;
    prepare_for_reading(&connection)?;
    Ok(connection)
}

fn prepare_for_reading(connection: &Connection) -> Result<(), Cause> {
    // As in PostgreSQL: the case of a module path is significant.
    connection.pragma_update(None, "case_sensitive_like", "ON")?;
    check(connection)
}

/// True if `SQLite` finds damage. Reads the whole database.
pub(super) fn is_damaged(path: &Path) -> Result<bool, Cause> {
    let path = path.canonicalize()?;
    let checked = Connection::open_with_flags(path, WRITING).and_then(|connection| {
        connection.busy_timeout(PATIENCE)?;
        connection.query_row("PRAGMA integrity_check(1)", [], |row| {
            row.get::<_, String>(0)
        })
    });
    match checked.map_err(Cause::from) {
        Ok(verdict) => Ok(verdict != "ok"),
        Err(Cause::Damaged(_)) => Ok(true),
        Err(cause) => Err(cause),
    }
}

/// True if the header identifies a history of gotrace, even if `SQLite` can no longer read the file.
///
/// It opens the file without `SQLite`, so the process must have no connection to the database.
pub(super) fn is_marked_as_ours(path: &Path) -> Result<bool, Cause> {
    // https://www.sqlite.org/fileformat2.html#the_database_header
    const MAGIC: &[u8] = b"SQLite format 3\0";
    const APPLICATION_AT: usize = 68;
    let mut header = [0; 100];
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    match file.read_exact_at(&mut header, 0) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
        read => read?,
    }
    let application = header.get(APPLICATION_AT..).and_then(<[u8]>::first_chunk);
    let is_ours = application.is_some_and(|it| i64::from(u32::from_be_bytes(*it)) == APPLICATION);
    Ok(header.starts_with(MAGIC) && is_ours)
}

/// Copies the database into a new file. The copy is of one moment, even during writes, because `from` is in a transaction.
pub(super) fn back_up(from: &Connection, to: &Path) -> Result<(), Cause> {
    const ALL_PAGES: c_int = -1;
    let path = create_new(to)?;
    let copied = (|| {
        let mut copy = Connection::open_with_flags(&path, WRITING)?;
        Backup::new(from, &mut copy)?.step(ALL_PAGES)?;
        // Without a log, the copy is a single file that can be moved and can replace a history.
        let _mode: String =
            copy.pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get(0))?;
        check(&copy)?;
        let verdict: String = copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if verdict == "ok" {
            Ok(())
        } else {
            Err(Cause::BadCopy(verdict))
        }
    })();
    if copied.is_err() {
        // An incomplete copy is useless.
        let _left = fs::remove_file(&path);
    }
    copied
}

/// Fails unless the database is a history that this gotrace can read.
fn check(connection: &Connection) -> Result<(), Cause> {
    match version(connection)? {
        1..=SCHEMA_VERSION => Ok(()),
        // A writer creates the file before the tables.
        0 => Err(Cause::Missing),
        _ => Err(Cause::Foreign),
    }
}

fn version(connection: &Connection) -> Result<i64, Cause> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == 0 {
        return Ok(version);
    }
    let application: i64 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application != APPLICATION {
        return Err(Cause::Foreign);
    }
    if version > SCHEMA_VERSION {
        return Err(Cause::Newer {
            found: version,
            known: SCHEMA_VERSION,
        });
    }
    Ok(version)
}

/// A URI file name of `SQLite`, with all but plain characters percent-encoded.
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
    fn the_schema_version_is_the_number_of_migrations() {
        assert_eq!(usize::try_from(SCHEMA_VERSION).unwrap(), MIGRATIONS.len());
        Migrations::from_slice(MIGRATIONS).validate().unwrap();
    }

    #[test]
    fn no_file_name_becomes_an_option() {
        assert_eq!(
            uri(Path::new("/a b/x?mode=rw#1%")),
            "file:/a%20b/x%3Fmode%3Drw%231%25?immutable=1"
        );
    }
}
