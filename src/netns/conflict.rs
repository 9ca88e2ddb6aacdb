//! Ports that two containers of a pod want: one holds it and the other lost it, or both listen and
//! the kernel deals connections out between them; and ports that only the pod itself can reach.

use std::collections::{BTreeMap, BTreeSet};

use crate::pod::{Container, ContainerFacts, Finding, Pod, Socket};

/// What the sockets of a pod show without a look at logs.
pub(crate) fn listeners(pod: &Pod, facts: &[ContainerFacts]) -> Vec<Finding> {
    let mut found = shared(pod);
    found.extend(loopback_only(pod, facts));
    found
}

/// Two sockets on one address and port can only be there with `SO_REUSEPORT`; across containers
/// that is hardly meant.
fn shared(pod: &Pod) -> Vec<Finding> {
    let mut by_address: BTreeMap<(&str, u8, &str, u16), Vec<&Socket>> = BTreeMap::new();
    for socket in listening(pod) {
        let key = (
            socket.proto.as_str(),
            socket.family,
            socket.address.as_str(),
            socket.port,
        );
        by_address.entry(key).or_default().push(socket);
    }
    let mut found: Vec<Finding> = Vec::new();
    for ((proto, _, address, port), sockets) in by_address {
        let owners: BTreeSet<&str> = sockets.iter().flat_map(|socket| names(socket)).collect();
        let several = sockets.len() > 1 && owners.len() > 1;
        // one socket that was handed from container to container is held by both on purpose
        let apart = sockets.iter().any(|one| {
            sockets
                .iter()
                .any(|other| names(one).is_disjoint(&names(other)))
        });
        let subjects = ids(pod, &owners);
        if several && apart && !found.iter().any(|before| before.subjects == subjects) {
            found.push(Finding {
                code: "shared-listener",
                severity: "warning",
                message: format!(
                    "{port}/{proto} on {address} is listened on by {}: the kernel deals connections out between them",
                    quoted(&owners)
                ),
                hint: Some("let each container listen on a port of its own".into()),
                subjects,
            });
        }
    }
    found
}

/// A declared port that listens on loopback alone is refused to everyone but the pod.
fn loopback_only(pod: &Pod, facts: &[ContainerFacts]) -> Vec<Finding> {
    if pod.host_network {
        return Vec::new();
    }
    let mut found = Vec::new();
    for container in &pod.containers {
        let declared = facts
            .iter()
            .find(|facts| facts.id == container.id)
            .map(declared)
            .unwrap_or_default();
        for (port, proto) in declared
            .into_iter()
            .chain(declared_in_lab(pod, container, facts))
        {
            let sockets: Vec<&Socket> = listening(pod)
                .filter(|socket| socket.port == port && socket.proto == proto)
                .collect();
            if !sockets.is_empty() && sockets.iter().all(|socket| is_loopback(socket)) {
                found.push(Finding {
                    code: "loopback-only",
                    severity: "info",
                    message: format!(
                        "`{}` declares {port}/{proto}, which listens on {} alone: only the pod itself can reach it",
                        container.name, sockets[0].address
                    ),
                    hint: Some("let the program listen on 0.0.0.0 or [::]".into()),
                    subjects: vec![container.id.clone()],
                });
            }
        }
    }
    found
}

/// The ports that a pod's author declared for a container.
fn declared(facts: &ContainerFacts) -> Vec<(u16, String)> {
    #[derive(serde::Deserialize)]
    struct Port {
        #[serde(rename = "containerPort")]
        container_port: u16,
        protocol: Option<String>,
    }
    facts
        .labels
        .get("annotation.io.kubernetes.container.ports")
        .and_then(|json| serde_json::from_str::<Vec<Port>>(json).ok())
        .unwrap_or_default()
        .into_iter()
        .map(|port| {
            let proto = port.protocol.unwrap_or_else(|| "TCP".into());
            (port.container_port, proto.to_lowercase())
        })
        .collect()
}

