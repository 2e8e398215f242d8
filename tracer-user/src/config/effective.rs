//! The values in force, each with its source: the result of `gotrace config effective`.
//!
//! Values that may be secrets are not included: of headers only the names, of addresses neither user nor password.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};
use tracer_core::recording::Detail;

use super::http::HttpSettings;
use super::log::LogSettings;
use super::metrics::MetricsSettings;
use super::otlp::{Compression, OtlpSettings, ParentSpan};
use super::pushgateway::PushgatewaySettings;
use super::textfile::TextfileSettings;
use super::{Bound, CpuHourPrice, File, Layer, PinDirectory, SizeBudget};
use crate::agent::defaults;
use crate::history::{DEFAULT_STORE, Location, central};
use crate::log::LogConfig;
use tracer_binary::budget::Limit;

/// One value in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EffectiveValue {
    /// As in the file, with its section: `otlp.endpoint`.
    pub key: String,
    /// `null` if the setting has no value.
    pub value: Value,
    /// `default`, a flag, an environment variable, or `FILE:LINE`.
    pub source: String,
}

/// All values in force. `own` are the values of flags and environment, and `source_of` returns the flag or the variable of a key there.
pub fn effective(
    own: Layer,
    file: &File,
    source_of: &dyn Fn(&str) -> Option<String>,
) -> Result<Vec<EffectiveValue>, super::Error> {
    let layer = own.over(Layer::of(file)?);
    let values = values(layer).into_iter().map(|(key, value)| {
        let source = source_of(&key).or_else(|| file.position(&key));
        EffectiveValue {
            source: source.unwrap_or_else(|| "default".to_owned()),
            key,
            value,
        }
    });
    Ok(values.collect())
}

fn values(layer: Layer) -> Vec<(String, Value)> {
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
    } = layer;
    let is_central = matches!(store, Some(Location::Central(_)));
    let mut rows = vec![(
        "store",
        store.map_or_else(|| json!(DEFAULT_STORE), |it| json!(it.to_string())),
    )];
    if is_central || spool.is_some() {
        let spool = spool.unwrap_or_else(|| PathBuf::from(DEFAULT_STORE));
        rows.push(("spool", json!(spool)));
    }
    rows.extend([
        (
            "detail",
            match detail.unwrap_or(defaults::DETAIL) {
                Detail::Process => json!("process"),
                Detail::Phase => json!("phase"),
                Detail::CacheKey => json!("cache-key"),
            },
        ),
        (
            "listen",
            listen.map_or_else(
                || json!(defaults::LISTEN.to_string()),
                |it| json!(it.to_string()),
            ),
        ),
        ("keep_days", bound(keep_days, defaults::KEEP_DAYS)),
        (
            "keep_megabytes",
            bound(keep_megabytes, defaults::KEEP_MEGABYTES),
        ),
        (
            "forget_targets_hours",
            bound(forget_targets_hours, defaults::FORGET_TARGETS_HOURS),
        ),
        (
            "size_budget",
            size_budget.map_or(Value::Null, |SizeBudget(limit)| match limit {
                Limit::Bytes(n) => json!(format!("+{n}B")),
                Limit::Percent(n) => json!(format!("+{n}%")),
                Limit::Bits(n) => json!(format!("+{n}")),
            }),
        ),
        (
            "cpu_hour_price",
            json!(cpu_hour_price.map(CpuHourPrice::number)),
        ),
        (
            "pin",
            match pin {
                Some(PinDirectory(Some(path))) => json!(path),
                Some(PinDirectory(None)) | None => json!("none"),
            },
        ),
    ]);
    let rows = rows.into_iter().map(|(key, value)| (key.to_owned(), value));
    let mut rows: Vec<_> = rows.collect();
    let sections = [
        (
            "central",
            (is_central || central.is_some()).then(|| of_central(central.unwrap_or_default())),
        ),
        ("http", Some(of_http(http.unwrap_or_default()))),
        ("log", Some(of_log(log.unwrap_or_default()))),
        ("metrics", Some(of_metrics(metrics.unwrap_or_default()))),
        ("otlp", otlp.map(of_otlp)),
        ("textfile", textfile.map(of_textfile)),
        ("pushgateway", pushgateway.map(of_pushgateway)),
    ];
    for (section, values) in sections {
        let values = values.into_iter().flatten();
        rows.extend(values.map(|(key, value)| (format!("{section}.{key}"), value)));
    }
    rows
}

fn of_http(settings: HttpSettings) -> Rows {
    let HttpSettings {
        tls_cert,
        tls_key,
        token_file,
        without_token,
    } = settings;
    vec![
        ("tls_cert", json!(tls_cert)),
        ("tls_key", json!(tls_key)),
        ("token_file", json!(token_file)),
        ("without_token", json!(without_token)),
    ]
}

fn of_log(settings: LogSettings) -> Rows {
    let LogConfig { level, format } = settings.config();
    vec![
        ("level", json!(level.name())),
        ("format", json!(format.name())),
    ]
}

fn of_metrics(settings: MetricsSettings) -> Rows {
    let MetricsSettings { phases, created } = settings;
    vec![("phases", json!(phases)), ("created", json!(created))]
}

