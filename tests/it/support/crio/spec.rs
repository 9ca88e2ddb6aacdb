//! The OCI specifications of the stand-in's sandboxes and containers: the namespaces, annotations and
//! capabilities of recorded ones (`crio-node/crictl`).

use serde_json::{Map, Value, json};

use super::ground::mount;
use crate::support::cri::messages::{ContainerConfig, SandboxConfig};

/// A namespace of the container's own, and the node's.
const NODE: i32 = 2;
const CONTAINER: i32 = 1;
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const CAPABILITIES: [&str; 9] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_KILL",
];

/// A sandbox as specifications know it.
pub(super) struct Held<'a> {
    pub(super) id: &'a str,
    /// The name of its pinned namespaces.
    pub(super) pins: &'a str,
    pub(super) config: &'a SandboxConfig,
    /// Its process where it has one.
    pub(super) pid: Option<u32>,
    pub(super) ip: &'a str,
}

/// The names of a pod that stand in those of its containers.
fn of_pod(config: &SandboxConfig) -> String {
    let metadata = config.metadata.clone().unwrap_or_default();
    format!("{}_{}_{}", metadata.name, metadata.namespace, metadata.uid)
}

pub(super) fn wants(config: &SandboxConfig) -> crate::support::cri::messages::Namespaces {
    let linux = config.linux.clone().unwrap_or_default();
    let security = linux.security.unwrap_or_default();
    security.namespaces.unwrap_or_default()
}

fn annotations(all: &[(&str, String)]) -> Map<String, Value> {
    let name = |name: &str| format!("io.kubernetes.cri-o.{name}");
    let all = all.iter().filter(|(_, value)| !value.is_empty());
    all.map(|(key, value)| (name(key), value.clone().into()))
        .collect()
}

fn namespaces(held: &Held<'_>, pid: Option<Value>, network: bool) -> Value {
    let pinned = |kind: &str, folder: &str| json!({"type": kind, "path": format!("/var/run/{folder}/{}", held.pins)});
    let mut all: Vec<Value> = pid.into_iter().collect();
    if network {
        all.push(pinned("network", "netns"));
    }
    all.extend([
        pinned("ipc", "ipcns"),
        pinned("uts", "utsns"),
        json!({"type": "mount"}),
    ]);
    all.into()
}

fn mounts() -> Vec<Value> {
    let usual = ["nosuid", "noexec", "nodev"];
    vec![
        mount("proc", "proc", "/proc", &usual),
        mount(
            "tmpfs",
            "tmpfs",
            "/dev",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "devpts",
            "devpts",
            "/dev/pts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        mount(
            "sysfs",
            "sysfs",
            "/sys",
            &["nosuid", "noexec", "nodev", "ro"],
        ),
        mount(
            "tmpfs",
            "shm",
            "/dev/shm",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        ),
    ]
}

fn capabilities(more: &[String]) -> Value {
    let more = more.iter().map(|name| format!("CAP_{name}"));
    let all: Vec<String> = CAPABILITIES
        .map(str::to_owned)
        .into_iter()
        .chain(more)
        .collect();
    json!({"bounding": all, "effective": all, "permitted": all})
}