/// The same for a pod of the lab, whose sandbox carries the pod's specification.
fn declared_in_lab(
    pod: &Pod,
    container: &Container,
    facts: &[ContainerFacts],
) -> Vec<(u16, String)> {
    let sandbox = pod.sandbox.as_ref().map(|sandbox| &sandbox.id);
    let spec = facts
        .iter()
        .find(|facts| Some(&facts.id) == sandbox)
        .and_then(|facts| facts.labels.get(crate::lab::label::POD_SPEC))
        .and_then(|json| serde_json::from_str::<crate::lab::Pod>(json).ok())
        .unwrap_or_default();
    spec.init_containers
        .into_iter()
        .chain(spec.containers)
        .filter(|one| one.name == container.name)
        .flat_map(|one| one.ports)
        .map(|port| (port.container, port.protocol))
        .collect()
}

/// Whether `loser` ended because another container of its pod holds its port: `log` is the end of
/// what it printed. The loser has no socket; what it wanted stands in its log, its command line or
/// its declared ports.
pub(crate) fn conflict(
    pod: &Pod,
    loser: &Container,
    facts: &ContainerFacts,
    log: &str,
) -> Option<Finding> {
    let complaint = log.lines().rev().find(|line| says_in_use(line))?;
    let held: Vec<&Socket> = listening(pod)
        .filter(|socket| socket.proto == "tcp" || socket.proto == "udp")
        .filter(|socket| names(socket).iter().any(|name| *name != loser.name))
        .collect();
    let wanted = |numbers: Vec<u16>| held.iter().copied().find(|s| numbers.contains(&s.port));
    let socket = wanted(numbers(complaint))
        .or_else(|| wanted(declared(facts).into_iter().map(|(port, _)| port).collect()))
        .or_else(|| {
            wanted(
                facts
                    .command
                    .iter()
                    .flat_map(|word| numbers(word))
                    .collect(),
            )
        })?;
    let owner = socket
        .owners
        .iter()
        .find(|owner| owner.container.as_ref().is_some_and(|n| *n != loser.name))?;
    let holder = owner.container.as_deref()?;
    let times = loser.restarts.map_or(1, |restarts| restarts + 1);
    Some(Finding {
        code: "port-conflict",
        severity: "error",
        message: format!(
            "{} is held by `{holder}` ({} {}, {}); `{}` failed {times} times with \"{}\"",
            socket.port,
            owner.command,
            owner.pid,
            socket.address,
            loser.name,
            complaint.trim(),
        ),
        hint: Some("containers of a pod share its ports: give one of them another".into()),
        subjects: [ids(pod, &BTreeSet::from([holder])), vec![loser.id.clone()]].concat(),
    })
}

fn says_in_use(line: &str) -> bool {
    let line = line.to_lowercase();
    line.contains("eaddrinuse")
        || line.contains("address already in use")
        || line.contains("address in use")
        || line.contains("bind") && (line.contains("error 98") || line.contains("(98"))
}

/// Numbers that may be ports.
fn numbers(text: &str) -> Vec<u16> {
    text.split(|c: char| !c.is_ascii_digit())
        .filter_map(|word| word.parse().ok())
        .filter(|number| *number > 0)
        .collect()
}

fn listening(pod: &Pod) -> impl Iterator<Item = &Socket> {
    pod.sockets
        .iter()
        .flatten()
        .filter(|socket| socket.is_listening())
}

fn names(socket: &Socket) -> BTreeSet<&str> {
    let owners = socket.owners.iter();
    owners
        .filter_map(|owner| owner.container.as_deref())
        .collect()
}

fn ids(pod: &Pod, names: &BTreeSet<&str>) -> Vec<String> {
    let containers = pod.containers.iter();
    containers
        .filter(|container| names.contains(container.name.as_str()))
        .map(|container| container.id.clone())
        .collect()
}

fn quoted(names: &BTreeSet<&str>) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(" and ")
}

fn is_loopback(socket: &Socket) -> bool {
    let address = socket.address.parse::<std::net::IpAddr>();
    address.is_ok_and(|address| address.to_canonical().is_loopback())
}
