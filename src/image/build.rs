//! The request for a build, as a value, and the words in which BuildKit's Dockerfile frontend takes
//! it.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::image::build_flags::Attributed;

/// The options of one build; the context and the Dockerfile come separately.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub(crate) struct Options {
    /// The Dockerfile's name in its folder.
    pub(crate) filename: String,
    pub(crate) tags: Vec<String>,
    pub(crate) build_args: BTreeMap<String, String>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) target: Option<String>,
    pub(crate) platforms: Vec<String>,
    pub(crate) no_cache: bool,
    /// Stages that are built anew.
    pub(crate) no_cache_filter: Vec<String>,
    /// Ask the registry for newer base images even when the engine has them.
    pub(crate) pull: bool,
    /// `default`, `host` or `none`.
    pub(crate) network: Option<String>,
    /// Host name to address.
    pub(crate) hosts: Vec<(String, String)>,
    /// Bytes.
    pub(crate) shm_size: Option<u64>,
    /// The control group that steps run under.
    pub(crate) cgroup_parent: Option<String>,
    /// As `nofile=1024:1024`.
    pub(crate) ulimits: Vec<String>,
    /// Named contexts: `docker-image://…`, a URL, or `local:` and the folder's name.
    pub(crate) contexts: BTreeMap<String, String>,
    /// The context when it is no folder: a Git or tar URL.
    pub(crate) remote_context: Option<String>,
    /// `provenance` and `sbom`, and how.
    pub(crate) attestations: BTreeMap<String, String>,
    /// Caches that steps may be taken from.
    pub(crate) cache_from: Vec<Attributed>,
    /// The Dockerfile does not come from the context.
    pub(crate) dockerfile_apart: bool,
    /// The entitlements that steps may ask for beyond the usual.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) allowed: Vec<String>,
    /// Limits that only the classic builder knows.
    #[serde(skip_serializing_if = "Limits::is_none")]
    pub(crate) limits: Limits,
}

/// The limits of the classic builder's containers.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub(crate) struct Limits {
    /// Bytes.
    pub(crate) memory: Option<i64>,
    /// Bytes, memory included; -1 is no limit.
    pub(crate) memory_swap: Option<i64>,
    pub(crate) cpu_shares: Option<i64>,
    pub(crate) cpu_period: Option<i64>,
    pub(crate) cpu_quota: Option<i64>,
    pub(crate) cpuset_cpus: Option<String>,
    pub(crate) cpuset_mems: Option<String>,
    /// Steps' containers stay, as `--rm=false` asks for.
    pub(crate) keep_containers: bool,
}

impl Limits {
    pub(crate) fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The first flag that BuildKit has no counterpart for.
    pub(crate) fn first(&self) -> Option<&'static str> {
        [
            ("--memory", self.memory.is_some()),
            ("--memory-swap", self.memory_swap.is_some()),
            ("--cpu-shares", self.cpu_shares.is_some()),
            ("--cpu-period", self.cpu_period.is_some()),
            ("--cpu-quota", self.cpu_quota.is_some()),
            ("--cpuset-cpus", self.cpuset_cpus.is_some()),
            ("--cpuset-mems", self.cpuset_mems.is_some()),
        ]
        .into_iter()
        .find_map(|(flag, given)| given.then_some(flag))
    }
}

