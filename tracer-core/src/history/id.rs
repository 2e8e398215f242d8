//! Ids of builds: UUIDs of version 7, so that they sort by time of start; and prefixes of them as users type them.
//!
//! An id depends only on the trace. A build that is stored twice, or replayed from its recording and stored again, therefore remains one
//! build. No source of randomness is needed.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use uuid::{Builder, Uuid};

use crate::event::ProcKey;
use crate::model::Trace;

/// Identifies one build for ever, on any machine.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct BuildId(String);

impl BuildId {
    /// The id of the build whose first process this is.
    ///
    /// The time is the birth of that process, by the wall clock. The rest is a hash of facts that no two processes share: the boot time of
    /// the machine, the birth of the process in nanoseconds, and its number. Every observer of a build therefore computes the same id. Each
    /// observer measures the boot time with an error far below a second, so the boot time counts in whole seconds.
    pub fn of(trace: &Trace, process: ProcKey) -> Self {
        const SECOND: i64 = 1_000_000_000;
        let ProcKey { tgid, born } = process;
        let booted = trace.boot_to_wall_ns.saturating_add(SECOND / 2);
        let booted = booted.div_euclid(SECOND);
        let digest = Sha256::new()
            .chain_update(booted.to_le_bytes())
            .chain_update(born.0.to_le_bytes())
            .chain_update(tgid.0.to_le_bytes())
            .finalize();
        let mut rest = [0; 10];
        for (to, from) in rest.iter_mut().zip(digest) {
            *to = from;
        }
        let booted_ms = u64::try_from(booted).unwrap_or(0).saturating_mul(1000);
        let ms = booted_ms.saturating_add(born.0 / 1_000_000);
        let uuid = Builder::from_unix_timestamp_millis(ms, &rest).into_uuid();
        Self(uuid.to_string())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first `n` characters.
    pub fn short(&self, n: usize) -> &str {
        self.0.get(..n).unwrap_or(&self.0)
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for BuildId {
    type Err = InvalidBuildId;

    fn from_str(text: &str) -> Result<Self, InvalidBuildId> {
        Uuid::try_parse(text)
            .map(|it| Self(it.to_string()))
            .map_err(|_| InvalidBuildId)
    }
}

/// An id or a prefix of one, in canonical form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdPrefix(String);

/// The given text is neither an id nor a prefix of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a build id is made of hexadecimal digits and dashes, as `gotrace builds` shows it")]
pub struct InvalidBuildId;

impl IdPrefix {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A text that sorts after every id with this prefix and before every later id. An id contains no `g`.
    pub fn end(&self) -> String {
        format!("{}g", self.0)
    }
}

impl FromStr for IdPrefix {
    type Err = InvalidBuildId;

    /// Capital letters and missing dashes are accepted.
    fn from_str(text: &str) -> Result<Self, InvalidBuildId> {
        const DIGITS: usize = 32;
        const DASH_BEFORE: [usize; 4] = [8, 12, 16, 20];
        let digits: Vec<char> = text.chars().filter(|it| *it != '-').collect();
        if digits.is_empty() || digits.len() > DIGITS || !digits.iter().all(char::is_ascii_hexdigit)
        {
            return Err(InvalidBuildId);
        }
        let mut canonical = String::with_capacity(36);
        for (at, digit) in digits.into_iter().enumerate() {
            if DASH_BEFORE.contains(&at) {
                canonical.push('-');
            }
            canonical.push(digit.to_ascii_lowercase());
        }
        Ok(Self(canonical))
    }
}
