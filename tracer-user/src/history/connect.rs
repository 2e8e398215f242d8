//! Opening the database: for writing, with its tables made or brought up to date, and for reading, whoever reads.
//!
//! In a process that has the database open, nothing but `SQLite` opens the file. Linux drops all POSIX locks that a process holds on a
//! file when the process closes any descriptor of it (fcntl(2)). Without its locks a writer is invisible to other processes: the next
//! reader takes itself for the last one and deletes the log, with every build in it. So this module looks at the file by its path alone,
//! with one exception: [`create`] makes a file that was not there before anybody can have opened it.
//! `cargo xtask tidy` keeps every other module from opening it.
//!
//! A reader from outside changes nothing and makes no file. What that takes: in WAL mode `SQLite` wants a log and a file of shared memory beside
//! the database, which a reader without rights cannot make, and one with rights would leave behind. While a writer is at work, and
//! after one was killed, they are there and can be read. When the last one has ended well there is no log, and the database is opened
//! as one that does not change; that it did not is checked afterwards ([`FileStamp`]).

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

const WRITING: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE
    .union(OpenFlags::SQLITE_OPEN_NO_MUTEX)
    .union(OpenFlags::SQLITE_OPEN_NOFOLLOW);

/// Command lines and paths of everybody's builds are nobody else's business; root may give a group the right to read.
const MODE: u32 = 0o640;
const DIR_MODE: u32 = 0o750;

/// Opens it for writing, and makes it if it is not there.
pub(super) fn for_writing(path: &Path) -> Result<Connection, Cause> {
    let path = create(path)?;
    let mut connection = Connection::open_with_flags(path, WRITING)?;
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
            return Err(Cause::Foreign);
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
    // `SQLite` would open a file that may not be written for reading, and fail at the first build.
    may(&path, Access::READ_OK | Access::WRITE_OK).map_err(refused)?;
    Ok(path)
}

/// Makes the file, which is not there yet.
fn create_new(path: &Path) -> Result<PathBuf, Cause> {
    /// Held until a new file is closed again: no thread may open the database in between, for its locks would go.
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

/// Makes the directory of a file if it is not there. Returns the file's path with no link before its name.
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

/// Why a file cannot be made or written.
fn refused(error: io::Error) -> Cause {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM | libc::EROFS) => Cause::NotYours(error),
        Some(_) | None => Cause::Io(error),
    }
}

/// Whether this thread, with the rights that it has now, may do that to the file. Opens nothing.
fn may(path: &Path, access: Access) -> io::Result<()> {
    Ok(accessat(CWD, path, access, AtFlags::EACCESS)?)
}

/// A connection that only reads.
pub(super) struct ReadConnection {
    pub(super) connection: Connection,
    /// What the file must still be when everything was read; absent where `SQLite` sees to that.
    pub(super) stamp: Option<FileStamp>,
}

/// A database that nobody was writing to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FileStamp {
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl FileStamp {
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

/// A connection for reading in the process of the writer, which has made the tables. As it may write the log and its memory, it is worth
/// as much as the writer's when it is the last one to be closed; statements that would change something are refused.
pub(super) fn beside_the_writer(path: &Path) -> Result<Connection, Cause> {
    let path = path.canonicalize()?;
    let connection = Connection::open_with_flags(path, WRITING)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "query_only", "ON")?;
    prepare_for_reading(&connection)?;
    Ok(connection)
}

fn prepare_for_reading(connection: &Connection) -> Result<(), Cause> {
    // As PostgreSQL does: a module's path has its capitals for a reason.
    connection.pragma_update(None, "case_sensitive_like", "ON")?;
    check(connection)
}

/// Whether `SQLite` finds a fault in it. Reads all of it.
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

/// Whether the file says that it is a history of gotrace, also where `SQLite` cannot read it any more.
///
/// Opens the file beside `SQLite`: only for a process that has no connection to it.
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

/// Copies what `from` sees now into a new file. Others may write meanwhile; the copy is of one moment. `from` is in a transaction.
pub(super) fn back_up(from: &Connection, to: &Path) -> Result<(), Cause> {
    const ALL_PAGES: c_int = -1;
    let path = create_new(to)?;
    let copied = (|| {
        let mut copy = Connection::open_with_flags(&path, WRITING)?;
        Backup::new(from, &mut copy)?.step(ALL_PAGES)?;
        // One file with no log beside it: it can be moved, and put in the place of a history.
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
        // It was made here and is of no use.
        let _left = fs::remove_file(&path);
    }
    copied
}

/// Whether it is a history that this gotrace can read.
fn check(connection: &Connection) -> Result<(), Cause> {
    match form(connection)? {
        1..=FORM => Ok(()),
        // A writer makes the file before the tables.
        0 => Err(Cause::Missing),
        _ => Err(Cause::Foreign),
    }
}

fn form(connection: &Connection) -> Result<i64, Cause> {
    let form: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if form == 0 {
        return Ok(form);
    }
    let application: i64 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application != APPLICATION {
        return Err(Cause::Foreign);
    }
    if form > FORM {
        return Err(Cause::Newer {
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