impl Options {
    /// The parameters of a classic build for which the Engine API's client has no fields.
    pub(crate) fn classic_query(&self, limits_in_words: bool) -> Vec<(&'static str, String)> {
        let limits = &self.limits;
        let number = |value: Option<i64>| value.map(|value| value.to_string());
        let shm_size = self.shm_size.map(|size| size.to_string());
        let ulimits: Vec<_> = self
            .ulimits
            .iter()
            .filter_map(|text| {
                let (name, values) = text.split_once('=')?;
                let (soft, hard) = values.split_once(':')?;
                let (soft, hard): (i64, i64) = (soft.parse().ok()?, hard.parse().ok()?);
                Some(if limits_in_words {
                    format!("{name}={soft}:{hard}").into()
                } else {
                    serde_json::json!({"Name": name, "Soft": soft, "Hard": hard})
                })
            })
            .collect();
        let ulimits = (!ulimits.is_empty()).then(|| serde_json::Value::from(ulimits).to_string());
        [
            ("memory", number(limits.memory)),
            ("memswap", number(limits.memory_swap)),
            ("cpushares", number(limits.cpu_shares)),
            ("cpuperiod", number(limits.cpu_period)),
            ("cpuquota", number(limits.cpu_quota)),
            ("cpusetcpus", limits.cpuset_cpus.clone()),
            ("cpusetmems", limits.cpuset_mems.clone()),
            ("shmsize", shm_size),
            ("cgroupparent", self.cgroup_parent.clone()),
            ("ulimits", ulimits),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
        .collect()
    }

    /// The frontend's attributes.
    pub(crate) fn attributes(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::new();
        let mut set = |name: &str, value: String| {
            all.insert(name.to_owned(), value);
        };
        set("filename", self.filename.clone());
        // "local" spares a question to the registry for each base image that is here already
        let resolve = if self.pull { "pull" } else { "local" };
        set("image-resolve-mode", resolve.to_owned());
        for (name, value) in &self.build_args {
            set(&format!("build-arg:{name}"), value.clone());
        }
        for (name, value) in &self.labels {
            set(&format!("label:{name}"), value.clone());
        }
        if let Some(target) = &self.target {
            set("target", target.clone());
        }
        if !self.platforms.is_empty() {
            set("platform", self.platforms.join(","));
        }
        if self.no_cache {
            set("no-cache", String::new());
        } else if !self.no_cache_filter.is_empty() {
            set("no-cache", self.no_cache_filter.join(","));
        }
        if let Some(network) = self.network.as_deref().filter(|name| *name != "default") {
            set("force-network-mode", network.to_owned());
        }
        if !self.hosts.is_empty() {
            let hosts = self
                .hosts
                .iter()
                .map(|(name, address)| format!("{name}={address}"));
            set("add-hosts", hosts.collect::<Vec<_>>().join(","));
        }
        if let Some(bytes) = self.shm_size {
            set("shm-size", bytes.to_string());
        }
        if let Some(parent) = &self.cgroup_parent {
            set("cgroup-parent", parent.clone());
        }
        if !self.ulimits.is_empty() {
            set("ulimit", self.ulimits.join(","));
        }
        for (name, place) in &self.contexts {
            set(&format!("context:{name}"), place.clone());
        }
        if !self.cache_from.is_empty() {
            // the frontend asks for them itself, so it must know them
            let caches: Vec<_> = self
                .cache_from
                .iter()
                .map(|cache| serde_json::json!({"Type": cache.kind, "Attrs": cache.attributes}))
                .collect();
            set("cache-imports", serde_json::Value::from(caches).to_string());
        }
        for (kind, how) in &self.attestations {
            set(&format!("attest:{kind}"), how.clone());
        }
        if let Some(place) = &self.remote_context {
            set("context", place.clone());
            if self.dockerfile_apart {
                set("dockerfilekey", "dockerfile".to_owned());
            }
        }
        all
    }
}

/// Reads `KEY=VALUE`; without a value the environment is asked. A name that is set nowhere is
/// left out, as docker does.
pub(crate) fn build_args(
    given: &[String],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>> {
    let mut args = BTreeMap::new();
    for text in given {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text.as_str(), environment(text)),
        };
        if name.is_empty() {
            return Err(Error::usage(format!(
                "`--build-arg {text}` names no argument"
            )));
        }
        if let Some(value) = value {
            args.insert(name.to_owned(), value);
        }
    }
    Ok(args)
}

/// Reads `KEY=VALUE` labels; without `=` the value is empty.
pub(crate) fn labels(given: &[String]) -> Result<BTreeMap<String, String>> {
    given
        .iter()
        .map(|text| match text.split_once('=').unwrap_or((text, "")) {
            ("", _) => Err(Error::usage(format!("`--label {text}` names no label"))),
            (name, value) => Ok((name.to_owned(), value.to_owned())),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_build_arg_without_a_value_is_taken_from_the_environment_or_left_out() {
        let environment = |name: &str| (name == "HERE").then(|| "yes".to_owned());
        let args = build_args(&strings(&["A=1=2", "HERE", "GONE", "EMPTY="]), &environment);
        let args: Vec<_> = args.unwrap().into_iter().collect();
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            args,
            [pair("A", "1=2"), pair("EMPTY", ""), pair("HERE", "yes")]
        );
        assert!(build_args(&strings(&["=x"]), &environment).is_err());
    }

    #[test]
    fn base_images_that_are_here_are_used_unless_a_pull_is_asked_for() {
        let mode = |pull| {
            let options = Options {
                pull,
                ..Options::default()
            };
            options.attributes()["image-resolve-mode"].clone()
        };
        assert_eq!(
            (mode(false), mode(true)),
            ("local".to_owned(), "pull".to_owned())
        );
    }

    #[test]
    fn stages_without_cache_are_named_and_no_cache_covers_all() {
        let mut options = Options {
            no_cache_filter: strings(&["a", "b"]),
            ..Options::default()
        };
        assert_eq!(options.attributes()["no-cache"], "a,b");
        options.no_cache = true;
        assert_eq!(options.attributes()["no-cache"], "");
    }
}
