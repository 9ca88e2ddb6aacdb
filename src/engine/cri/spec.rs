//! A container's OCI specification, as far as devnet reads it.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The OCI specification of a container (`config.json`).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::engine) struct Spec {
    /// Notes of its maker's: cri-o has all that it knows of a container there.
    pub(in crate::engine) annotations: BTreeMap<String, String>,
    pub(in crate::engine) process: Process,
    pub(in crate::engine) linux: Linux,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::engine) struct Process {
    pub(in crate::engine) args: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::engine) struct Linux {
    pub(in crate::engine) namespaces: Vec<Namespace>,
}

/// A namespace that a container has beside its parent's: one of its own, or the one at `path`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(in crate::engine) struct Namespace {
    #[serde(rename = "type")]
    pub(in crate::engine) kind: String,
    pub(in crate::engine) path: String,
}
