//! The section `[pushgateway]`.

use std::path::PathBuf;

use serde::Deserialize;

use super::Endpoint;

/// Which gateway, and what it is told.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushgatewaySettings {
    /// Of the gateway; `/metrics/job/...` comes after it.
    pub url: Endpoint,
    /// The label `job` of all groups.
    #[serde(default = "job")]
    pub job: String,
    /// For basic authentication, with `password_file`.
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    /// For a token in place of a user.
    pub bearer_token_file: Option<PathBuf>,
    /// Certificates in PEM that are trusted beside those of the machine.
    pub ca_file: Option<PathBuf>,
    /// A group is deleted when its target has not been built for so long; as `forget_targets_hours` if absent.
    #[serde(default, deserialize_with = "crate::history::limit::largest")]
    pub forget_groups_hours: Option<u32>,
    /// Groups that are kept at most.
    #[serde(default = "max_groups")]
    pub max_groups: usize,
}

fn job() -> String {
    "gotrace".to_owned()
}

fn max_groups() -> usize {
    200
}

impl PushgatewaySettings {
    /// For a gateway at that address, and the defaults for the rest.
    pub fn of(url: Endpoint) -> Self {
        Self {
            url,
            job: job(),
            username: None,
            password_file: None,
            bearer_token_file: None,
            ca_file: None,
            forget_groups_hours: None,
            max_groups: max_groups(),
        }
    }
}
