//! The section `[otlp]`. No output shows values that may be secrets.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde::{Deserialize, Deserializer};

use super::Endpoint;

/// Headers that gotrace sets itself.
const OURS: [&str; 5] = [
    "content-encoding",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
];

/// The section.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own, named as the file names it"
)]
pub struct OtlpSettings {
    /// The receiver's base address; gotrace appends `/v1/traces`, `/v1/logs` and `/v1/metrics`.
    pub endpoint: Option<Endpoint>,
    /// Headers of every request.
    #[serde(default)]
    pub headers: Headers,
    /// File with more headers, one `Name: value` a line. gotrace reads it for every request.
    pub headers_file: Option<PathBuf>,
    /// True if `OTEL_EXPORTER_OTLP_ENDPOINT` and `OTEL_EXPORTER_OTLP_HEADERS` of the agent's own environment apply where the section
    /// has no endpoint or headers.
    #[serde(default)]
    pub use_environment: bool,
    /// PEM file of certificates to trust, in addition to those of the machine.
    pub ca_file: Option<PathBuf>,
    #[serde(default)]
    pub compression: Compression,
    /// True if builds are sent as spans.
    #[serde(default = "yes")]
    pub traces: bool,
    /// True if summaries of builds are sent as log records.
    #[serde(default = "yes")]
    pub logs: bool,
    /// True if the families of `/metrics` are sent.
    #[serde(default = "yes")]
    pub metrics: bool,
    #[serde(default = "metrics_interval_seconds", deserialize_with = "an_interval")]
    pub metrics_interval_seconds: u32,
    /// Largest number of spans of a build. The longest are sent.
    #[serde(default = "spans_per_build", deserialize_with = "a_number_of_spans")]
    pub spans_per_build: u32,
    /// True if actions of the `go` command that ran no tool because of the build cache are sent, too.
    #[serde(default)]
    pub cached_actions: bool,
    /// Parent span of a build without `TRACEPARENT`.
    #[serde(default)]
    pub parent: ParentSpan,
    /// True if whole command lines are sent, redacted, and not only the names of flags.
    #[serde(default)]
    pub command_lines: bool,
    /// `service.name` of all signals.
    #[serde(default = "service_name")]
    pub service_name: String,
}

/// Compression of request bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    #[default]
    Gzip,
    None,
}

/// The parent span of the outermost build.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParentSpan {
    /// No parent: the build is the root of its own trace.
    #[default]
    Build,
    /// The span of the CI run, which another program must send.
    Ci,
}

fn yes() -> bool {
    true
}

fn metrics_interval_seconds() -> u32 {
    60
}

fn spans_per_build() -> u32 {
    500
}

fn service_name() -> String {
    "gotrace".to_owned()
}

fn an_interval<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    within(deserializer, 1..=86_400)
}

fn a_number_of_spans<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    within(deserializer, 1..=10_000)
}

fn within<'de, D: Deserializer<'de>>(
    deserializer: D,
    range: RangeInclusive<u32>,
) -> Result<u32, D::Error> {
    let n = u32::deserialize(deserializer)?;
    if range.contains(&n) {
        return Ok(n);
    }
    let (least, most) = range.into_inner();
    let why = format!("give a number from {least} to {most}");
    Err(serde::de::Error::custom(why))
}

/// Names and values of headers. The values are secrets.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "BTreeMap<String, String>")]
pub struct Headers(BTreeMap<String, String>);

/// Error of a text that is no header. It never quotes the text, which may be a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHeader {
    #[error("the name of a header consists of letters, digits, dashes and underscores")]
    Name,
    #[error("gotrace sets this header itself")]
    Ours,
    #[error("the value of a header must be printable ASCII")]
    Value,
    #[error("write one `Name: value` a line")]
    Line,
    #[error("write name=value, separated by commas")]
    Pair,
}

impl TryFrom<BTreeMap<String, String>> for Headers {
    type Error = BadHeader;

    fn try_from(headers: BTreeMap<String, String>) -> Result<Self, BadHeader> {
        let mut checked = Self::default();
        for (name, value) in headers {
            checked.add(&name, &value)?;
        }
        Ok(checked)
    }
}

impl Headers {
    fn add(&mut self, name: &str, value: &str) -> Result<(), BadHeader> {
        let name = name.trim().to_ascii_lowercase();
        let is_name = !name.is_empty()
            && name
                .bytes()
                .all(|it| it.is_ascii_alphanumeric() || it == b'-' || it == b'_');
        if !is_name {
            return Err(BadHeader::Name);
        }
        if OURS.contains(&&*name) {
            return Err(BadHeader::Ours);
        }
        let value = value.trim();
        if !value.bytes().all(|it| (b' '..=b'~').contains(&it)) {
            return Err(BadHeader::Value);
        }
        self.0.insert(name, value.to_owned());
        Ok(())
    }

    /// Parses one `Name: value` a line. Empty lines and lines with `#` at the start are skipped.
    pub(crate) fn of_file(text: &str) -> Result<Self, BadHeader> {
        let mut headers = Self::default();
        let lines = text.lines().map(str::trim);
        for line in lines.filter(|it| !it.is_empty() && !it.starts_with('#')) {
            let (name, value) = line.split_once(':').ok_or(BadHeader::Line)?;
            headers.add(name, value)?;
        }
        Ok(headers)
    }

