//! The external parent span of a build: W3C's trace context in environment variables.
//!
//! `TRACEPARENT` and `TRACESTATE` are claims of the program that started the build. Values that violate the recommendation
//! (<https://www.w3.org/TR/trace-context/>) are ignored, because half an id would connect a build to an unrelated trace. This module does
//! not choose ids for builds without such a parent.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::byte_string::ByteString;
use crate::environment;
use crate::hex;

/// Bytes of a `tracestate` that every system must be able to propagate.
const STATE: usize = 512;
/// Most members of a `tracestate`.
const MEMBERS: usize = 32;

/// The id of a trace or a span. Never all zeros, which is invalid.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Id<const N: usize>([u8; N]);

pub type TraceId = Id<16>;
pub type SpanId = Id<8>;

impl<const N: usize> Id<N> {
    pub fn new(bytes: [u8; N]) -> Option<Self> {
        bytes.iter().any(|it| *it != 0).then_some(Self(bytes))
    }

    /// An id from computed bytes. If they are all zero by chance, the id is all ones.
    pub fn derived(bytes: [u8; N]) -> Self {
        Self::new(bytes).unwrap_or(Self([0xff; N]))
    }

    pub fn bytes(self) -> [u8; N] {
        self.0
    }
}

/// The text is not the digits of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("invalid trace or span id: use lower-case hexadecimal digits, not all zero")]
pub struct InvalidHexId;

impl<const N: usize> FromStr for Id<N> {
    type Err = InvalidHexId;

    fn from_str(text: &str) -> Result<Self, InvalidHexId> {
        let digits = text.as_bytes();
        if digits.len() != 2 * N {
            return Err(InvalidHexId);
        }
        let mut bytes = [0; N];
        for (to, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            *to = byte(pair).ok_or(InvalidHexId)?;
        }
        Self::new(bytes).ok_or(InvalidHexId)
    }
}

impl<const N: usize> TryFrom<String> for Id<N> {
    type Error = InvalidHexId;

    fn try_from(text: String) -> Result<Self, InvalidHexId> {
        text.parse()
    }
}

impl<const N: usize> From<Id<N>> for String {
    fn from(id: Id<N>) -> Self {
        id.to_string()
    }
}

impl<const N: usize> fmt::Display for Id<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex::write(&self.0, f)
    }
}

impl<const N: usize> fmt::Debug for Id<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<const N: usize> JsonSchema for Id<N> {
    fn schema_name() -> Cow<'static, str> {
        format!("HexId{N}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": format!("^[0-9a-f]{{{}}}$", 2 * N) })
    }
}

/// A span that existed before the build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TraceContext {
    pub trace: TraceId,
    pub span: SpanId,
    /// True if the program that began the trace requests its export.
    pub is_sampled: bool,
    /// Additions of other tracing systems, which must be passed on unchanged.
    pub state: Option<String>,
}

impl TraceContext {
    /// The parent of a process with this environment; `None` if it has no parent or an invalid one.
    pub fn of(env: &[(ByteString, ByteString)]) -> Option<Self> {
        let parent = environment::get(env, "TRACEPARENT")?;
        let (trace, span, is_sampled) = parent_of(parent.as_bytes())?;
        let state = environment::get(env, "TRACESTATE");
        Some(Self {
            trace,
            span,
            is_sampled,
            state: state.and_then(|it| state_of(it.as_bytes())),
        })
    }
}

/// `00-{trace}-{span}-{flags}`. A later version may append more fields; they are ignored.
fn parent_of(text: &[u8]) -> Option<(TraceId, SpanId, bool)> {
    let mut parts = std::str::from_utf8(text).ok()?.splitn(5, '-');
    let version = octet(parts.next()?)?;
    let trace = parts.next()?.parse().ok()?;
    let span = parts.next()?.parse().ok()?;
    let flags = octet(parts.next()?)?;
    let has_more = parts.next().is_some();
    let is_known = version != 0xff && !(version == 0 && has_more);
    is_known.then_some((trace, span, flags & 1 == 1))
}