fn bound(bound: Option<Bound>, default: u32) -> Value {
    limit(bound.map_or(Some(default), Bound::number))
}

fn limit(number: Option<u32>) -> Value {
    number.map_or_else(|| json!("unlimited"), |it| json!(it))
}

type Rows = Vec<(&'static str, Value)>;

fn of_central(settings: central::CentralSettings) -> Rows {
    let central::CentralSettings {
        tenant,
        keep_days,
        timeout_seconds,
    } = settings;
    vec![
        ("tenant", json!(tenant)),
        ("keep_days", limit(keep_days)),
        ("timeout_seconds", json!(timeout_seconds)),
    ]
}

fn of_otlp(settings: OtlpSettings) -> Rows {
    let OtlpSettings {
        endpoint,
        headers,
        headers_file,
        use_environment,
        ca_file,
        compression,
        traces,
        logs,
        metrics,
        metrics_interval_seconds,
        spans_per_build,
        cached_actions,
        parent,
        command_lines,
        service_name,
    } = settings;
    let names: Vec<&str> = headers.iter().map(|(name, _)| name).collect();
    vec![
        ("endpoint", json!(endpoint.map(|it| it.to_string()))),
        ("headers", json!(names)),
        ("headers_file", json!(headers_file)),
        ("use_environment", json!(use_environment)),
        ("ca_file", json!(ca_file)),
        (
            "compression",
            match compression {
                Compression::Gzip => json!("gzip"),
                Compression::None => json!("none"),
            },
        ),
        ("traces", json!(traces)),
        ("logs", json!(logs)),
        ("metrics", json!(metrics)),
        ("metrics_interval_seconds", json!(metrics_interval_seconds)),
        ("spans_per_build", json!(spans_per_build)),
        ("cached_actions", json!(cached_actions)),
        (
            "parent",
            match parent {
                ParentSpan::Build => json!("build"),
                ParentSpan::Ci => json!("ci"),
            },
        ),
        ("command_lines", json!(command_lines)),
        ("service_name", json!(service_name)),
    ]
}

fn of_textfile(settings: TextfileSettings) -> Rows {
    let TextfileSettings {
        directory,
        every_seconds,
    } = settings;
    vec![
        ("directory", json!(directory)),
        ("every_seconds", json!(every_seconds)),
    ]
}

fn of_pushgateway(settings: PushgatewaySettings) -> Rows {
    let PushgatewaySettings {
        url,
        job,
        username,
        password_file,
        bearer_token_file,
        ca_file,
        forget_groups_hours,
        max_groups,
    } = settings;
    vec![
        ("url", json!(url.to_string())),
        ("job", json!(job)),
        ("username", json!(username)),
        ("password_file", json!(password_file)),
        ("bearer_token_file", json!(bearer_token_file)),
        ("ca_file", json!(ca_file)),
        ("forget_groups_hours", json!(forget_groups_hours)),
        ("max_groups", json!(max_groups)),
    ]
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    fn file(text: &str) -> File {
        File {
            path: "/etc/c.toml".into(),
            text: Some(text.to_owned()),
        }
    }

    #[test]
    fn each_value_has_its_source() {
        let text = "detail = 'process'\nkeep_days = 3\ncpu_hour_price = 0.04\n[otlp]\nendpoint = 'http://u:hunter2@h:1'\nheaders = { a = 'hunter2' }";
        let own = Layer {
            keep_days: Some(Bound(NonZeroU32::new(7))),
            ..Layer::default()
        };
        let source_of = |key: &str| (key == "keep_days").then(|| "--keep-days".to_owned());
        let rows = effective(own, &file(text), &source_of).unwrap();
        let row = |key: &str| {
            let row = rows.iter().find(|it| it.key == key).unwrap();
            (row.value.clone(), row.source.as_str())
        };
        assert_eq!(row("keep_days"), (json!(7), "--keep-days"));
        assert_eq!(row("detail"), (json!("process"), "/etc/c.toml:1"));
        assert_eq!(row("size_budget"), (Value::Null, "default"));
        assert_eq!(row("cpu_hour_price"), (json!(0.04), "/etc/c.toml:3"));
        assert_eq!(row("otlp.endpoint"), (json!("http://h:1"), "/etc/c.toml:5"));
        assert_eq!(row("otlp.headers"), (json!(["a"]), "/etc/c.toml:6"));
        assert_eq!(row("otlp.traces"), (json!(true), "default"));
        assert!(!format!("{rows:?}").contains("hunter2"));
        assert!(!rows.iter().any(|it| it.key.starts_with("textfile")));
    }

    /// The values are those that the agent uses without any setting.
    #[test]
    fn defaults_are_those_of_the_agent() {
        let rows = effective(Layer::default(), &file(""), &|_| None).unwrap();
        assert!(rows.iter().all(|it| it.source == "default"), "{rows:?}");
        let rows = rows.iter().filter(|it| !it.value.is_null());
        let lines: Vec<String> = rows
            .map(|it| format!("{} = {}", it.key, it.value))
            .collect();
        let layer = Layer::of(&file(&lines.join("\n"))).unwrap();
        let by_text = crate::agent::Config::of(layer);
        assert_eq!(by_text, crate::agent::Config::of(Layer::default()));
    }
}