    /// Parses a variable as the OpenTelemetry specification defines it: `name=value,name=value`, with percent-encoded values.
    fn of_variable(text: &str) -> Result<Self, BadHeader> {
        let mut headers = Self::default();
        for pair in text.split(',').filter(|it| !it.trim().is_empty()) {
            let (name, value) = pair.split_once('=').ok_or(BadHeader::Pair)?;
            let value = percent_encoding::percent_decode_str(value.trim());
            let value = value.decode_utf8().map_err(|_| BadHeader::Value)?;
            headers.add(name, &value)?;
        }
        Ok(headers)
    }

    /// These headers, and those of `others` whose name is missing here.
    pub(crate) fn over(mut self, others: Self) -> Self {
        for (name, value) in others.0 {
            self.0.entry(name).or_insert(value);
        }
        self
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Looks up a variable of an environment. This module does not read the environment itself.
pub(crate) type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

impl OtlpSettings {
    /// The endpoint and the headers, from the section, or from the environment if `use_environment` is set.
    pub(crate) fn target(&self, variables: Variables<'_>) -> anyhow::Result<(Endpoint, Headers)> {
        let variable = |name: &str| {
            let value = self.use_environment.then(|| variables(name)).flatten();
            value.filter(|it| !it.is_empty())
        };
        let endpoint = match (&self.endpoint, variable("OTEL_EXPORTER_OTLP_ENDPOINT")) {
            (Some(endpoint), _) => endpoint.clone(),
            (None, Some(text)) => text
                .parse()
                .context("OTEL_EXPORTER_OTLP_ENDPOINT cannot be used")?,
            (None, None) => bail!(
                "otlp has no endpoint: give one, such as endpoint = \"http://127.0.0.1:4318\""
            ),
        };
        let headers = match variable("OTEL_EXPORTER_OTLP_HEADERS") {
            Some(text) => {
                let of_variable = Headers::of_variable(&text);
                let of_variable =
                    of_variable.context("OTEL_EXPORTER_OTLP_HEADERS cannot be used")?;
                self.headers.clone().over(of_variable)
            }
            None => self.headers.clone(),
        };
        Ok((endpoint, headers))
    }

    /// Fails if all signals are off. The types check all other rules.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        if !(self.traces || self.logs || self.metrics) {
            bail!("otlp sends nothing: leave traces, logs or metrics on, or remove the section");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<OtlpSettings, toml::de::Error> {
        toml::from_str(text)
    }

    #[test]
    fn an_endpoint_is_enough() {
        let settings = settings("endpoint = \"http://127.0.0.1:4318\"").unwrap();
        assert!(settings.traces && settings.logs && settings.metrics);
        assert_eq!(settings.spans_per_build, 500);
        assert!(!settings.command_lines);
        settings.check().unwrap();
        let (endpoint, headers) = settings.target(&|_| panic!("asked")).unwrap();
        assert_eq!(endpoint.to_string(), "http://127.0.0.1:4318");
        assert_eq!(headers, Headers::default());
    }

    #[test]
    fn the_environment_is_read_only_if_the_section_allows_it() {
        let variables = |name: &str| {
            Some(match name {
                "OTEL_EXPORTER_OTLP_ENDPOINT" => "http://collector:4318/base".to_owned(),
                "OTEL_EXPORTER_OTLP_HEADERS" => "a=1, x-b = s%2Fx%20y".to_owned(),
                other => panic!("{other}"),
            })
        };
        let error = settings("").unwrap().target(&variables).unwrap_err();
        assert!(error.to_string().contains("no endpoint"), "{error}");
        let wanted = settings("use_environment = true\nheaders = { A = \"2\" }").unwrap();
        let (endpoint, headers) = wanted.target(&variables).unwrap();
        assert_eq!(endpoint.to_string(), "http://collector:4318/base");
        let headers: Vec<_> = headers.iter().collect();
        assert_eq!(headers, [("a", "2"), ("x-b", "s/x y")]);
    }

    #[test]
    fn secrets_are_not_shown() {
        let secret = "s3cret-7f";
        let text = format!(
            "endpoint = \"https://u:{secret}@example.com/x?{secret}\"\nheaders = {{ a = \"{secret}\" }}"
        );
        let settings = settings(&text).unwrap();
        assert!(!format!("{settings:?}").contains(secret), "{settings:?}");
        for text in [
            format!("bad name: {secret}"),
            secret.to_owned(),
            format!("Content-Type: {secret}"),
            format!("a: {secret}\u{7}"),
        ] {
            let error = Headers::of_file(&text).unwrap_err();
            assert!(!error.to_string().contains(secret), "{error}");
        }
        assert_eq!(Headers::of_variable(secret), Err(BadHeader::Pair));
        assert_eq!(Headers::of_variable("a=%ff"), Err(BadHeader::Value));
    }

    #[test]
    fn a_file_has_one_header_per_line() {
        let headers =
            Headers::of_file("# of the tenant\nX-Tenant: a b\n\nauthorization:Bearer x:y\n");
        let headers = headers.unwrap();
        let headers: Vec<_> = headers.iter().collect();
        assert_eq!(
            headers,
            [("authorization", "Bearer x:y"), ("x-tenant", "a b")]
        );
    }

    #[test]
    fn invalid_settings_are_errors() {
        let check = |text: &str| settings(text).unwrap().check();
        assert!(check("traces = false\nlogs = false\nmetrics = false").is_err());
        for text in [
            "spans_per_build = 0",
            "spans_per_build = 10001",
            "metrics_interval_seconds = 0",
        ] {
            let error = settings(text).unwrap_err();
            assert!(
                error.message().starts_with("give a number from 1 to "),
                "{error}"
            );
        }
        assert!(settings("span_per_build = 1").is_err());
        assert!(settings("compression = \"zip\"").is_err());
    }
}
