//! The log: one line on stderr for each message, from every thread and process of gotrace.
//!
//! A command prints `gotrace: MESSAGE`. The processes of the agent call [`configure`], and their lines then have a level and a time. The
//! format is process-wide, because stderr is: messages of the agent, errors of the command line and reports of panics share it. Messages
//! contain no secrets; this module redacts nothing.

mod line;

use std::env;
use std::fmt::{self, Display};
use std::io::{self, Write as _};
use std::str::FromStr;
use std::sync::{Arc, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::line::Style;
use crate::clock;

/// The importance of a message for an operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// A part of gotrace does not work.
    Error,
    /// Data is missing, or may be soon.
    Warn,
    /// A change that an operator expects.
    #[default]
    Info,
    /// The beginning and the end of each build.
    Debug,
}

/// The form of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    #[default]
    Text,
    Json,
}

/// The text is no [`Level`] or no [`Format`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("give one of {0}")]
pub struct UnknownName(&'static str);

impl Level {
    pub const ALL: [Self; 4] = [Self::Error, Self::Warn, Self::Info, Self::Debug];

    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

impl Format {
    pub const ALL: [Self; 2] = [Self::Text, Self::Json];

    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

impl FromStr for Level {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.into_iter().find(|it| it.name() == text);
        found.ok_or(UnknownName("error, warn, info, debug"))
    }
}

impl FromStr for Format {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let found = Self::ALL.into_iter().find(|it| it.name() == text);
        found.ok_or(UnknownName("text, json"))
    }
}

/// The log of an agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// Less important messages are omitted.
    pub level: Level,
    pub format: Format,
}

/// A value beside a message, for programs. The message contains it too.
pub type Field = (&'static str, Value);

/// One message.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    pub level: Level,
    pub message: &'a str,
    pub fields: &'a [Field],
}

impl Display for Record<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message)
    }
}

/// A destination of messages: stderr, except in tests.
#[derive(Clone)]
pub struct Log(Arc<dyn Fn(&Record<'_>) + Send + Sync>);

impl Log {
    pub fn stderr() -> Self {
        Self::to(write)
    }

    /// Passes each message to `receive`.
    pub fn to(receive: impl Fn(&Record<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(receive))
    }

    pub fn error(&self, message: impl Display) {
        self.with(Level::Error, message, &[]);
    }

    pub fn warn(&self, message: impl Display) {
        self.with(Level::Warn, message, &[]);
    }

    pub fn info(&self, message: impl Display) {
        self.with(Level::Info, message, &[]);
    }

    pub fn debug(&self, message: impl Display) {
        self.with(Level::Debug, message, &[]);
    }

    /// Logs a message with fields.
    pub fn with(&self, level: Level, message: impl Display, fields: &[Field]) {
        (self.0)(&Record {
            level,
            message: &message.to_string(),
            fields,
        });
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Log")
    }
}

/// The log of this process. `None` for a command, which prints every message.
static ACTIVE: RwLock<Option<Active>> = RwLock::new(None);

#[derive(Clone, Copy)]
struct Active {
    level: Level,
    style: Style,
    process: &'static str,
}

/// Sets the log of this process, which `process` names.
pub fn configure(config: LogConfig, process: &'static str) {
    let LogConfig { level, format } = config;
    let style = match format {
        Format::Json => Style::Json,
        Format::Text if is_journal() => Style::Journal,
        Format::Text => Style::Text,
    };
    *ACTIVE.write().unwrap_or_else(PoisonError::into_inner) = Some(Active {
        level,
        style,
        process,
    });
}

/// Changes the log of a process that [`configure`] has named.
pub fn reconfigure(config: LogConfig) {
    if let Some(Active { process, .. }) = active() {
        configure(config, process);
    }
}

/// Writes a message to stderr. A closed stderr is ignored.
pub fn write(record: &Record<'_>) {
    let active = active();
    if active.is_some_and(|it| record.level > it.level) {
        return;
    }
    let line = match active {
        None => format!("gotrace: {record}\n"),
        Some(Active { style, process, .. }) => line::line(record, style, process, clock::wall_ns()),
    };
    // One write for each line, because both processes of the agent have the same stderr.
    let _closed = io::stderr().lock().write_all(line.as_bytes());
}

/// Writes the report of a panic. The backtrace follows the message, in lines of its own except in JSON.
pub fn write_panic(message: &str, backtrace: Option<&str>) {
    let is_json = active().is_some_and(|it| it.style == Style::Json);
    let fields = backtrace.filter(|_| is_json);
    write(&Record {
        level: Level::Error,
        message,
        fields: fields.map(|it| ("backtrace", it.into())).as_slice(),
    });
    if let Some(backtrace) = backtrace.filter(|_| !is_json) {
        let _closed = writeln!(io::stderr(), "{backtrace}");
    }
}

fn active() -> Option<Active> {
    *ACTIVE.read().unwrap_or_else(PoisonError::into_inner)
}

/// True if stderr is connected to the journal, by the rule of systemd.exec(5).
fn is_journal() -> bool {
    let Ok(named) = env::var("JOURNAL_STREAM") else {
        return false;
    };
    rustix::fs::fstat(rustix::stdio::stderr())
        .is_ok_and(|it| named == format!("{}:{}", it.st_dev, it.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_configuration() {
        for level in Level::ALL {
            assert_eq!(level.name().parse(), Ok(level));
            let json = serde_json::to_value(level).unwrap();
            assert_eq!(json, level.name());
        }
        for format in Format::ALL {
            assert_eq!(format.name().parse(), Ok(format));
        }
        let error = "trace".parse::<Level>().unwrap_err().to_string();
        assert_eq!(error, "give one of error, warn, info, debug");
        assert!(Level::Error < Level::Debug);
    }
}
