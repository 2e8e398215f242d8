//! The configuration file, and the merge of its values with the environment and the flags. The strongest source with a value wins.
//!
//! An error names file, line and key, but never the value, which may be a secret. Other modules interpret the values.

mod effective;
pub mod endpoint;
pub mod http;
mod key;
mod listen;
pub mod log;
pub mod metrics;
pub mod otlp;
mod parse_error;
pub mod pushgateway;
pub mod textfile;

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, anyhow};
use serde::{Deserialize, Deserializer, Serialize};
use tracer_binary::budget::{BudgetError, Limit};
use tracer_core::recording::Detail;

use crate::history::{Location, central};

pub use self::effective::{EffectiveValue, effective};
pub use self::endpoint::Endpoint;
pub use self::key::Key;
pub use self::listen::ListenAddress;
pub use self::parse_error::ParseError;
pub use crate::history::Bound;

/// The default configuration file. It may be absent.
pub const DEFAULT_PATH: &str = "/etc/gotrace/gotrace.toml";

/// A file with every key as a comment, with its default or an example.
pub const EXAMPLE: &str = include_str!("config/example.toml");

/// The values of one source. For an absent value, a weaker source decides.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// The history: a file, or a central database.
    pub store: Option<Location>,
    /// The history of this machine, if `store` is a central database.
    pub spool: Option<PathBuf>,
    pub central: Option<central::CentralSettings>,
    /// Level of detail of a build: `process`, `phase`, `cache-key`.
    pub detail: Option<Detail>,
    /// Address of the HTTP server.
    pub listen: Option<ListenAddress>,
    /// The protection of the HTTP server; only a file sets it.
    pub http: Option<http::HttpSettings>,
    /// Older builds are deleted.
    pub keep_days: Option<Bound>,
    /// The oldest builds are deleted while the history is larger, in units of 10^6 bytes.
    pub keep_megabytes: Option<Bound>,
    /// The gauges of a target are dropped when it has not been built for this time.
    pub forget_targets_hours: Option<Bound>,
    /// Allowed growth of a target since its previous build.
    pub size_budget: Option<SizeBudget>,
    /// Price of an hour of CPU time, for advice.
    pub cpu_hour_price: Option<CpuHourPrice>,
    /// Directory on bpffs in which probes and ring stay attached between two agents.
    pub pin: Option<PinDirectory>,
    /// The log of the agent.
    pub log: Option<log::LogSettings>,
    /// Optional parts of the metrics; only a file sets them.
    pub metrics: Option<metrics::MetricsSettings>,
    /// OpenTelemetry; only a file sets it.
    pub otlp: Option<otlp::OtlpSettings>,
    /// Pushgateway; only a file sets it.
    pub pushgateway: Option<pushgateway::PushgatewaySettings>,
    /// File of metrics; only a file sets it.
    pub textfile: Option<textfile::TextfileSettings>,
}

/// The exporters of the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exporters {
    pub otlp: Option<otlp::OtlpSettings>,
    pub pushgateway: Option<pushgateway::PushgatewaySettings>,
    pub textfile: Option<textfile::TextfileSettings>,
}

impl Layer {
    /// The sections of exporters.
    pub fn exporters(&self) -> Exporters {
        Exporters {
            otlp: self.otlp.clone(),
            pushgateway: self.pushgateway.clone(),
            textfile: self.textfile.clone(),
        }
    }

