//! Ports that two containers of a pod want: one holds it and the other lost it, or both listen and
//! the kernel deals connections out between them; and ports that only the pod itself can reach.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::{Finding, Severity};
use crate::pod::{self, Container, ContainerFacts, DeclaredPort, Pod, Socket};
use crate::wording::{SOME, counted, listed};

/// The findings about a pod's listeners that need no look at logs.
pub(crate) fn listeners(pod: &Pod, facts: &[ContainerFacts]) -> Vec<Finding> {
    let mut found = shared(pod);
    found.extend(loopback_only(pod, facts));
    found
}

/// Two sockets on one address and port can only be there with `SO_REUSEPORT`; across containers
/// that is hardly meant.
fn shared(pod: &Pod) -> Vec<Finding> {
    let mut by_address: BTreeMap<_, Vec<&Socket>> = BTreeMap::new();
    for socket in listening(pod) {
        let key = (
            // of a split pod each part has ports of its own
            socket.netns,
            socket.proto.as_str(),
            socket.family,
            socket.address.as_str(),
            socket.port,
        );
        by_address.entry(key).or_default().push(socket);
    }
    let mut found: Vec<Finding> = Vec::new();
    for ((_, proto, _, address, port), sockets) in by_address {
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
            let message = format!(
                "{port}/{proto} on {address} is listened on by {}: the kernel deals connections out between them",
                quoted(&owners)
            );
            let remedy = "let each container listen on a port of its own";
            found.push(
                Finding::new("shared-listener", Severity::Warning, message, remedy).about(subjects),
            );
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
            .map(pod::declared)
            .unwrap_or_default();
        for DeclaredPort { port, proto, .. } in declared
            .into_iter()
            .chain(declared_in_lab(pod, container, facts))
        {
            let sockets: Vec<&Socket> = listening(pod)
                .filter(|socket| socket.port == port && socket.proto == proto)
                .collect();
            if !sockets.is_empty() && sockets.iter().all(|socket| is_loopback(socket)) {
                let message = format!(
                    "`{}` declares {port}/{proto}, which listens on {} alone: only the pod itself can reach it",
                    container.name, sockets[0].address
                );
                let remedy = "let the program listen on 0.0.0.0 or [::]";
                found.push(
                    Finding::new("loopback-only", Severity::Info, message, remedy)
                        .about(vec![container.id.clone()]),
                );
            }
        }
    }
    found
}

/// The same for a pod of the lab, whose sandbox carries the pod's specification.
fn declared_in_lab(
    pod: &Pod,
    container: &Container,
    facts: &[ContainerFacts],
) -> Vec<DeclaredPort> {
    let sandbox = pod.sandbox.as_ref().map(|sandbox| &sandbox.id);
    let sandbox = facts.iter().find(|facts| Some(&facts.id) == sandbox);
    let all = sandbox.map(pod::declared_in_lab).unwrap_or_default();
    all.into_iter()
        .filter(|(name, _)| *name == container.name)
        .map(|(_, port)| port)
        .collect()
}

/// The possible holders of a port that a pod on its node's network wants.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Neighbours<'a> {
    /// The pods of that node.
    pub(crate) pods: &'a [Pod],
    /// The sockets on which processes of no pod listen there.
    pub(crate) strangers: &'a [Socket],
}

/// The finding that `loser` ended because another holds its port: a container of its pod, or, on
/// the node's network, whoever is there. `log` is the end of what it printed. The loser has no
/// socket; the port it wanted stands in its log, its command line or its declared ports.
pub(crate) fn conflict(
    pod: &Pod,
    loser: &Container,
    facts: &ContainerFacts,
    log: &str,
    beside: Neighbours<'_>,
) -> Option<Finding> {
    let complaint = log.lines().rev().find(|line| says_in_use(line))?;
    let held = held(pod, loser, beside);
    let wanted = |numbers: Vec<u16>| held.iter().find(|(_, s)| numbers.contains(&s.port));
    let (holding, socket) = wanted(numbers(complaint))
        .or_else(|| wanted(pod::declared(facts).iter().map(|one| one.port).collect()))
        .or_else(|| {
            wanted(
                facts
                    .command
                    .iter()
                    .flat_map(|word| numbers(word))
                    .collect(),
            )
        })
        .copied()?;
    let owner = socket.owners.iter().find(|owner| match holding {
        None => true,
        Some(other) if other.uid != pod.uid => owner.container.is_some(),
        Some(_) => owner.container.as_ref().is_some_and(|n| *n != loser.name),
    });
    let name = owner.and_then(|owner| owner.container.as_deref());
    let (holder, subjects) = match (holding, name) {
        (Some(other), Some(name)) => {
            let of = if other.uid == pod.uid {
                String::new()
            } else {
                format!(" of {}/{}", other.namespace, other.name)
            };
            (format!("`{name}`{of}"), ids(other, &BTreeSet::from([name])))
        }
        _ => ("a process of the node".to_owned(), Vec::new()),
    };
    let program = owner.map_or(String::new(), |owner| {
        format!("{} {}, ", owner.command, owner.pid)
    });
    let times = loser
        .restarts
        .map_or(1, |restarts| restarts.saturating_add(1));
    let message = format!(
        "{} is held by {holder} ({program}{}); `{}` failed {} with \"{}\"",
        socket.port,
        socket.address,
        loser.name,
        counted(times as usize, "time"),
        complaint.trim(),
    );
    let remedy = if pod.host_network {
        "all on a node's network share its ports: give one of them another"
    } else {
        "containers of a pod share its ports: give one of them another"
    };
    Some(
        Finding::new("port-conflict", Severity::Error, message, remedy)
            .about([subjects, vec![loser.id.clone()]].concat()),
    )
}

/// The listeners in the network that `loser` joins when it is started, but for those it held
/// itself; each with its pod.
fn held<'a>(
    pod: &'a Pod,
    loser: &Container,
    beside: Neighbours<'a>,
) -> Vec<(Option<&'a Pod>, &'a Socket)> {
    let is_port = |socket: &&Socket| socket.proto == "tcp" || socket.proto == "udp";
    let own = listening(pod)
        .filter(|socket| !pod.is_apart(socket))
        .filter(|socket| names(socket).iter().any(|name| *name != loser.name));
    let own = own.map(|socket| (Some(pod), socket));
    let mut all: Vec<_> = own.filter(|(_, socket)| is_port(socket)).collect();
    if pod.host_network {
        let others = beside
            .pods
            .iter()
            .filter(|other| other.host_network && other.node == pod.node && other.uid != pod.uid);
        let of_others = others.flat_map(|other| {
            let with_name = listening(other).filter(|socket| !names(socket).is_empty());
            with_name.map(move |socket| (Some(other), socket))
        });
        let strangers = beside.strangers.iter().map(|socket| (None, socket));
        let more = of_others.chain(strangers);
        all.extend(more.filter(|(_, socket)| socket.is_listening() && is_port(socket)));
    }
    all
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
    match names.as_slice() {
        [one, other] => format!("{one} and {other}"),
        _ => listed(&names, SOME),
    }
}

fn is_loopback(socket: &Socket) -> bool {
    let address = socket.address.parse::<std::net::IpAddr>();
    address.is_ok_and(|address| address.to_canonical().is_loopback())
}
