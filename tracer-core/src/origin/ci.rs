//! Reads the CI pipeline of a build from its environment.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::vendor::{Piece, VENDORS, ValueSource, Vendor};
use crate::byte_string::ByteString;
use crate::{environment, redact};

/// Most bytes of a value that are kept. No forge allows names this long.
const VALUE: usize = 1024;
/// Bytes that are escaped in the path of an address: all but the unreserved characters of RFC 3986, and the slash.
const BESIDE_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// A run of a continuous integration system, with that system's own names. Values are redacted; addresses have neither credentials nor
/// query.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ci {
    /// `github`, `gitlab`.
    pub system: String,
    /// `owner/name`, or an address if the system sets nothing else.
    pub repository: Option<String>,
    /// The built branch; for a change, its own branch.
    pub branch: Option<String>,
    /// The target branch of a change.
    pub base_branch: Option<String>,
    /// Number of the pull or merge request.
    pub change: Option<String>,
    pub revision: Option<String>,
    pub pipeline: Option<String>,
    pub job: Option<String>,
    pub run: Option<String>,
    pub attempt: Option<String>,
    pub url: Option<String>,
    pub runner: Option<String>,
}

impl Ci {
    /// The pipeline of a process with this environment; `None` if no known system set it.
    pub fn of(env: &[(ByteString, ByteString)]) -> Option<Self> {
        let vendor = VENDORS.iter().find(|it| {
            let (name, expected) = it.mark;
            value(env, name).is_some_and(|it| expected.is_none_or(|expected| it == expected))
        })?;
        let Vendor {
            system,
            mark: _,
            repository,
            branch,
            base_branch,
            change,
            revision,
            pipeline,
            job,
            run,
            attempt,
            url,
            runner,
        } = vendor;
        let change = first(env, change, false);
        let of = |sources: &[ValueSource]| first(env, sources, change.is_some());
        Some(Self {
            system: (*system).to_owned(),
            repository: of(repository),
            branch: of(branch),
            // Without a change, some systems set this to the pushed branch.
            base_branch: of(base_branch).filter(|_| change.is_some()),
            revision: of(revision),
            pipeline: of(pipeline),
            job: of(job),
            run: of(run),
            attempt: of(attempt),
            url: of(url),
            runner: of(runner),
            change,
        })
    }
}

fn first(
    env: &[(ByteString, ByteString)],
    sources: &[ValueSource],
    is_change: bool,
) -> Option<String> {
    sources.iter().find_map(|it| read(env, it, is_change))
}

fn read(env: &[(ByteString, ByteString)], source: &ValueSource, is_change: bool) -> Option<String> {
    match source {
        ValueSource::Var(name) => value(env, name),
        ValueSource::Pushed(name) => value(env, name).filter(|_| !is_change),
        ValueSource::Branch(name) => branch(&value(env, name)?),
        ValueSource::Remote(name) => {
            let value = value(env, name)?;
            branch(value.strip_prefix("origin/").unwrap_or(&value))
        }
        ValueSource::Number(name) => value(env, name).filter(|it| is_number(it)),
        ValueSource::Ref(name) => {
            let value = value(env, name)?;
            let number = value.strip_prefix("refs/pull/")?.split('/').next()?;
            is_number(number).then(|| number.to_owned())
        }
        ValueSource::Last(name) => {
            let value = value(env, name)?;
            let number = value.rsplit('/').next()?;
            is_number(number).then(|| number.to_owned())
        }
        ValueSource::Hash(name) => value(env, name).filter(|it| is_hash(it)),
        ValueSource::Join(pieces) => joined(env, pieces, |it| it),
        ValueSource::Address(pieces) => joined(env, pieces, |it| escaped(&it)),
    }
}

/// The pieces joined in order, each variable converted by `part`; `None` if one is missing.
fn joined(
    env: &[(ByteString, ByteString)],
    pieces: &[Piece],
    part: impl Fn(String) -> String,
) -> Option<String> {
    let parts: Option<Vec<_>> = pieces
        .iter()
        .map(|it| match it {
            Piece::Text(text) => Some((*text).to_owned()),
            Piece::Var(name) => value(env, name).map(&part),
            Piece::Base(name) => value(env, name).map(|it| it.trim_end_matches('/').to_owned()),
        })
        .collect();
    parts.map(|it| cut(&it.concat()).to_owned())
}

/// Escapes a value for the path of an address. Otherwise a `?` or `@` in it would begin a query or end a host.
fn escaped(value: &str) -> String {
    utf8_percent_encode(value, BESIDE_PATH).to_string()
}

/// A name, or a full reference to a branch; not one to a tag or a change.
fn branch(value: &str) -> Option<String> {
    let name = value.strip_prefix("refs/heads/").unwrap_or(value);
    (!name.is_empty() && !name.starts_with("refs/")).then(|| name.to_owned())
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() <= 20 && text.bytes().all(|it| it.is_ascii_digit())
}

/// True for SHA-1 or SHA-256, whole or shortened; not for `HEAD`.
fn is_hash(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|it| it.is_ascii_hexdigit())
}

/// A variable, redacted. An empty one counts as absent.
fn value(env: &[(ByteString, ByteString)], name: &str) -> Option<String> {
    // Recordings from other versions or programs are not trusted to be redacted.
    let redacted = redact::variable(name.as_bytes(), environment::get(env, name)?.as_bytes());
    shown(&redacted)
}

/// Text for one line: without control characters, and cut. `None` if nothing is left.
pub(super) fn shown(redacted: &ByteString) -> Option<String> {
    let text = redacted.to_str();
    let line = cut(text.trim()).replace(char::is_control, "\u{fffd}");
    (!line.is_empty()).then(|| cut(&line).to_owned())
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(VALUE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