    /// The values of this layer, and of the weaker one where this layer has none.
    #[must_use]
    pub fn over(self, weaker: Self) -> Self {
        Self {
            store: self.store.or(weaker.store),
            spool: self.spool.or(weaker.spool),
            central: self.central.or(weaker.central),
            detail: self.detail.or(weaker.detail),
            listen: self.listen.or(weaker.listen),
            http: self.http.or(weaker.http),
            keep_days: self.keep_days.or(weaker.keep_days),
            keep_megabytes: self.keep_megabytes.or(weaker.keep_megabytes),
            forget_targets_hours: self.forget_targets_hours.or(weaker.forget_targets_hours),
            size_budget: self.size_budget.or(weaker.size_budget),
            cpu_hour_price: self.cpu_hour_price.or(weaker.cpu_hour_price),
            pin: self.pin.or(weaker.pin),
            log: match (self.log, weaker.log) {
                (Some(own), Some(weaker)) => Some(own.over(weaker)),
                (own, weaker) => own.or(weaker),
            },
            metrics: self.metrics.or(weaker.metrics),
            otlp: self.otlp.or(weaker.otlp),
            pushgateway: self.pushgateway.or(weaker.pushgateway),
            textfile: self.textfile.or(weaker.textfile),
        }
    }

    /// Fails if two values contradict each other. The types check each value alone.
    pub fn check(&self) -> anyhow::Result<()> {
        let Self {
            store,
            spool,
            central,
            listen,
            http,
            ..
        } = self;
        if let Some(http) = http {
            http.check(listen.as_ref())?;
        }
        if let Some(Location::Central(address)) = store {
            return address.check().context(Key("store"));
        }
        let unused = [("central", central.is_some()), ("spool", spool.is_some())];
        match unused.into_iter().find(|(_, is_set)| *is_set) {
            Some((key, _)) => Err(anyhow!(
                "this needs the central history of a fleet: set store = \"postgres://USER@HOST/DATABASE\", or remove {key}"
            ))
            .context(Key(key)),
            None => Ok(()),
        }
    }

    /// Reads a file, by default [`DEFAULT_PATH`]. A missing default file has no values.
    pub fn read(path: Option<&Path>) -> Result<Self, Error> {
        Self::of(&File::read(path)?)
    }

    /// Parses the text of a file.
    pub fn of(file: &File) -> Result<Self, Error> {
        let File { path, text } = file;
        let Some(text) = text else {
            return Ok(Self::default());
        };
        Self::parse(text).map_err(|parse_error| Error::Parse {
            path: path.clone(),
            error: parse_error,
        })
    }

    fn parse(text: &str) -> Result<Self, ParseError> {
        toml::from_str(text).map_err(|error| ParseError::new(text, &error))
    }
}

/// The text of a configuration file, for a process that may not read the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    path: PathBuf,
    /// `None` if the default file does not exist.
    text: Option<String>,
}

impl File {
    /// Adds file and line to an error that belongs to a [`Key`] of this file.
    pub fn locate(&self, error: anyhow::Error) -> anyhow::Error {
        key::locate(&self.path, self.text.as_deref().unwrap_or_default(), error)
    }

    /// False if the default file does not exist.
    pub fn exists(&self) -> bool {
        self.text.is_some()
    }

    /// The position of a key as `FILE:LINE`. `None` if the file does not set the key.
    pub fn position(&self, key: &str) -> Option<String> {
        let line = key::exact_line(self.text.as_deref()?, key)?;
        Some(format!("{}:{line}", self.path.display()))
    }

    /// Reads a file, by default [`DEFAULT_PATH`].
    pub fn read(path: Option<&Path>) -> Result<Self, Error> {
        let place = path.unwrap_or(Path::new(DEFAULT_PATH)).to_owned();
        match fs::read_to_string(&place) {
            Ok(text) => Ok(Self {
                path: place,
                text: Some(text),
            }),
            Err(error) if error.kind() == ErrorKind::NotFound && path.is_none() => Ok(Self {
                path: place,
                text: None,
            }),
            Err(source) => Err(Error::Unreadable {
                path: place,
                source,
            }),
        }
    }
}

/// A directory, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinDirectory(pub Option<PathBuf>);

impl FromStr for PinDirectory {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self(None));
        }
        let path = PathBuf::from(text);
        if path.is_absolute() {
            Ok(Self(Some(path)))
        } else {
            Err("give a directory on bpffs, such as /sys/fs/bpf/gotrace, or none")
        }
    }
}