/// Of a sandbox, whether or not a process of it runs.
pub(super) fn sandbox(held: &Held<'_>, root: &str) -> Value {
    let metadata = held.config.metadata.clone().unwrap_or_default();
    let (pod, attempt) = (of_pod(held.config), metadata.attempt);
    let wanted = wants(held.config);
    let ports: Vec<Value> = held.config.port_mappings.iter().map(|port| {
        let protocol = ["TCP", "UDP", "SCTP"][usize::try_from(port.protocol).unwrap()];
        json!({"HostPort": port.host_port, "ContainerPort": port.container_port, "Protocol": protocol, "HostIP": port.host_ip})
    }).collect();
    let noted = annotations(&[
        ("Name", format!("k8s_{pod}_{attempt}")),
        ("ContainerName", format!("k8s_POD_{pod}_{attempt}")),
        ("ContainerType", "sandbox".into()),
        ("ImageName", "registry.k8s.io/pause:3.10".into()),
        ("IP.0", held.ip.into()),
        ("PortMappings", Value::from(ports).to_string()),
        ("SandboxID", held.id.into()),
    ]);
    let own = (wanted.pid != NODE).then(|| json!({"type": "pid"}));
    let linux = held.config.linux.clone().unwrap_or_default();
    json!({
        "ociVersion": "1.0.2",
        "process": {"args": ["/pause", "pause"], "cwd": "/", "env": [PATH], "user": {"uid": 65535, "gid": 65535},
            "capabilities": capabilities(&[])},
        "root": {"path": root, "readonly": true},
        "mounts": mounts(),
        "annotations": noted,
        "linux": {"namespaces": namespaces(held, own, true), "cgroupsPath": format!("{}/crio-{}", linux.cgroup_parent, held.id)},
    })
}

/// Of a container of a sandbox.
pub(super) fn container(
    held: &Held<'_>,
    id: &str,
    config: &ContainerConfig,
    root: &str,
    log: &str,
) -> Value {
    let metadata = config.metadata.clone().unwrap_or_default();
    let wanted = wants(held.config);
    let image = config.image.clone().unwrap_or_default();
    let linux = config.linux.clone().unwrap_or_default();
    let security = linux.security.unwrap_or_default();
    let added = security.capabilities.unwrap_or_default().add;
    let own = match (wanted.pid, held.pid) {
        (NODE, _) => None,
        (CONTAINER, _) | (_, None) => Some(json!({"type": "pid"})),
        (_, Some(pause)) => Some(json!({"type": "pid", "path": format!("/proc/{pause}/ns/pid")})),
    };
    let noted = annotations(&[
        (
            "Name",
            format!(
                "k8s_{}_{}_{}",
                metadata.name,
                of_pod(held.config),
                metadata.attempt
            ),
        ),
        ("ContainerType", "container".into()),
        ("ImageName", image.user_specified.clone()),
        ("IP.0", held.ip.into()),
        ("LogPath", log.into()),
        ("SandboxID", held.id.into()),
        ("TTY", config.tty.to_string()),
    ]);
    let mut args = [config.command.clone(), config.args.clone()].concat();
    if args.is_empty() {
        args = ["/server", "serve", "8080"].map(str::to_owned).to_vec();
    }
    let mut env = vec!["PATH=/bin:/usr/bin".to_owned()];
    env.extend(
        config
            .envs
            .iter()
            .map(|one| format!("{}={}", one.key, one.value)),
    );
    let mut all = mounts();
    all.extend(config.mounts.iter().map(|one| {
        let mode = if one.readonly { "ro" } else { "rw" };
        mount(
            "bind",
            &one.host_path,
            &one.container_path,
            &["rbind", "rprivate", mode],
        )
    }));
    let user = security.run_as_user.map_or(0, |number| number.value);
    let cwd = if config.working_dir.is_empty() {
        "/"
    } else {
        &config.working_dir
    };
    let memory = linux.resources.unwrap_or_default().memory_limit;
    let mut resources = json!({"devices": [{"allow": true, "access": "rwm"}]});
    if memory > 0 {
        resources["memory"] = json!({"limit": memory, "swap": memory});
    }
    let parent = held.config.linux.clone().unwrap_or_default().cgroup_parent;
    json!({
        "ociVersion": "1.0.2",
        "process": {"args": args, "cwd": cwd, "env": env, "terminal": config.tty, "user": {"uid": user, "gid": 0},
            "capabilities": capabilities(&added)},
        "root": {"path": root},
        "mounts": all,
        "annotations": noted,
        "linux": {"namespaces": namespaces(held, own, wanted.network != NODE), "resources": resources,
            "cgroupsPath": format!("{parent}/crio-{id}")},
    })
}