/// A list of `key=value`. An invalid or too long one is dropped as a whole, as the recommendation requires.
fn state_of(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?.trim_matches([' ', '\t']);
    let is_member = |it: &str| match it.trim_matches([' ', '\t']).split_once('=') {
        Some((key, value)) => is_key(key) && is_value(value),
        None => it.trim_matches([' ', '\t']).is_empty(),
    };
    let mut members = text.split(',');
    let is_valid = !text.is_empty()
        && text.len() <= STATE
        && text.split(',').count() <= MEMBERS
        && members.all(is_member);
    is_valid.then(|| text.to_owned())
}

fn is_key(key: &str) -> bool {
    let allowed = |it: u8| {
        it.is_ascii_lowercase()
            || it.is_ascii_digit()
            || matches!(it, b'_' | b'-' | b'*' | b'/' | b'@')
    };
    !key.is_empty() && key.len() <= 256 && key.bytes().all(allowed)
}

fn is_value(value: &str) -> bool {
    let allowed = |it: u8| (b' '..=b'~').contains(&it) && !matches!(it, b',' | b'=');
    !value.is_empty() && value.len() <= 256 && value.bytes().all(allowed)
}

fn octet(text: &str) -> Option<u8> {
    byte(text.as_bytes())
}

/// A byte from two lower-case hexadecimal digits.
fn byte(pair: &[u8]) -> Option<u8> {
    let digit = |it: u8| match it {
        b'0'..=b'9' => Some(it - b'0'),
        b'a'..=b'f' => Some(it - b'a' + 10),
        _ => None,
    };
    match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redact;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    /// The context from variables as the decoder returns them.
    fn context(variables: &[(&str, &str)]) -> Option<TraceContext> {
        let env: Vec<(ByteString, ByteString)> = variables
            .iter()
            .filter(|(name, _)| environment::is_allowed(name.as_bytes()))
            .map(|(name, value)| {
                let value = redact::variable(name.as_bytes(), value.as_bytes());
                (ByteString::from(*name), value)
            })
            .collect();
        TraceContext::of(&env)
    }

    fn parent(text: &str) -> Option<TraceContext> {
        context(&[("TRACEPARENT", text)])
    }

    #[test]
    fn a_parent_is_read() {
        let read = parent(PARENT).unwrap();
        assert_eq!(read.trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(read.span.to_string(), "b7ad6b7169203331");
        assert!(read.is_sampled);
        assert!(!parent(&PARENT.replace("-01", "-00")).unwrap().is_sampled);
        // Other flags are ignored.
        assert!(parent(&PARENT.replace("-01", "-ff")).unwrap().is_sampled);
        assert!(!parent(&PARENT.replace("-01", "-02")).unwrap().is_sampled);
        // A later version, with an unknown suffix.
        assert_eq!(parent(&format!("cc{}", &PARENT[2..])), parent(PARENT));
        assert_eq!(
            parent(&format!("cc{}-more-of-it", &PARENT[2..])),
            parent(PARENT)
        );
    }

    #[test]
    fn an_invalid_parent_is_none() {
        for text in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319cc-b7ad6b716920333-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01 ",
            "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01more",
            "0-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
        ] {
            assert_eq!(parent(text), None, "{text}");
        }
    }

    #[test]
    fn a_state_is_kept_only_with_its_parent() {
        let state = |text: &str| {
            context(&[("TRACEPARENT", PARENT), ("TRACESTATE", text)])
                .unwrap()
                .state
        };
        assert_eq!(
            state("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE").as_deref(),
            Some("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")
        );
        assert_eq!(state(" a=1 , ,b@c=2 ").as_deref(), Some("a=1 , ,b@c=2"));
        for text in ["", "a", "=1", "a=", "A=1", "a=1=2", "a=\u{e9}", "a=\x01"] {
            assert_eq!(state(text), None, "{text}");
        }
        assert_eq!(state(&"a=1,".repeat(33)), None);
        assert_eq!(state(&format!("a={}", "x".repeat(511))), None);
        assert_eq!(context(&[("TRACESTATE", "a=1")]), None);
    }

    #[test]
    fn json_has_the_digits() {
        let read = parent(PARENT).unwrap();
        let json = serde_json::to_value(&read).unwrap();
        assert_eq!(json["trace"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(serde_json::from_value::<TraceContext>(json).unwrap(), read);
        assert!(serde_json::from_str::<SpanId>("\"0000000000000000\"").is_err());
    }
}
