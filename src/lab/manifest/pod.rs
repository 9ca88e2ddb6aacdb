//! A `v1/Pod`: metadata, what holds for the whole pod, and its parts.

use std::collections::{BTreeMap, BTreeSet};

use super::reader::{At, Reader};
use super::{ConfigMaps, container, volume};
use crate::lab::{Container, Pod};

/// The reason why fields that only a cluster heeds change nothing here.
const CLUSTER: &str = "only a cluster heeds this";

pub(super) fn read(reader: &mut Reader, at: &At<'_>, maps: &ConfigMaps) -> Pod {
    let mut pod = Pod {
        namespace: "default".into(),
        ..Pod::default()
    };
    let fields = reader.fields(at).unwrap_or_default();
    // metadata first: `fieldRef` and ConfigMaps depend on it, wherever it stands
    let metadata = fields.iter().find(|(name, _)| *name == "metadata");
    if let Some((_, metadata)) = metadata {
        read_metadata(reader, metadata, &mut pod);
    }
    if pod.name.is_empty() && reader.refused.is_empty() {
        reader.refuse(metadata.map_or(at, |(_, at)| at), "the pod has no `name`");
    }
    let mut has_spec = false;
    for (name, at) in &fields {
        match *name {
            "apiVersion" | "kind" | "metadata" => {}
            "spec" => {
                has_spec = true;
                spec(reader, at, &mut pod, maps);
            }
            "status" => reader.note(at, "a status is what a cluster says, not what is asked"),
            _ => reader.unknown(at),
        }
    }
    if !has_spec {
        reader.refuse(at, "the pod has no `spec`");
    }
    pod
}

fn read_metadata(reader: &mut Reader, at: &At<'_>, pod: &mut Pod) {
    for (name, at) in reader.fields(at).unwrap_or_default() {
        match name {
            "annotations" => pod.annotations = reader.text_map(&at).into_iter().collect(),
            "creationTimestamp" | "finalizers" | "generation" | "managedFields"
            | "ownerReferences" | "resourceVersion" | "selfLink" | "uid" => {
                reader.note(&at, CLUSTER);
            }
            "generateName" => reader.refuse(&at, "the lab makes up no names: give it a `name`"),
            "labels" => pod.labels = reader.text_map(&at).into_iter().collect(),
            "name" => pod.name = reader.name(&at, true).unwrap_or_default(),
            "namespace" => {
                if let Some(namespace) = reader.name(&at, false) {
                    pod.namespace = namespace;
                }
            }
            _ => reader.unknown(&at),
        }
    }
}

fn spec(reader: &mut Reader, at: &At<'_>, pod: &mut Pod, maps: &ConfigMaps) {
    let fields = reader.fields(at).unwrap_or_default();
    // volumes first: mounts name them
    if let Some((_, at)) = fields.iter().find(|(name, _)| *name == "volumes") {
        pod.volumes = volume::read(reader, at, &pod.namespace, maps);
    }
    for (name, at) in &fields {
        match *name {
            "containers" => {
                pod.containers = containers(reader, at, pod, maps, false);
                if pod.containers.is_empty() && reader.refused.is_empty() {
                    reader.refuse(at, "a pod has at least one container");
                }
            }
            "initContainers" => pod.init_containers = containers(reader, at, pod, maps, true),
            "volumes" => {}
            "hostAliases" => pod.host_aliases = host_aliases(reader, at),
            "hostIPC" => pod.host_ipc = reader.boolean(at).unwrap_or_default(),
            "hostNetwork" => pod.host_network = reader.boolean(at).unwrap_or_default(),
            "hostPID" => pod.host_pid = reader.boolean(at).unwrap_or_default(),
            "hostname" => pod.hostname = reader.name(at, false),
            "securityContext" => security(reader, at, pod),
            "shareProcessNamespace" => {
                pod.share_process_namespace = reader.boolean(at).unwrap_or_default();
            }
            "terminationGracePeriodSeconds" => {
                pod.grace = reader.number(at, 0, 86_400);
            }
            "restartPolicy" => {
                if let Some(policy) = reader.text(at) {
                    match policy.as_str() {
                        "Never" => {}
                        "Always" | "OnFailure" => reader.note(
                            at,
                            "the lab restarts nothing by itself (`devnet lab kill -c`, `lab restart` do)",
                        ),
                        _ => reader.refuse(at, "Always, OnFailure or Never is expected here"),
                    }
                }
            }
            "dnsPolicy" => match reader.text(at).as_deref() {
                Some("None") => reader.refuse(at, "the lab uses the engine's name servers"),
                Some(_) => reader.note(at, "the lab uses the engine's name servers"),
                None => {}
            },
            "activeDeadlineSeconds"
            | "affinity"
            | "automountServiceAccountToken"
            | "enableServiceLinks"
            | "imagePullSecrets"
            | "nodeName"
            | "nodeSelector"
            | "os"
            | "preemptionPolicy"
            | "priority"
            | "priorityClassName"
            | "readinessGates"
            | "schedulerName"
            | "schedulingGates"
            | "serviceAccount"
            | "serviceAccountName"
            | "tolerations"
            | "topologySpreadConstraints" => reader.note(at, CLUSTER),
            _ => reader.unknown(at),
        }
    }
    if !fields.iter().any(|(name, _)| *name == "containers") {
        reader.refuse(at, "a pod has at least one container");
    }
    if pod.host_pid && pod.share_process_namespace {
        reader.refuse(
            at,
            "`hostPID` and `shareProcessNamespace` exclude each other",
        );
    }
    let names = pod.init_containers.iter().chain(&pod.containers);
    let mut seen = BTreeSet::new();
    for container in names.filter(|container| !container.name.is_empty()) {
        if !seen.insert(&container.name) {
            reader.refuse(
                at,
                &format!("two containers are called `{}`", container.name),
            );
        }
    }
}

