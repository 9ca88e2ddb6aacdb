//! Ports that a pod's author declared, and ports of the node that are passed on to it.

use super::{ContainerFacts, PortMapping, Published};

/// A port as a container's author declared it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeclaredPort {
    pub(crate) port: u16,
    pub(crate) host_port: Option<u16>,
    /// `tcp`, `udp` or `sctp`.
    pub(crate) proto: String,
}

/// The ports that a container of a cluster declares: the kubelet writes them on it.
pub(crate) fn declared(facts: &ContainerFacts) -> Vec<DeclaredPort> {
    #[derive(serde::Deserialize)]
    struct Port {
        #[serde(rename = "containerPort")]
        container: u16,
        #[serde(rename = "hostPort")]
        host: Option<u16>,
        protocol: Option<String>,
    }
    facts
        .annotations
        .get("io.kubernetes.container.ports")
        .and_then(|json| serde_json::from_str::<Vec<Port>>(json).ok())
        .unwrap_or_default()
        .into_iter()
        .map(|port| DeclaredPort {
            port: port.container,
            host_port: port.host,
            proto: port.protocol.unwrap_or_else(|| "TCP".into()).to_lowercase(),
        })
        .collect()
}

/// The same of a pod of the lab, whose sandbox carries the pod's specification, by container.
pub(crate) fn declared_in_lab(sandbox: &ContainerFacts) -> Vec<(String, DeclaredPort)> {
    #[derive(serde::Deserialize)]
    struct Spec {
        #[serde(default)]
        init_containers: Vec<One>,
        #[serde(default)]
        containers: Vec<One>,
    }
    #[derive(serde::Deserialize)]
    struct One {
        name: String,
        #[serde(default)]
        ports: Vec<Port>,
    }
    #[derive(serde::Deserialize)]
    struct Port {
        container: u16,
        host: Option<u16>,
        protocol: String,
    }
    let spec = sandbox.labels.get("dev.devnet.pod.spec");
    let Some(spec) = spec.and_then(|json| serde_json::from_str::<Spec>(json).ok()) else {
        return Vec::new();
    };
    let all = spec.init_containers.into_iter().chain(spec.containers);
    all.flat_map(|one| {
        let name = one.name;
        one.ports.into_iter().map(move |port| {
            let port = DeclaredPort {
                port: port.container,
                host_port: port.host,
                proto: port.protocol,
            };
            (name.clone(), port)
        })
    })
    .collect()
}

/// The ports of the node that are passed on to a pod: its sandbox's, each with the container that
/// declares it. `named` are the pod's containers by name; a plain container declares its own.
pub(super) fn host_ports(
    sandbox: Option<&ContainerFacts>,
    named: &[(String, &ContainerFacts)],
) -> Vec<PortMapping> {
    let Some(sandbox) = sandbox.filter(|sandbox| sandbox.state.is_up()) else {
        return Vec::new();
    };
    let in_lab = declared_in_lab(sandbox);
    let of_lab = |one: &Published| {
        let mut all = in_lab.iter();
        let found = all.find(|(_, port)| port.port == one.port && port.proto == one.proto);
        found.map(|(name, _)| name.clone())
    };
    let declares = |facts: &ContainerFacts, one: &Published| {
        facts.id == sandbox.id
            || declared(facts).iter().any(|port| {
                port.port == one.port
                    && port.proto == one.proto
                    && port.host_port.is_none_or(|host| host == one.host_port)
            })
    };
    let mut all: Vec<PortMapping> = sandbox
        .published
        .iter()
        .map(|one| PortMapping {
            proto: one.proto.clone(),
            host_ip: one.host_ip.clone(),
            host_port: one.host_port,
            port: one.port,
            container: named
                .iter()
                .find(|(_, facts)| declares(facts, one))
                .map(|(name, _)| name.clone())
                .or_else(|| of_lab(one)),
        })
        .collect();
    all.sort_by(|a, b| {
        (a.host_port, &a.proto, &a.host_ip).cmp(&(b.host_port, &b.proto, &b.host_ip))
    });
    all.dedup();
    all
}
