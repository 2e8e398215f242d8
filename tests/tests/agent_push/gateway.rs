//! The real Pushgateway and its groups.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use crate::harness::{Server, free_address, wait_for};

pub(crate) struct Gateway(pub(crate) Server);

/// A group: its labels, and the values of each family.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Group {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) families: BTreeMap<String, Vec<f64>>,
}

impl Gateway {
    pub(crate) fn start() -> Self {
        Self::start_at(free_address())
    }

    pub(crate) fn start_at(address: SocketAddr) -> Self {
        // Debian's Pushgateway stores its groups in a file that all instances share.
        let args = ["--persistence.file="];
        Self(Server::start("prometheus-pushgateway", &args, address))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.0.address)
    }

    pub(crate) fn groups(&self) -> Vec<Group> {
        let answer: Value = serde_json::from_str(&self.0.get("/api/v1/metrics")).unwrap();
        assert_eq!(answer["status"], "success", "{answer}");
        let groups = answer["data"].as_array().unwrap();
        groups.iter().map(group).collect()
    }

    /// Waits for a group of this target that satisfies `is_so`.
    pub(crate) fn wait_for(&self, target: &str, is_so: impl Fn(&Group) -> bool) -> Group {
        wait_for(&format!("a group of {target}"), || {
            let groups = self.groups();
            let found = groups
                .iter()
                .find(|it| it.labels.get("target").is_some_and(|it| it == target) && is_so(it));
            found.cloned().ok_or(format!("{groups:?}"))
        })
    }

    pub(crate) fn wait_to_be_empty(&self) {
        wait_for("no group", || {
            let groups = self.groups();
            groups.is_empty().then_some(()).ok_or(format!("{groups:?}"))
        });
    }
}

fn group(group: &Value) -> Group {
    let mut all = Group::default();
    for (name, value) in group.as_object().unwrap() {
        if name == "labels" {
            let labels = value.as_object().unwrap().iter();
            all.labels = labels
                .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
                .collect();
        } else if let Some(series) = value["metrics"].as_array() {
            let value = |it: &Value| it["value"].as_str().unwrap().parse().unwrap();
            let values = series.iter().map(value).collect();
            all.families.insert(name.clone(), values);
        }
    }
    all
}
