//! The configuration of the agent: its values, its defaults, and the changes that a running agent can apply.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use tracer_core::history::Limits;
use tracer_core::recording::Detail;

use super::export::outputs::Outputs;
use super::http::Rules;
use super::startup;
use crate::config::http::HttpSettings;
use crate::config::metrics::MetricsSettings;
use crate::config::{Bound, Exporters, Key, Layer, ListenAddress, PinDirectory, SizeBudget};
use crate::history::central::{Address, CentralSettings};
use crate::history::{DEFAULT_STORE, Location};
use crate::log::LogConfig;

const DAY_NS: u64 = 24 * 60 * 60 * 1_000_000_000;

/// The values without a setting.
pub mod defaults {
    use super::{Detail, IpAddr, Ipv4Addr, SocketAddr};

    pub const DETAIL: Detail = Detail::CacheKey;
    pub const KEEP_DAYS: u32 = 90;
    pub const KEEP_MEGABYTES: u32 = 1024;
    pub const FORGET_TARGETS_HOURS: u32 = 7 * 24;
    pub const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 10127);
}

/// The complete configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The history of this machine. It is also the spool of the central history, if there is one.
    pub store: PathBuf,
    pub central: Option<Central>,
    pub detail: Detail,
    pub limits: Limits,
    /// Address of the pages.
    pub listen: ListenAddress,
    pub http: HttpSettings,
    /// Time without a build after which the gauges of a target are removed.
    pub target_ttl: Duration,
    /// Allowed growth of a target. `None` if no budget is configured.
    pub size_budget: Option<SizeBudget>,
    /// Directory on bpffs that keeps programs and maps between two agents. `None` disables pinning.
    pub pin: Option<PathBuf>,
    pub log: LogConfig,
    pub metrics: MetricsSettings,
    /// The exporters.
    pub outputs: Exporters,
}

/// The history of a fleet, which receives the builds of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Central {
    pub address: Address,
    pub settings: CentralSettings,
}

impl Config {
    /// Fills the gaps of a layer with the defaults.
    pub fn of(layer: Layer) -> Self {
        let outputs = layer.exporters();
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
            pin,
            log,
            metrics,
            ..
        } = layer;
        let days = keep_days.map_or(Some(defaults::KEEP_DAYS), Bound::number);
        let megabytes = keep_megabytes.map_or(Some(defaults::KEEP_MEGABYTES), Bound::number);
        let hours =
            forget_targets_hours.map_or(Some(defaults::FORGET_TARGETS_HOURS), Bound::number);
        let (file, address) = match store {
            None => (None, None),
            Some(Location::File(path)) => (Some(path), None),
            Some(Location::Central(address)) => (spool, Some(address)),
        };
        let settings = central.unwrap_or_default();
        Self {
            store: file.unwrap_or_else(|| DEFAULT_STORE.into()),
            central: address.map(|address| Central { address, settings }),
            detail: detail.unwrap_or(defaults::DETAIL),
            limits: Limits {
                max_age_ns: days.map(|it| u64::from(it).saturating_mul(DAY_NS)),
                max_bytes: megabytes.map(|it| u64::from(it) * 1_000_000),
            },
            listen: listen.unwrap_or(ListenAddress::Tcp(defaults::LISTEN)),
            http: http.unwrap_or_default(),
            target_ttl: hours.map_or(Duration::MAX, |it| Duration::from_hours(u64::from(it))),
            size_budget,
            pin: pin.and_then(|PinDirectory(place)| place),
            log: log.unwrap_or_default().config(),
            metrics: metrics.unwrap_or_default(),
            outputs,
        }
    }

    /// Fails if an agent with this configuration would not start. Like the start, but without the steps that act: no file is written,
    /// no address is taken, no connection is opened.
    pub fn check(&self) -> anyhow::Result<()> {
        startup::check_store(&self.store).context(Key("store"))?;
        Outputs::check(&self.outputs)?;
        startup::check_address(&self.listen).context(Key("listen"))?;
        Rules::load(&self.http).map(drop)
    }

    /// Returns this configuration as far as an agent that runs with `running` can apply it, and the keys that need a restart.
    pub(super) fn taken_over(self, running: &Self) -> (Self, Vec<&'static str>) {
        let has_probes = |detail| detail != Detail::Process;
        let mut taken = self;
        let mut fixed = Vec::new();
        if taken.store != running.store || taken.central != running.central {
            taken.store.clone_from(&running.store);
            taken.central.clone_from(&running.central);
            fixed.push("store");
        }
        if taken.pin != running.pin {
            taken.pin.clone_from(&running.pin);
            fixed.push("pin");
        }
        if has_probes(taken.detail) != has_probes(running.detail) {
            taken.detail = running.detail;
            fixed.push("detail");
        }
        (taken, fixed)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn unlimited_is_accepted_and_a_large_limit_does_not_wrap() {
        let limits = |bound| {
            let layer = Layer {
                keep_days: Some(Bound(bound)),
                keep_megabytes: Some(Bound(bound)),
                forget_targets_hours: Some(Bound(bound)),
                ..Layer::default()
            };
            let Config {
                limits, target_ttl, ..
            } = Config::of(layer);
            (limits.max_age_ns, limits.max_bytes, target_ttl)
        };
        assert_eq!(limits(None), (None, None, Duration::MAX));
        let (age, bytes, ttl) = limits(Some(NonZeroU32::MAX));
        assert_eq!(age, Some(u64::MAX));
        assert_eq!(bytes, Some(u64::from(u32::MAX) * 1_000_000));
        assert_eq!(ttl, Duration::from_hours(u64::from(u32::MAX)));
        let Limits {
            max_age_ns,
            max_bytes,
        } = Config::of(Layer::default()).limits;
        assert_eq!(
            (max_age_ns, max_bytes),
            (Some(90 * DAY_NS), Some(1024 * 1_000_000))
        );
    }

    #[test]
    fn keys_that_need_a_restart_stay_and_are_named() {
        let running = Config::of(Layer::default());
        let wanted = Config::of(Layer {
            store: Some(Location::File("/elsewhere.db".into())),
            detail: Some(Detail::CacheKey),
            keep_days: Some(Bound(NonZeroU32::new(1))),
            ..Layer::default()
        });
        let (taken, fixed) = wanted.clone().taken_over(&running);
        assert_eq!(fixed, ["store"]);
        let store = running.store.clone();
        assert_eq!(taken, Config { store, ..wanted });

        let silent = Config {
            detail: Detail::Process,
            ..running.clone()
        };
        assert_eq!(silent.taken_over(&running), (running, vec!["detail"]));
    }
}
