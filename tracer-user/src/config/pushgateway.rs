//! The section `[pushgateway]`.

use std::path::PathBuf;

use serde::Deserialize;

use super::Endpoint;

/// The gateway, its credentials and the limits of its groups.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushgatewaySettings {
    /// Base address of the gateway; gotrace appends `/metrics/job/...`.
    pub url: Endpoint,
    /// The label `job` of all groups.
    #[serde(default = "job")]
    pub job: String,
    /// User for basic authentication, with `password_file`.
    pub username: Option<String>,
    pub password_file: Option<PathBuf>,
    /// File with a token, instead of a user.
    pub bearer_token_file: Option<PathBuf>,
    /// PEM file of certificates to trust, in addition to those of the machine.
    pub ca_file: Option<PathBuf>,
    /// The group of a target is deleted when the target has not been built for this time. Default: `forget_targets_hours`.
    #[serde(default, deserialize_with = "crate::history::limit::largest")]
    pub forget_groups_hours: Option<u32>,
    /// Largest number of groups.
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
    /// Settings for a gateway at this address, with defaults for the rest.
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