fn containers(
    reader: &mut Reader,
    at: &At<'_>,
    pod: &Pod,
    maps: &ConfigMaps,
    init: bool,
) -> Vec<Container> {
    let items = reader.list(at);
    items
        .iter()
        .map(|item| container::read(reader, item, pod, maps, init))
        .collect()
}

fn host_aliases(reader: &mut Reader, at: &At<'_>) -> Vec<(String, String)> {
    let mut aliases = Vec::new();
    for item in reader.list(at) {
        let (mut ip, mut names) = (None, Vec::new());
        for (name, at) in reader.fields(&item).unwrap_or_default() {
            match name {
                "hostnames" => names = reader.texts(&at),
                "ip" => {
                    ip = reader.text(&at);
                    if ip
                        .as_ref()
                        .is_some_and(|ip| ip.parse::<std::net::IpAddr>().is_err())
                    {
                        reader.refuse(&at, "this is no IP address");
                    }
                }
                _ => reader.unknown(&at),
            }
        }
        if let Some(ip) = ip {
            aliases.extend(names.into_iter().map(|name| (name, ip.clone())));
        }
    }
    aliases
}

fn security(reader: &mut Reader, at: &At<'_>, pod: &mut Pod) {
    for (name, at) in reader.fields(at).unwrap_or_default() {
        match name {
            "fsGroup" => {
                let group = reader.number(&at, 0, i64::from(i32::MAX));
                pod.groups.extend(group);
                pod.volume_group = group.and_then(|group| u32::try_from(group).ok());
            }
            "fsGroupChangePolicy" => reader.note(&at, "the lab's volumes are new"),
            "runAsGroup" => pod.run_as_group = reader.number(&at, 0, i64::from(i32::MAX)),
            "runAsNonRoot" => reader.note(&at, "not checked here"),
            "runAsUser" => pod.run_as_user = reader.number(&at, 0, i64::from(i32::MAX)),
            "seccompProfile" => container::profile(reader, &at),
            "supplementalGroups" => {
                for item in reader.list(&at) {
                    pod.groups
                        .extend(reader.number(&item, 0, i64::from(i32::MAX)));
                }
            }
            "sysctls" => {
                for item in reader.list(&at) {
                    let mut pair: BTreeMap<String, String> =
                        reader.text_map(&item).into_iter().collect();
                    match (pair.remove("name"), pair.remove("value")) {
                        (Some(name), Some(value)) => {
                            pod.sysctls.insert(name, value);
                        }
                        _ => reader.refuse(&item, "a sysctl has a `name` and a `value`"),
                    }
                }
            }
            _ => reader.unknown(&at),
        }
    }
}
