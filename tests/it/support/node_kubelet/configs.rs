//! Sandboxes and containers as a kubelet describes them to its runtime, taken from a recorded one.

use std::collections::BTreeMap;

use super::wanted::{Container, Wanted};
use crate::support::cri::messages::{
    Capabilities, ContainerConfig, ContainerMetadata, ContainerSecurity, Dns, IdMapping, Image,
    KeyValue, LinuxContainer, LinuxSandbox, Mount, Namespaces, Number, Resources, SandboxConfig,
    SandboxMetadata, SandboxSecurity, SecurityProfile, UserNamespace,
};

const MASKED: [&str; 12] = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];
/// A namespace of the container's own, and the node's.
const CONTAINER: i32 = 1;
const NODE: i32 = 2;

/// The labels that say which pod a kubelet's sandbox or container is of.
pub(super) fn pod_labels(pod: &Wanted, uid: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    labels.insert("io.kubernetes.pod.name".into(), pod.name.clone());
    labels.insert("io.kubernetes.pod.namespace".into(), pod.namespace.clone());
    labels.insert("io.kubernetes.pod.uid".into(), uid.into());
    labels
}

/// The folder of a pod's logs.
pub(super) fn log_folder(pod: &Wanted, uid: &str) -> String {
    format!("/var/log/pods/{}_{}_{uid}", pod.namespace, pod.name)
}

fn namespaces(pod: &Wanted) -> Namespaces {
    let of_node = |shared: bool| if shared { NODE } else { 0 };
    Namespaces {
        network: of_node(pod.host_network),
        pid: match (pod.host_pid, pod.share_pid) {
            (true, _) => NODE,
            (false, true) => 0,
            (false, false) => CONTAINER,
        },
        ipc: of_node(pod.host_ipc),
        target: String::new(),
        users: pod.own_users.map(|_| UserNamespace {
            mode: 0,
            users: mapping(pod),
            groups: mapping(pod),
        }),
    }
}

/// The IDs that a pod with users of its own has: as many as the kubelet gives.
fn mapping(pod: &Wanted) -> Vec<IdMapping> {
    let one = pod.own_users.map(|host| IdMapping {
        host,
        container: 0,
        length: 65_536,
    });
    one.into_iter().collect()
}

pub(super) fn sandbox(pod: &Wanted, uid: &str, attempt: u32) -> SandboxConfig {
    let mut labels = pod.labels.clone();
    labels.extend(pod_labels(pod, uid));
    let mut annotations = pod.annotations.clone();
    annotations.insert(
        "kubernetes.io/config.seen".into(),
        "2026-11-28T04:20:55.352178843Z".into(),
    );
    annotations.insert("kubernetes.io/config.source".into(), "api".into());
    let limited = pod.containers.iter().any(|one| one.memory.is_some());
    let class = if limited { "burstable" } else { "besteffort" };
    SandboxConfig {
        metadata: Some(SandboxMetadata {
            name: pod.name.clone(),
            uid: uid.into(),
            namespace: pod.namespace.clone(),
            attempt,
        }),
        // a pod of the node's network has the node's name
        hostname: if pod.host_network {
            String::new()
        } else {
            pod.name.clone()
        },
        log_directory: log_folder(pod, uid),
        dns: Some(Dns {
            servers: vec!["10.96.0.10".into()],
            searches: vec![
                format!("{}.svc.cluster.local", pod.namespace),
                "svc.cluster.local".into(),
                "cluster.local".into(),
            ],
            options: vec!["ndots:5".into()],
        }),
        port_mappings: pod.ports.clone(),
        labels,
        annotations,
        linux: Some(LinuxSandbox {
            cgroup_parent: format!("/kubepods/{class}/pod{uid}"),
            security: Some(SandboxSecurity {
                namespaces: Some(namespaces(pod)),
                seccomp: Some(SecurityProfile::default()),
            }),
            overhead: Some(Resources::default()),
            resources: Some(Resources {
                cpu_period: 100_000,
                cpu_shares: 2,
                ..Resources::default()
            }),
        }),
    }
}

