//! A pod to the containers that make it, as cri-dockerd makes them: a sandbox that holds the
//! namespaces, and containers whose NetworkMode and IpcMode name it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::owned::{self, filler_name, holder_name, volume_name};
use super::spec::{
    Backing, ContainerSpec, MountKind, MountSpec, Namespace, Network, PublishedPort, VolumeSpec,
};
use super::variables::{environment, expand};
use super::{BUILT_IN_IMAGE, Container, Pod, VolumeSource, label};

/// The surroundings of a new pod, as far as its containers need to know them.
#[derive(Clone, Debug)]
pub(crate) struct PodContext {
    pub(crate) uid: String,
    pub(crate) network: String,
    /// The sandbox's own; unused by a pod on the host's network.
    pub(crate) address: Ipv4Addr,
    /// The engine's machine, as pods see it.
    pub(crate) gateway: Ipv4Addr,
    /// The image of the program that devnet carries.
    pub(crate) probe: String,
    /// The engine's machine, by name.
    pub(crate) node: String,
    /// The devnet that makes it.
    pub(crate) owner: String,
}

fn labels(
    pod: &Pod,
    context: &PodContext,
    (role, name): (&str, &str),
    attempt: u32,
) -> BTreeMap<String, String> {
    [
        (label::ROLE, role.to_owned()),
        (label::NAME, name.to_owned()),
        (label::OWNER, context.owner.clone()),
        (label::POD_NAME, pod.name.clone()),
        (label::POD_NAMESPACE, pod.namespace.clone()),
        (label::POD_UID, context.uid.clone()),
        (label::ATTEMPT, attempt.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// The pause container of a pod.
pub(crate) fn sandbox(pod: &Pod, context: &PodContext, attempt: u32) -> ContainerSpec {
    let name = owned::sandbox_name(&pod.name, &pod.namespace, attempt);
    let mut labels = labels(pod, context, (label::SANDBOX, &name), attempt);
    labels.insert(
        label::POD_SPEC.into(),
        serde_json::to_string(pod).expect("a pod has nothing that JSON lacks"),
    );
    labels.insert(
        label::POD_LABELS.into(),
        serde_json::to_string(&pod.labels).expect("a map of text is JSON"),
    );
    if !pod.host_network {
        labels.insert(label::ADDRESS.into(), context.address.to_string());
    }
    let ports = || pod.init_containers.iter().chain(&pod.containers);
    ContainerSpec {
        name,
        image: context.probe.clone(),
        command: vec!["pause".into()],
        // what the image of the real pause container says
        user: Some(user(pod.run_as_user, pod.run_as_group).unwrap_or_else(|| "65535:65535".into())),
        groups: pod.groups.iter().map(ToString::to_string).collect(),
        hostname: (!pod.host_network).then(|| hostname(pod)),
        labels,
        network: if pod.host_network {
            Network::Host
        } else {
            Network::Named {
                network: context.network.clone(),
                address: context.address,
            }
        },
        ipc: if pod.host_ipc {
            Namespace::Host
        } else {
            Namespace::Shareable
        },
        pid: if pod.host_pid {
            Namespace::Host
        } else {
            Namespace::Private
        },
        ports: ports()
            .flat_map(|container| &container.ports)
            // on the host's network a port needs no forwarding
            .filter(|_| !pod.host_network)
            .filter_map(|port| {
                Some(PublishedPort {
                    container: port.container,
                    host: port.host?,
                    host_ip: port.host_ip.clone(),
                    protocol: port.protocol.clone(),
                })
            })
            .collect(),
        // what is in memory is lost when nobody has it mounted, as between two init containers
        mounts: pod
            .volumes
            .iter()
            .filter(|volume| matches!(volume.source, VolumeSource::Memory(_)))
            .map(|volume| MountSpec {
                kind: MountKind::Volume(volume_name(&context.uid, &volume.name)),
                target: format!("/volumes/{}", volume.name),
                read_only: false,
            })
            .collect(),
        extra_hosts: pod.host_aliases.clone(),
        sysctls: pod.sysctls.clone(),
        // it does nothing but wait
        read_only: true,
        no_new_privileges: true,
        drop_capabilities: vec!["ALL".into()],
        ..ContainerSpec::default()
    }
}

/// One container of a pod, to join the sandbox with this ID.
pub(crate) fn container(
    pod: &Pod,
    container: &Container,
    context: &PodContext,
    sandbox_id: &str,
    attempt: u32,
) -> ContainerSpec {
    let environment = environment(pod, container, context);
    let expanded = |texts: &[String]| -> Vec<String> {
        texts
            .iter()
            .map(|text| expand(text, &environment))
            .collect()
    };
    let (part, uid) = (&container.name, &context.uid);
    let name = owned::container_name(part, &pod.name, &pod.namespace, uid, attempt);
    let mut labels = labels(pod, context, (label::CONTAINER, &name), attempt);
    labels.insert(label::CONTAINER_NAME.into(), container.name.clone());
    labels.insert(label::SANDBOX_ID.into(), sandbox_id.into());
    ContainerSpec {
        name,
        image: image(container, context),
        entrypoint: expanded(&container.command),
        command: expanded(&container.args),
        working_dir: container.working_dir.clone(),
        user: user(
            container.run_as_user.or(pod.run_as_user),
            container.run_as_group.or(pod.run_as_group),
        ),
        groups: pod.groups.iter().map(ToString::to_string).collect(),
        labels,
        // the host's network and IPC come with the sandbox too
        network: Network::Container(sandbox_id.into()),
        ipc: Namespace::Container(sandbox_id.into()),
        pid: if pod.host_pid {
            Namespace::Host
        } else if pod.share_process_namespace {
            Namespace::Container(sandbox_id.into())
        } else {
            Namespace::Private
        },
        host_uts: pod.host_network,
        mounts: mounts(pod, container, &context.uid),
        memory: container.memory_limit,
        cpu_limit: container.cpu_limit,
        cpu_request: container.cpu_request,
        read_only: container.read_only,
        no_new_privileges: container.no_new_privileges,
        add_capabilities: container.add_capabilities.clone(),
        drop_capabilities: container.drop_capabilities.clone(),
        stdin: container.stdin,
        tty: container.tty,
        environment,
        ..ContainerSpec::default()
    }
}

/// The image that a container really gets.
pub(crate) fn image(container: &Container, context: &PodContext) -> String {
    if container.image == BUILT_IN_IMAGE {
        context.probe.clone()
    } else {
        container.image.clone()
    }
}

/// The volumes that the engine has to make for a pod.
pub(crate) fn volumes(pod: &Pod, uid: &str, owner: &str) -> Vec<VolumeSpec> {
    pod.volumes
        .iter()
        .filter_map(|volume| {
            let (backing, files) = match &volume.source {
                VolumeSource::Host(_) => return None,
                VolumeSource::Files(files) => (Backing::Disk, files.clone()),
                VolumeSource::Memory(limit) => (Backing::Memory(*limit), Vec::new()),
                VolumeSource::Scratch => (Backing::Disk, Vec::new()),
            };
            let name = volume_name(uid, &volume.name);
            Some(VolumeSpec {
                labels: [
                    (label::ROLE, label::VOLUME),
                    (label::NAME, &name),
                    (label::OWNER, owner),
                    (label::POD_UID, uid),
                    (label::POD_NAME, &pod.name),
                    (label::POD_NAMESPACE, &pod.namespace),
                ]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
                name,
                backing,
                group: pod.volume_group,
                files,
            })
        })
        .collect()
}

/// A container by way of which volumes are filled; it is never started.
pub(crate) fn filler(
    volumes: &[&VolumeSpec],
    uid: &str,
    probe: &str,
    owner: &str,
) -> ContainerSpec {
    let name = filler_name(uid);
    ContainerSpec {
        labels: helper_labels(&name, uid, owner),
        name,
        image: probe.into(),
        mounts: volumes
            .iter()
            .map(|volume| MountSpec {
                kind: MountKind::Volume(volume.name.clone()),
                target: format!("/{}", volume.name),
                read_only: false,
            })
            .collect(),
        ..ContainerSpec::default()
    }
}

/// A container in a sandbox's network that is no part of the pod.
pub(crate) fn holder(uid: &str, sandbox: &str, probe: &str, owner: &str) -> ContainerSpec {
    let name = holder_name(uid);
    ContainerSpec {
        labels: helper_labels(&name, uid, owner),
        name,
        image: probe.into(),
        command: vec!["pause".into()],
        network: Network::Container(sandbox.into()),
        read_only: true,
        no_new_privileges: true,
        drop_capabilities: vec!["ALL".into()],
        ..ContainerSpec::default()
    }
}

fn helper_labels(name: &str, uid: &str, owner: &str) -> BTreeMap<String, String> {
    [
        (label::ROLE, label::HELPER),
        (label::NAME, name),
        (label::OWNER, owner),
        (label::POD_UID, uid),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into()
}

/// The lock: a container that is never started, since an engine gives each name once.
pub(crate) fn lock(probe: &str, owner: &str, token: &str) -> ContainerSpec {
    ContainerSpec {
        name: owned::LOCK_NAME.into(),
        image: probe.into(),
        command: vec!["pause".into()],
        labels: [
            (label::ROLE, label::LOCK),
            (label::NAME, owned::LOCK_NAME),
            (label::OWNER, owner),
            (label::LOCK_OWNER, token),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        read_only: true,
        no_new_privileges: true,
        drop_capabilities: vec!["ALL".into()],
        ..ContainerSpec::default()
    }
}

fn mounts(pod: &Pod, container: &Container, uid: &str) -> Vec<MountSpec> {
    container
        .mounts
        .iter()
        .filter_map(|mount| {
            let volume = pod.volumes.iter().find(|v| v.name == mount.volume)?;
            let kind = match &volume.source {
                VolumeSource::Host(path) => MountKind::Bind(path.clone()),
                _ => MountKind::Volume(volume_name(uid, &volume.name)),
            };
            Some(MountSpec {
                kind,
                target: mount.path.clone(),
                // a ConfigMap is never written to
                read_only: mount.read_only || matches!(volume.source, VolumeSource::Files(_)),
            })
        })
        .collect()
}

/// The pod's host name, cut to what the kernel takes (kubelet `GeneratePodHostNameAndDomain`).
fn hostname(pod: &Pod) -> String {
    let name = pod.hostname.as_ref().unwrap_or(&pod.name);
    name.chars()
        .take(63)
        .collect::<String>()
        .trim_end_matches(['-', '.'])
        .to_owned()
}

fn user(user: Option<i64>, group: Option<i64>) -> Option<String> {
    match (user, group) {
        (Some(user), Some(group)) => Some(format!("{user}:{group}")),
        (Some(user), None) => Some(user.to_string()),
        // Docker takes no group without a user; 0 is what an image without a user has
        (None, Some(group)) => Some(format!("0:{group}")),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Port, Text, Volume};
    use super::*;

    impl PodContext {
        /// The surroundings that tests have in mind.
        pub(in crate::lab) fn example() -> Self {
            Self {
                uid: "0123456789ab".into(),
                network: "devnet-lab".into(),
                address: Ipv4Addr::new(10, 88, 0, 5),
                gateway: Ipv4Addr::new(10, 88, 0, 1),
                probe: "devnet-probe:abc".into(),
                node: "laptop".into(),
                owner: "boot/pid/1/1".into(),
            }
        }
    }

    fn pod() -> Pod {
        Pod {
            namespace: "default".into(),
            name: "web".into(),
            containers: vec![Container {
                name: "app".into(),
                image: "app:dev".into(),
                ..Container::default()
            }],
            ..Pod::default()
        }
    }

    #[test]
    fn containers_join_the_sandbox_by_its_id_and_the_sandbox_can_be_joined() {
        let pod = pod();
        let pause = sandbox(&pod, &PodContext::example(), 0);
        assert_eq!(pause.ipc, Namespace::Shareable);
        assert_eq!(pause.name, "devnet_POD_web_default_0");
        assert_eq!(pause.user.as_deref(), Some("65535:65535"));
        let app = container(&pod, &pod.containers[0], &PodContext::example(), "sid", 3);
        assert_eq!(app.network, Network::Container("sid".into()));
        assert_eq!(app.ipc, Namespace::Container("sid".into()));
        assert_eq!(app.name, "devnet_app_web_default_01234567_3");
        assert_eq!(app.user, None);
        for spec in [pause, app] {
            assert!(
                spec.labels
                    .keys()
                    .all(|name| name.starts_with("dev.devnet."))
            );
        }
    }

    #[test]
    fn the_sandbox_holds_all_that_is_needed_to_make_the_pod_again() {
        let mut pod = pod();
        pod.containers[0].environment = vec![("IP".into(), Text::Field("status.podIP".into()))];
        pod.volumes = vec![Volume {
            name: "v".into(),
            source: VolumeSource::Files(vec![("a".into(), "text".into(), 0o644)]),
        }];
        let kept = &sandbox(&pod, &PodContext::example(), 0).labels[label::POD_SPEC];
        assert_eq!(serde_json::from_str::<Pod>(kept).unwrap(), pod);
    }

    #[test]
    fn a_pod_with_the_hosts_network_has_no_address_and_publishes_nothing() {
        let mut pod = pod();
        pod.host_network = true;
        pod.containers[0].ports = vec![Port {
            container: 80,
            host: Some(80),
            host_ip: None,
            protocol: "tcp".into(),
        }];
        let pause = sandbox(&pod, &PodContext::example(), 0);
        assert_eq!(pause.network, Network::Host);
        assert!(pause.ports.is_empty());
        assert!(!pause.labels.contains_key(label::ADDRESS));
        let app = container(&pod, &pod.containers[0], &PodContext::example(), "sid", 0);
        assert_eq!(app.network, Network::Container("sid".into()));
        assert!(app.host_uts);
    }
}