impl<'de> Deserialize<'de> for PinDirectory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Allowed growth of a file: `+5%`, `+200KB`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SizeBudget(pub Limit);

/// A parsed limit is never NaN.
impl Eq for SizeBudget {}

impl FromStr for SizeBudget {
    type Err = BudgetError;

    fn from_str(text: &str) -> Result<Self, BudgetError> {
        Limit::of_size(text).map(Self)
    }
}

impl<'de> Deserialize<'de> for SizeBudget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Price of an hour of CPU time, in any currency: a number from 0 on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuHourPrice(f64);

/// A price is never NaN.
impl Eq for CpuHourPrice {}

impl CpuHourPrice {
    const REFUSED: &str = "give a number from 0 on, such as 0.04";

    pub fn number(self) -> f64 {
        self.0
    }

    fn of(price: f64) -> Result<Self, &'static str> {
        let is_price = price.is_finite() && price >= 0.0;
        is_price.then_some(Self(price)).ok_or(Self::REFUSED)
    }
}

impl FromStr for CpuHourPrice {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::of(text.parse().map_err(|_| Self::REFUSED)?)
    }
}

impl<'de> Deserialize<'de> for CpuHourPrice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let price = f64::deserialize(deserializer)?;
        Self::of(price).map_err(serde::de::Error::custom)
    }
}