/// A container of that attempt; `image` is its image's ID, `hosts` the pod's own `/etc/hosts` and
/// `last_words` the file of its termination message.
pub(super) fn container(
    pod: &Wanted,
    uid: &str,
    container: &Container,
    attempt: u32,
    image: &str,
    (hosts, last_words): (&str, &str),
) -> ContainerConfig {
    let mut labels = pod_labels(pod, uid);
    labels.insert(
        "io.kubernetes.container.name".into(),
        container.name.clone(),
    );
    let mount = |container_path: &str, host_path: &str| Mount {
        container_path: container_path.into(),
        host_path: host_path.into(),
        ..Mount::default()
    };
    let mut mounts = container.mounts.clone();
    mounts.push(mount("/etc/hosts", hosts));
    mounts.push(mount("/dev/termination-log", last_words));
    for one in &mut mounts {
        one.users = mapping(pod);
        one.groups = mapping(pod);
    }
    let memory = container.memory.unwrap_or_default();
    ContainerConfig {
        metadata: Some(ContainerMetadata {
            name: container.name.clone(),
            attempt,
        }),
        image: Some(Image {
            image: image.into(),
            user_specified: container.image.clone(),
        }),
        command: container.command.clone(),
        args: container.args.clone(),
        working_dir: container.working_dir.clone(),
        envs: container
            .env
            .iter()
            .map(|(key, value)| KeyValue {
                key: key.clone(),
                value: value.clone(),
            })
            .collect(),
        mounts,
        labels,
        annotations: annotations(pod, container, attempt),
        log_path: format!("{}/{attempt}.log", container.name),
        stdin: container.stdin,
        stdin_once: false,
        tty: container.tty,
        linux: Some(LinuxContainer {
            resources: Some(Resources {
                cpu_period: 100_000,
                cpu_shares: 2,
                memory_limit: memory,
                oom_score_adj: if container.memory.is_some() {
                    999
                } else {
                    1000
                },
                memory_swap_limit: memory,
            }),
            security: Some(ContainerSecurity {
                capabilities: Some(Capabilities {
                    add: container.added_capabilities.clone(),
                    drop: Vec::new(),
                }),
                privileged: container.privileged,
                namespaces: Some(namespaces(pod)),
                run_as_user: container.user.map(|value| Number { value }),
                readonly_rootfs: false,
                no_new_privileges: false,
                masked_paths: MASKED.map(str::to_owned).to_vec(),
                readonly_paths: READ_ONLY.map(str::to_owned).to_vec(),
                seccomp: Some(SecurityProfile { kind: 1 }),
            }),
        }),
    }
}

fn annotations(pod: &Wanted, container: &Container, attempt: u32) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = [
        ("container.hash", format!("{:x}", hash(&container.name))),
        ("container.restartCount", attempt.to_string()),
        (
            "container.terminationMessagePath",
            "/dev/termination-log".into(),
        ),
        ("container.terminationMessagePolicy", "File".into()),
        ("pod.terminationGracePeriod", pod.grace.to_string()),
    ]
    .into_iter()
    .map(|(key, value)| (format!("io.kubernetes.{key}"), value))
    .collect();
    if !container.ports.is_empty() {
        let ports: Vec<_> = container
            .ports
            .iter()
            .map(|(name, port)| {
                serde_json::json!({"name": name, "containerPort": port, "protocol": "TCP"})
            })
            .collect();
        all.insert(
            "io.kubernetes.container.ports".into(),
            serde_json::Value::from(ports).to_string(),
        );
    }
    all
}

/// A number that is another one for another text.
fn hash(text: &str) -> u32 {
    text.bytes().fold(2_166_136_261, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(16_777_619)
    })
}
