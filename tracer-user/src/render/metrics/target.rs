//! Targets and their gauges, which describe the last build of each target. A target has one series of `go_build_info`, and no series
//! if it has not been built for long. This module reads no clock: the caller passes the limit of age.

use std::collections::BTreeMap;

use prometheus::Error;
use tracer_core::event::Anatomy;
use tracer_core::judge::SizeChange;

use super::family::Families;
use super::fold;
use super::guard::guarded;
use super::section::{self, Measure};

/// The label values of a target.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TargetKey([String; 4]);

/// The targets that have gauges. The guard limits their number.
#[derive(Debug, Default)]
pub(super) struct LiveTargets(BTreeMap<TargetKey, TargetGauges>);

#[derive(Debug)]
struct TargetGauges {
    /// Nanoseconds since 1970.
    at_ns: u64,
    info: Vec<String>,
    /// Sections that have gauges.
    sections: Vec<&'static str>,
}

/// Facts of the last build of a target.
pub(super) struct TargetBuild<'a> {
    pub(super) at_ns: u64,
    /// Size of the binary, if it was read.
    pub(super) size: Option<u64>,
    /// Change since the previous build.
    pub(super) change: Option<SizeChange>,
    pub(super) anatomy: Option<&'a Anatomy>,
    pub(super) info: &'a [&'a str],
}

impl TargetKey {
    pub(super) fn new(project: &str, target: &str, goos: &str, goarch: &str) -> Self {
        Self([project, target, goos, goarch].map(guarded))
    }

    pub(super) fn values(&self) -> [&str; 4] {
        self.0.each_ref().map(String::as_str)
    }

    fn with<'a>(&'a self, section: &'a str) -> [&'a str; 5] {
        let [project, target, goos, goarch] = self.values();
        [project, target, goos, goarch, section]
    }
}

impl Families {
    /// Sets the gauges of a built target.
    pub(super) fn targets(&mut self, key: TargetKey, built: &TargetBuild<'_>) -> Result<(), Error> {
        let TargetBuild {
            at_ns,
            size,
            change,
            anatomy,
            info,
        } = *built;
        if let Some(size) = size
            && let Some(gauge) = self.binary_size.with_if_room(&key.values())?
        {
            gauge.set(fold::bytes(size));
        }
        let Some(gauge) = self.timestamp.with_if_room(&key.values())? else {
            return Ok(());
        };
        gauge.set(fold::seconds(at_ns));
        self.size_change(&key, change)?;
        let last = TargetGauges {
            at_ns,
            info: info.iter().map(|it| guarded(it)).collect(),
            sections: self.sections(&key, anatomy)?,
        };
        if let Some(before) = self.live.0.get(&key)
            && before.info != last.info
        {
            let before: Vec<&str> = before.info.iter().map(String::as_str).collect();
            self.info.remove(&before);
        }
        self.live.0.insert(key, last);
        if let Some(gauge) = self.info.with_if_room(info)? {
            gauge.set(1.0);
        }
        Ok(())
    }

    /// Sets the gauges of the sections. Removes those of earlier sections that this build lacks, or whose presence is unknown.
    fn sections(
        &mut self,
        key: &TargetKey,
        anatomy: Option<&Anatomy>,
    ) -> Result<Vec<&'static str>, Error> {
        let measures = anatomy.map(section::measures).unwrap_or_default();
        let before = self.live.0.get(key).map(|it| it.sections.clone());
        for gone in before.iter().flatten() {
            if !measures.contains_key(gone) {
                self.section_size.remove(&key.with(gone));
                self.section_entropy.remove(&key.with(gone));
            }
        }
        for (section, Measure { size, entropy_bits }) in &measures {
            let values = key.with(section);
            if let Some(gauge) = self.section_size.with_if_room(&values)? {
                gauge.set(fold::bytes(*size));
            }
            if let Some(bits) = entropy_bits
                && let Some(gauge) = self.section_entropy.with_if_room(&values)?
            {
                gauge.set(*bits);
            }
        }
        Ok(measures.into_keys().collect())
    }

    /// Removes the gauges of targets that were last built before this time (nanoseconds since 1970).
    pub(crate) fn expire(&mut self, before_ns: u64) {
        let old = self.live.0.extract_if(.., |_, last| last.at_ns < before_ns);
        let old: Vec<(TargetKey, TargetGauges)> = old.collect();
        for (key, last) in old {
            self.binary_size.remove(&key.values());
            self.timestamp.remove(&key.values());
            self.remove_size_change(&key);
            for section in &last.sections {
                self.section_size.remove(&key.with(section));
                self.section_entropy.remove(&key.with(section));
            }
            let info: Vec<&str> = last.info.iter().map(String::as_str).collect();
            self.info.remove(&info);
        }
    }

    pub(crate) fn has_target(&self, project: &str, target: &str, goos: &str, goarch: &str) -> bool {
        self.live
            .0
            .contains_key(&TargetKey::new(project, target, goos, goarch))
    }
}