/// An error of the configuration file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read the configuration {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}:{error}; `gotrace config example` prints a file with every key", path.display())]
    Parse { path: PathBuf, error: ParseError },
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn parse_error(text: &str) -> String {
        Layer::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn the_stronger_source_wins_where_it_has_a_value() {
        let file = Layer::parse("keep_days = 30\nlisten = \"none\"").unwrap();
        let flags = Layer {
            keep_days: Some(Bound(NonZeroU32::new(7))),
            ..Layer::default()
        };
        let both = flags.over(file);
        let seven = Bound(NonZeroU32::new(7));
        assert_eq!(
            (both.keep_days, both.listen),
            (Some(seven), Some(ListenAddress::None))
        );
    }

    #[test]
    fn zero_is_an_error_where_it_would_delete_everything() {
        let gateway = "[pushgateway]\nurl = \"http://gateway.example:9091\"\n";
        for (before, key) in [
            ("", "keep_days"),
            ("", "keep_megabytes"),
            ("", "forget_targets_hours"),
            ("[central]\n", "keep_days"),
            (gateway, "forget_groups_hours"),
        ] {
            let line = before.lines().count() + 1;
            let error = parse_error(&format!("{before}{key} = 0"));
            assert_eq!(
                error,
                format!(
                    "{line}: {key}: 0 would delete everything: give a number from 1, or 'unlimited' for no limit"
                )
            );
            Layer::parse(&format!("{before}{key} = 'unlimited'")).unwrap();
            Layer::parse(&format!("{before}{key} = 4294967295")).unwrap();
        }
        let unlimited = Layer::parse("keep_days = \"unlimited\"").unwrap();
        assert_eq!(unlimited.keep_days, Some(Bound(None)));
    }

    #[test]
    fn a_price_is_a_number_from_zero_on() {
        for (text, price) in [("0.04", 0.04), ("2", 2.0), ("0", 0.0)] {
            assert_eq!(text.parse(), Ok(CpuHourPrice(price)));
            let layer = Layer::parse(&format!("cpu_hour_price = {text}")).unwrap();
            assert_eq!(layer.cpu_hour_price, Some(CpuHourPrice(price)));
        }
        for text in ["-1", "nan", "inf"] {
            assert_eq!(text.parse::<CpuHourPrice>(), Err(CpuHourPrice::REFUSED));
            assert_eq!(
                parse_error(&format!("cpu_hour_price = {text}")),
                "1: cpu_hour_price: give a number from 0 on, such as 0.04"
            );
        }
        assert!("dear".parse::<CpuHourPrice>().is_err());
        let error = parse_error("cpu_hour_price = 'dear'");
        assert!(
            error.starts_with("1: cpu_hour_price: invalid type"),
            "{error}"
        );
    }

    #[test]
    fn an_error_names_line_and_key() {
        let unknown = parse_error("keep_days = 30\n\nkeep_dayz = 31\n");
        assert!(unknown.starts_with("3: keep_dayz: unknown field `keep_dayz`, expected one of"));
        let wrong = parse_error("keep_days = 30\ndetail = 3");
        assert!(wrong.starts_with("2: detail: "), "{wrong}");
        let nowhere = parse_error("listen = \"localhost\"");
        assert!(
            nowhere.starts_with("1: listen: give an address"),
            "{nowhere}"
        );
        let named = Layer::parse("listen = \"localhost:9090\"").unwrap();
        let ListenAddress::Tcp(named) = named.listen.unwrap() else {
            panic!("no address")
        };
        assert!(named.ip().is_loopback() && named.port() == 9090, "{named}");
        let broken = parse_error("keep_days = 30\n[broken");
        assert!(broken.starts_with("2: "), "{broken}");
    }

    #[test]
    fn an_error_quotes_no_value() {
        let error = parse_error("keep_days = \"hun\\\"ter2\"");
        assert!(!error.contains("hun") && !error.contains("ter2"), "{error}");
        assert_eq!(
            error,
            "1: keep_days: invalid type: string, expected a number from 1, or 'unlimited'"
        );
        let error = parse_error("store = \"postgres://u:hunter2@db.example/history?sslmode=on\"");
        assert!(error.starts_with("1: store: "), "{error}");
        assert!(
            error.contains("sslmode must be") && !error.contains("ter2"),
            "{error}"
        );
    }

    #[test]
    fn levels_are_written_as_on_the_command_line() {
        for (text, detail) in [
            ("process", Detail::Process),
            ("phase", Detail::Phase),
            ("cache-key", Detail::CacheKey),
        ] {
            let layer = Layer::parse(&format!("detail = {text:?}")).unwrap();
            assert_eq!(layer.detail, Some(detail));
        }
    }

    /// Each commented setting must parse without its comment sign.
    #[test]
    fn the_example_sets_nothing_and_all_its_settings_parse() {
        assert_eq!(Layer::parse(EXAMPLE).unwrap(), Layer::default());
        let said: Vec<&str> = EXAMPLE
            .lines()
            .filter_map(|line| line.strip_prefix('#').filter(|it| !it.starts_with(' ')))
            .collect();
        let layer = Layer::parse(&said.join("\n")).unwrap();
        let Layer {
            store,
            spool,
            central,
            detail,
            listen,
            http,
            keep_days,
            keep_megabytes,
            forget_targets_hours,
            size_budget,
            cpu_hour_price,
            pin,
            log,
            metrics,
            otlp,
            pushgateway,
            textfile,
        } = &layer;
        assert_eq!(*cpu_hour_price, Some(CpuHourPrice(0.04)));
        let http = http.as_ref().unwrap();
        assert!(http.tls_cert.is_some() && http.tls_key.is_some() && http.token_file.is_some());
        let of_http = http::HttpSettings::default();
        assert_eq!(http.without_token, of_http.without_token);
        let numbers = [keep_days, keep_megabytes, forget_targets_hours];
        let central = central.as_ref().unwrap();
        assert!(central.tenant.is_some() && central.keep_days.is_some());
        assert!(store.is_some() && spool.is_some() && detail.is_some() && listen.is_some());
        assert_eq!(*pin, Some(PinDirectory(None)));
        assert_eq!(*metrics, Some(metrics::MetricsSettings::default()));
        let log = log.unwrap();
        assert!(log.level.is_some() && log.format.is_some());
        assert_eq!(log.config(), crate::log::LogConfig::default());
        assert!(otlp.is_some() && pushgateway.is_some() && textfile.is_some());
        assert_eq!(*size_budget, Some(SizeBudget(Limit::Percent(5.0))));
        assert!(numbers.into_iter().all(Option::is_some), "{layer:?}");
    }
}
